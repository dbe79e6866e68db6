"""What is kept of a load test: the result that gates read, and beside it what a report shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from migrator.load.knee import Failure, failure
from migrator.load.project import Projection, Use
from migrator.load.run import Settings, SideRun
from migrator.load.workload import Transaction
from migrator.model.traffic_test import LoadResult

MOST_MOMENTS = 600
"""Points of a drawing; a longer test is shown by every n-th second, its counts added up."""

WRITES = {True: "committed", False: "rolled back"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole test. classic: None where only Limitless was loaded. growth: of the peak, for the projection."""

    plan: str
    workload: str
    at: datetime
    who: str
    transactions: Sequence[Transaction]
    settings: Settings
    peak_per_s: float
    peak_source: str
    limitless: SideRun
    classic: SideRun | None
    notes: Sequence[str]
    projection: Projection | None = None
    uses: Sequence[Use] = ()

    def result(self) -> LoadResult:
        """Return it as gates read it."""
        runs = [run for run in (self.limitless, self.classic) if run is not None]
        return LoadResult(
            peak_per_s=self.peak_per_s,
            peak_source=self.peak_source,
            limitless=self.limitless.result(self.peak_per_s),
            classic=None if self.classic is None else self.classic.result(self.peak_per_s),
            seconds=sum(run.seconds for run in runs),
            stopped="; ".join(ended for run in runs if (ended := _ended(run))),
        )

    def body(self) -> dict[str, Any]:
        """Return the report that is stored: the result's own keys, and `details`."""
        settings = self.settings
        writes = any(t.writes for t in self.transactions)
        return {
            **self.result().to_json(),
            "details": {
                "plan": self.plan,
                "workload": self.workload,
                "at": self.at.isoformat(),
                "who": self.who,
                "seed": settings.seed,
                "arrivals": settings.pattern.value,
                "processes": settings.processes,
                "connections": settings.connections,
                "storm": settings.storm,
                "sessions": {"transactions": settings.turns, "think_s": settings.think_s},
                "writes": WRITES[settings.commit] if writes else "none",
                "bounds": {"p99_ms": settings.bounds.p99_ms, "error_share": settings.bounds.error_share},
                "transactions": [
                    {"name": t.name, "weight": t.weight, "writes": t.writes, "sql": [s.sql for s in t.statements]}
                    for t in self.transactions
                ],
                "sides": {
                    run.side.lower(): _side(run, settings) for run in (self.limitless, self.classic) if run is not None
                },
                "notes": list(self.notes),
                "uses": [asdict(use) for use in self.uses],
                "projection": None if self.projection is None else asdict(self.projection),
            },
        }


def _ended(run: SideRun) -> str:
    if run.stopped:
        return f"{run.side}: {run.stopped}"
    if run.answer.generator is not None:
        step = run.answer.generator
        return (
            f"{run.side}: at {step.offered:,.0f}/s the generator was at its own limit ({step.generator_cpu:.0%} of a"
            f" processor, {step.generator_late_ms:,.0f} ms late), so nothing is known of the server above it: more"
            " processes, or more machines"
        )
    return ""


def _side(run: SideRun, settings: Settings) -> dict[str, Any]:
    answer = run.answer
    return {
        "steps": [
            {**asdict(step), "failure": _failure(failure(step, settings.bounds)), "errors": dict(errors)}
            for step, errors in zip(run.steps, run.errors_by_step, strict=True)
        ],
        "held_per_s": answer.held.offered if answer.held else None,
        "failed_per_s": answer.failed.offered if answer.failed else None,
        "why": answer.why.value if answer.why else None,
        "generator_limited": answer.generator is not None,
        "generator_per_s": run.generator_per_s,
        "statements": [
            {
                "statement": w.statement,
                "from_rate": w.from_rate,
                "ratio": w.ratio,
                "base_ms": w.base.p99_ms if w.base else None,
                "last_ms": w.last.p99_ms if w.last else None,
                "points": [asdict(point) for point in w.points],
            }
            for w in run.statements
        ],
        "connect": dict(run.connect) if run.connect else None,
        "moments": _fewer([asdict(moment) for moment in run.moments]),
        "seconds": run.seconds,
        "stopped": run.stopped,
    }


def _failure(why: Failure | None) -> str | None:
    return None if why is None else why.value


def _fewer(moments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return at most `MOST_MOMENTS` of them: of what is counted the mean in between, of what waits the most."""
    each = -(-len(moments) // MOST_MOMENTS) if moments else 1
    found = []
    for first in range(0, len(moments), each):
        group = moments[first : first + each]
        seconds = len(group)
        found.append(
            {
                "at_s": round(group[-1]["at_s"], 2),
                "rate": round(group[-1]["rate"], 2),
                "answered": round(sum(m["answered"] for m in group) / seconds, 2),
                "errors": round(sum(m["errors"] for m in group) / seconds, 2),
                "waiting": max(m["waiting"] for m in group),
            }
        )
    return found
