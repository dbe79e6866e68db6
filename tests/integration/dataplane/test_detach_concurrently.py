"""A partition of a captured table leaves in two transactions, beside its writers: its rows are journalled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.shop import Shop, until
from tests.integration.dataplane.test_ways_to_write import differences, w

__all__ = ["w"]

pytestmark = [pytest.mark.pg]


@pytest.fixture
def other(w: Shop) -> Iterator[psycopg.Connection]:
    with psycopg.connect(w.classic_dsn, autocommit=True, options="-c lock_timeout=10s") as conn:
        yield conn


DETACH = "ALTER TABLE w.event DETACH PARTITION w.event_24 CONCURRENTLY"
PENDING = "SELECT count(*) FROM pg_inherits WHERE inhrelid = 'w.event_24'::regclass AND inhdetachpending"


def triggers(w: Shop) -> list[tuple[str]]:
    """Capture's triggers on the leaf."""
    return w.classic.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'w.event_24'::regclass AND tgname LIKE 'migrator%'"
    ).fetchall()


async def test_a_leaf_detached_concurrently_is_journalled(w: Shop, other: psycopg.Connection) -> None:
    """Every row of it leaves Limitless, and it is an ordinary table again."""
    await w.start()
    async with w.mirrors():
        await w.copy_all()
        assert len(triggers(w)) == 4
        await asyncio.to_thread(other.execute, DETACH)
        await w.caught_up()
        assert (differences(w), triggers(w)) == ([], [])
        other.execute("UPDATE w.event_24 SET note = 'nobody cares'")
        other.execute("DROP TABLE w.event_24")
        await w.caught_up()
    assert differences(w) == []


async def test_a_detachment_that_was_interrupted_is_journalled_when_it_is_finished(
    w: Shop, other: psycopg.Connection
) -> None:
    """Between its two transactions the leaf is captured still; what is written to it meanwhile does no harm."""
    await w.start()
    async with w.mirrors():
        await w.copy_all()
        with psycopg.connect(w.classic_dsn) as reader:
            reader.execute("SELECT count(*) FROM w.event")  # the second transaction waits for it
            detach = asyncio.create_task(asyncio.to_thread(other.execute, DETACH))

            async def pending() -> bool:
                return w.classic.execute(PENDING).fetchone() == (1,)

            await until(pending, "the first transaction is committed")
            assert len(triggers(w)) == 4
            other.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                await detach
        w.classic.execute("UPDATE w.event_24 SET note = 'in between' WHERE id % 2 = 0")
        await w.caught_up()
        await asyncio.to_thread(other.execute, "ALTER TABLE w.event DETACH PARTITION w.event_24 FINALIZE")
        await w.caught_up()
    assert (differences(w), triggers(w)) == ([], [])
