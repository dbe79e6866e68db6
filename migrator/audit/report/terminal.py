"""Prints the report on a terminal: the worst first, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.audit.report.values import AuditReport, StatementReport
from migrator.audit.rules.findings import Finding
from migrator.audit.rules.rule import Severity

LISTED = 10


def summary(report: AuditReport) -> str:
    """Return the summary: verdicts, findings by rule, the dearest statements, tenants, runway, next steps."""
    return "\n".join(summary_lines(report))


def summary_lines(report: AuditReport) -> list[str]:
    """Return the lines of `summary`; a name in one may hold a line break."""
    return list(_lines(report))


def _lines(report: AuditReport) -> Iterator[str]:
    yield (
        f"Audit of "
        f"{report.database or 'files'} "
        f"({report.mode}) for "
        f"Limitless "
        f"{report.engine_version}, key "
        f"{report.tenant_key}"
    )
    yield ""
    yield from _explain(report)
    yield from _findings(report)
    yield from _statements(report)
    yield from _tables(report)
    yield from _tenants(report)
    yield from _runway(report)
    yield from _changes(report)
    yield from _evidence(report)


def _findings(report: AuditReport) -> Iterator[str]:
    for severity in Severity:
        found = [f for f in report.findings if f.severity is severity]
        if not found:
            continue
        known = sum(1 for f in found if f.acknowledged)
        yield f"{severity.value.upper()}  {len(found)} findings" + (f", {known} acknowledged" if known else "")
        by_rule: dict[str, list[Finding]] = {}
        for finding in found:
            if not finding.acknowledged:
                by_rule.setdefault(finding.rule, []).append(finding)
        for rule, items in sorted(by_rule.items(), key=lambda kv: (-len(kv[1]), kv[0])):
            objects = ", ".join(f.object for f in items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
            yield f"  {rule}  {items[0].title}: {objects}"
            if severity is Severity.BLOCKER:
                for finding in items[:LISTED]:
                    yield f"      {finding.object}: {finding.evidence[:200]}"
            yield f"      → {items[0].fix}"
        yield ""


def _explain(report: AuditReport) -> Iterator[str]:
    found = report.explain
    if found is None:
        return
    yield (
        f"EXPLAIN  {found['cluster']} answered for {found['asked']:,} statements: {found['agreed']:,} as judged, "
        f"{found['differs']:,} differ; no answer for {found['not_answered']:,}"
    )
    for item in found["differences"][:LISTED]:
        how = "CONTRADICTS" if item["contradicts"] else "differs"
        yield f"  {how}  {item['name']}: {item['verdict']}, {item['why']}"
    if len(found["differences"]) > LISTED:
        yield f"  … and {len(found['differences']) - LISTED} more (--json or --html shows all)"
    for reason in found["reasons"][:LISTED]:
        yield f"  no answer for {reason['statements']:,}: {reason['why']} (first: {reason['first']})"
    yield ""


def _cost(statement: StatementReport) -> tuple[float, float]:
    return (statement.total_ms or 0.0, statement.extra_shard_calls)


def _statements(report: AuditReport) -> Iterator[str]:
    verdicts = report.summary()["statements"]
    if not verdicts:
        return
    total = sum(v["statements"] for v in verdicts.values())
    yield f"STATEMENTS  {total:,}"
    for name, cell in sorted(verdicts.items(), key=lambda kv: -kv[1]["statements"]):
        yield (
            f"  {name:<17} {cell['statements']:>8,}  calls {cell['calls']:>14,.0f}  {cell['total_ms'] / 1000:>10,.1f} s"
        )
    worst = sorted(
        (s for s in report.statements if s.verdict in ("cross_shard", "unsupported")), key=_cost, reverse=True
    )
    for statement in worst[:LISTED]:
        one_line = " ".join(statement.sql.split())
        yield f"  {statement.verdict}  {statement.name}: {one_line[:100]}"
        yield f"      {statement.reasons[0]}"
        if statement.rewrite:
            yield f"      → {' '.join(statement.rewrite.split())[:160]}"
    if len(worst) > LISTED:
        yield f"  … and {len(worst) - LISTED} more (--json or --html shows all)"
    yield ""


def _tables(report: AuditReport) -> Iterator[str]:
    if not report.tables:
        return
    yield f"TABLES  {len(report.tables)}"
    for kind in ("sharded", "reference", "standard", "undecided", "excluded"):
        names = [t for t in report.tables if t.kind == kind]
        if names:
            proposed = sum(1 for t in names if t.decided_by == "audit")
            yield f"  {kind:<10} {len(names):>4}" + (f"  ({proposed} proposed by the audit)" if proposed else "")
    for table in [t for t in report.tables if t.decided_by == "audit"][:LISTED]:
        yield f"  {table.name} → {table.kind}: {table.reasons[0]}"
    yield ""


def _tenants(report: AuditReport) -> Iterator[str]:
    tenants = report.tenants
    if not tenants or not tenants.get("count"):
        return
    how = "exact" if tenants["exact"] else "partly sampled"
    ratio = f", {tenants['max_to_median']:g} times the median" if tenants["max_to_median"] else ""
    yield f"TENANTS  {tenants['count']:,} with {tenants['rows']:,} rows ({how})"
    yield (
        f"  median "
        f"{tenants['median_rows']:,.0f} rows, "
        f"largest "
        f"{tenants['max_rows']:,}{ratio}, Gini "
        f"{tenants['gini']:.2f}"
    )
    for hot in tenants["hot"][:LISTED]:
        yield f"  hot: {hot['tenant']}: {'; '.join(hot['reasons'])}"
    forecast = tenants["forecast"]
    yield (
        f"  in {forecast['weeks']:g} weeks at {forecast['monthly_growth']:.0%} a month one shard must hold at least "
        f"{forecast['one_shard_must_hold_rows']:,} rows, {forecast['one_shard_must_hold_bytes'] / 2**30:.2f} GiB"
    )
    yield ""


def _runway(report: AuditReport) -> Iterator[str]:
    if report.runway.get("summary"):
        yield f"RUNWAY  {report.runway['summary']}"
        yield f"  → {report.runway['advice']}"
    if report.sizing:
        acu = report.sizing["max_acu"]
        yield (
            f"SIZE  {acu['likely']} ACU "
            f"({acu['low']} to "
            f"{acu['high']}), "
            f"{report.sizing['routers']} "
            f"routers, "
            f"{report.sizing['shards']} shards"
        )
    yield ""


def _changes(report: AuditReport) -> Iterator[str]:
    changes = report.changes
    if changes is None:
        return
    yield f"SINCE {changes['since']}"
    if not any(changes[k] for k in changes if k != "since"):
        yield "  nothing changed"
    for key, label in (("new_findings", "new"), ("gone_findings", "gone")):
        for item in changes[key][:LISTED]:
            yield f"  {label}: {item}"
        if len(changes[key]) > LISTED:
            yield f"  {label}: … and {len(changes[key]) - LISTED} more"
    for item in changes["changed_verdicts"][:LISTED]:
        yield f"  {item['name']}: {item['before']} → {item['now']}"
    if changes["new_statements"] or changes["gone_statements"]:
        yield f"  statements: {len(changes['new_statements'])} new, {len(changes['gone_statements'])} removed"
    yield ""


def _evidence(report: AuditReport) -> Iterator[str]:
    found = report.evidence
    yield (
        f"EVIDENCE  {found['tables']} "
        f"tables, "
        f"{found['functions']} "
        f"functions, "
        f"{found['statements_read']:,} "
        f"statements read, "
        f"{found['statements_unparsable']} unparsable, {found['input_rejected']} pieces of input rejected"
    )
    for problem in found["problems"][:LISTED]:
        yield f"  {problem}"
    for note in found["notes"][:LISTED]:
        yield f"  {note}"
    for name, sorts in found["left_out"].items():
        for sort in sorts[:LISTED]:
            where = f"the first at {sort['source']}: {sort['first']}"
            yield f"  {name}: {sort['count']:,} {sort['sort']} left out, {where}"
