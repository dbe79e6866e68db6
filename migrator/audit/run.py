"""Audits one database. The order of work: evidence, shapes, rules, statements, tenants, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.audit import functions
from migrator.audit.catalog import Catalog
from migrator.audit.classify import classify, root_table, write_rate
from migrator.audit.evidence.enough import Seen, shortfalls
from migrator.audit.evidence.live import Progress, collect
from migrator.audit.evidence.rows import Evidence
from migrator.audit.explain.prepared import prepared
from migrator.audit.objects import by_type
from migrator.audit.report.baseline import accept
from migrator.audit.report.values import AuditReport, TableReport
from migrator.audit.rules import grouping
from migrator.audit.rules.activity import check_activity
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.key import check_foreign_keys, check_keys, check_set_constraints
from migrator.audit.rules.object import (
    check_application,
    check_extensions,
    check_objects,
    check_services,
    check_settings,
    check_versions,
)
from migrator.audit.rules.table import check_sequences, check_tables, check_views
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.shape import Shapes, shapes_of_plan
from migrator.audit.shardkey.walk import Context
from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS, count_tenants, plan_counts
from migrator.audit.sizing.runway import runway
from migrator.audit.sizing.shards import Demand, size
from migrator.audit.sizing.tenants import Growth, TableCounts, distribution, unknown_to_root
from migrator.audit.spread import audit_statements
from migrator.audit.statements import Audit, Tally
from migrator.audit.target import Outlook, Target
from migrator.model.counted import counted
from migrator.model.tenant import RECENT_XIDS
from migrator.plan.schema import Plan
from migrator.runway import forecast
from migrator.runway.judge import Facts

SPARED = "the writer is a server of this machine or of a rehearsal: give --writer-cpu-pct and --writer-vcpus"


def audit_live(
    conn: psycopg.Connection[Any],
    plan: Plan,
    reader: psycopg.Connection[Any] | None = None,
    *,
    outlook: Outlook | None = None,
    sample_above_rows: int = SAMPLE_ABOVE_ROWS,
    extra: Evidence | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> AuditReport:
    """Audit a live classic cluster against *plan*. Changes nothing.

    Args:
        conn: the writer; its statistics are the ones that count.
        reader: a read replica; the rows of tenants are counted there, and its statements are added.
        extra: statements from files or logs.
        processes: that judge statements, where these are many.
    """
    evidence = collect(conn, progress)
    if reader is not None:
        other = collect(reader, progress)
        evidence.statements += other.statements
        evidence.problems += [f"reader: {p}" for p in other.problems]
    if extra is not None:
        evidence.statements += extra.statements
        evidence.problems += extra.problems
        evidence.rejected += extra.rejected
        evidence.inputs.update(extra.inputs)
        evidence.notes += extra.notes
    shapes = shapes_of_plan(evidence.catalog, plan.tables)
    counts = plan_counts(evidence.catalog, shapes, sample_above_rows=sample_above_rows, recent_xids=RECENT_XIDS)
    counted = count_tenants(reader or conn, counts, evidence.catalog, progress, evidence.problems)
    report = conclude(
        evidence, shapes, counted, mode="live", target=Target.of(plan), outlook=_outlook(conn, plan, outlook),
        progress=progress, processes=processes,
    )  # fmt: skip
    return accept(prepared(report, conn, "classic"), plan.gates.acknowledged)


def _outlook(conn: psycopg.Connection[Any], plan: Plan, given: Outlook | None) -> Outlook:
    """Return what is known of the writer, as the gate sees it; what was *given* about it goes before."""
    if given is not None and given.writer.cpu is not None:
        return given
    known = forecast.facts(conn, plan)
    growth = Growth(known.growth.monthly, plan.runway.weeks)
    base = given or Outlook()
    return replace(base, growth=base.growth if base.growth != Growth() else growth, known=spared(conn, plan, known))


def spared(conn: psycopg.Connection[Any], plan: Plan, known: Facts) -> Facts:
    """Return *known* without the CPU of a server that no gate asks about."""
    return replace(known, cpu=None, cpu_source=SPARED) if forecast.spares(conn, plan) else known


def conclude(
    evidence: Evidence,
    shapes: Shapes,
    counted: Sequence[TableCounts],
    *,
    mode: str,
    target: Target | None = None,
    outlook: Outlook | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> AuditReport:
    """Apply every rule to *evidence* and return the report. Touches no database."""
    target, outlook = target or Target(), outlook or Outlook()
    catalog = evidence.catalog
    audit = Audit(
        Context(catalog, shapes, volatility.known(catalog)),
        target.shards,
        Collector(target.engine, shapes.tenant_key),
        Tally(),
    )
    out, tally = audit.out, audit.tally
    if progress:
        progress("applying the rules")
    bodies = functions.read(catalog, audit.context, out)
    audit.context.summaries = bodies.summaries
    _check_catalog(audit, target, outlook)
    check_activity(evidence.activity, catalog, target.connections, out)
    statements = (*audit_statements(evidence.statements, audit, processes), *functions.audit_bodies(bodies, audit))
    check_set_constraints(catalog, shapes, out)
    seconds = evidence.load.seconds if evidence.load else None
    tables = classify(catalog, shapes, tally.joins, seconds)
    check_classes(tables, catalog, seconds, out)
    root = root_table(catalog, shapes)
    tenants: dict[str, Any] = {}
    if counted:
        tenants = distribution(counted, hot_ratio=target.hot_ratio, growth=outlook.growth, root=root)
        _tenant_findings(tenants, counted, root, out)
    head = runway(evidence.load, outlook.writer, outlook.growth, outlook.known)
    if head.get("closes") is False:
        out.add("AUD-RUN-01", "writer", head["summary"], fix=head["advice"])
    missing = [*evidence.doubts, *shortfalls(evidence.inputs, _seen(tally, evidence, tables, shapes))]
    _evidence_findings(evidence, shapes, missing, out)
    share = tally.cross_calls / tally.calls if tally.calls else 0.0
    data = (evidence.load.database_bytes if evidence.load else 0) or sum(t.bytes or 0 for t in tables)
    largest = tenants.get("top_share", {}).get("1", 0.0) if tenants else 0.0
    used = outlook.cores_used
    return AuditReport(
        mode=mode,
        database=catalog.database,
        engine_version=target.engine_version,
        tenant_key=shapes.tenant_key,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        findings=out.findings(),
        statements=statements,
        tables=tuple(tables),
        objects=by_type(catalog, out.findings()),
        tenants=tenants,
        runway=head,
        sizing=size(Demand(used, data, largest, outlook.growth.factor, share), target.shards) if used else {},
        evidence={
            **_statements_seen(tally, len(statements)),
            **_inputs_seen(evidence, [why for _, why in missing]),
            "cross_shard_call_share": round(share, 4),
            "shards_assumed": target.shards,
        },
    )


def _check_catalog(audit: Audit, target: Target, outlook: Outlook) -> None:
    """Apply the rules that need no statement."""
    context, out = audit.context, audit.out
    catalog, shapes = context.catalog, context.shapes
    check_keys(catalog, shapes, out)
    check_foreign_keys(catalog, shapes, out)
    check_tables(catalog, shapes, context, out)
    check_sequences(catalog, target.routers, out)
    check_views(catalog, out)
    grouping.check_views(context, out)
    check_objects(catalog, shapes, out)
    check_extensions(catalog, out)
    check_settings(catalog, out)
    check_versions(catalog, target.engine_version, out)
    check_services(outlook.uses, out)
    check_application(out)


def _seen(tally: Tally, evidence: Evidence, tables: Sequence[TableReport], shapes: Shapes) -> Seen:
    return Seen(
        tally.by_origin,
        tally.unparsable_by_origin,
        tally.idle_by_origin,
        evidence.hidden_statements,
        len(tables),
        sum(1 for t in tables if t.kind == "sharded" and t.decided_by != "audit"),
        shapes.tenant_key,
    )


def _evidence_findings(evidence: Evidence, shapes: Shapes, missing: Sequence[tuple[str, str]], out: Collector) -> None:
    """Report what the evidence lacks. *missing*: (object, why it is not enough for a verdict)."""
    for obj, why in missing:
        out.add("AUD-EVD-05", obj, why)
    said = {why for _, why in missing}
    for problem in (*shapes.problems, *evidence.problems):
        if problem not in said:
            out.add(
                "AUD-EVD-04" if "cannot be read" in problem and "row " in problem else "AUD-EVD-01",
                problem.split(":")[0][:80],
                problem,
            )
    for obj, what, source in evidence.outside:
        out.add("AUD-EVD-06", obj, what, source=source)


def _statements_seen(tally: Tally, reported: int) -> dict[str, Any]:
    return {
        "statements_read": tally.read,
        "statements_reported": reported,
        "statements_of_this_tool": tally.ours,
        "statements_split": tally.split,
        "statements_from_functions": reported - (tally.read + tally.split - tally.ours),
        "statements_unparsable": tally.unparsable,
    }


def _inputs_seen(evidence: Evidence, missing: Sequence[str]) -> dict[str, Any]:
    catalog = evidence.catalog
    return {
        "input_rejected": evidence.rejected,
        "hidden_statements": evidence.hidden_statements,
        "inputs": {name: found.to_json() for name, found in evidence.inputs.items()},
        "left_out": {name: found.left_out.to_json() for name, found in evidence.inputs.items() if found.left_out.sorts},
        "notes": list(evidence.notes),
        "problems": list(dict.fromkeys((*evidence.problems, *missing))),
        "server_version": catalog.server_version,
        "tables": len(catalog.tables()),
        "functions": len(catalog.functions),
    }


def check_classes(tables: Sequence[TableReport], catalog: Catalog, seconds: float | None, out: Collector) -> None:
    """Report reference tables that are written often and standard tables that are big."""
    relations = {r.planned_name: r for r in catalog.tables()}
    for table in tables:
        if table.kind == "reference" and table.decided_by == "plan" and table.rows is not None:
            writes = write_rate(relations[table.name], catalog, seconds)
            if writes.per_s is not None and not writes.rare:
                out.add("LIM-TBL-09", table.name, f"{writes}, on {counted(table.rows, 'row')}")
        elif table.kind == "standard" and ((table.bytes or 0) > 10 * 2**30 or table.writes > 10_000_000):
            out.add("LIM-TBL-10", table.name, f"{(table.bytes or 0) / 2**30:.1f} GiB, {table.writes:,} row writes")


def _tenant_findings(tenants: dict[str, Any], sizes: Sequence[TableCounts], root: str | None, out: Collector) -> None:
    for hot in tenants["hot"][:100]:
        out.add("LIM-KEY-10", f"tenant {hot['tenant']}", "; ".join(hot["reasons"]))
    for table in sizes:
        if table.missing_parents:
            out.add("AUD-TEN-03", table.table, f"{counted(table.missing_parents, 'row')} whose parent is missing")
        without = table.rows.get(None, 0) - table.missing_parents
        if without > 0:
            sampled = f" (in a sample of {table.sample_pct:g} %)" if table.sample_pct else ""
            out.add("AUD-TEN-01", table.table, f"{counted(without, 'row has', 'rows have')} no tenant{sampled}")
    if root:
        for name, unknown in unknown_to_root(sizes, root).items():
            out.add(
                "AUD-TEN-02",
                name,
                f"{counted(len(unknown), 'tenant')} that {root} does not have, for example {', '.join(unknown[:5])}",
            )
