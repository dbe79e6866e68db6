"""Asks a cluster for the plan of every statement. Nothing is executed.

Each statement has a read-only transaction of its own, which is rolled back, and goes over the extended protocol, which
takes one statement only, whatever a text holds. Parameters are replaced by literals of their types: a prepared
statement's plan may lack the optimization (AWS names SELECT, UPDATE and DELETE for them, not INSERT).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.audit.explain.answer import Answer, Held, hold, read, worst
from migrator.audit.explain.kinds import kinds, literal
from migrator.audit.explain.sample import Kind
from migrator.audit.report.values import AuditReport, StatementReport
from migrator.audit.rules.findings import Collector
from migrator.audit.shardkey.parameters import place
from migrator.db.error_text import server_message
from migrator.errors import UsageError
from migrator.grammar.parse import Parsed, Unparsable, parse, walk
from migrator.grammar.written import edited
from migrator.model.limits import parse_engine

PLANNED = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"))
"""Statements that have a plan."""

ROUNDS = 3
"""Sets of values tried. Two keys that differ share one of four shards in all three once in 64 times."""

STATEMENT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 2.0

LONGEST_PLAN = 60
"""Lines of a plan that are kept of a statement that differs."""

_PREPARED = "migrator_explain"


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement and what the cluster said; *plan* is kept of those that differ."""

    statement: StatementReport
    answer: Answer
    held: Held
    plan: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.statement.id,
            "name": self.statement.name,
            "verdict": self.statement.verdict,
            "answer": self.answer.value,
            "why": self.held.why,
            "contradicts": self.held.contradicts,
            "plan": list(self.plan),
        }


@dataclass(slots=True)
class Outcome:
    """What became of every statement."""

    agreed: int = 0
    different: list[Asked] = field(default_factory=list)
    unanswered: dict[str, list[str]] = field(default_factory=dict)  # why → names

    def to_json(self, cluster: str) -> dict[str, Any]:
        return {
            "cluster": cluster,
            "asked": self.agreed + len(self.different),
            "agreed": self.agreed,
            "differs": len(self.different),
            "not_answered": sum(map(len, self.unanswered.values())),
            "differences": [asked.to_json() for asked in sorted(self.different, key=_weight, reverse=True)],
            "reasons": [
                {"why": why, "statements": len(names), "first": names[0]}
                for why, names in sorted(self.unanswered.items(), key=lambda item: -len(item[1]))
            ],
        }


def _weight(asked: Asked) -> tuple[bool, float, float]:
    return asked.held.contradicts, asked.statement.total_ms or 0.0, asked.statement.calls


class NotAskedError(Exception):
    """A statement that cannot be asked about; the text says why."""


def explain(
    report: AuditReport, conn: psycopg.Connection[Any], cluster: str, progress: Callable[[str], None] | None = None
) -> AuditReport:
    """Return *report* with the answers of the cluster behind *conn*, and a finding for each that contradicts it.

    Args:
        conn: in autocommit, with a statement timeout; no other use while this runs.
        cluster: what the report calls it; no password in it.

    Raises:
        UsageError: the server is not Limitless.
    """
    if not _is_limitless(conn):
        raise UsageError(
            f"{cluster} is not Aurora Limitless, so its plans say nothing about one",
            hint="It has no rds_aurora.limitless_subclusters. Name the provisioned cluster: --limitless env:NAME.",
        )
    outcome = Outcome()
    conn.read_only = True
    schemas = [name.partition(".")[0] for name in (t.name for t in report.tables)]
    for number, statement in enumerate(report.statements, 1):
        try:
            asked = _ask(conn, statement, schemas)
        except NotAskedError as error:
            outcome.unanswered.setdefault(str(error), []).append(statement.name)
            continue
        if asked.held.agrees is None:
            outcome.unanswered.setdefault(asked.held.why, []).append(statement.name)
        elif asked.held.agrees:
            outcome.agreed += 1
        else:
            outcome.different.append(asked)
        if progress and number % 1000 == 0:
            progress(f"asked {cluster} about {number:,} of {len(report.statements):,} statements")
    return replace(report, findings=_with_findings(report, outcome.different), explain=outcome.to_json(cluster))


def _is_limitless(conn: psycopg.Connection[Any]) -> bool:
    row = conn.execute("SELECT pg_catalog.to_regclass('rds_aurora.limitless_subclusters') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _with_findings(report: AuditReport, different: Sequence[Asked]) -> tuple[Any, ...]:
    out = Collector(parse_engine(report.engine_version), report.tenant_key)
    for asked in different:
        if asked.held.contradicts:
            evidence = f"verdict {asked.statement.verdict}, but {asked.held.why}"
            out.add("AUD-EXP-01", f"statement {asked.statement.name}", evidence)
    return tuple(sorted((*report.findings, *out.findings()), key=lambda f: (f.severity.rank, f.rule, f.object)))


def _ask(conn: psycopg.Connection[Any], statement: StatementReport, schemas: Sequence[str]) -> Asked:
    """Return what the cluster says to *statement*.

    Raises:
        NotAskedError: it has no plan, cannot be read, or the cluster gives none.
    """
    if statement.function is not None:
        raise NotAskedError("statement of a function: its variables are no parameters")
    if statement.verdict == "unparsable":
        raise NotAskedError("PostgreSQL's grammar refuses it")
    text, parsed = readable(statement.sql)
    if parsed.tag not in PLANNED:
        raise NotAskedError("it has no plan: a command, or EXPLAIN, DECLARE and the like")
    if conn.closed:
        raise NotAskedError("the connection to the cluster was lost")
    of_it = [name.partition(".")[0] for name, _ in statement.relations if "." in name]
    path = tuple(dict.fromkeys((*of_it, *schemas, "public")))
    try:
        plans = _plans(conn, text, parsed, path)
    except psycopg.Error as error:
        if error.sqlstate == "0A000":
            why = server_message(error)
            held = hold(statement.verdict, statement.rules, _is_refused(statement), Answer.REFUSED, why)
            return Asked(statement, Answer.REFUSED, held)
        raise NotAskedError(f"{error.sqlstate or 'connection'}: {server_message(error)}") from None
    answer = worst(map(read, plans))
    held = hold(statement.verdict, statement.rules, _is_refused(statement), answer)
    kept = next(plan for plan in plans if read(plan) is answer)[:LONGEST_PLAN] if held.agrees is False else ()
    return Asked(statement, answer, held, kept)


def _is_refused(statement: StatementReport) -> bool:
    return statement.refused or statement.verdict == "unsupported"


def readable(text: str) -> tuple[str, Parsed]:
    """Return *text* with $n for its placeholders, and its tree."""
    for placed in (place(text), place(text, question=True)):
        try:
            found = parse(placed.sql)
        except Unparsable:
            continue
        if len(found) == 1:
            return placed.sql, found[0]
    raise NotAskedError("its text in the report is cut, or is not one statement")


def _plans(conn: psycopg.Connection[Any], text: str, parsed: Parsed, path: Sequence[str]) -> list[list[str]]:
    """Return the lines of a plan for each set of values."""
    data = text.encode()
    marks = {body["location"]: body["number"] for tag, body in walk(parsed.body) if tag == "ParamRef"}
    if not marks:
        return [_plan(conn, text, path)]
    types = parameter_kinds(conn, text, path)
    found = []
    for attempt in range(1, ROUNDS + 1):
        literals = {n: literal(conn, kind, n, attempt) for n, kind in enumerate(types, 1)}
        edits = [
            (at, at + len(m[0]), literals[number])
            for at, number in marks.items()
            if (m := re.compile(rb"\$\d+").match(data, at)) is not None and number in literals
        ]
        found.append(_plan(conn, edited(data, edits), path))
    return found


def plan(
    conn: psycopg.Connection[Any], text: str, parsed: Parsed, values: Mapping[int, str | None], path: Sequence[str]
) -> list[str]:
    """Return the lines of the plan that *text* has with *values*, by the numbers of its parameters. Nothing runs.

    Raises:
        NotAskedError: it has no plan, or a parameter without a value.
        psycopg.Error: the cluster gives none.
    """
    if parsed.tag not in PLANNED:
        raise NotAskedError("it has no plan")
    data = text.encode()
    marks = {body["location"]: body["number"] for tag, body in walk(parsed.body) if tag == "ParamRef"}
    if not marks:
        return _plan(conn, text, path)
    if not values.keys() >= set(marks.values()):
        raise NotAskedError("a parameter has no value")
    types = dict(enumerate(parameter_kinds(conn, text, path), 1))
    edits = [
        (at, at + len(m[0]), f"({sql.Literal(values[number]).as_string(conn)}::{types[number].name})")
        for at, number in marks.items()
        if (m := re.compile(rb"\$\d+").match(data, at)) is not None
    ]
    return _plan(conn, edited(data, edits), path)


def parameter_kinds(conn: psycopg.Connection[Any], text: str, path: Sequence[str]) -> list[Kind]:
    """Return the types that the cluster gives the parameters of *text*."""
    with conn.transaction(force_rollback=True):
        settle(conn, path)
        _one_statement(conn, f"PREPARE {_PREPARED} AS {text}")
    try:
        with conn.transaction(force_rollback=True):
            return kinds(conn, _PREPARED)
    finally:
        if not conn.closed:
            conn.execute(f"DEALLOCATE {_PREPARED}".encode())


def _plan(conn: psycopg.Connection[Any], text: str, path: Sequence[str]) -> list[str]:
    with conn.transaction(force_rollback=True):
        settle(conn, path)
        return [str(row[0]) for row in _one_statement(conn, f"EXPLAIN (COSTS OFF) {text}").fetchall()]


def settle(conn: psycopg.Connection[Any], path: Sequence[str]) -> None:
    """Name the schemas as the application does, let policies apply as they do to it, and ask for the marker."""
    schemas = sql.SQL(", ").join(map(sql.Identifier, path)).as_string(conn)
    conn.execute(
        "SELECT pg_catalog.set_config('search_path', %s, true), pg_catalog.set_config('row_security', 'on', true),"
        " pg_catalog.set_config('rds_aurora.limitless_explain_options', 'single_shard_optimization', true)",
        [schemas],
    )


def _one_statement(conn: psycopg.Connection[Any], text: str) -> psycopg.Cursor[Any]:
    """Execute *text* over the extended protocol (binary results need it), where a second statement is an error."""
    return conn.execute(text.encode(), binary=True)
