"""Which plan fits this database? plan.toml, filled in from an audit's classification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import psycopg
import tomlkit
from tomlkit.items import Table

from migrator.audit.evidence.live import Progress, collect
from migrator.audit.report.values import AuditReport
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS, count_tenants, plan_counts
from migrator.errors import UsageError
from migrator.model.near import unknown
from migrator.model.tenant import RECENT_XIDS
from migrator.plan.toml import one_line, remark

MANY_ROWS = 50_000_000
"""Above, one mirror partition would fall behind a busy writer sooner."""
_CHOICES = "reference (small, rarely written), standard (one shard), excluded (stays behind), or sharded with via"


def survey(
    conn: psycopg.Connection[Any],
    *,
    schemas: Sequence[str] | None,
    tenant_key: str,
    aliases: Mapping[str, str],
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a live database that has no plan yet."""
    evidence = collect(conn, progress)
    if schemas:
        there = sorted({r.schema for r in evidence.catalog.relations.values()})
        strange = [s for s in schemas if s not in there]
        if strange:
            raise UsageError(unknown("schema with tables", strange, there))
        for name in [n for n, r in evidence.catalog.relations.items() if r.schema not in schemas]:
            del evidence.catalog.relations[name]
    shapes = shapes_of_key(evidence.catalog, tenant_key, aliases)
    counts = plan_counts(evidence.catalog, shapes, sample_above_rows=SAMPLE_ABOVE_ROWS, recent_xids=RECENT_XIDS)
    counted = count_tenants(conn, counts, evidence.catalog, progress, evidence.problems)
    return conclude(evidence, shapes, counted, mode="live", progress=progress)


def waves(tenants: int, hot: int) -> list[int]:
    """Return sizes of the first waves: a handful, then five times as many each; the last size repeats."""
    rest = max(1, tenants - hot)
    sizes = [min(5, rest)]
    while sum(sizes) < rest and len(sizes) < 4:
        sizes.append(max(1, min(sizes[-1] * 5, rest - sum(sizes))))
    return sizes


def plan_text(report: AuditReport, *, name: str, classic: str, limitless: str) -> str:
    """Return the plan as TOML. It loads with `migrator.plan.load` as it is; what is undecided is marked."""
    plan: Any = tomlkit.parse(resources.files("migrator.audit").joinpath("plan.toml").read_text(encoding="utf-8"))
    plan["name"] = name
    plan["classic"]["writer"] = classic
    plan["limitless"]["dsn"] = limitless
    plan["limitless"]["engine_version"] = report.engine_version
    plan["tables"]["schemas"] = sorted({t.name.partition(".")[0] for t in report.tables}) or ["public"]
    plan["tables"]["tenant_key"] = report.tenant_key
    plan["tables"]["table"] = _tables(report)
    if report.sizing:
        _size(plan["limitless"], report.sizing)
    _pace(plan, report)
    _acknowledgements(plan["gates"]["acknowledged"], report)
    return "".join(f"# {one_line(line)}\n" for line in _title(report)) + tomlkit.dumps(plan)


def _title(report: AuditReport) -> Iterator[str]:
    yield f"Plan for {report.database or 'a database known from files'}, written from an audit of {report.created_at}."
    undecided = sum(t.kind == "undecided" for t in report.tables)
    if undecided:
        yield f"DECIDE: {undecided} tables below are marked DECIDE; the audit could not choose for you."


def _tables(report: AuditReport) -> Table:
    """Every table by name; with a comment why, where that is not plain to see."""
    found = tomlkit.table()
    for table in report.tables:
        values = {"kind": "standard" if table.kind == "undecided" else table.kind}
        why = "; ".join(table.reasons)
        if table.kind == "undecided":
            # Standard is the choice that loses nothing: one copy, on one shard, like today.
            found.add(remark(f"DECIDE: {why}"))
            found.add(remark(_CHOICES))
        elif table.kind != "sharded":
            found.add(remark(why))
        elif table.via:
            found.add(remark(why))
            values["via"] = table.via
        elif table.key and table.key != report.tenant_key:
            values["tenant_column"] = table.key
        entry = tomlkit.inline_table()
        entry.update(values)
        found.append(table.name, entry)
    found.add(tomlkit.nl())
    return found


def _size(section: Any, sizing: Mapping[str, Any]) -> None:
    """Write what the audit sized in place of the defaults."""
    acu = sizing["max_acu"]
    section["shards"] = sizing["shards"]
    section["min_acu"] = sizing["min_acu"]
    section["max_acu"] = max(acu["likely"], sizing["min_acu"])
    section["min_acu"].comment("estimate of the audit")
    section["max_acu"].comment(f"estimate {acu['low']} to {acu['high']}: measure with a load test")


def _pace(plan: Any, report: AuditReport) -> None:
    """Write what follows from how many tenants there are, and how large they are."""
    tenants = report.tenants
    count, hot = int(tenants.get("count") or 0), len(tenants.get("hot") or ())
    if int(tenants.get("rows") or 0) > MANY_ROWS:
        plan["dual_write"]["parts"] = 4
    if report.runway.get("closes") is False:
        plan["dual_write"]["parts"].comment(one_line(report.runway["advice"]))
    if largest := int(tenants.get("max_rows") or 0):
        plan["backfill"]["split_rows"].comment(
            f"larger tables of one tenant are split by key range; the largest tenant has {largest:,} rows"
        )
    if count:
        plan["waves"]["sizes"] = waves(count, hot)
        plan["waves"]["sizes"].comment(f"{count:,} tenants, {hot} of them hot: those go alone and last")


def _acknowledgements(answers: Any, report: AuditReport) -> None:
    blockers = [f for f in report.findings if f.severity.value == "blocker"]
    if blockers:
        answers.comment(
            f"{len(blockers)} blockers keep the audit's gate closed until they are fixed, or acknowledged here:"
            f" {one_line(json.dumps(blockers[0].id))}, …"
        )
