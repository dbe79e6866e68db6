"""What a decision rests on: figures of one database, each with where it is from. Pure.

A figure is measured, given by a person, or assumed. What is assumed says so, wherever it is shown; there is no other
kind of number here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from migrator.errors import UsageError


class Basis(StrEnum):
    MEASURED = "measured"
    GIVEN = "given"
    ASSUMED = "assumption"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, its unit, and where it is from. value: None where it is unknown."""

    value: float | None
    unit: str
    basis: Basis
    source: str

    def known(self) -> float:
        """Return the value.

        Raises:
            ValueError: it is unknown.
        """
        if self.value is None:
            raise ValueError("unknown")
        return self.value

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "unit": self.unit, "basis": self.basis.value, "source": self.source}


def measured(value: float | None, unit: str, source: str) -> Figure:
    return Figure(value, unit, Basis.UNKNOWN if value is None else Basis.MEASURED, source)


def given(value: float, unit: str, source: str) -> Figure:
    return Figure(value, unit, Basis.GIVEN, source)


_OWN = "this tool's own assumption; give yours"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is weighed.

    Attributes:
        cpu: use of the writer's processors at its peak, 0 to 1, of `vcpus`.
        growth: of the load a month, 0.15 for 15 %.
        months: how long the answer has to last.
        largest_write_share: of the tenant that writes most, 0 to 1: a tenant cannot be split by any kind of sharding by
            tenant. largest_row_share stands for it where no recent writes were counted.
        crossing_share: of calls that do not stay on one shard, 0 to 1.
        crossing_statements: how many statements these are.
        blockers, rewrites: findings of the audit.
        tables: of the application.
        team: engineers who can work on it.
        team_share: of their time.
        node_vcpus, largest_vcpus: of a shard's server, and of the largest server that classic could move to.
        full: use of processors at which a server counts as full.
        engineer_month_usd, vcpu_month_usd, acu_hour_usd: prices.
        limitless_acu: that Limitless takes on average, with its standbys.
        limitless_over_manual: its infrastructure against servers sharded by the application; used without an ACU price.
        citus_team: people it takes to run database servers around the clock without a managed service.
    """

    cpu: Figure
    vcpus: Figure
    growth: Figure
    tenants: Figure
    largest_write_share: Figure
    crossing_share: Figure
    crossing_statements: Figure
    blockers: Figure
    rewrites: Figure
    tables: Figure
    transactions_per_s: Figure
    row_writes_per_s: Figure
    limitless_acu: Figure
    months: Figure = Figure(12, "months", Basis.ASSUMED, _OWN)
    team: Figure = Figure(6, "engineers", Basis.ASSUMED, "the architecture decision's team; give yours")
    team_share: Figure = Figure(0.5, "of their time", Basis.ASSUMED, _OWN)
    node_vcpus: Figure = Figure(64, "vCPU", Basis.ASSUMED, "as the writer there is, or db.r7g.16xlarge; give yours")
    largest_vcpus: Figure = Figure(192, "vCPU", Basis.ASSUMED, "db.r8g.48xlarge; look up what your Region has")
    full: Figure = Figure(0.7, "of its processors", Basis.ASSUMED, _OWN)
    engineer_month_usd: Figure = Figure(15_000, "USD", Basis.ASSUMED, _OWN)
    vcpu_month_usd: Figure = Figure(100, "USD", Basis.ASSUMED, _OWN)
    acu_hour_usd: Figure = Figure(None, "USD", Basis.UNKNOWN, "AWS publishes none for every Region; give yours")
    limitless_over_manual: Figure = Figure(
        1.4, "times", Basis.ASSUMED, "the architecture decision: 30 to 50 % above manual sharding"
    )
    citus_team: Figure = Figure(8, "engineers", Basis.ASSUMED, "two on call in turns beside the work; " + _OWN)

    def figures(self) -> dict[str, Figure]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def but(self, name: str, value: float) -> Facts:
        """Return the same facts with another value of one figure."""
        return replace(self, **{name: replace(getattr(self, name), value=value)})


NEEDED = ("cpu", "vcpus", "growth")
"""Without these nothing can be said: whether the writer lasts is the first question."""

OPTIONS = {"cpu": "--cpu-pct", "vcpus": "--vcpus", "growth": "--growth-pct"}


def require(facts: Facts) -> None:
    """Refuse facts that no answer can rest on.

    Raises:
        UsageError: naming every figure that is missing, and how it is given.
    """
    missing = [f"{name} ({OPTIONS[name]})" for name in NEEDED if getattr(facts, name).value is None]
    if missing:
        raise UsageError(
            f"the audit does not know {', '.join(missing)}",
            hint="Give it, or audit the live cluster with classic.cluster_id in the plan.",
        )


def of_audit(report: Mapping[str, Any]) -> Facts:
    """Return the facts that an audit's JSON (docs/audit.md) holds.

    Raises:
        UsageError: it is no audit's report.
    """
    if not isinstance(report.get("summary"), Mapping) or "findings" not in report:
        raise UsageError("this is no report of an audit", hint="Write one with: migrator audit --json audit.json")
    of = f"database {report['database']}" if report.get("database") else "files"
    source = f"audit of {of}, {str(report.get('created_at', '?'))[:16]}"
    runway, tenants, sizing = (_section(report, name) for name in ("runway", "tenants", "sizing"))
    calls = {verdict: float(cell["calls"]) for verdict, cell in report["summary"]["statements"].items()}
    counted = {verdict: int(cell["statements"]) for verdict, cell in report["summary"]["statements"].items()}
    asked = sum(n for verdict, n in calls.items() if verdict not in _NO_ROWS)
    crossing = sum(n for verdict, n in calls.items() if verdict in _CROSSING)
    found = report["summary"]["findings"]
    low, high = (sizing.get("max_acu", {}).get(key) for key in ("low", "high"))
    return Facts(
        cpu=_stated(runway, "cpu", "cpu_source", "of its processors", source),
        vcpus=Figure(None, "vCPU", Basis.UNKNOWN, "the audit's JSON has none"),
        growth=_growth(runway, source),
        tenants=measured(tenants.get("count"), "tenants", source),
        largest_write_share=_largest_share(tenants, source),
        crossing_share=_crossing(crossing / asked if asked else None, report, source),
        crossing_statements=measured(sum(counted.get(v, 0) for v in _CROSSING), "statements", source),
        blockers=measured(found.get("blocker"), "findings", source),
        rewrites=measured(found.get("rewrite"), "findings", source),
        tables=measured(sum(report["summary"]["tables"].values()), "tables", source),
        transactions_per_s=measured(runway.get("transactions_per_s"), "/s", source),
        row_writes_per_s=measured(runway.get("row_writes_per_s"), "rows/s", source),
        limitless_acu=Figure(
            None if low is None or high is None else (low + high) / 2, "ACU",
            Basis.UNKNOWN if low is None or high is None else Basis.ASSUMED, f"{source}: its own range, by processors",
        ),
    )  # fmt: skip


_CROSSING = ("cross_shard", "multi_shard_keys")
_NO_ROWS = ("no_table", "unparsable", "unsupported")


def _section(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def _largest_share(tenants: Mapping[str, Any], source: str) -> Figure:
    """Return the share of writes of the tenant that writes most; of its rows where no recent writes were counted."""
    lines = tenants.get("largest") or ()
    writes = [line["write_share"] for line in lines if line.get("write_share") is not None]
    rows = [line["share"] for line in lines if line.get("share") is not None]
    if writes or not rows:
        return measured(max(writes, default=None), "of writes", source)
    why = f"its share of the rows in the {source}: no recent writes were counted"
    return Figure(max(rows), "of writes", Basis.ASSUMED, why)


AS_GIVEN = ("as given", "as the plan says")
"""How an audit says of a figure that a person stated it: to the audit, or in the plan."""

DEFAULT_GROWTH = 0.15
"""Of an audit that was given none."""


def _stated(runway: Mapping[str, Any], key: str, why: str, unit: str, source: str) -> Figure:
    """Return what the audit knows of the writer: measured, or given to it by a person. Audits of earlier releases do
    not say which."""
    value = runway.get(key)
    if value is None:
        return measured(None, unit, source)
    if why not in runway:
        return Figure(value, unit, Basis.GIVEN, f"{source}; it does not say whether it was measured")
    said = str(runway[why])
    return Figure(value, unit, Basis.GIVEN if said.startswith(AS_GIVEN) else Basis.MEASURED, f"{source}: {said}")


def _growth(runway: Mapping[str, Any], source: str) -> Figure:
    found = _stated(runway, "monthly_growth", "growth_source", "a month", source)
    if found.basis is Basis.GIVEN and found.value == DEFAULT_GROWTH:
        return replace(found, basis=Basis.ASSUMED, source="what an audit assumes that was given none; give yours")
    return found


def _crossing(share: float | None, report: Mapping[str, Any], source: str) -> Figure:
    """Return the share of calls that cross; of statements, where nothing counted their calls (an audit of files)."""
    if share is None or report.get("mode", "live") == "live":
        return measured(share, "of calls", source)
    weights = [line.get("weight") or {} for line in report.get("statements") or ()]
    if any((weight.get("calls") or 0) > 1 or weight.get("total_ms") for weight in weights):
        return measured(share, "of calls", source)
    why = f"{source}: each statement taken for one call, since none were counted"
    return Figure(share, "of calls", Basis.ASSUMED, why)


def checked(name: str, value: float, *, low: float = 0.0, high: float = math.inf) -> float:
    """Return *value* if it can be.

    Raises:
        UsageError: it cannot.
    """
    if not math.isfinite(value) or not low <= value <= high:
        raise UsageError(f"{name} {value:g} is not between {low:g} and {high:g}")
    return value
