"""What is the verdict on each statement of the evidence? Counts in = counts out.

One statement at a time: parse, analyse, apply the rules, forget the tree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from migrator.audit.classify import Joins
from migrator.audit.evidence.rows import RawStatement
from migrator.audit.grammar import Parsed, Unparsable, parse
from migrator.audit.report.values import StatementReport
from migrator.audit.rules import statement as rules_statement
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rulebook import RULES
from migrator.audit.shardkey.parameters import Placed, place
from migrator.audit.shardkey.propose import propose
from migrator.audit.shardkey.verdict import Judged, StatementVerdict, judge
from migrator.audit.shardkey.walk import Context
from migrator.model.limits import Engine

ON_ROWS = frozenset(
    [
        "SelectStmt",
        "InsertStmt",
        "UpdateStmt",
        "DeleteStmt",
        "ExplainStmt",
        "DeclareCursorStmt",
        "PrepareStmt",
        "CallStmt",
    ]
)
"""Statements that work on rows, or carry one that does."""

SHARD_CALL_MS = 0.2
"""CPU that one more shard spends on receiving, planning and answering a statement, however little it finds. An
assumption of ours, of the order of planning a simple statement on PostgreSQL; a load test replaces it."""

UTILITY = frozenset(
    [
        "savepoint",
        "release",
        "rollback",
        "set",
        "prepare",
        "commit",
        "listen",
        "notify",
        "unlisten",
        "fetch",
        "close",
        "declare",
        "move",
        "reset",
    ]
)


@dataclass(slots=True)
class Tally:
    """What was read and what became of it; `read` equals the sum of the rest."""

    read: int = 0
    judged: int = 0
    unparsable: int = 0
    ours: int = 0  # statements of this tool
    split: int = 0  # further statements found in texts that held several
    by_origin: dict[str, int] = field(default_factory=dict)  # statements of the application, by file or view
    unparsable_by_origin: dict[str, int] = field(default_factory=dict)
    idle_by_origin: dict[str, int] = field(default_factory=dict)  # those that touch no table
    joins: Joins = field(default_factory=Joins)
    cross_calls: float = 0.0
    calls: float = 0.0


def statement_id(sql: str) -> str:
    """Return an id that does not depend on white space."""
    return "q-" + hashlib.blake2s(" ".join(sql.split()).encode("utf-8", "replace"), digest_size=6).hexdigest()


def audit_statements(
    raw: Iterable[RawStatement], context: Context, engine: Engine, shards: int, out: Collector, tally: Tally
) -> Iterator[StatementReport]:
    """Yield a report for every statement, the unparsable ones too."""
    seen: dict[str, int] = {}
    for item in raw:
        tally.read += 1
        ours, unparsable, origin = tally.ours, tally.unparsable, item.source.file
        reports = list(_one(item, context, engine, shards, out, tally))
        if tally.ours == ours:
            tally.by_origin[origin] = tally.by_origin.get(origin, 0) + 1
            idle = all(r.verdict == StatementVerdict.NO_TABLE.value for r in reports)
            tally.idle_by_origin[origin] = tally.idle_by_origin.get(origin, 0) + idle
        if tally.unparsable > unparsable:
            tally.unparsable_by_origin[origin] = tally.unparsable_by_origin.get(origin, 0) + 1
        for report in reports:
            number = seen.get(report.id, 0)
            seen[report.id] = number + 1
            if number:
                report = _numbered(report, number + 1)
            yield report


def _numbered(report: StatementReport, number: int) -> StatementReport:
    return replace(report, id=f"{report.id}-{number}")


def _parse(sql: str) -> tuple[list[Parsed], Placed]:
    placed = place(sql)
    try:
        return parse(placed.sql), placed
    except Unparsable as first:
        for again in _other_readings(sql):
            try:
                return parse(again.sql), again
            except Unparsable:
                continue
        first.position = placed.original(first.position) if first.position >= 0 else -1
        raise


def _other_readings(sql: str) -> Iterator[Placed]:
    """Texts that are not SQL as they stand: `?` for parameters, and utility commands of pg_stat_statements, where
    even names and settings are $n."""
    if "?" in sql:
        yield place(sql, question=True)
    first = sql.split(None, 1)[0].lower() if sql.strip() else ""
    if "$" in sql and first in UTILITY:
        yield Placed(re.sub(r"\$(\d+)", r"p\1", sql))
        yield Placed(re.sub(r"\$(\d+)", r"'p\1'", sql))


def _is_own_session(sql: str) -> bool:
    """Return whether *sql* is what every connection of this tool runs first, or a cursor of this tool."""
    if sql.startswith(("FETCH FORWARD", 'CLOSE "')) and '"migrator_' in sql:
        return True
    return sql.startswith("SELECT set_config(") and sql.count("set_config(") >= 10


def _one(
    item: RawStatement, context: Context, engine: Engine, shards: int, out: Collector, tally: Tally
) -> Iterator[StatementReport]:
    name = item.name or statement_id(item.sql)
    if _is_own_session(item.sql):
        tally.ours += 1
        return
    try:
        parsed, placed = _parse(item.sql)
    except Unparsable as error:
        tally.unparsable += 1
        shown = _shown(item.sql)
        where = f" at character {error.position + 1}" if error.position >= 0 else ""
        out.add("AUD-EVD-02", f"statement {name}", f"{error.why}{where}: {_shown(item.sql, 120)}", source=item.source)
        yield StatementReport(
            id=statement_id(item.sql),
            name=name,
            sql=shown,
            verdict=StatementVerdict.UNPARSABLE.value,
            reasons=(f"{error.why}{where}",),
            relations=(),
            rules=("AUD-EVD-02",),
            source_file=item.source.file,
            source_line=item.source.line,
            calls=item.calls,
            total_ms=item.total_ms,
            extra_shard_calls=0.0,
            position=error.position if error.position >= 0 else None,
            function=item.function,
        )
        return
    if not parsed:
        tally.judged += 1
        yield StatementReport(
            id=statement_id(item.sql),
            name=name,
            sql=_shown(item.sql),
            verdict=StatementVerdict.NO_TABLE.value,
            reasons=("nothing but comments",),
            relations=(),
            rules=(),
            source_file=item.source.file,
            source_line=item.source.line,
            calls=item.calls,
            total_ms=item.total_ms,
            extra_shard_calls=0.0,
        )
        return
    tally.split += len(parsed) - 1
    for number, statement in enumerate(parsed, 1):
        judged = judge(context, statement.tag, statement.body)
        analysis = judged.analysis
        if analysis is not None and any(k.startswith("migrator.") for k in (*judged.relations, *analysis.unknown)):
            tally.ours += 1
            continue
        tally.judged += number == 1
        label = name if len(parsed) == 1 else f"{name}#{number}"
        text = item.sql if len(parsed) == 1 else statement.text.strip()
        yield report_statement(label, text, statement, judged, item, placed, context, engine, shards, out, tally)


def report_statement(
    label: str,
    text: str,
    statement: Parsed,
    judged: Judged,
    item: RawStatement,
    placed: Placed,
    context: Context,
    engine: Engine,
    shards: int,
    out: Collector,
    tally: Tally,
) -> StatementReport:
    """Turn a judged statement into its report and its findings."""
    hits = rules_statement.check(statement.tag, statement.body, judged, context, engine)
    rules: list[str] = list(judged.rules)
    rewrite = propose(judged, statement, placed, context) if judged.verdict is StatementVerdict.CROSS_SHARD else None
    obj = f"statement {label}"
    for hit in hits:
        severity = RULES[hit.rule].at(engine)
        if severity is None:
            continue
        if hit.rule not in rules:
            rules.append(hit.rule)
        key = next((i.key for i in judged.unbound), None)
        out.add(
            hit.rule,
            obj,
            hit.evidence,
            source=item.source,
            key=key,
            sql=rewrite if hit.rule.startswith("LIM-QRY") else None,
        )
    for rule in judged.rules:
        if not any(h.rule == rule for h in hits):
            out.add(rule, obj, judged.reasons[0], source=item.source)
    if judged.analysis is not None and judged.analysis.unknown:
        rules.append("AUD-EVD-03")
        out.add("AUD-EVD-03", obj, f"unknown: {', '.join(sorted(set(judged.analysis.unknown)))}", source=item.source)
    refused = [r for r in rules if RULES[r].refuses_on(engine)]
    if refused and judged.verdict is not StatementVerdict.UNSUPPORTED and _is_whole(statement.tag, judged):
        why = next((h.evidence for h in hits if h.rule == refused[0]), RULES[refused[0]].title)
        judged = replace(
            judged, verdict=StatementVerdict.UNSUPPORTED, reasons=[f"{why}: Limitless refuses it"], keys=()
        )
        rewrite = None
    fan_out = _fan_out(judged, shards)
    bulk = statement.tag == "InsertStmt" and "$" not in statement.text and "VALUES" not in statement.text.upper()
    _note_joins(judged, statement.tag, bulk, item.calls, tally)
    tally.joins.seen = tally.joins.seen or item.function is None
    tally.calls += item.calls
    if judged.verdict is StatementVerdict.CROSS_SHARD:
        tally.cross_calls += item.calls
    return StatementReport(
        id=statement_id(text),
        name=label,
        sql=_shown(text),
        verdict=judged.verdict.value,
        reasons=tuple(judged.reasons),
        relations=tuple(judged.relations.items()),
        rules=tuple(rules),
        source_file=item.source.file,
        source_line=item.source.line,
        calls=item.calls,
        total_ms=item.total_ms,
        extra_shard_calls=item.calls * (fan_out - 1),
        extra_cpu_ms=item.calls * (fan_out - 1) * SHARD_CALL_MS,
        per_shard_ms=None if item.total_ms is None else round(item.total_ms / fan_out + item.calls * SHARD_CALL_MS, 3),
        refused=bool(refused),
        proposed_verdict=judged.proposed.value if judged.proposed else None,
        rewrite=rewrite,
        function=item.function,
        keys=judged.keys,
    )


def _is_whole(tag: str, judged: Judged) -> bool:
    """Return whether a refusal concerns the statement as a whole. A statement on sharded tables that only contains
    something refused keeps its verdict: that part is replaced, and the rest goes where it goes."""
    return tag not in ON_ROWS or judged.verdict in (StatementVerdict.NO_TABLE, StatementVerdict.REFERENCE_ONLY)


def _fan_out(judged: Judged, shards: int) -> int:
    """Shards that one call asks: all for a cross-shard statement, as many as keys for several keys."""
    if judged.verdict is StatementVerdict.CROSS_SHARD:
        return shards
    if judged.verdict is StatementVerdict.MULTI_SHARD_KEYS:
        return max(1, min(shards, len(judged.keys)))
    return 1


def _note_joins(judged: Judged, tag: str, bulk: bool, calls: float, tally: Tally) -> None:
    """Remember for the classification which tables are joined and written; *bulk*: a load script's INSERT … SELECT."""
    sharded = any(kind == "sharded" for kind in judged.relations.values())
    for name, kind in judged.relations.items():
        if sharded and kind != "sharded":
            tally.joins.with_sharded[name] = tally.joins.with_sharded.get(name, 0.0) + calls
        if tag in ("InsertStmt", "UpdateStmt", "DeleteStmt") and kind != "sharded" and not bulk:
            tally.joins.written[name] = tally.joins.written.get(name, 0.0) + calls


def _shown(sql: str, longest: int = 20_000) -> str:
    text = sql.strip()
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
