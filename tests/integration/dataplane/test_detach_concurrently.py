"""A partition that leaves in two transactions, beside its writers: refused, or finished when it had begun."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from migrator.errors import PreconditionFailed
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.dataplane.test_ways_to_write import differences, w

__all__ = ["w"]

pytestmark = [pytest.mark.pg]


@pytest.fixture
def other(w: Shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(w.classic_dsn, autocommit=True, options="-c lock_timeout=120s") as conn:
        yield conn


DETACH = "ALTER TABLE w.event DETACH PARTITION w.event_24 CONCURRENTLY"
PENDING = "SELECT count(*) FROM pg_inherits WHERE inhrelid = 'w.event_24'::regclass AND inhdetachpending"


async def test_half_a_detachment_is_to_be_finished_before_and_none_begins_afterwards(
    w: Shop, other: psycopg.Connection
) -> None:
    with psycopg.connect(w.classic_dsn) as reader:
        reader.execute("SELECT count(*) FROM w.event")  # the second transaction waits for it
        detach = asyncio.create_task(asyncio.to_thread(other.execute, DETACH))

        async def pending() -> bool:
            return w.classic.execute(PENDING).fetchone() == (1,)

        await until(pending, "the first transaction is committed")
        other.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await detach
    with pytest.raises(PreconditionFailed) as half:
        await w.start()
    other.execute("ALTER TABLE w.event DETACH PARTITION w.event_24 FINALIZE")
    await w.start()
    async with w.mirrors():
        await w.copy_all()
        with pytest.raises(psycopg.Error) as refused:
            other.execute("ALTER TABLE w.event DETACH PARTITION w.event_25 CONCURRENTLY")
        w.classic.execute("UPDATE w.event SET note = 'afterwards' WHERE id % 2 = 0")
        await w.caught_up()

    assert "w.event: w.event_24" in str(half.value)
    assert refused.value.sqlstate == "MG003"
    assert differences(w) == []
