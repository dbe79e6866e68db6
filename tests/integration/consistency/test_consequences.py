"""What follows from a verdict: incidents, fallbacks, gates, history, a new copy."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from migrator.consistency import order, store
from migrator.consistency.order import Budget
from migrator.consistency.run import validate
from migrator.control import verdicts
from migrator.dataplane.repair import recopy
from migrator.db.connect import connect_async
from migrator.decommission import drain
from migrator.errors import PreconditionFailed
from migrator.model.divergence import TenantVerdict
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import facts, soak
from migrator.traffic.cutover.gate import GateLimits, tenant_verdict
from migrator.traffic.cutover.guard import GuardLimits, Sample, Watch
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until
from workflows.activities.base import Context
from workflows.activities.validation import ValidationActivities
from workflows.messages import ValidateInput, ValidationOutcome

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

LIMITS = GateLimits(max_lag_s=60, max_age_s=3600)


class Here(Context):
    """A worker's context with the connection strings of this test."""

    shop: Shop

    def classic_dsn(self) -> str:
        return self.shop.classic_dsn

    def limitless_dsn(self) -> str:
        return self.shop.limitless_dsn


def blockers(shop: Shop, tenant: str) -> tuple[str, ...]:
    (found,) = facts.tenant_facts(shop.classic, [TenantId(tenant)])
    return tenant_verdict(found, LIMITS).blockers


async def run(shop: Shop, **values: object) -> ValidationOutcome:
    Here.shop = shop
    activities = ValidationActivities(Here(shop.plan))
    found: ValidationOutcome = await ActivityEnvironment().run(
        activities.validate, ValidateInput(plan=shop.plan.name, **values)
    )
    return found


async def test_a_divergence_is_an_incident_and_holds_until_it_is_repaired(shop: Shop) -> None:
    """Scheduled validation finds it; reads fall back, the gate is shut, repair and a clean verdict open it."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        never = blockers(shop, "2")
        clean = await run(shop)
        ready = blockers(shop, "2")
        shop.limitless.execute("UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 2 AND id = 13")
        found = await run(shop)
        shut = blockers(shop, "2")
        others = blockers(shop, "3")
        incidents = shop.classic.execute("SELECT kind, reason, reported_by FROM migrator.incident").fetchall()
        fallbacks = shop.classic.execute("SELECT scope, scope_key, held FROM migrator.fallback").fetchall()
        repaired = await run(shop, kind="manual", tenants=("2",), repair=True, who="ana")
        shop.classic.execute("DELETE FROM migrator.fallback")
        after = blockers(shop, "2")

    assert any("never validated" in b for b in never)
    assert clean.clean and ready == ()
    assert (found.divergent_rows, found.clean) == (1, False)
    assert incidents == [
        ("divergence", "1 divergent row in shop.purchase; tenants: 2", "validation (scheduled)"),
    ]
    assert fallbacks == [("tenant", "2", True)], "the plan says hold_and_fall_back"
    assert any("1 divergent row" in b for b in shut) and any("fallen back" in b for b in shut)
    assert others == ()
    assert (repaired.repaired, repaired.divergent_rows, repaired.clean) == (1, 0, True)
    assert after == ()


@pytest.mark.parametrize("corrupt", [
    "UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 2 AND id = 13",
    "UPDATE shop.currency SET rate = rate + 1 WHERE code = 'EUR'",
])  # fmt: skip
async def test_a_divergence_stops_the_wave_until_it_is_repaired(shop: Shop, corrupt: str) -> None:
    """Asked only to hold, nobody's reads move: not forward, not back; after a repair the wave goes on."""
    section = shop.plan.validation.model_copy(update={"on_divergence": "hold"})
    shop.plan = shop.plan.model_copy(update={"validation": section})
    guards = GuardLimits(p99_factor=2.0, p99_floor_ms=1.0, error_ratio=0.01, min_reads=5, patience=1, max_failed=1)
    wave = [TenantId("1"), TenantId("2"), TenantId("3")]

    def look() -> str | None:
        found = soak.watch_wave(shop.classic, 1, Watch(), dict.fromkeys(wave, Sample()), 0.0, True, guards)
        assert (found.left, found.rolled_back, found.held) == (3, 0, "")
        return found.stalled

    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("UPDATE migrator.tenant SET wave = 1 WHERE tenant_id = ANY (%s)", (wave,))
        shop.classic.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT tenant_id, part, 'limitless', 1, 1, 'cutover', 'wave 1' FROM migrator.tenant WHERE wave = 1"
        )
        await run(shop)
        before = look()
        shop.limitless.execute(corrupt.encode())
        await run(shop)
        between = look()
        await run(shop, kind="manual", repair=True, who="ana")
        after = look()

    assert (before, after) == (None, None)
    assert between is not None and "1 divergent row" in between
    assert shop.classic.execute("SELECT count(*) FROM migrator.fallback").fetchone() == (0,)


async def test_a_verdict_about_the_reference_tables_lasts_until_they_are_copied_again(shop: Shop) -> None:
    """While they are copied nothing is clean, after it nothing is known; and an older fence takes nothing back."""

    def fact() -> tuple[object, ...]:
        found = facts.reference_facts(shop.classic)
        assert found is not None
        return found.divergent, found.clean_age_s is not None

    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        unknown = fact()
        await run(shop)
        clean = fact()
        now = value(shop.classic, "SELECT clock_timestamp()")
        copy = value(shop.classic, "SELECT generation FROM migrator.copy_unit WHERE part = 0")
        old = [TenantVerdict(None, 3, 1, 1, "1:1:", now.timestamp(), copy)]
        fingerprint = value(shop.classic, "SELECT migrator.schema_fingerprint()")
        async with await connect_async(shop.classic_dsn, "test") as control:
            run_id = uuid.uuid4()
            await store.begin(control, run_id, "manual")
            await store.verdicts(control, run_id, old, now - timedelta(hours=1), "1:1:", fingerprint)
        late = fact()
        shop.classic.execute("UPDATE migrator.copy_unit SET state = 'copying' WHERE part = 0")
        copied = fact()
        shop.classic.execute("UPDATE migrator.copy_unit SET state = 'joined', finished_at = now() WHERE part = 0")
        anew = fact()
        await run(shop)
        again = fact()

    assert (unknown, clean, late, copied, anew, again) == (
        (None, False), (0, True), (0, True), (0, False), (None, False), (0, True),
    )  # fmt: skip


async def test_history_schemas_and_new_copies(shop: Shop) -> None:
    """Who was clean when, at which schemas; a verdict at others, or of rows that were copied again, is void."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        for _ in range(2):
            report = await validate(shop.classic_dsn, shop.limitless_dsn)
        shop.limitless.execute("DELETE FROM shop.purchase WHERE tenant_id = 2 AND id = 13")
        await validate(shop.classic_dsn, shop.limitless_dsn, tenants=[TenantId("2")])
        story = verdicts.stretches(shop.classic, ["2"], 10)
        runs = verdicts.runs(shop.classic, 10)

        ready = blockers(shop, "3")
        with pytest.raises(PreconditionFailed, match="no such tenant"):
            recopy(shop.classic, "ana", ["no such tenant"], "drill")
        assert recopy(shop.classic, "ana", ["2", "3"], "drill") == 2
        assert recopy(shop.classic, "ana", ["2"], "drill") == 1, "asked twice, copied once"

        async def gone() -> bool:
            rows = shop.classic.execute("SELECT count(*) FROM migrator.tenant WHERE recopy IS NOT NULL").fetchone()
            return rows == (0,)

        await until(gone, "they left the mirrored set")
        void = blockers(shop, "3")
        await shop.copy_all()
        repaired = await validate(shop.classic_dsn, shop.limitless_dsn)

        changed = drain.changed_tenants(shop.classic, 0)
        shop.limitless.execute("ALTER TABLE shop.line ALTER COLUMN sku TYPE varchar(400)")
        outdated = await validate(shop.classic_dsn, shop.limitless_dsn, tenants=[TenantId("4")])
        everybody = drain.changed_tenants(shop.classic, 0)
        elsewhere = blockers(shop, "5")

    assert [(s.clean, s.times, s.divergent) for s in story] == [(False, 1, 1), (True, 2, 0)]
    assert all(s.current and s.fingerprint == report.fingerprint for s in story)
    assert [(r.kind, r.divergent, r.whole) for r in runs] == [
        ("manual", 1, False), ("manual", 0, True), ("manual", 0, True),
    ]  # fmt: skip
    assert ready == () and any("pending" in b or "copying" in b for b in void)
    assert sorted(t for t, _ in shop.fallbacks) == ["2", "3"], "reads were brought back before their rows went"
    assert repaired.clean and shop.differences() == {}
    assert elsewhere == ("tenant 5 was last validated at other schemas than today's",)
    assert outdated.clean and outdated.fingerprint != repaired.fingerprint
    assert "4" not in everybody and set(everybody) - set(changed) == {t.tenant_id for t in repaired.tenants} - {
        None,
        "4",
    }


async def test_a_budget_is_kept_and_the_next_run_goes_on(shop: Shop) -> None:
    """What a run did not reach comes first in the next one; who is calm is asked before classic is."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()

        async def once(budget: Budget) -> set[str]:
            report = await validate(
                shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=3, rest=False, budget=budget
            )
            assert report.left == 12 - len(report.tenants) and report.clean is (report.left == 0)
            return {str(v.tenant_id) for v in report.tenants}

        first = await once(Budget(seconds=0.01))
        second = await once(Budget(seconds=0.01))
        busy = await asyncio.wait_for(once(Budget(seconds=0.3, max_active_sessions=-1)), TIMEOUT_S)
        everything = await once(Budget(seconds=60, share=0.9))
        async with await connect_async(shop.classic_dsn, "test") as conn:
            shop.classic.execute(
                "INSERT INTO migrator.tenant (tenant_id, part)"
                " SELECT 'x' || g, 1 + g % 2 FROM generate_series(1, 10000) g"
            )
            found = order.ordered(await store.candidates(conn, None))
            groups = list(order.fences(found, 100, 1_000_000))

    assert first and second and not first & second, "the stalest come first"
    assert busy and len(busy) < 12, "while classic is busy, a run rests until its time is over"
    assert len(everything) == 12
    assert sum(len(g) for _, g in groups) == 10_012 and max(len(g) for _, g in groups) == 100
