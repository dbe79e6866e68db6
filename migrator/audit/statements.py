"""Judges each statement of the evidence. Counts in = counts out.

One statement at a time: parse, analyse, apply the rules, forget the tree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace

from migrator.audit.classify import Joins, add_calls
from migrator.audit.evidence.rows import RawStatement
from migrator.audit.own import is_marked, is_own, may_be_own
from migrator.audit.report.values import StatementReport
from migrator.audit.rules import statement as rules_statement
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Hit
from migrator.audit.rules.rulebook import RULES
from migrator.audit.shardkey.compared import bound_else
from migrator.audit.shardkey.parameters import Placed, place
from migrator.audit.shardkey.propose import propose
from migrator.audit.shardkey.verdict import Judged, StatementVerdict, judge_parsed
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Parsed, Unparsable, parse
from migrator.grammar.types import plain_type

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
assumption, of the order of planning a simple statement on PostgreSQL; a load test replaces it."""

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
    """Counts of what was read, by outcome; `read` equals the sum of the rest."""

    read: int = 0
    judged: int = 0
    unparsable: int = 0
    ours: int = 0  # statements of this tool
    split: int = 0  # further statements found in texts that held several
    by_origin: dict[str, int] = field(default_factory=dict)  # statements of the application, by file or view
    unparsable_by_origin: dict[str, int] = field(default_factory=dict)
    idle_by_origin: dict[str, int] = field(default_factory=dict)  # those that touch no table of the schema
    joins: Joins = field(default_factory=Joins)
    cross_calls: float = 0.0
    calls: float = 0.0

    def add(self, other: Tally) -> None:
        """Count what *other* counted too."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, dict):
                add_calls(mine, theirs)
            elif isinstance(mine, Joins):
                mine.add(theirs)
            else:
                setattr(self, each.name, mine + theirs)


@dataclass(frozen=True, slots=True)
class Audit:
    """What statements are judged with, and where findings go.

    Attributes:
        shards: of the target; a cross-shard statement costs something on each.
    """

    context: Context
    shards: int
    out: Collector
    tally: Tally


@dataclass(slots=True)
class Occurrence:
    """One parsed statement where it was found.

    Attributes:
        text: as it is shown; the text that was parsed may have other placeholders (`placed`).
    """

    label: str
    text: str
    parsed: Parsed
    item: RawStatement
    placed: Placed


def statement_id(sql: str) -> str:
    """Return an id that does not depend on white space."""
    return "q-" + hashlib.blake2s(" ".join(sql.split()).encode("utf-8", "replace"), digest_size=6).hexdigest()


def judged(raw: Iterable[RawStatement], audit: Audit) -> Iterator[StatementReport]:
    """Yield a report for every statement, the unparsable ones too; equal texts have equal ids."""
    tally = audit.tally
    for item in raw:
        tally.read += 1
        ours, unparsable, origin = tally.ours, tally.unparsable, item.source.file
        reports = list(_one(item, audit))
        if tally.ours == ours:
            tally.by_origin[origin] = tally.by_origin.get(origin, 0) + 1
            idle = not any(r.relations for r in reports)
            tally.idle_by_origin[origin] = tally.idle_by_origin.get(origin, 0) + idle
        if tally.unparsable > unparsable:
            tally.unparsable_by_origin[origin] = tally.unparsable_by_origin.get(origin, 0) + 1
        yield from reports


def numbered(reports: Iterable[StatementReport]) -> Iterator[StatementReport]:
    """Yield *reports*, each with an id of its own."""
    seen: dict[str, int] = {}
    for report in reports:
        number = seen.get(report.id, 0)
        seen[report.id] = number + 1
        yield replace(report, id=f"{report.id}-{number + 1}") if number else report


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
    """Return whether *sql* carries this tool's mark, or is what every connection of it runs first."""
    if is_marked(sql):
        return True
    return sql.startswith("SELECT set_config(") and sql.count("set_config(") >= 10


def _one(item: RawStatement, audit: Audit) -> Iterator[StatementReport]:
    tally = audit.tally
    name = item.name or statement_id(item.sql)
    if _is_own_session(item.sql):
        tally.ours += 1
        return
    try:
        parsed, placed = _parse(item.sql)
    except Unparsable as error:
        tally.unparsable += 1
        why = f"{error.why} at character {error.position + 1}" if error.position >= 0 else error.why
        audit.out.add("AUD-EVD-02", f"statement {name}", f"{why}: {_shown(item.sql, 120)}", source=item.source)
        report = _unjudged(item, name, StatementVerdict.UNPARSABLE, why)
        yield replace(report, rules=("AUD-EVD-02",), position=error.position if error.position >= 0 else None)
        return
    if not parsed:
        tally.judged += 1
        yield _unjudged(item, name, StatementVerdict.NO_TABLE, "nothing but comments")
        return
    tally.split += len(parsed) - 1
    for number, statement in enumerate(parsed, 1):
        if may_be_own(statement.text) and is_own(statement.tag, statement.body):
            tally.ours += 1
            continue
        found = judge_parsed(audit.context, statement)
        tally.judged += number == 1
        label = name if len(parsed) == 1 else f"{name}#{number}"
        text = item.sql if len(parsed) == 1 else statement.text.strip()
        yield report_statement(Occurrence(label, text, statement, item, placed), found, audit)


def _unjudged(item: RawStatement, name: str, verdict: StatementVerdict, why: str) -> StatementReport:
    return StatementReport(
        id=statement_id(item.sql),
        name=name,
        sql=_shown(item.sql),
        verdict=verdict.value,
        reasons=(why,),
        relations=(),
        rules=(),
        source_file=item.source.file,
        source_line=item.source.line,
        calls=item.calls,
        total_ms=item.total_ms,
        extra_shard_calls=0.0,
        function=item.function,
    )


def report_statement(found: Occurrence, judged: Judged, audit: Audit) -> StatementReport:
    """Turn a judged statement into its report and its findings."""
    item = found.item
    rewrite = None
    if judged.verdict is StatementVerdict.CROSS_SHARD:
        rewrite = propose(judged, found.parsed, found.placed, audit.context)
    hits = rules_statement.check(found.parsed, judged, audit.context)
    rules = _add_findings(found, judged, hits, rewrite, audit.out)
    refused = [r for r in rules if RULES[r].refuses_on(audit.out.engine)]
    if refused and judged.verdict is not StatementVerdict.UNSUPPORTED and _is_whole(found.parsed.tag, judged):
        why = next((h.evidence for h in hits if h.rule == refused[0]), RULES[refused[0]].title)
        judged = replace(
            judged, verdict=StatementVerdict.UNSUPPORTED, reasons=[f"{why}: Limitless refuses it"], keys=()
        )
        rewrite = None
    fan_out = _fan_out(judged, audit.shards)
    _count(found, judged, audit.tally)
    return StatementReport(
        id=statement_id(found.text),
        name=found.label,
        sql=_shown(found.text),
        verdict=judged.verdict.value,
        reasons=(*judged.reasons, *_bindings(found, judged)),
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
        rewrite_basis=rewrite and "schema",
        function=item.function,
        keys=judged.keys,
    )


def _bindings(found: Occurrence, judged: Judged) -> Iterator[str]:
    """Yield which parameters a driver must bind as the type of the key, where the statement has no cast."""
    if judged.verdict is not StatementVerdict.SINGLE_SHARD or judged.analysis is None or judged.keys[0][0] != "$":
        return
    [key] = judged.keys
    casts = found.parsed.kinds.get("TypeCast", ())
    if any(f"${cast['arg']['ParamRef'].get('number', 0)}" == key for cast in casts if "ParamRef" in cast["arg"]):
        return
    types = (judged.analysis.types.get(i.node or 0) for i in judged.instances)
    for kind in sorted({plain_type(t) for t in types if bound_else(t)}):
        name = next((n for n, number in found.placed.names.items() if f"${number}" == key), key)
        yield f"on one shard if {name} is bound as {kind}: {' or '.join(bound_else(kind))} would make it all of them"


def _add_findings(found: Occurrence, judged: Judged, hits: list[Hit], rewrite: str | None, out: Collector) -> list[str]:
    """Add the findings on a statement to *out*; return the rules that it meets."""
    rules: list[str] = list(judged.rules)
    obj, source = f"statement {found.label}", found.item.source
    key = next((i.key for i in judged.unbound), None)
    for hit in hits:
        if RULES[hit.rule].at(out.engine) is None:
            continue
        if hit.rule not in rules:
            rules.append(hit.rule)
        sql = rewrite if hit.rule.startswith("LIM-QRY") else None
        out.add(hit.rule, obj, hit.evidence, source=source, key=key, sql=sql)
    for rule in judged.rules:
        if not any(h.rule == rule for h in hits):
            out.add(rule, obj, judged.reasons[0], source=source)
    if judged.analysis is not None and judged.analysis.unknown:
        rules.append("AUD-EVD-03")
        out.add("AUD-EVD-03", obj, f"unknown: {', '.join(sorted(set(judged.analysis.unknown)))}", source=source)
    return rules


def _is_whole(tag: str, judged: Judged) -> bool:
    """Return whether a refusal concerns the statement as a whole. A statement on sharded tables that only contains
    something refused keeps its verdict: that part is replaced, and the verdict is that of the rest."""
    return tag not in ON_ROWS or judged.verdict in (StatementVerdict.NO_TABLE, StatementVerdict.REFERENCE_ONLY)


def _fan_out(judged: Judged, shards: int) -> int:
    """Shards that one call asks: all for a cross-shard statement, as many as keys for several keys."""
    if judged.verdict is StatementVerdict.CROSS_SHARD:
        return shards
    if judged.verdict is StatementVerdict.MULTI_SHARD_KEYS:
        return max(1, min(shards, len(judged.keys)))
    return 1


def _count(found: Occurrence, judged: Judged, tally: Tally) -> None:
    """Count the calls, and remember for the classification which tables are joined and written."""
    tag, sql, calls = found.parsed.tag, found.parsed.text, found.item.calls
    joins = tally.joins
    bulk = tag == "InsertStmt" and "$" not in sql and "VALUES" not in sql.upper()  # a load script's INSERT … SELECT
    sharded = any(kind == "sharded" for kind in judged.relations.values())
    for name, kind in judged.relations.items():
        if sharded and kind != "sharded":
            joins.with_sharded[name] = joins.with_sharded.get(name, 0.0) + calls
        if tag in ("InsertStmt", "UpdateStmt", "DeleteStmt") and kind != "sharded" and not bulk:
            joins.written[name] = joins.written.get(name, 0.0) + calls
    joins.seen = joins.seen or found.item.function is None
    tally.calls += calls
    if judged.verdict is StatementVerdict.CROSS_SHARD:
        tally.cross_calls += calls


def _shown(sql: str, longest: int = 20_000) -> str:
    text = sql.strip()
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
