"""Which plan fits this database? plan.toml, filled in from an audit's classification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import tomlkit
from tomlkit.items import Table

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.live import Progress, collect
from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.rules import grouping
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import UNDECIDED, Shapes, Step
from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS, count_tenants, plan_counts
from migrator.audit.sizing.tenants import TableCounts
from migrator.audit.sizing.tenants_sql import Count
from migrator.audit.tenant_key import Candidate, adopt, candidates, is_clear, shapes_of, with_key
from migrator.errors import UsageError
from migrator.model.blocker import UNIQUE_ACROSS, Blocker
from migrator.model.near import unknown
from migrator.model.table import split_qualified
from migrator.model.tenant import RECENT_XIDS
from migrator.plan.load import DECIDE
from migrator.plan.toml import one_line, remark

MANY_ROWS = 50_000_000
"""Above, one mirror partition would fall behind a busy writer sooner."""
_CHOICES = "reference (small, rarely written), standard (one shard), excluded (stays behind), or sharded with via"
_LIKELY = 3
"""Candidates of the tenant key that a message shows."""


def survey(
    conn: psycopg.Connection[Any],
    *,
    schemas: Sequence[str] | None,
    tenant_key: str | None = None,
    aliases: Mapping[str, str],
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a live database that has no plan yet. Without *tenant_key* the likeliest candidate is taken.

    Keys and paths to the tenant are proposed only where every row counted has a tenant.

    Raises:
        UsageError: an unknown schema, table or column, or no candidate.
    """
    evidence = collect(conn, progress)
    if schemas:
        there = sorted({r.schema for r in evidence.catalog.relations.values()})
        strange = [s for s in schemas if s not in there]
        if strange:
            raise UsageError(unknown("schema with tables", strange, there))
        for name in [n for n, r in evidence.catalog.relations.items() if r.schema not in schemas]:
            del evidence.catalog.relations[name]
    found = find_key(evidence.catalog, tenant_key)
    named = resolved(evidence.catalog, aliases)
    known: dict[Count, TableCounts] = {}
    barred: dict[tuple[str, str], str] = {}
    while True:
        shapes = shapes_of(evidence.catalog, found[0], named, barred)
        for (table, _), why in barred.items():
            if shapes.by_table.get(table, UNDECIDED) is UNDECIDED:
                shapes.doubts[table] = why
        counts = plan_counts(evidence.catalog, shapes, sample_above_rows=SAMPLE_ABOVE_ROWS, recent_xids=RECENT_XIDS)
        fresh = [c for c in counts if c not in known]
        for counted in count_tenants(conn, fresh, evidence.catalog, progress, evidence.problems):
            known[next(c for c in fresh if c.table == counted.table)] = counted
        incomplete = {
            (c.table, column): _incomplete(known[c], c.path)
            for c in counts
            if c in known and (known[c].rows.get(None) or known[c].missing_parents)
            for column in (c.path[0].columns if c.path else (c.key,))[:1]
        }
        if not incomplete:
            break
        barred.update(incomplete)
    adopt(shapes)
    report = conclude(evidence, shapes, [known[c] for c in counts if c in known], mode="live", progress=progress)
    return _with_candidates(report, found, tenant_key)


def survey_files(
    *,
    schema: Sequence[Path],
    statements: Sequence[Path] = (),
    gathered: Path | None = None,
    tenant_key: str | None = None,
    aliases: Mapping[str, str],
    progress: Progress | None = None,
) -> AuditReport:
    """Audit files for a plan, like `survey`; what only rows could tell is left to a person."""
    found: list[Candidate] = []

    def choose(catalog: Catalog, gathered_key: str | None) -> Shapes:
        found.extend(find_key(catalog, tenant_key or gathered_key))
        shapes = shapes_of(catalog, found[0], resolved(catalog, aliases))
        adopt(shapes)
        return shapes

    report = audit_files(schema=schema, statements=statements, gathered=gathered, shapes=choose, progress=progress)
    return _with_candidates(report, found, tenant_key)


def find_key(catalog: Catalog, tenant_key: str | None) -> list[Candidate]:
    """Return the candidate of *tenant_key* alone, or without one every candidate, the likeliest first.

    Raises:
        UsageError: no table has such a column.
    """
    found = candidates(catalog)
    listed = "; ".join(map(str, found[:_LIKELY])) or "none"
    if tenant_key is not None:
        given = with_key(catalog, tenant_key, found)
        if given is None:
            raise UsageError(
                f"no table has a column {tenant_key} of a type that can name a tenant", hint=f"Candidates: {listed}."
            )
        return [given]
    if not found:
        raise UsageError(
            "no column looks like a tenant key: none refers to a common table or has a usual name",
            hint="Give --tenant-key NAME.",
        )
    return found


def resolved(catalog: Catalog, aliases: Mapping[str, str]) -> dict[str, str]:
    """Return *aliases* (table → column) by qualified names.

    Raises:
        UsageError: one names a table or a column that is not there.
    """
    found = {}
    for table, column in aliases.items():
        schema, _, name = table.rpartition(".")
        relation = catalog.find(name, schema or None)
        if relation is None or column not in relation.columns:
            what = "table" if relation is None else f"column {column}"
            raise UsageError(f"--key-alias {table}={column}: there is no such {what}")
        found[relation.qualified] = column
    return found


def _incomplete(counted: TableCounts, path: Sequence[Step]) -> str:
    without = counted.rows.get(None, 0)
    if not path:
        return (
            f"{without:,} of {counted.total:,} rows have no tenant: give them one to shard it, or choose another kind"
        )
    through = " → ".join(step.parent for step in path)
    return f"its path through {through} leaves {without:,} of {counted.total:,} rows without a tenant"


def _with_candidates(report: AuditReport, found: Sequence[Candidate], tenant_key: str | None) -> AuditReport:
    keys = {"clear": tenant_key is not None or is_clear(found), "candidates": [str(c) for c in found[:_LIKELY]]}
    return replace(report, evidence={**report.evidence, "tenant_keys": keys})


def waves(tenants: int, hot: int) -> list[int]:
    """Return sizes of the first waves: a handful, then five times as many each; the last size repeats."""
    rest = max(1, tenants - hot)
    sizes = [min(5, rest)]
    while sum(sizes) < rest and len(sizes) < 4:
        sizes.append(max(1, min(sizes[-1] * 5, rest - sum(sizes))))
    return sizes


def plan_text(report: AuditReport, *, name: str, classic: str, limitless: str, foreseen: Sequence[Blocker] = ()) -> str:
    """Return the plan as TOML.

    A value that a person must decide begins with DECIDE, and the plan is refused until it does not; without that word
    it is what the audit proposes.

    Args:
        foreseen: what would refuse the plan even so, for its head; keys that Limitless cannot keep are to be decided.
    """
    plan: Any = tomlkit.parse(resources.files("migrator.audit").joinpath("plan.toml").read_text(encoding="utf-8"))
    plan["name"] = name
    plan["classic"]["writer"] = classic
    plan["limitless"]["dsn"] = limitless
    plan["limitless"]["engine_version"] = report.engine_version
    plan["tables"]["schemas"] = sorted({split_qualified(t.name)[0] for t in report.tables}) or ["public"]
    _key(plan["tables"], report)
    plan["tables"]["table"] = _tables(report)
    if report.sizing:
        _size(plan["limitless"], report.sizing)
    _pace(plan, report)
    _acknowledgements(plan["gates"], report, foreseen)
    text = tomlkit.dumps(plan)
    return "".join(f"# {one_line(line)}\n" for line in _title(report, text, foreseen)) + text


def _title(report: AuditReport, text: str, foreseen: Sequence[Blocker]) -> Iterator[str]:
    yield f"Plan for {report.database or 'a database known from files'}, written from an audit of {report.created_at}."
    undecided = text.count(f'"{DECIDE}')
    if undecided:
        yield (
            f"{undecided} values below begin with {DECIDE}: the plan is refused until you delete the word, which"
            " accepts the value, or write another."
        )
    for problem in foreseen:
        if problem.code != UNIQUE_ACROSS:
            yield f"FIX: {problem.text}"


def _key(tables: Any, report: AuditReport) -> None:
    keys = report.evidence.get("tenant_keys") or {"clear": True, "candidates": []}
    tables["tenant_key"] = report.tenant_key if keys["clear"] else f"{DECIDE}{report.tenant_key}"
    if keys["candidates"]:
        tables["tenant_key"].comment(one_line("; or ".join(keys["candidates"])))


def _tables(report: AuditReport) -> Table:
    """Every table by name; with a comment why, where that is not plain to see."""
    found = tomlkit.table()
    for table in report.tables:
        values: dict[str, Any] = {"kind": table.decide if table.kind == "undecided" and table.decide else table.kind}
        why = "; ".join(table.reasons)
        plain = values["kind"] == "sharded" and not table.via and table.key == report.tenant_key
        if table.decide is not None or not plain:
            found.add(remark(why))
        if table.decide == "excluded":
            values["kind"] = f"{DECIDE}excluded"
        elif values["kind"] == "sharded":
            if table.via:
                values["via"] = table.via
            elif table.key != report.tenant_key:
                values["tenant_column"] = table.key
            if table.row_key:
                values["key"] = list(table.row_key)
            if table.decide is not None:
                values["kind"] = f"{DECIDE}sharded"
        else:
            if table.row_key:
                values["key"] = list(table.row_key)
            if table.decide is not None:
                found.add(remark(_CHOICES))
                values["kind"] = f"{DECIDE}{table.decide}"
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


def _acknowledgements(gates: Any, report: AuditReport, foreseen: Sequence[Blocker]) -> None:
    """Write down what a person must accept: unique keys that become unique per tenant, and views that are left out."""
    kept = {".".join(split_qualified(t.name)) for t in report.tables if t.decide != "excluded"}
    blockers = [f for f in report.findings if f.severity.value == "blocker"]
    unique = [f for f in blockers if f.rule == "LIM-KEY-02" and any(f.object.startswith(f"{name}.") for name in kept)]
    answers = {f"unique/{b.subject}": "unique per tenant only" for b in foreseen if b.code == UNIQUE_ACROSS}
    answers |= {f"unique/{f.object}": f"{f.evidence}: unique per tenant only" for f in unique}
    answers |= {
        f"view {f.object}": "Limitless refuses it as it is: left out, unless it groups by the whole new key"
        for f in report.findings
        if f.rule == grouping.RULE and not f.object.startswith("statement ")
    }
    if answers:
        listed = tomlkit.array().multiline(True)
        for answer, why in answers.items():
            listed.add_line(f"{DECIDE}{answer}", comment=one_line(why))
        listed.add_line(indent="")
        gates["acknowledged"] = listed
    if others := [f for f in blockers if f not in unique]:
        gates["cutover"].comment(
            f"acknowledged: {len(others)} more blockers keep the audit's gate closed until they are fixed, or listed:"
            f" {one_line(json.dumps(others[0].id))}, …"
        )
