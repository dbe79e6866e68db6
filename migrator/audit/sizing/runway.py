"""Tells an audit how long classic's writer lasts: what the team says about it, judged as the gate judges it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from migrator.audit.evidence.rows import Load
from migrator.audit.sizing.tenants import Growth
from migrator.runway import judge
from migrator.runway.growth import Growth as Stated
from migrator.runway.judge import Facts, Runway, capture_cost


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
    return judge.weeks_until_full(cpu, growth.monthly, extra)


def facts(load: Load | None, writer: Writer | None, growth: Growth) -> Facts:
    """Return what the team says, for the judgement that gates ask too."""
    cpu, vcpus = (writer.cpu, writer.vcpus) if writer else (None, None)
    unknown = "the writer's CPU is not known to the database: give --writer-cpu-pct and --writer-vcpus"
    return Facts(
        cpu=cpu,
        cpu_source=unknown if cpu is None else "as given",
        vcpus=vcpus,
        growth=Stated.stated(growth.monthly, "as given"),
        capture=capture_cost(cpu, vcpus, load.row_writes_per_s if load else None, busiest=False),
        needed_weeks=growth.weeks,
    )


def runway(load: Load | None, writer: Writer | None, growth: Growth, measured: Facts | None = None) -> dict[str, Any]:
    """Return the headroom with and without capture, whether the calendar closes, and what to do when it does not.

    Args:
        measured: what a running migration knows; it goes before what is given.
    """
    known = measured or facts(load, writer, growth)
    answer = judge.judge(known)
    found: dict[str, Any] = {
        "monthly_growth": known.growth.monthly,
        "growth_source": known.growth.source,
        "cpu_source": known.cpu_source,
        "calendar_weeks": round(known.needed_weeks, 1),
        "load_factor_at_end": round(judge.factor(known.growth.monthly, known.needed_weeks), 2),
        "transactions_per_s": _rounded(load.transactions_per_s if load else None),
        "row_writes_per_s": _rounded(load.row_writes_per_s if load else None),
        "closes": answer.closes,
        "summary": answer.summary,
        "advice": answer.advice,
        "doubts": list(known.doubts),
    }
    if known.cpu is None:
        return found
    return {**found, **_figures(known, answer)}


def _figures(known: Facts, answer: Runway) -> dict[str, Any]:
    assert known.cpu is not None
    without = judge.weeks_until_full(known.cpu, known.growth.high, 0.0, known.full)
    return {
        "cpu": known.cpu,
        "weeks": {"none": None if math.isinf(without) else round(without, 1), "triggers": _rounded(answer.weeks, 1)},
        "capture_cost": {"triggers": [round(known.capture.low, 4), round(known.capture.high, 4)]},
        "capture_cost_source": known.capture.source,
        "needed_capacity_factor": answer.needed_capacity_factor,
        "options": [{"name": o.name, "closes": o.closes, "text": o.text} for o in answer.options],
    }


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
