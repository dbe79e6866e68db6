"""A mirror that was superseded and has not noticed yet does no harm, neither on Limitless nor on classic."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from migrator.dataplane.mirror.cycle import _commit_token, run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.errors import HistoryForked, LeaseLost
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_a_superseded_mirror_cannot_overwrite_its_successors_token(shop: Shop) -> None:
    """The token of the last cycle is on classic only once; a late predecessor must not take it away, or the
    successor would believe that classic lost its tail."""
    await shop.start()
    dsns = (shop.classic_dsn, shop.limitless_dsn)
    async with _open(*dsns, 1, None, shop.options) as old:
        await run_cycle(old)
        async with _open(*dsns, 1, None, shop.options) as new:
            shop.classic.execute("INSERT INTO shop.tenant VALUES (1001, 'late')")
            new.fresh_at = 0.0
            await run_cycle(new)
            with pytest.raises(LeaseLost):
                await _commit_token(old, set())
            with pytest.raises(LeaseLost):
                await run_cycle(old)
            new.fresh_at = 0.0
            stats = await run_cycle(new)

    assert stats is not None


TOTALS = "SELECT sum(total) FROM shop.purchase WHERE tenant_id = 1"
SWAP = [
    "UPDATE shop.purchase SET slot = NULL WHERE id = 3",
    "UPDATE shop.purchase SET slot = 3 WHERE id = 6",
    "UPDATE shop.purchase SET slot = 6, total = 4711 WHERE id = 3",
]
BATCHES = {
    "rows": ("idle in transaction Client", ["UPDATE shop.purchase SET total = 4711 WHERE tenant_id = 1"]),
    "rows that collide": ("idle Client", SWAP),  # rolled back, to be tried in another way
}
"""How the session on Limitless waits for the token, and what the batch is made of."""


@pytest.mark.parametrize("ends", ["committed", "refused", "lost"])
@pytest.mark.parametrize("batch", BATCHES)
async def test_limitless_commits_nothing_before_classic_has_the_token(shop: Shop, batch: str, ends: str) -> None:
    """The rows are written while classic commits the token; without it nobody may ever see them there: classic could
    still lose what the snapshot saw."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    rests, statements = BATCHES[batch]
    part = value(shop.classic, "SELECT part FROM migrator.tenant WHERE tenant_id = '1'")
    before = value(shop.limitless, TOTALS)
    async with _open(shop.classic_dsn, shop.limitless_dsn, part, None, shop.options) as p:
        await run_cycle(p)
        token, writing = p.control.info.backend_pid, p.limitless.info.backend_pid
        with psycopg.connect(shop.classic_dsn) as conn:
            for statement in statements:
                conn.execute(statement.encode())
        with psycopg.connect(shop.classic_dsn) as holder:
            holder.execute("SELECT FROM migrator.heartbeat WHERE part = %s FOR UPDATE", (part,))
            cycle = asyncio.create_task(run_cycle(p))

            async def both_wait() -> bool:
                """The token's statement waits for the row, and nothing runs on Limitless any more."""
                assert not cycle.done(), "it did not wait for the token"
                states = [value(shop.classic, STATE, [token]), value(shop.limitless, STATE, [writing])]
                return states == ["active Lock", rests]

            await until(both_wait, "the rows are written, the token is not committed")
            assert value(shop.limitless, TOTALS) == before
            if ends == "refused":  # a successor has committed its own
                holder.execute("UPDATE migrator.heartbeat SET epoch = epoch + 1 WHERE part = %s", (part,))
            if ends == "lost":
                shop.classic.execute("SELECT pg_terminate_backend(%s)", (token,))
                await asyncio.wait({cycle})
            holder.commit()
        await asyncio.wait({cycle})

    after = value(shop.limitless, TOTALS)
    if ends == "committed":
        assert (cycle.exception(), after) == (None, value(shop.classic, TOTALS))
    else:
        assert isinstance(cycle.exception(), LeaseLost if ends == "refused" else psycopg.OperationalError)
        assert after == before


STATE = "SELECT state || ' ' || wait_event_type FROM pg_stat_activity WHERE pid = %s"


@pytest.mark.parametrize("restored", ["an older token", "no token", "no row"])
async def test_a_classic_without_the_last_token_is_another_one(shop: Shop, restored: str) -> None:
    """Whatever else it holds: what Limitless has of it may never have been. Nothing more is applied."""
    await shop.start()
    async with _open(shop.classic_dsn, shop.limitless_dsn, 1, None, shop.options) as p:
        await run_cycle(p)
        before = p.stand
        if restored == "no row":
            shop.classic.execute("DELETE FROM migrator.heartbeat")
        else:
            base = "gen_random_uuid()" if restored == "an older token" else "NULL"
            shop.classic.execute(f"UPDATE migrator.heartbeat SET token = gen_random_uuid(), base_token = {base}")
        p.fresh_at = 0.0
        cycle = asyncio.create_task(run_cycle(p))
        await asyncio.wait({cycle})

    assert isinstance(cycle.exception(), HistoryForked)
    assert p.stand == before
