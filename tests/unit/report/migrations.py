"""A migration with something in every place that its page shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from migrator.control.series import VALUES
from migrator.model.blocker import Blocker
from migrator.model.cost import Against, Basis, CostLine, Day, Forecast
from migrator.model.migration import (
    Act,
    Approval,
    Calendar,
    Counting,
    IncidentLine,
    MigrationFacts,
    WaveTime,
)
from migrator.model.phase import ORDER
from migrator.model.series import Series
from migrator.model.standing import conditions
from migrator.model.status import (
    BackfillLine,
    FallbackLine,
    HeldLine,
    PhaseLine,
    RunwayLine,
    Status,
    ValidationLine,
    WaveLine,
)

BEGAN = datetime(2026, 6, 1, 8, tzinfo=UTC)
NOW = BEGAN + timedelta(weeks=8)
DAY_S = 86_400.0

CALENDAR = Calendar(
    weeks=24, stabilization_days=90, scale=1, sizes=(5, 25, 100), steps=1, hot_steps=3, soak_s=DAY_S,
    max_age_s=3600, full=1.0,
)  # fmt: skip


def ago(**spans: float) -> datetime:
    return NOW - timedelta(**spans)


def phases(current: str, state: str) -> tuple[PhaseLine, ...]:
    """Those before *current* are done, those after it have not begun."""
    names = [phase.value for phase in ORDER]
    place = names.index(current)
    return tuple(
        PhaseLine(name, "done", ago(days=40 - n), "done", (), "", BEGAN + timedelta(days=n), ago(days=40 - n))
        if n < place
        else PhaseLine(name, state, ago(days=10), "all of it", (), "", ago(days=10), None)
        if n == place and state != "pending"
        else PhaseLine(name, "pending", None)
        for n, name in enumerate(names)
    )


def lines(points: int, at: int = 3600) -> Series:
    """Every line rises from 0 to about 1; some points in the middle are unknown."""
    gone = range(points // 3, points // 3 + points // 10)
    values = {name: tuple(None if n in gone else n / points for n in range(points)) for name in VALUES}
    since = NOW - timedelta(seconds=at * points)
    return Series(since, NOW, at, tuple(since + timedelta(seconds=at * n) for n in range(points)), values)


def bill(monthly: float | None = 15_600.0, projected: float | None = 12_000.0, **changes: Any) -> CostLine:
    """This month's; over the projection, as CloudWatch measured it."""
    forecast = None if monthly is None else Forecast(9_000, monthly, monthly, monthly, 0, monthly, monthly, "")
    line = CostLine(
        "2026-07", "64 ACU and 800 GB on average", Against.OVER, Basis.CLOUDWATCH, forecast=forecast,
        projected_monthly_usd=projected, ratio=monthly / projected if monthly and projected else None,
        doubts=("two hours are not known",),
    )  # fmt: skip
    return replace(line, **changes)


def migration(phase: str = "cutover", state: str = "running", **changes: Any) -> MigrationFacts:
    """In its eighth week, calm; *changes* are of the status."""
    status = Status(
        installed=True,
        at=NOW,
        schema_version=3,
        plan="shop",
        started_at=BEGAN,
        phase=phase,
        phase_state=state,
        phases=phases(phase, state),
        write_mode="dual",
        tenants=1000,
        wave=4,
        waves=(WaveLine(3, 100, 100, 0, 0, 0, 0), WaveLine(4, 100, 60, 40, 0, 3, 1)),
        by_state=(("mirrored", 998), ("copying", 2)),
        by_level=(("limitless", 190), ("joining", 40), ("classic", 770)),
        validation=ValidationLine("scheduled", ago(minutes=4), 240.0, 10**9, 0, 3.0, 0, 0, 600.0, 0),
        backfill=BackfillLine(0, 10, 10, 0, 0, 10**9, 10**9, 10**11, 0.0, None, False, None, "", ()),
        runway=RunwayLine(True, 30.0, 16.0, "it lasts"),
        workers=1,
        next_steps=("Nothing: it goes on by itself.",),
    )
    return MigrationFacts(
        status=replace(status, **changes),
        calendar=CALENDAR,
        waves=(
            WaveTime(3, ago(days=6), ago(days=4)),
            WaveTime(4, ago(hours=12), None),
        ),
        waiting=570,
        waiting_hot=2,
        series=lines(100),
    )


FULL = replace(
    migration(
        "stabilize",
        quarantined=(("t-quarantined", "a row too long"),),
        by_state=(("mirrored", 999), ("quarantined", 1)),
        held=(HeldLine("t-held", "their audit", "ana", ago(days=2), 3, None),),
        held_count=1,
        fallbacks=(FallbackLine("tenant", "t-fallen", "classic", "errors", "guard", ago(hours=1), True),),
        fallback_count=1,
        blockers=(Blocker("tenant.quarantined", "t", "tenant t is quarantined"),
                  Blocker("mirror.lags", "1", "mirror partition 1 is 9 s behind", True)),
        next_steps=("Correct the row",),
        bill=bill(),
    ),
    counting=Counting((NOW + timedelta(days=80)).timestamp(), 1, 0, False, False, "day 10 of 90, restarted 1 time"),
    approvals=(Approval("cutover", "ben", ago(days=20)),),
    incidents=(IncidentLine(ago(days=1), ago(days=2), "slo_breach", "p99 is 300 ms", "slo monitor", 3),
               IncidentLine(ago(days=5), ago(days=5), "rollback", "checkout is slow", "ana", 1)),
    incident_count=4,
    rollbacks=(Act(ago(days=5), "ana", "rollback.decided", "130 routes", "checkout is slow"),),
    acts=(Act(ago(days=20), "ben", "gate.approved", "cutover", "looked at it"),),
    costs=(Day(ago(days=2).date(), 24, 24, 64, 70, 800, 400, 10_000, Basis.MODEL),
           Day(ago(days=1).date(), 24, 24, 64, 70, 800, 520, 15_600, Basis.CLOUDWATCH)),
)  # fmt: skip
FULL = replace(FULL, conditions=conditions(FULL.status))
"""A migration in its stabilization that has had everything."""
