"""Estimates the weeks of headroom of the classic writer, against the calendar of the plan.

All writes stay on classic until the end, so the writer must carry the growth of the whole calendar and the cost of
capture on top. Load is taken to grow like the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from migrator.audit.evidence.rows import Load
from migrator.audit.sizing.tenants import MONTH_DAYS, Growth

CAPTURE_COST = {"triggers": (0.05, 0.15), "wal": (0.01, 0.04)}
"""Extra load on the writer, as shares of its present load: statement triggers write one key per changed row; the WAL
source decodes what is written anyway. The tool's own ranges, to be replaced by a measurement on the writer."""

CEILING = 1.0
"""Load at which the writer is full. Above about 0.85 its latency already grows."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The classic writer. `cpu` is its use at the peak (0 to 1); `vcpus` its size. None: unknown."""

    cpu: float | None = None
    vcpus: int | None = None

    @property
    def cores_used(self) -> float:
        return (self.cpu or 0.0) * (self.vcpus or 0)


def weeks_until_full(cpu: float, growth: Growth, extra: float) -> float:
    """Return the weeks until *cpu*, with *extra* on top and growing monthly, reaches the ceiling."""
    load = cpu * (1 + extra)
    if load >= CEILING:
        return 0.0
    if growth.monthly <= 0:
        return math.inf
    months = math.log(CEILING / load) / math.log(1 + growth.monthly)
    return months * MONTH_DAYS / 7


def runway(load: Load | None, writer: Writer | None, growth: Growth) -> dict[str, Any]:
    """Return the headroom with and without capture, whether the calendar closes, and what to do when it does not."""
    found: dict[str, Any] = {
        "monthly_growth": growth.monthly,
        "calendar_weeks": growth.weeks,
        "load_factor_at_end": round(growth.factor, 2),
        "transactions_per_s": _rounded(load.transactions_per_s if load else None),
        "row_writes_per_s": _rounded(load.row_writes_per_s if load else None),
    }
    if writer is None or writer.cpu is None:
        found["closes"] = None
        found["summary"] = "the writer's CPU is not known to the database: give --writer-cpu-pct and --writer-vcpus"
        found["advice"] = "read CPUUtilization of the writer at its daily peak from CloudWatch"
        return found
    cpu = writer.cpu
    weeks = {
        "none": weeks_until_full(cpu, growth, 0.0),
        "triggers": weeks_until_full(cpu, growth, CAPTURE_COST["triggers"][1]),
        "wal": weeks_until_full(cpu, growth, CAPTURE_COST["wal"][1]),
    }
    found["cpu"] = cpu
    found["weeks"] = {k: None if math.isinf(v) else round(v, 1) for k, v in weeks.items()}
    found["capture_cost"] = {k: list(v) for k, v in CAPTURE_COST.items()}
    needed = cpu * growth.factor * (1 + CAPTURE_COST["triggers"][1])
    found["needed_capacity_factor"] = round(needed / 0.85, 2)
    closes = {k: v >= growth.weeks for k, v in weeks.items()}
    found["closes"] = closes["triggers"]
    shown = "without end" if math.isinf(weeks["triggers"]) else f"{weeks['triggers']:.1f} weeks"
    found["summary"] = (
        f"at {cpu:.0%} CPU and {growth.monthly:.0%} growth a month the writer is full after {shown} with capture by "
        f"triggers; the plan needs {growth.weeks:g} weeks"
    )
    if closes["triggers"]:
        found["advice"] = "capture by triggers is affordable"
    elif closes["wal"]:
        found["advice"] = "capture from the WAL (rds.logical_replication): it costs the writer no second write"
    else:
        found["advice"] = (
            f"a larger writer first (about {needed / 0.85:.1f} "
            f"times the "
            f"present one), "
            f"capture from "
            f"the WAL, "
            f"reads and reports "
            "moved to replicas, and a shorter calendar: the fallback promise keeps all writes on classic until the end"
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
