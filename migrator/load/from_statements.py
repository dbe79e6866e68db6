"""Drafts a workload from classic's pg_stat_statements: their weights are counted, their values come from the tables.

pg_stat_statements has no values. Where a statement compares a parameter with a column, the draft takes it from rows of
that table, by tenant (a pool); where it writes one, a value of the column's type is made; what is neither is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.audit.own import is_marked
from migrator.control.install import installed_version
from migrator.control.tables import captured_tables
from migrator.db.named import load
from migrator.errors import UsageError
from migrator.grammar.parse import Body, Kinds, names, operator, parse
from migrator.load.drafted import Draft, drafted, name_of, writes
from migrator.load.written import parameter_numbers
from migrator.model.counted import counted
from migrator.model.table import Table
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables

Connection = psycopg.Connection[Any]

POOL_ROWS = 20_000
TEXT_LETTERS = 20

_SQL = load("migrator.load", "load.sql")

_CALLED = sql.SQL("""
SELECT query, sum(calls)::int8
  FROM {}.pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query <> '<insufficient privilege>'
 GROUP BY query ORDER BY 2 DESC LIMIT %(most)s /* migrator:load */
""")
_MANY = 10
"""So many times as many statements are read: commands and the tool's own are passed over."""


@dataclass(frozen=True, slots=True)
class Called:
    """A statement as pg_stat_statements shows it, and how often it was called."""

    sql: str
    calls: int


def read(conn: Connection, most: int) -> list[Called]:
    """Return statements that read or write rows, the most called first: several times as many as *most*.

    Raises:
        UsageError: they are not counted, or not for this role to see.
    """
    found = conn.execute(_SQL["has_statements"]).fetchone()
    try:
        if found is None:
            raise UsageError("pg_stat_statements is not installed on classic", hint="Write the workload by hand.")
        rows = conn.execute(_CALLED.format(sql.Identifier(found[0])), {"most": most * _MANY}).fetchall()
    except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.InsufficientPrivilege):
        raise UsageError(
            "pg_stat_statements cannot be read on classic",
            hint="It has to be in shared_preload_libraries, and this role a member of pg_read_all_stats.",
        ) from None
    return [Called(str(text), int(calls)) for text, calls in rows if not is_marked(text) and writes(text) is not None]


def tables(conn: Connection, plan: Plan) -> tuple[Table, ...]:
    """Return the captured tables, or before capture those that the plan means."""
    captured = tuple(captured_tables(conn).values()) if installed_version(conn) is not None else ()
    return captured or resolve_tables(conn, plan.tables)


def made(called: Sequence[Called], known: Sequence[Table], most: int) -> Draft:
    """Return the draft of the first *most* of *called* that use a table of the plan. Pure."""
    pools: dict[str, list[str]] = {}
    left_out: list[str] = []
    transactions: list[dict[str, Any]] = []
    used = [one for one in called if _uses(one.sql, known)]
    if len(used) < len(called):
        left_out.append(f"{counted(len(called) - len(used), 'statement')} without a table of the plan")
    for one in used[:most]:
        name = name_of(len(transactions) + 1, one.sql)
        found, why = _parameters(one.sql, known, pools)
        if why:
            left_out.append(f"{name} ({one.calls:,} calls): {why}")
            continue
        statement = {"sql": one.sql, "parameters": found} if found else {"sql": one.sql}
        transactions.append(
            {"name": name, "weight": one.calls, "writes": bool(writes(one.sql)), "statement": [statement]}
        )
    head = (
        "Drafted from pg_stat_statements of classic. Look it through: join what is one transaction, and see to it that",
        "pools have rows of all tenants that matter (a LIMIT takes those that come first).",
    )
    by_name = {table.qualified: table for table in known}
    written = {name: _pool(by_name[name], columns) for name, columns in pools.items()}
    return drafted(head, transactions, written, left_out)


def _pool(table: Table, columns: Sequence[str]) -> str:
    listed = sql.SQL(", ").join(map(sql.Identifier, (table.tenant_column or "", *columns)))
    statement = sql.SQL("SELECT {} FROM {} LIMIT {}").format(
        listed, sql.Identifier(table.schema, table.name), sql.Literal(POOL_ROWS)
    )
    return statement.as_string()


def _parameters(text: str, known: Sequence[Table], pools: dict[str, list[str]]) -> tuple[list[Any], str]:
    """Return what each parameter is, adding to *pools* the columns they are taken from; or why it cannot be said."""
    numbers = parameter_numbers(text)
    kinds = _kinds(text)
    named = _named(kinds, known)
    of: dict[int, Any] = {}
    wanted: dict[str, list[str]] = {}
    for number, table, column in _compared(kinds, named):
        if column in (table.tenant_column, table.tenant_source):
            of[number] = "tenant"
        elif table.tenant_column is not None:
            listed = wanted.setdefault(table.qualified, pools.get(table.qualified, []).copy())
            if column not in listed:
                listed.append(column)
            of.setdefault(number, {"pool": table.qualified, "column": listed.index(column) + 2})
    for number, table, column in _written(kinds, named):
        of.setdefault(number, "tenant" if column == table.tenant_column else _typed(table, column))
    of |= {number: {"value": value} for number, value in _limits(kinds).items()}
    unknown = [number for number in sorted(numbers) if of.get(number) is None]
    if unknown:
        return [], f"what ${unknown[0]} is cannot be told from its text: give it by hand"
    pools.update(wanted)
    return [of[number] for number in range(1, max(numbers, default=0) + 1)], ""


def _uses(text: str, known: Sequence[Table]) -> bool:
    return bool(_named(_kinds(text), known))


def _kinds(text: str) -> Kinds:
    """Return the nodes of a statement by type, itself among them."""
    [statement] = parse(text)
    found = {**statement.kinds}
    if statement.body not in found.get(statement.tag, ()):
        found[statement.tag] = [*found.get(statement.tag, ()), statement.body]
    return found


def _named(kinds: Kinds, known: Sequence[Table]) -> Mapping[str, Table]:
    """Return the tables of the plan in a statement, by what it calls them."""
    found: dict[str, Table] = {}
    ranges = list(kinds.get("RangeVar", ()))
    ranges += [body["relation"] for tag in ("InsertStmt", "UpdateStmt", "DeleteStmt") for body in kinds.get(tag, ())]
    for body in ranges:
        schema, name = body.get("schemaname"), body.get("relname")
        table = next((t for t in known if t.name == name and schema in (None, t.schema)), None)
        if table is not None:
            found[body.get("alias", {}).get("aliasname") or str(name)] = table
    return found


def _column(body: Body, named: Mapping[str, Table]) -> tuple[Table, str] | None:
    """Return the table and name of a ColumnRef, where there is one table that it can be of."""
    parts = names(body.get("fields"))
    if not parts or parts[-1] == "*":
        return None
    tables = [named[parts[-2]]] if len(parts) > 1 and parts[-2] in named else list(named.values())
    of = [t for t in tables if any(c.name == parts[-1] for c in t.columns) or parts[-1] == t.tenant_column]
    return (of[0], parts[-1]) if of else None


def _compared(kinds: Kinds, named: Mapping[str, Table]) -> list[tuple[int, Table, str]]:
    """Return (parameter, table, column) of each comparison of one with the other; a cast in between does not matter."""
    found = []
    for body in kinds.get("A_Expr", ()):
        if body.get("kind") != "AEXPR_OP" or operator(body) not in ("=", "<", ">", "<=", ">="):
            continue
        sides = [_bare(body.get("lexpr")), _bare(body.get("rexpr"))]
        numbers = [side["ParamRef"].get("number", 0) for side in sides if "ParamRef" in side]
        columns = [_column(side["ColumnRef"], named) for side in sides if "ColumnRef" in side]
        if len(numbers) == 1 and columns and columns[0] is not None:
            found.append((int(numbers[0]), *columns[0]))
    return found


def _bare(node: Any) -> Body:
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"].get("arg")
    return node if isinstance(node, dict) else {}


def _written(kinds: Kinds, named: Mapping[str, Table]) -> list[tuple[int, Table, str]]:
    """Return (parameter, table, column) of each value that is written."""
    found = []
    for body in kinds.get("InsertStmt", ()):
        table = next((t for t in named.values() if t.name == body["relation"].get("relname")), None)
        columns = [item["ResTarget"].get("name", "") for item in body.get("cols", ()) if "ResTarget" in item]
        rows = body.get("selectStmt", {}).get("SelectStmt", {}).get("valuesLists", ())
        for row in rows:
            items = row.get("List", {}).get("items", ()) if isinstance(row, dict) else ()
            for column, item in zip(columns, items, strict=False):
                if table is not None and "ParamRef" in (bare := _bare(item)):
                    found.append((int(bare["ParamRef"].get("number", 0)), table, column))
    for body in kinds.get("UpdateStmt", ()):
        table = next((t for t in named.values() if t.name == body["relation"].get("relname")), None)
        for item in body.get("targetList", ()):
            target = item.get("ResTarget", {})
            if table is not None and "ParamRef" in (bare := _bare(target.get("val"))):
                found.append((int(bare["ParamRef"].get("number", 0)), table, target.get("name", "")))
    return found


def _typed(table: Table, column: str) -> Any:
    """Return a source of values of a column's type; None where none can be told."""
    shape = next((c for c in table.columns if c.name == column), None)
    if shape is None:
        return None
    kind = shape.type.partition("(")[0]
    if kind in ("bigint", "integer", "smallint") and column in table.key:
        return "unique" if kind == "bigint" else None
    if kind in ("bigint", "integer", "smallint", "numeric", "real", "double precision"):
        return {"integer": [1, 1000]}
    if kind in ("text", "character varying", "character"):
        length = shape.type[len(kind) :].strip("()")
        return {"text": min(TEXT_LETTERS, int(length)) if length.isdigit() else TEXT_LETTERS}
    fixed = {
        "boolean": True,
        "date": "2026-01-01",
        "timestamp with time zone": "2026-01-01 12:00:00+00",
        "timestamp without time zone": "2026-01-01 12:00:00",
        "jsonb": "{}",
        "json": "{}",
    }
    if shape.type in fixed:
        return {"value": fixed[shape.type]}
    return "uuid" if kind == "uuid" else None


def _limits(kinds: Kinds) -> dict[int, int]:
    """Return values for LIMIT and OFFSET: one page."""
    found = {}
    for body in kinds.get("SelectStmt", ()):
        for key, value in (("limitCount", 20), ("limitOffset", 0)):
            bare = _bare(body.get(key))
            if "ParamRef" in bare:
                found[int(bare["ParamRef"].get("number", 0))] = value
    return found
