"""Which units are made, what a unit removes and copies, who may slow it down, and what is left after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from migrator.control.status import collect
from migrator.control.tables import captured_tables
from migrator.control.throttle import Throttle, read_throttle, set_throttle, start_rate
from migrator.dataplane.backfill.plan import plan_units, read_whole, take_inventory
from migrator.dataplane.repair import recopy
from migrator.plan.schema import Plan
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import PARTS
from workflows.activities.dual_write import _next_units, _throttled
from workflows.messages import UnitsInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


def units_of(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.classic.execute(
        "SELECT unit_id, part, cardinality(tenants), state, attempts FROM migrator.copy_unit ORDER BY unit_id"
    ).fetchall()


async def test_tenants_whose_rows_are_mixed_go_into_few_units(shop: Shop) -> None:
    """Each unit reads the table whole then, so there are as many as copies at once; and the reason is known."""
    shop.classic.execute("ANALYZE")
    await shop.start()
    take_inventory(shop.classic, PARTS, 1000)

    reasons = read_whole(shop.classic, list(captured_tables(shop.classic).values()))
    plan_units(shop.classic, 50, 1, 1_000_000, width=PARTS)

    assert reasons["shop.purchase"] == "rows of all tenants are on the same pages"
    assert reasons["shop.line"] == "so is shop.purchase"
    assert "shop.tenant" not in reasons
    per_part = [tenants for _, part, tenants, _, _ in units_of(shop) if part != 0]
    assert sum(per_part) == 12
    assert len(per_part) <= 2 * PARTS  # one each, and what uneven partitions leave over


async def test_without_an_index_tenants_go_into_few_units_too(shop: Shop) -> None:
    shop.classic.execute("ALTER TABLE shop.purchase DROP CONSTRAINT purchase_tenant_id_slot_key")
    await shop.start()

    reasons = read_whole(shop.classic, list(captured_tables(shop.classic).values()))

    assert reasons["shop.purchase"] == "no index starts with tenant_id"


async def test_tenants_whose_rows_are_together_are_grouped_as_planned(shop: Shop) -> None:
    """Small units are cheap there: each reads its own pages."""
    shop.classic.execute("CLUSTER shop.purchase USING purchase_tenant_id_slot_key")
    shop.classic.execute("ANALYZE")
    await shop.start()
    take_inventory(shop.classic, PARTS, 1000)

    plan_units(shop.classic, 1_000_000, 2, 1_000_000, width=1)

    assert {tenants for _, part, tenants, _, _ in units_of(shop) if part != 0} <= {1, 2}
    assert read_whole(shop.classic, list(captured_tables(shop.classic).values())) == {}


async def test_only_the_units_own_leftovers_are_removed(shop: Shop) -> None:
    """What an earlier life of a tenant left is gone after its copy; nobody else's rows are touched."""
    await shop.start()
    shop.units(unit_tenants=1)
    unit, tenant = shop.classic.execute(
        "SELECT unit_id, tenants[1] FROM migrator.copy_unit WHERE part <> 0 AND cardinality(tenants) = 1 ORDER BY 1"
    ).fetchone() or ("", "")
    other = 1 + int(tenant) % 12
    for owner in (int(tenant), other):
        shop.limitless.execute("INSERT INTO shop.purchase (tenant_id, id) VALUES (%s, %s)", (owner, 7000 + owner))

    await shop.copy(unit)

    left = shop.limitless.execute("SELECT id FROM shop.purchase WHERE id > 6999").fetchall()
    assert left == [(7000 + other,)]
    owners = shop.limitless.execute("SELECT DISTINCT tenant_id FROM shop.purchase WHERE id < 7000").fetchall()
    assert owners == [(int(tenant),)]


PROGRAM = """
import asyncio, os, signal, sys
from migrator.dataplane.backfill.copy import copy_unit

async def main():
    *whole, last = sys.argv[1:]
    for unit in whole:
        await copy_unit(os.environ["C"], os.environ["L"], unit, "child")
    await copy_unit(os.environ["C"], os.environ["L"], last, "child", lambda _: os.kill(os.getpid(), signal.SIGKILL))

asyncio.run(main())
"""


async def test_after_kill_9_finished_units_are_not_copied_again(shop: Shop) -> None:
    """A worker dies in the middle of its third unit; the next one begins with that one."""
    await shop.start()
    first, second, third, *_ = shop.units(unit_tenants=2, unit_rows=10)
    environment = {**os.environ, "C": shop.classic_dsn, "L": shop.limitless_dsn}
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", PROGRAM, first, second, third], env=environment, timeout=60
    )
    assert child.returncode == -signal.SIGKILL
    shop.classic.execute("UPDATE shop.purchase SET total = total + 1")

    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()

    attempts = {unit: tries for unit, _, _, _, tries in units_of(shop)}
    assert (attempts[first], attempts[second], attempts[third]) == (1, 1, 2)
    assert shop.differences() == {}


async def test_progress_rate_and_time_left_are_shown_while_a_unit_runs(shop: Shop) -> None:
    """Rows show before a table is finished; a rate and a remaining time follow from them."""
    await shop.start()
    unit = next(u for u, part, *_ in map(tuple, _planned(shop)) if part != 0)
    set_throttle(shop.classic, Throttle(mb_per_s=0.00001), who="ana")
    copy = asyncio.create_task(shop.copy(unit))

    async def seen() -> bool:
        found = collect(shop.classic).backfill
        return found is not None and found.copied_rows > 0

    await until(seen, "rows of the running unit are shown")
    found = collect(shop.classic).backfill
    assert found is not None
    assert (found.copying, found.done) == (1, 0)
    assert found.rows_per_s > 0
    assert found.eta_s is not None and found.eta_s > 0
    set_throttle(shop.classic, Throttle(), who="ana")
    await asyncio.wait_for(copy, TIMEOUT_S)

    row = shop.classic.execute("SELECT copied_rows FROM migrator.copy_unit WHERE unit_id = %s", (unit,)).fetchone()
    lease = shop.limitless.execute("SELECT rows FROM migrator.copy_lease WHERE unit_id = %s", (unit,)).fetchone()
    assert row == lease


def _planned(shop: Shop) -> list[tuple[Any, ...]]:
    shop.units()
    return units_of(shop)


async def test_the_plans_rate_holds_until_an_operator_sets_another(shop: Shop) -> None:
    await shop.start()

    start_rate(shop.classic, 40)
    planned = read_throttle(shop.classic).mb_per_s
    set_throttle(shop.classic, Throttle(mb_per_s=5), who="ana")
    start_rate(shop.classic, 40)  # the phase is begun again, for example after a restart

    assert planned == 40
    assert read_throttle(shop.classic).mb_per_s == 5


async def test_every_reason_to_wait_is_shown_and_ends(shop: Shop) -> None:
    """Pause, journal, lag, load of classic: no unit starts, status says why, and afterwards it goes on."""
    await shop.start()
    shop.units()
    wanted = UnitsInput(plan=shop.plan.name, limit=2, running=(), wait_s=0)
    conn = shop.classic
    # Room for the journal's empty pages, and for the sessions of this test.
    plan = limited(shop.plan, journal_limit_mb=64, max_lag_s=30, max_active_sessions=50)

    assert _throttled(conn, plan) is None
    assert len(_next_units(conn, plan, wanted).units) == 2
    set_throttle(conn, Throttle(paused=True, reason="month-end close"), who="ana")
    assert _throttled(conn, plan) == "paused by ana"
    assert _next_units(conn, plan, wanted).units == ()
    set_throttle(conn, Throttle(), who="ana")
    conn.execute("UPDATE migrator.position SET lag_s = 31 WHERE part = 1")
    assert _throttled(conn, plan) == "the mirror lags 31.0 s (limit 30)"
    assert shown(shop) == "the mirror lags 31.0 s (limit 30)"
    conn.execute("UPDATE migrator.position SET lag_s = 0")
    assert (_throttled(conn, limited(shop.plan, journal_limit_mb=0.0001)) or "").startswith("the journal holds")
    assert "statements at once (limit 0)" in (_throttled(conn, limited(shop.plan, max_active_sessions=0)) or "")
    assert _throttled(conn, plan) is None
    assert shown(shop) == ""
    assert len(_next_units(conn, plan, wanted).units) == 2


def shown(shop: Shop) -> str:
    found = collect(shop.classic).backfill
    assert found is not None
    return found.reason


def limited(plan: Plan, journal_limit_mb: float = 4096, max_lag_s: float = 30, max_active_sessions: int = 50) -> Plan:
    backfill = {"max_lag_s": max_lag_s, "max_active_sessions": max_active_sessions}
    return plan.model_copy(
        update={
            "backfill": plan.backfill.model_copy(update=backfill),
            "dual_write": plan.dual_write.model_copy(update={"journal_limit_mb": journal_limit_mb}),
        }
    )


async def test_a_split_tenant_is_copied_whole_whatever_the_statistics_saw(classic_dsn: str, limitless_dsn: str) -> None:
    """First rows of a table come after the units were planned; what Limitless has there goes on a second copy."""
    with new_shop(classic_dsn, limitless_dsn, receipts=True) as shop:

        def receipts(side: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
            return side.execute("SELECT id, tenant_id, body FROM shop.receipt ORDER BY id").fetchall()

        async def left() -> bool:
            row = shop.classic.execute("SELECT state FROM migrator.tenant WHERE tenant_id = '1'").fetchone()
            return row == ("pending",)

        await shop.start()
        units = shop.units(split_rows=100)
        shop.classic.execute("INSERT INTO shop.receipt VALUES (1, 1, 'the first of all')")
        async with shop.mirrors():
            for unit in units:
                await shop.copy(unit)
            await shop.copy_all()
            await shop.caught_up()
            assert shop.differences() == {} and receipts(shop.limitless) == receipts(shop.classic) != []
            shop.classic.execute("DELETE FROM shop.receipt")
            await shop.caught_up()
            shop.limitless.execute("INSERT INTO shop.receipt VALUES (2, 1, 'left over')")
            recopy(shop.classic, "ana", ["1"], "as told")
            await until(left, "the tenant leaves the mirrored set")
            for unit in shop.units(split_rows=100):
                await shop.copy(unit)
            await shop.copy_all()

        assert shop.differences() == {} and receipts(shop.limitless) == []
