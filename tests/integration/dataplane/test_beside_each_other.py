"""Two transactions that know nothing of each other touch a parent and its child: nothing is lost, nothing stays behind.

The tenant of a derived row is looked up by the transaction that writes it. Another one, running at the same time, may
move the parent: the entry then stands under a tenant that the row does not have.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from migrator.plan.tables import resolve_tables
from tests.fixtures.postgres import Machines
from tests.fixtures.shop import Shop, copy_of_shop, new_shop
from tests.fixtures.world import apart

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

# Purchase 241 is of tenant 2; its lines are 240 and 840.


@pytest.fixture
def copied(machines: Machines) -> Iterator[Shop]:
    """The shop with everything mirrored and nothing running.

    Without the unique key over the tenant: it would make a move wait for whoever adds children.
    """

    async def copy(shop: Shop) -> None:
        shop.classic.execute("ALTER TABLE shop.purchase DROP CONSTRAINT purchase_tenant_id_slot_key")
        shop.tables = resolve_tables(shop.classic, shop.plan.tables)
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()

    def build(classic_dsn: str, limitless_dsn: str) -> None:
        with new_shop(classic_dsn, limitless_dsn) as shop:
            apart(copy(shop))

    with copy_of_shop(machines, "copied without a unique key", build) as made:
        yield made


async def mirrored(shop: Shop) -> None:
    async with shop.mirrors():
        await shop.caught_up()


def move(tenant: int) -> str:
    return f"UPDATE shop.purchase SET tenant_id = {tenant} WHERE id = 241"


CHILD = [
    "INSERT INTO shop.line VALUES (5000, 241, 'beside')",
    "UPDATE shop.line SET sku = 'beside' WHERE id = 240",
    "UPDATE shop.line SET purchase_id = 241 WHERE id = 500",
    "INSERT INTO shop.remark VALUES (240, 1, 'beside')",
    "DELETE FROM shop.line WHERE id = 240",
]


@pytest.mark.parametrize("child", CHILD)
@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("between", [True, False])
async def test_a_child_written_beside_its_parents_move(copied: Shop, child: str, first: str, between: bool) -> None:
    """Whoever commits first, and whether a mirror looks in between or not."""
    with (
        psycopg.connect(copied.classic_dsn, options="-c lock_timeout=60s") as parent,
        psycopg.connect(copied.classic_dsn) as other,
    ):
        other.execute(child)
        parent.execute(move(5))
        for conn in (parent, other) if first == "parent" else (other, parent):
            conn.commit()
            if between:
                await mirrored(copied)
    await mirrored(copied)

    assert copied.differences() == {}


@pytest.mark.parametrize("child", CHILD)
async def test_a_child_written_at_an_old_snapshot(copied: Shop, child: str) -> None:
    """A REPEATABLE READ transaction sees the parent's tenant of before, long after it moved."""
    with psycopg.connect(copied.classic_dsn) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM shop.currency")
        copied.classic.execute(move(5))
        await mirrored(copied)
        other.execute(child)
        other.commit()
    await mirrored(copied)

    assert copied.differences() == {}


LEAVE = [
    "DELETE FROM shop.line l USING moved WHERE l.purchase_id = moved.id",
    "UPDATE shop.line l SET purchase_id = 242 FROM moved WHERE l.purchase_id = moved.id",
    "DELETE FROM shop.remark r USING moved, shop.line l WHERE l.purchase_id = moved.id AND r.line_id = l.id",
]


@pytest.mark.parametrize("leave", LEAVE)
async def test_a_child_leaves_in_the_statement_that_moves_its_parent_away_and_back(copied: Shop, leave: str) -> None:
    """Away and back within one batch: the parent seems never to have left, its children did."""
    moved = f"WITH moved AS ({move(5)} RETURNING id) {leave}"
    copied.classic.execute(moved)
    copied.classic.execute(move(2))
    await mirrored(copied)

    assert copied.differences() == {}
