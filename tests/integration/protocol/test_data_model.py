"""Mirrors, copies, the ring's cleaner and writers, every statement of theirs in an order that dice choose.

The product's own code on two servers: what the model in tests/unit/dataplane/mirror proves of the protocol, this holds
the statements to. At the end nobody is under way, and every row of every tenant that follows classic is classic's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import psycopg
import pytest

from migrator.dataplane.capture import ring
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect_async
from migrator.errors import LeaseLost
from tests.fixtures.shop import Shop
from tests.fixtures.world import PARTS
from tests.integration.protocol.interleaving import Turns

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PART = 1
SEEDS = 4
MOST_SEEDS = 24
"""How soon a mirror is superseded depends on how its statements arrive: runs follow until each kind of end came up."""


async def mirror(shop: Shop, cycles: int) -> int:
    """A mirror process: claims the partition and runs some cycles, until it is superseded."""
    done = 0
    try:
        async with _open(shop.classic_dsn, shop.limitless_dsn, PART, None, shop._options()) as p:
            for _ in range(cycles):
                await run_cycle(p)
                done += 1
    except LeaseLost:
        return -done
    return done


async def copier(shop: Shop, units: list[str]) -> None:
    """A worker that copies what there is, also what another one copies."""
    for unit in units:
        try:
            await shop.copy(unit)
        except (LeaseLost, psycopg.errors.UniqueViolation, psycopg.errors.LockNotAvailable):
            continue


async def cleaner(shop: Shop, ids: list[int]) -> None:
    async with await connect_async(shop.classic_dsn, "cleaner") as conn:
        for _ in range(12):
            await ring.turn(conn, ids, 3)
            await ring.clean(conn, ids, 3, PARTS)


async def writer(shop: Shop, tenants: list[int], seed: int) -> None:
    """Transactions of an application on *tenants*: some stay open for long, some are rolled back."""
    dice = random.Random(seed)
    async with await psycopg.AsyncConnection.connect(shop.classic_dsn) as conn:
        for number in range(14):
            tenant, own = dice.choice(tenants), dice.randrange(8)
            row = 100_000 + seed * 10_000 + tenant * 100 + own
            statements = (
                ("INSERT INTO shop.purchase (id, tenant_id, total) VALUES (%s, %s, 0) ON CONFLICT (id) DO"
                 " UPDATE SET total = shop.purchase.total + 1", (row, tenant)),
                ("UPDATE shop.purchase SET total = total + %s WHERE tenant_id = %s", (number, tenant)),
                ("UPDATE shop.line SET sku = sku || '.' WHERE purchase_id = %s", (row - own,)),
                ("DELETE FROM shop.purchase WHERE id = %s", (row,)),
            )  # fmt: skip
            try:
                for statement, values in dice.sample(statements, dice.choice([1, 1, 2])):
                    await conn.execute(statement.encode(), values)
                await (conn.rollback() if dice.random() < 0.15 else conn.commit())
            except psycopg.errors.DeadlockDetected:
                await conn.rollback()


async def one_run(shop: Shop, turn: Turns, seed: int) -> dict[str, object]:
    """Let some tenants go, and then copy them while they are written, mirrored twice, and the ring is emptied."""
    ids = sorted(int(n) for (n,) in shop.classic.execute("SELECT table_id FROM migrator.captured_table"))
    tenants = [str(t) for (t,) in shop.classic.execute(
        "SELECT tenant_id FROM migrator.tenant WHERE part = %s ORDER BY tenant_id", (PART,))]  # fmt: skip
    again = random.Random(seed).sample(tenants, len(tenants) // 2)
    shop.classic.execute("UPDATE migrator.tenant SET recopy = 'again' WHERE tenant_id = ANY (%s)", (again,))
    assert await mirror(shop, 2) == 2
    units = shop.units(unit_tenants=2)
    assert units
    for table in ids:  # a slot that nobody needs any more
        shop.classic.execute(f"SELECT count(*) FROM migrator.journal_{table}")
    written = [int(t) for t in tenants]
    return await turn.run(
        {
            "mirror": lambda: mirror(shop, 8),
            "successor": lambda: mirror(shop, 8),
            "copy": lambda: copier(shop, units),
            "another copy": lambda: copier(shop, units),
            "cleaner": lambda: cleaner(shop, ids),
            "writer": lambda: writer(shop, written, seed * 2),
            "another writer": lambda: writer(shop, written, seed * 2 + 1),
        }
    )


def _superseded(outcome: object) -> bool:
    """Whether a mirror ended so, by what `mirror` answered."""
    return isinstance(outcome, int) and outcome < 0


async def test_in_every_order_of_statements_limitless_is_classic(shop: Shop, turns: Callable[[int], Turns]) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    outcomes: list[object] = []
    given = runs = 0
    for seed in range(MOST_SEEDS):
        if seed >= SEEDS and any(_superseded(o) for o in outcomes) and not all(_superseded(o) for o in outcomes):
            break
        runs += 1
        turn = turns(seed)
        results = await asyncio.wait_for(one_run(shop, turn, seed), 120)
        wrong = {name: result for name, result in results.items() if isinstance(result, BaseException)}
        assert wrong == {}, f"seed {seed}"
        outcomes += [results["mirror"], results["successor"]]
        given += turn.given
        async with shop.mirrors():
            await shop.copy_all()
            await shop.caught_up()
        assert shop.differences() == {}, f"seed {seed}, after {turn.given} statements"
        assert shop.classic.execute("SELECT count(*) FROM migrator.hold").fetchone() == (0,)

    assert given > 200 * runs, "the actors came to something"
    assert any(_superseded(o) for o in outcomes), "some mirror was superseded"
    assert not all(_superseded(o) for o in outcomes), "some mirror was not"
