"""Statuses for tests of what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime

from migrator.control.install import VERSION
from migrator.model.blocker import Blocker
from migrator.model.cost import Against, Basis, CapacityLine, CostLine, Forecast, SingleShard, TenantShare
from migrator.model.drill import Drill, DrillKind, DrillLine
from migrator.model.measured import Measured, Total, WindowTime
from migrator.model.phase import ORDER
from migrator.model.status import (
    BackfillLine,
    BreachLine,
    FallbackLine,
    HeldLine,
    OthersLine,
    PaceLine,
    PartCost,
    PartLine,
    PhaseLine,
    ProcessLine,
    ReplicaLine,
    RunwayLine,
    Status,
    ValidationLine,
    WriterCost,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "<script>\n'\"\\--16 ünï \x1b[31m"
"""A tenant's name, a reason, anything that a person or an application chose."""


def status(**other: object) -> Status:
    """In the cutover, with something of everything."""
    values: dict[str, object] = {
        "installed": True,
        "at": NOW,
        "schema_version": VERSION,
        "plan": "shop",
        "started_at": NOW,
        "phase": "cutover",
        "phase_state": "waiting",
        "phases": tuple(
            PhaseLine(p.value, "waiting" if p == "cutover" else "done" if i < 3 else "pending", NOW if i < 4 else None)
            for i, p in enumerate(ORDER)
        ),
        "write_mode": "dual",
        "epoch": 7,
        "drills": (DrillLine(Drill(DrillKind.ROLLBACK, NOW, SECRET, SECRET, True, 12.0), 3600.0),),
        "others": OthersLine(1, (SECRET,), NOW, 7),
        "wave": 2,
        "tenants": 130,
        "by_state": (("mirrored", 128), ("quarantined", 2)),
        "by_level": (("limitless", 20), ("joining", 10), ("classic", 100)),
        "quarantined": ((SECRET, SECRET),),
        "held": (HeldLine(SECRET, SECRET, SECRET, NOW, None),),
        "held_count": 3,
        "lag_s": 2.5,
        "parts": (
            PartLine(0, 0.5, 3, 10.0, 300, "running", None),
            PartLine(1, 2.5, 9, 90.0, 700, "waiting", SECRET),
        ),
        "journal_mb": 12.5,
        "backfill": BackfillLine(0, 10, 4, 2, 1, 1000, 600, 9000, 30.0, 13.3, True, None, SECRET, (SECRET,)),
        "validation": ValidationLine("schedule", NOW, 60.0, 5000, 2, 250.0, 5, 1, 3600.0, 1),
        "fallbacks": (
            FallbackLine("all", "", "classic", SECRET, SECRET, NOW, False),
            FallbackLine("part", "1", "classic", SECRET, SECRET, NOW, False),
            *(FallbackLine("tenant", f"{SECRET}{i}", "classic", SECRET, SECRET, NOW, False) for i in range(98)),
        ),
        "fallback_count": 1000,
        "breaker_trips": (("tenant", SECRET, 2, SECRET), ("part", "1", 1, SECRET)),
        "processes": (
            ProcessLine("1", SECRET, 0.1, True, 7, 0),
            ProcessLine("2", SECRET, 0.1, True, 5, 2),
            ProcessLine("3", SECRET, 99.0, False, 5, 2),
        ),
        "replicas": (ReplicaLine(SECRET, "serving", 9.0, SECRET, 0), ReplicaLine("b", "out", 9.0, SECRET, 0)),
        "workers": 3,
        "outdated_workers": (Blocker("worker.outdated", "w1", SECRET), Blocker("worker.of_another_version", "w1", "x")),
        "breaches": (BreachLine(None, NOW, SECRET), BreachLine(SECRET, NOW, SECRET)),
        "bill": CostLine(
            "2026-11", SECRET, Against.OVER, Basis.MODEL, NOW, 60.0, 9.0, 9.0, 24.0, 10.0,
            Forecast(100.0, 480.0, 500.0, 540.0, 1.0, 520.0, 500.0, SECRET), 20.0, None, 26.0, (SECRET,),
        ),
        "capacity": CapacityLine(
            SECRET, NOW, 60.0, 4, SECRET, 1.5, None, (TenantShare(SECRET, 1, 1, 0.5, SECRET),), 64.0, 55.0,
            SingleShard(0.97, SECRET), (SECRET,),
        ),
        "incidents": 4,
        "pace": PaceLine(0.4, SECRET),
        "cost": WriterCost(
            5.0, 0.85, 64, 5000.0, None, None, (PartCost("mirrors", 3, 1, 0.5, ""), PartCost("shims", 3, 1, None, "")),
            0.5, 80.0, None, 1000.0, None, None, (SECRET,),
        ),
        "runway": RunwayLine(True, None, 24.0, SECRET),
        "blockers": (Blocker("tenant.unheard_of", SECRET, SECRET),),
    }  # fmt: skip
    return Status(**{**values, **other})  # type: ignore[arg-type]


def measured() -> Measured:
    slow = [0] * 60
    slow[20], slow[50] = 90, 10  # 2 ms, 362 ms
    return Measured(
        totals={
            "classic": Total(1000, 1, tuple(slow)),
            "limitless": Total(100, 7, tuple(slow)),
            "error/limitless/57": Total(5),
            "error/limitless/08": Total(2),
            "error/limitless/Z9": Total(1),
            "error/limitless/Y8": Total(1),
            "ack/everywhere": Total(50, 2, (0, 50)),
            "fell_back": Total(3),
            "shadow": Total(40, 4),
        },
        fences=1,
        journal_limit_bytes=4.096e9,
        window=WindowTime(37 * 86400.0, 90 * 86400.0, 1, False),
    )
