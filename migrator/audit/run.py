"""What does the audit of one database say? The order of work: evidence, shapes, rules, statements, tenants, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.audit import functions
from migrator.audit.classify import classify, root_table
from migrator.audit.evidence.enough import Seen, shortfalls
from migrator.audit.evidence.live import collect
from migrator.audit.evidence.rows import Evidence
from migrator.audit.report.baseline import accept
from migrator.audit.report.values import AuditReport
from migrator.audit.rules import key as rules_key
from migrator.audit.rules import object as rules_object
from migrator.audit.rules import table as rules_table
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Severity
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.shape import Shapes, shapes_of_plan
from migrator.audit.shardkey.walk import Context
from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS, count_tenants, plan_counts
from migrator.audit.sizing.runway import Writer, runway
from migrator.audit.sizing.shards import Demand, size
from migrator.audit.sizing.tenants import Growth, TableCounts, distribution, unknown_to_root
from migrator.audit.statements import Tally, audit_statements
from migrator.model.capacity import nodes_of
from migrator.model.limits import parse_engine
from migrator.model.tenant import RECENT_XIDS
from migrator.plan.schema import Plan

Progress = Callable[[str], None]


def audit_live(
    conn: psycopg.Connection[Any],
    plan: Plan,
    reader: psycopg.Connection[Any] | None = None,
    *,
    progress: Progress | None = None,
    growth: Growth | None = None,
    writer: Writer | None = None,
    sample_above_rows: int = SAMPLE_ABOVE_ROWS,
    extra: Evidence | None = None,
    uses: Sequence[str] = (),
) -> AuditReport:
    """Audit a live classic cluster against *plan*. Changes nothing.

    Args:
        conn: the writer; its statistics are the ones that count.
        reader: a read replica; the rows of tenants are counted there, and its statements are added.
        extra: statements from files or logs.
        uses: services the team plans to put around Limitless, for example "rds-proxy".
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
        evidence,
        shapes,
        counted,
        mode="live",
        engine_version=plan.limitless.engine_version,
        max_acu=plan.limitless.max_acu,
        shards=plan.limitless.shards,
        hot_ratio=plan.waves.hot_ratio,
        growth=growth,
        writer=writer,
        uses=uses,
        progress=progress,
    )
    return accept(report, plan.gates.acknowledged)


def conclude(
    evidence: Evidence,
    shapes: Shapes,
    counted: Sequence[TableCounts],
    *,
    mode: str,
    engine_version: str = "16.13-limitless",
    max_acu: float = 384,
    shards: int = 4,
    hot_ratio: float = 20.0,
    growth: Growth | None = None,
    writer: Writer | None = None,
    uses: Sequence[str] = (),
    progress: Progress | None = None,
    now: datetime | None = None,
) -> AuditReport:
    """Apply every rule to *evidence* and return the report. Touches no database."""
    growth = growth or Growth()
    engine = parse_engine(engine_version)
    catalog = evidence.catalog
    out = Collector(engine, shapes.tenant_key)
    context = Context(catalog, shapes, volatility.known(catalog))
    routers = nodes_of(max_acu).routers
    if progress:
        progress("applying the rules")
    bodies = functions.read(catalog, context, out)
    context.summaries = bodies.summaries
    rules_key.check_keys(catalog, shapes, out)
    rules_key.check_foreign_keys(catalog, shapes, out)
    rules_table.check_tables(catalog, shapes, context, out)
    rules_table.check_sequences(catalog, routers, out)
    rules_table.check_views(catalog, out)
    rules_object.check_objects(catalog, shapes, out)
    rules_object.check_extensions(catalog, out)
    rules_object.check_settings(catalog, out)
    rules_object.check_versions(catalog, engine_version, out)
    rules_object.check_services(uses, out)
    rules_object.check_application(out)
    tally = Tally()
    statements = (
        *audit_statements(evidence.statements, context, engine, shards, out, tally),
        *functions.audit_bodies(bodies, context, engine, shards, out, tally),
    )
    rules_key.check_set_constraints(catalog, shapes, out)
    tables = classify(catalog, shapes, tally.joins)
    check_classes(tables, out)
    root = root_table(catalog, shapes)
    tenants = distribution(counted, hot_ratio=hot_ratio, growth=growth, root=root) if counted else {}
    _tenant_findings(tenants, list(counted), root, out)
    head = runway(evidence.load, writer, growth)
    if head.get("closes") is False:
        out.add("AUD-RUN-01", "writer", head["summary"], fix=head["advice"])
    seen = Seen(
        tally.by_origin,
        tally.unparsable_by_origin,
        tally.idle_by_origin,
        evidence.hidden_statements,
        len(tables),
        sum(1 for t in tables if t.kind == "sharded" and t.decided_by != "audit"),
        shapes.tenant_key,
    )
    missing = [*evidence.doubts, *shortfalls(evidence.inputs, seen)]
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
    share = tally.cross_calls / tally.calls if tally.calls else 0.0
    data = (evidence.load.database_bytes if evidence.load else 0) or sum(t.bytes or 0 for t in tables)
    largest = tenants.get("top_share", {}).get("1", 0.0) if tenants else 0.0
    used = (writer or Writer()).cores_used
    sizing = size(Demand(used, data, largest, growth.factor, share), shards) if used else {}
    out_of = {
        "statements_read": tally.read,
        "statements_reported": len(statements),
        "statements_of_this_tool": tally.ours,
        "statements_split": tally.split,
        "statements_from_functions": len(statements) - (tally.read + tally.split - tally.ours),
        "statements_unparsable": tally.unparsable,
        "input_rejected": evidence.rejected,
        "hidden_statements": evidence.hidden_statements,
        "inputs": {name: found.to_json() for name, found in evidence.inputs.items()},
        "left_out": {name: found.left_out.to_json() for name, found in evidence.inputs.items() if found.left_out.sorts},
        "notes": list(evidence.notes),
        "problems": list(dict.fromkeys((*evidence.problems, *(why for _, why in missing)))),
        "server_version": catalog.server_version,
        "tables": len(catalog.tables()),
        "functions": len(catalog.functions),
        "cross_shard_call_share": round(share, 4),
        "shards_assumed": shards,
    }
    return AuditReport(
        mode=mode,
        database=catalog.database,
        engine_version=engine_version,
        tenant_key=shapes.tenant_key,
        created_at=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        findings=out.findings(),
        statements=statements,
        tables=tuple(tables),
        tenants=tenants,
        runway=head,
        sizing=sizing,
        evidence=out_of,
    )


def check_classes(tables: Sequence[Any], out: Collector) -> None:
    """Report reference tables that are written often and standard tables that are big."""
    for table in tables:
        if table.kind == "reference" and table.decided_by == "plan" and table.rows is not None:
            if table.writes > max(1000, 0.1 * table.rows) + table.rows:
                out.add("LIM-TBL-09", table.name, f"{table.writes:,} row writes on {table.rows:,} rows")
        elif table.kind == "standard" and ((table.bytes or 0) > 10 * 2**30 or table.writes > 10_000_000):
            out.add("LIM-TBL-10", table.name, f"{(table.bytes or 0) / 2**30:.1f} GiB, {table.writes:,} row writes")


def _tenant_findings(tenants: dict[str, Any], counted: list[TableCounts], root: str | None, out: Collector) -> None:
    if not tenants:
        return
    for hot in tenants["hot"][:100]:
        out.add("LIM-KEY-10", f"tenant {hot['tenant']}", "; ".join(hot["reasons"]))
    for table in counted:
        if table.missing_parents:
            out.add("AUD-TEN-03", table.table, f"{table.missing_parents:,} rows whose parent is missing")
        without = table.rows.get(None, 0) - table.missing_parents
        if without > 0:
            sampled = f" (in a sample of {table.sample_pct:g} %)" if table.sample_pct else ""
            out.add("AUD-TEN-01", table.table, f"{without:,} rows have no tenant{sampled}")
    if root:
        for name, strangers in unknown_to_root(counted, root).items():
            out.add(
                "AUD-TEN-02",
                name,
                f"{len(strangers):,} tenants that {root} does not have, for example {', '.join(strangers[:5])}",
            )


def worst(report: AuditReport) -> Severity | None:
    """Return the worst severity nobody acknowledged."""
    open_findings = [f.severity for f in report.findings if not f.acknowledged]
    return min(open_findings, key=lambda s: s.rank) if open_findings else None
