"""A verdict counts for the copy it was found in, however late it arrives; so do units, leases and positions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control.reset import reset_classic, reset_limitless
from migrator.control.status import collect
from migrator.dataplane import recovery, repair
from migrator.dataplane.capture import install as capture
from migrator.dataplane.mirror import leaving, membership, position
from migrator.dataplane.mirror.cycle import _commit_token
from migrator.dataplane.mirror.position import PartitionCheckpoint
from migrator.dataplane.mirror.run import _open
from migrator.errors import HistoryForked, LeaseLost
from migrator.model.divergence import ValidationReport
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import facts
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

# A validator that has compared everything stops right before it stores a verdict.
SLOW = """
CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE {where} FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.wait();
"""
VERDICT = "UPDATE OF schema_fingerprint ON migrator.validation"


@contextlib.asynccontextmanager
async def late(
    shop: Shop, tenants: list[str], *, reference: bool, where: str = VERDICT
) -> AsyncIterator[asyncio.Task[ValidationReport]]:
    """A validation that has compared, and stores what it found when the block is left."""
    with psycopg.connect(shop.classic_dsn, autocommit=True) as holder:
        holder.execute(SLOW.format(where=where).encode())
        holder.execute("SELECT pg_advisory_lock(4711)")
        wanted = [TenantId(t) for t in tenants]
        found = validate(shop.classic_dsn, shop.limitless_dsn, tenants=wanted, reference=reference)
        task = asyncio.create_task(found)

        async def waits() -> bool:
            row = holder.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
            ).fetchone()
            return row == (1,)

        await until(waits, "the validator is about to store its verdict")
        yield task
        holder.execute("SELECT pg_advisory_unlock(4711)")
        await task
        holder.execute("DROP FUNCTION public.wait() CASCADE")


async def copied_again(shop: Shop) -> None:
    async def left() -> bool:
        return shop.classic.execute("SELECT count(*) FROM migrator.tenant WHERE recopy IS NOT NULL").fetchone() == (0,)

    await until(left, "the tenant leaves the mirrored set")
    await shop.copy_all()
    await shop.caught_up()


def gate(shop: Shop, tenant: str) -> tuple[object, ...] | None:
    return shop.classic.execute(
        "SELECT state, clean_at IS NOT NULL, divergent FROM migrator.gate_fact WHERE tenant_id = %s", (tenant,)
    ).fetchone()


@pytest.mark.parametrize("bad", [False, True], ids=["clean", "divergent"])
async def test_a_verdict_of_before_the_copy_does_not_count(shop: Shop, bad: bool) -> None:
    """It is history, with the rows it names: a gate asks for a validation of the copy there is."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        if bad:
            shop.limitless.execute("UPDATE shop.tenant SET name = 'damaged' WHERE tenant_id = 2")
        async with late(shop, ["2"], reference=False):
            repair.recopy(shop.classic, "ana", ["2"], "suspect")
            await copied_again(shop)
            shop.limitless.execute("UPDATE shop.tenant SET name = 'worse' WHERE tenant_id = 2")
            before = gate(shop, "2")
        after = gate(shop, "2")
        history = shop.classic.execute("SELECT clean FROM migrator.tenant_verdict WHERE tenant_id = '2'").fetchall()
        await validate(shop.classic_dsn, shop.limitless_dsn, tenants=[TenantId("2")])
        now = gate(shop, "2")
        stretches = shop.classic.execute("SELECT clean FROM migrator.tenant_verdict WHERE tenant_id = '2'").fetchall()

    assert before == after == ("mirrored", False, None)
    assert history == [(not bad,)]
    assert now == ("mirrored", False, 1)
    assert sorted(stretches) == sorted([(not bad,), (False,)]), "verdicts about two copies are two stretches"
    assert len(repair.pending(shop.classic, ["2"])) == 1, "of the copy there is; the other one's rows are gone"


async def test_a_row_found_in_a_copy_that_was_replaced_needs_no_repair(shop: Shop) -> None:
    """Rows are stored before the verdict, so the validator is stopped there."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute("UPDATE shop.tenant SET name = 'damaged' WHERE tenant_id IN (2, 3)")
        async with late(shop, ["2", "3"], reference=False, where="INSERT ON migrator.divergence"):
            repair.recopy(shop.classic, "ana", ["2"], "suspect")
            await copied_again(shop)

    assert [tenant for _, _, tenant, _ in repair.pending(shop.classic)] == ["3"]
    assert shop.classic.execute("SELECT count(*) FROM migrator.divergence").fetchone() == (2,)


async def test_a_verdict_about_reference_tables_of_before_the_copy_does_not_count(shop: Shop) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    tasks = [shop.mirror(part) for part in range(3)]
    async with late(shop, [], reference=True):
        recovery.recopy(shop.classic, shop.limitless, "ana", "as told")
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, LeaseLost | HistoryForked), result
        unknown = facts.reference_facts(shop.classic)
        tasks = [shop.mirror(part) for part in range(3)]
        await shop.copy_all()
    late_one = facts.reference_facts(shop.classic)
    await validate(shop.classic_dsn, shop.limitless_dsn, tenants=[], reference=True)
    known = facts.reference_facts(shop.classic)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert unknown is not None and unknown.clean_age_s is None
    assert late_one is not None and (late_one.clean_age_s, late_one.divergent) == (None, None)
    assert known is not None and known.clean_age_s is not None


async def test_an_undo_that_could_not_reach_limitless(shop: Shop) -> None:
    """Leases and positions of the first life are still there; the second one's copies are none of them."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    first = {u for (u,) in shop.classic.execute("SELECT unit_id FROM migrator.copy_unit")}
    capture.remove(shop.classic)
    reset_classic(shop.classic, "ana")
    shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id > 4")
    await shop.start()
    with pytest.raises(HistoryForked):
        await shop.mirror(1)
    second = set(shop.units())
    recovery.recopy(shop.classic, shop.limitless, "ana", "as told")
    again = collect(shop.classic).backfill
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    copied = collect(shop.classic).backfill

    assert shop.differences() == {}
    assert not first & second
    assert again is not None and again.done == again.units and again.tenants_left == 12, "no unit of theirs is left"
    assert copied is not None and copied.tenants_left == 0


async def test_a_mirror_of_a_dual_write_that_was_undone_adopts_nothing(shop: Shop) -> None:
    """Epochs begin again: the late mirror has the number of the new one, and members and tokens of the old."""
    await shop.start()
    dsns = (shop.classic_dsn, shop.limitless_dsn)
    async with _open(*dsns, 1, None, shop.options) as old:
        capture.remove(shop.classic)
        reset_classic(shop.classic, "ana")
        reset_limitless(shop.limitless)
        await shop.start()
        async with _open(*dsns, 1, None, shop.options) as new:
            assert new.stand.epoch == old.stand.epoch
            with pytest.raises(LeaseLost):
                await _commit_token(old, set())
            with pytest.raises(LeaseLost):
                await position.reread(old.limitless, old.stand)
            assert await position.reread(new.limitless, new.stand) == new.stand
    assert old.stand != PartitionCheckpoint(1, old.stand.epoch, old.stand.snapshot, old.stand.token)


async def test_a_superseded_mirror_changes_no_tenants_state(shop: Shop) -> None:
    """What it read on Limitless, or is about to take out of the mirrored set, may have left and come back since."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    dsns = (shop.classic_dsn, shop.limitless_dsn)
    state = "SELECT state, generation FROM migrator.tenant WHERE tenant_id = '1'"
    (part,) = shop.classic.execute("SELECT part FROM migrator.tenant WHERE tenant_id = '1'").fetchone() or (0,)
    async with _open(*dsns, part, None, shop.options) as old:
        async with _open(*dsns, part, None, shop.options) as new:
            await _commit_token(new, set())
            shop.classic.execute("UPDATE migrator.tenant SET state = 'pending' WHERE tenant_id = '1'")
            before = shop.classic.execute(state).fetchone()
            await membership.publish(old.control, old.limitless, part, old.stand.epoch)
            assert shop.classic.execute(state).fetchone() == before, "not mirrored again by who was superseded"
            await membership.publish(new.control, new.limitless, part, new.stand.epoch)
            repair.recopy(shop.classic, "ana", ["1"], "suspect")
            with pytest.raises(LeaseLost):
                await leaving.remove_leaving(old)
            await leaving.remove_leaving(new)
            after = shop.classic.execute(state).fetchone()

    assert before is not None and after is not None
    assert (after[0], after[1] > before[1]) == ("pending", True)
