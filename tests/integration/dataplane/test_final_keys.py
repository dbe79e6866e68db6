"""Foreign keys in their final form shortly before the hand-over: a mirror and a copy never let them act on rows that
only look deleted, and go on without them where they check too early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migrator.model.verdict import Verdict
from migrator.provision import apply
from migrator.provision.apply import finalize
from tests.fixtures.shop import Shop
from workflows.activities import decommission

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


def acting(shop: Shop) -> int:
    row = shop.limitless.execute(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confdeltype = 'c'"
    ).fetchone()
    return int(row[0]) if row else 0


async def ready(shop: Shop) -> int:
    """Copied, caught up, and every foreign key as the application knows it."""
    await shop.copy_all()
    made = finalize(shop.classic, shop.limitless, shop.tables, shop.plan, stage="final")
    assert made.verdict.go, made.verdict.blockers
    return acting(shop)


async def test_rows_that_swap_a_unique_value_keep_their_children(shop: Shop) -> None:
    """The mirror deletes both and inserts them again; a cascade would take their lines and remarks along."""
    await shop.start()
    async with shop.mirrors():
        keys = await ready(shop)
        with shop.classic.transaction():
            shop.classic.execute("UPDATE shop.purchase SET slot = -1 WHERE id = 3")
            shop.classic.execute("UPDATE shop.purchase SET slot = 3 WHERE id = 6")
            shop.classic.execute("UPDATE shop.purchase SET slot = 6 WHERE id = 3")
        await shop.caught_up()

    assert keys == 3
    assert shop.differences() == {}
    assert acting(shop) == 0, "taken away before anything was deleted; the decommission makes them again"


async def test_deletes_with_children_keep_the_keys_in_place(shop: Shop) -> None:
    """What classic cascades is deleted with its children, in an order that needs no key to go."""
    await shop.start()
    async with shop.mirrors():
        keys = await ready(shop)
        shop.classic.execute("DELETE FROM shop.purchase WHERE id < 20")
        shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 3")
        await shop.caught_up()

    assert shop.differences() == {}
    assert acting(shop) == keys == 3


async def test_a_batch_in_chunks_and_a_second_copy_lose_nothing(shop: Shop) -> None:
    """A statement over everything, and a tenant copied again, while keys would cascade."""
    shop.options = replace(shop.options, batch_rows=50)
    await shop.start()
    async with shop.mirrors():
        assert await ready(shop) == 3
        shop.classic.execute("UPDATE shop.purchase SET slot = slot + 100000 WHERE slot IS NOT NULL")
        await shop.caught_up()
        chunked = shop.differences()
        finalize(shop.classic, shop.limitless, shop.tables, shop.plan, stage="final")
        shop.classic.execute("UPDATE migrator.tenant SET recopy = 'a test' WHERE tenant_id = '1'")
        await shop.caught_up()
        await shop.copy_all()
        await shop.caught_up()

    assert chunked == {}
    assert shop.differences() == {}


async def test_a_sign_up_leaves_the_keys_in_place(shop: Shop) -> None:
    """Nothing of it is on Limitless, so nothing is deleted; the hand-over would find the keys missing."""
    await shop.start()
    async with shop.mirrors():
        keys = await ready(shop)
        with shop.classic.transaction():
            shop.classic.execute("INSERT INTO shop.tenant VALUES (4711, 'late')")
            shop.classic.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (90001, 4711)")
            shop.classic.execute("INSERT INTO shop.line (id, purchase_id) VALUES (90001, 90001)")
        await shop.caught_up()
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}
    assert acting(shop) == keys == 3


async def test_rows_that_come_with_their_parents_leave_the_keys_in_place(shop: Shop) -> None:
    """In one batch the parent is written first, whatever the tables are called."""
    await shop.start()
    async with shop.mirrors():
        keys = await ready(shop)
        shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 3")
        await shop.caught_up()
        with shop.classic.transaction():
            shop.classic.execute("INSERT INTO shop.tenant VALUES (3, 'again')")
            shop.classic.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (90003, 3)")
        await shop.caught_up()

    assert shop.differences() == {}
    assert acting(shop) == keys == 3


async def test_keys_that_are_let_go_while_they_are_made_are_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror needs it while the decommission prepares; nobody has to resume it for that."""
    verify = apply._verify_catalogs
    gone: list[str] = []

    def disturbed(*args: Any, **options: Any) -> Verdict:
        if not gone:
            for table, name in shop.limitless.execute(
                "SELECT conrelid::regclass, conname FROM pg_constraint"
                " WHERE contype = 'f' AND conparentid = 0 AND confdeltype = 'c'"
            ).fetchall():
                shop.limitless.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
                gone.append(name)
        return verify(*args, **options)

    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        monkeypatch.setattr(apply, "_verify_catalogs", disturbed)
        decommission._finalize(shop.classic, shop.limitless, shop.plan, "final")

    assert len(gone) == acting(shop) == 3
