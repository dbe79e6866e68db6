"""Holds the audit's verdicts on an application against PostgreSQL's planner, on tables split by hash of the shard key.

The planner is the judge: one partition number in a plan is one shard. It is asked with plans made for values, several
sets of them, and for SELECT with a plan made for any value, which prunes when it begins. An INSERT is also run, and
rolled back, since its rows are placed by the executor.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migrator.audit.evidence.rows import Evidence, RawStatement
from migrator.audit.explain.ask import PLANNED, ROUNDS
from migrator.audit.explain.kinds import kinds, literal
from migrator.audit.plan_init import plan_text, survey
from migrator.audit.report.values import AuditReport, StatementReport
from migrator.audit.run import audit_live
from migrator.audit.shardkey.parameters import place
from migrator.grammar.parse import Unparsable, parse
from migrator.plan.load import accepted, from_body
from migrator.plan.schema import Plan
from migrator.scripts.directions import forward
from migrator.scripts.folder import expand
from migrator.scripts.input_file import read_text
from migrator.scripts.statement_file import split
from tests.applications.sharded import LEAF, Sharded, shard

ANNOUNCED = {"42P10": "LIM-DML-03", "42803": "LIM-QRY-10", "42702": "LIM-QRY-11"}
"""What the new keys make PostgreSQL itself refuse: SQLSTATE, and the rule that says so."""


@dataclass
class Held:
    """What became of every statement: names, or (name, what was seen)."""

    statements: int = 0
    not_asked: dict[str, list[str]] = field(default_factory=dict)  # why → names
    asked: dict[str, int] = field(default_factory=dict)  # verdict → how many
    one_shard: int = 0  # of those asked, by the planner
    agreed: int = 0
    marked: list[str] = field(default_factory=list)  # one shard at run time only, and said so
    crossing: list[tuple[str, str]] = field(default_factory=list)  # called single, and several shards are read
    placed: list[str] = field(
        default_factory=list
    )  # an INSERT whose key is made at run time: one row goes to one shard
    alarms: list[tuple[str, str]] = field(default_factory=list)  # called cross-shard, and one shard is read
    several: list[tuple[str, str]] = field(default_factory=list)  # called several keys, and one shard is read
    refused: list[tuple[str, str]] = field(default_factory=list)  # by PostgreSQL on the sharded tables, and not said
    announced: int = 0  # refused there, and said

    def left_out(self, why: str, name: str) -> None:
        self.not_asked.setdefault(why, []).append(name)

    @property
    def total(self) -> int:
        return sum(self.asked.values())


def load_schema(conn: psycopg.Connection[Any], paths: Sequence[Path]) -> list[str]:
    """Run the way forward of schema files and migrations; return what the server refuses of them."""
    refused = []
    for path in paths:
        for file in expand(path).files:
            for piece in split(forward(read_text(file)[0]).text):
                if not piece.sql or piece.sql.split(None, 1)[0].lower().rstrip(";") in (
                    "begin",
                    "commit",
                    "start",
                    "end",
                ):
                    continue
                try:
                    conn.execute(piece.sql.encode())
                except psycopg.Error as error:
                    refused.append(f"{file.name}:{piece.line}: {error.diag.message_primary}")
    return refused


def proposed_plan(conn: psycopg.Connection[Any], tenant_key: str, aliases: Mapping[str, str]) -> Plan:
    """Return the plan that `plan init` would write, with every proposal accepted."""
    report = survey(conn, schemas=None, tenant_key=tenant_key, aliases=aliases)
    text = plan_text(report, name="application", classic="env:CLASSIC", limitless="env:LIMITLESS")
    return from_body(accepted(tomllib.loads(text)))


def hold_all(conn: psycopg.Connection[Any], plan: Plan, statements: Sequence[RawStatement]) -> tuple[Held, AuditReport]:
    """Judge *statements*, then shard the database of *conn*, and ask its planner about each of them.

    Args:
        conn: in autocommit, without prepared statements of its own; its database has the application's schema and no
            rows, and is changed.
    """
    report = audit_live(conn, plan, extra=Evidence(statements=list(statements)))
    schemas = dict.fromkeys([t.name.partition(".")[0] for t in report.tables] + ["public"])
    path = sql.SQL(", ").join(map(sql.Identifier, schemas)).as_string(conn)
    conn.execute("SELECT set_config('search_path', %s, false)", [path])
    conn.execute("SET jit = off; SET max_parallel_workers_per_gather = 0; SET statement_timeout = '20s'")
    held = Held()
    texts = dict(_askable(conn, report, held))
    regrouped: list[str] = []
    held.refused += [("schema", lost) for lost in shard(conn, sharded_tables(conn, report), regrouped)]
    said = {f.object for f in report.findings if f.rule == ANNOUNCED.get("42803")}
    held.refused += [("schema", f"the view {view} cannot be made") for view in regrouped if view not in said]
    held.announced += len(said.intersection(regrouped))
    for statement in report.statements:
        if statement.id in texts:
            _hold(conn, statement, texts[statement.id], report, held)
    return held, report


def sharded_tables(conn: psycopg.Connection[Any], report: AuditReport) -> dict[str, Sharded]:
    """Return every sharded table of *report*, with the type of the key where classic lacks it."""
    sharded = [t for t in report.tables if t.kind == "sharded"]
    made: dict[str, Sharded] = {}
    types: dict[str, str] = {}
    for table in sharded:
        schema, _, name = table.name.partition(".")
        key = table.key or report.tenant_key
        row = conn.execute(
            "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid ="
            " (quote_ident(%s) || '.' || quote_ident(%s))::regclass AND a.attname = %s AND NOT a.attisdropped",
            [schema, name, key],
        ).fetchone()
        if row:
            types.setdefault(report.tenant_key, row[0])
        made[table.name] = Sharded(schema, name, key, None if row else "")
    fallback = types.get(report.tenant_key, "text")
    return {n: t if t.added is None else Sharded(t.schema, t.name, t.key, fallback) for n, t in made.items()}


def _askable(conn: psycopg.Connection[Any], report: AuditReport, held: Held) -> Iterator[tuple[str, str]]:
    """Yield (id, text with $n) of the statements that have a plan on the application's own schema."""
    for statement in report.statements:
        if statement.function is not None:
            continue
        held.statements += 1
        if statement.verdict in ("unparsable", "unsupported"):
            held.left_out(statement.verdict, statement.name)
            continue
        text = _text(statement.sql)
        if text is None:
            held.left_out("no statement with a plan", statement.name)
            continue
        try:
            _prepare(conn, text)
        except psycopg.Error as error:
            held.left_out(
                f"invalid on its own schema: {error.sqlstate}", f"{statement.name}: {error.diag.message_primary}"
            )
            continue
        yield statement.id, text


def _text(text: str) -> str | None:
    for placed in (place(text), place(text, question=True)):
        try:
            found = parse(placed.sql)
        except Unparsable:
            continue
        return placed.sql if len(found) == 1 and found[0].tag in PLANNED else None
    return None


def _prepare(conn: psycopg.Connection[Any], text: str) -> None:
    conn.execute("DEALLOCATE ALL")
    conn.execute(b"PREPARE q AS " + text.encode())


def _hold(
    conn: psycopg.Connection[Any], statement: StatementReport, text: str, report: AuditReport, held: Held
) -> None:
    try:
        _prepare(conn, text)
        calls = _calls(conn)
        read = [_read(conn, call, "force_custom_plan") for call in calls]
        rows = set().union(*(went := [_placed(conn, call, statement) for call in calls]))
    except psycopg.Error as error:
        if error.sqlstate is not None and error.sqlstate.startswith("22"):
            held.left_out("no value comes to mind", f"{statement.name}: {error.diag.message_primary}")
        elif ANNOUNCED.get(error.sqlstate or "") in statement.rules:
            held.announced += 1
        else:
            held.refused.append((statement.name, f"{error.sqlstate} {error.diag.message_primary}"))
        return
    planned, most = max(read, key=len), max(map(set.union, read, went), key=len)
    held.asked[statement.verdict] = held.asked.get(statement.verdict, 0) + 1
    held.one_shard += len(most) == 1
    name = statement.name
    seen = f"{len(most)} shards; verdict {statement.verdict}: {'; '.join(statement.reasons)}"
    single = statement.verdict == "single_shard"
    if single and "LIM-QRY-02" in statement.rules:
        held.marked.append(name)
        held.agreed += 1
    elif statement.verdict in (*_NONE, "single_shard") and len(most) > single:
        held.crossing.append((name, seen))
    elif single and _tag(text) == "SelectStmt" and len(later := _read(conn, calls[0], "force_generic_plan")) > 1:
        held.crossing.append((name, f"{len(later)} shards with a generic plan"))
    elif statement.verdict == "cross_shard" and len(most) == 1:
        if planned and (_tag(text) != "InsertStmt" or rows):
            held.alarms.append((name, seen))
        else:
            held.placed.append(name)
    elif statement.verdict == "multi_shard_keys" and len(most) == 1:
        held.several.append((name, seen))
    else:
        held.agreed += 1


_NONE = ("reference_only", "no_table")
"""Verdicts of statements that read no sharded table."""


def _tag(text: str) -> str:
    return parse(text)[0].tag


def _calls(conn: psycopg.Connection[Any]) -> list[str]:
    """Return calls of q: with values that differ, with zeros and empty texts, with NULL for one parameter or all.

    Where a condition depends on whether a parameter is given, only some of them show all that it can ask for.
    """
    types = kinds(conn, "q")
    if not types:
        return ["q"]
    sets = [[literal(conn, kind, n, attempt) for n, kind in enumerate(types, 1)] for attempt in range(1, ROUNDS + 1)]
    sets.append([_EMPTY[k.base].format(k.name) if k.base in _EMPTY and not k.array else made
                 for k, made in zip(types, sets[0], strict=True)])  # fmt: skip
    sets.append(["NULL"] * len(types))
    sets += [["NULL" if at == n else made for n, made in enumerate(sets[0])] for at in range(min(len(types), 15))]
    return [f"q({', '.join(values)})" for values in sets]


_EMPTY = {
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "double precision", "real"), "0::{}"),
    **dict.fromkeys(("text", "character varying", "bytea"), "''::{}"),
    "boolean": "false",
}


def _read(conn: psycopg.Connection[Any], call: str, mode: str) -> set[str]:
    """Return the shards in the plan of *call*."""
    conn.execute("SELECT set_config('plan_cache_mode', %s, false)", (mode,))
    with conn.transaction(force_rollback=True):
        [[plan]] = conn.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {call}".encode()).fetchall()
    made = json.loads(plan) if isinstance(plan, str) else plan
    found, stack = set(), [made[0]["Plan"]]
    while stack:
        node = stack.pop()
        stack += node.get("Plans", [])
        if leaf := LEAF.fullmatch(node.get("Relation Name", "")):
            found.add(leaf[1])
    return found


def _placed(conn: psycopg.Connection[Any], call: str, statement: StatementReport) -> set[str]:
    """Return the shards that hold a row once *call* has run on empty tables, and roll it back."""
    found: set[str] = set()
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(f"EXECUTE {call}".encode())
            for name, kind in statement.relations:
                if kind == "sharded":
                    there = sql.Identifier(*name.split(".", 1))
                    rows = conn.execute(
                        sql.SQL("SELECT DISTINCT c.relname FROM {} t JOIN pg_class c ON c.oid = t.tableoid").format(
                            there
                        )
                    )
                    found |= {m[1] for (leaf,) in rows.fetchall() if (m := LEAF.fullmatch(leaf))}
    except psycopg.Error:  # made-up values that the table does not take
        return found
    return found
