"""What an older PostgreSQL, as classic runs, does otherwise than the embedded one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from migrator.dataplane.mirror import rows_sql
from migrator.dataplane.mirror.run import _open
from tests.fixtures.shop import Shop, new_shop

pytestmark = [pytest.mark.pg]


@pytest.fixture
def old_shop(full_dsns: tuple[str, str]) -> Iterator[Shop]:
    with new_shop(*full_dsns) as made:
        yield made


async def test_no_look_is_compiled(old_shop: Shop) -> None:
    """Compiling one takes longer than a hundred looks, and cannot be cancelled."""
    await old_shop.start()
    async with _open(old_shop.classic_dsn, old_shop.limitless_dsn, 1, None, old_shop.options) as p:
        query = rows_sql.any_entries(p.ordered(), p.part, p.stand.snapshot)
        shown = await (
            await p.reader.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) SELECT {}").format(query))
        ).fetchone()
    assert shown is not None
    assert "JIT" not in shown[0][0]


async def test_the_shop_follows(old_shop: Shop) -> None:
    """Copied and mirrored, in one transaction and in chunks."""
    await old_shop.start()
    async with old_shop.mirrors():
        await old_shop.copy_all()
        old_shop.classic.execute("UPDATE shop.purchase SET tenant_id = 1 + tenant_id % 12, slot = slot + 5000")
        await old_shop.caught_up()
        assert old_shop.differences() == {}
    old_shop.options = type(old_shop.options)(batch_rows=50)
    async with old_shop.mirrors():
        old_shop.classic.execute("UPDATE shop.purchase SET tenant_id = 1 + tenant_id % 12, slot = slot + 5000")
        await old_shop.caught_up()

    assert old_shop.differences() == {}
