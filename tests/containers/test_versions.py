"""Classic may be an older PostgreSQL than the target: everything arrives, and digests agree across versions."""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest

from migrator.consistency.run import validate
from tests.fixtures.containers import IMAGE, OLDER_IMAGE, pair_of
from tests.fixtures.postgres import Machines
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import eventually
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


@pytest.fixture(scope="module")
def own_machines() -> Iterator[Machines]:
    with pair_of(OLDER_IMAGE, IMAGE) as made:
        yield made


async def test_an_older_classic_moves_to_a_newer_limitless(shop: Shop) -> None:
    assert shop.classic.info.server_version < shop.limitless.info.server_version
    await shop.start()
    with Writers(shop.classic_dsn, seed=15) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            before = writers.committed

            async def written() -> bool:
                return writers.committed >= before + 200

            await eventually(written, "200 more transactions")
            found = await validate(shop.classic_dsn, shop.limitless_dsn)
            writers.stop.set()
            await shop.caught_up()

    assert (found.divergent_rows, found.whole) == (0, True)
    assert shop.differences() == {}


async def test_values_whose_text_depends_on_the_server_arrive(shop: Shop) -> None:
    """Floats, times and numbers as the older server writes them are what the newer one reads."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        r = random.Random(16)
        with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
            for number in range(200):
                conn.execute(
                    "UPDATE shop.purchase SET total = %s, note = jsonb_build_object('f', %s::float8, 't', now())"
                    " WHERE id = %s",
                    (round(r.uniform(-1e9, 1e9), 2), r.random() * 10 ** r.randint(-300, 300), 1 + number),
                )
        await shop.caught_up()
        found = await validate(shop.classic_dsn, shop.limitless_dsn)
    assert found.divergent_rows == 0
    assert shop.differences() == {}
