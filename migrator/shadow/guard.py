"""Which statements may be repeated, as what, and why may their results not be compared? Pure.

Everything that is not known to be harmless is left out, with the reason: a statement is never run to find out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migrator.audit.catalog import SYSTEM_SCHEMAS, TOOL_SCHEMA, Relation, RelationKind
from migrator.grammar.parse import Body, Parsed, Unparsable, constant, function_name, names, parse
from migrator.shadow.functions import Functions
from migrator.shadow.rows import Order

_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
_WORDS = {
    "CopyStmt": "COPY",
    "DoStmt": "DO",
    "CallStmt": "CALL",
    "TransactionStmt": "transaction control",
    "VariableSetStmt": "SET",
    "VariableShowStmt": "SHOW",
    "LockStmt": "LOCK",
    "ExplainStmt": "EXPLAIN",
    "DeclareCursorStmt": "DECLARE",
    "FetchStmt": "FETCH",
    "ClosePortalStmt": "CLOSE",
    "DiscardStmt": "DISCARD",
    "PrepareStmt": "PREPARE",
    "ExecuteStmt": "EXECUTE",
    "DeallocateStmt": "DEALLOCATE",
    "NotifyStmt": "NOTIFY",
    "ListenStmt": "LISTEN",
    "UnlistenStmt": "UNLISTEN",
    "VacuumStmt": "VACUUM",
}
_BY_ORDER = frozenset(
    re.findall(
        r"\w+",
        "array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg json_arrayagg json_objectagg",
    )
)
"""Aggregates whose value depends on the order in which rows come."""
_SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"))


class Sort(StrEnum):
    """What a statement does."""

    READ = "read"
    WRITE = "write"  # also one that locks rows


@dataclass(frozen=True, slots=True)
class Use:
    """What may be done with a statement.

    Attributes:
        refused: why it is not repeated; '' when it is.
        doubts: why its results may differ on two equal sides, so that they are not compared.
        relations: tables and views that it names, without the schemas of the server.
    """

    sort: Sort = Sort.READ
    refused: str = ""
    doubts: tuple[str, ...] = ()
    order: Order = field(default_factory=Order)
    relations: tuple[Relation, ...] = ()


def judge(statement: Parsed, functions: Functions) -> Use:
    """Return what may be done with *statement*."""
    if statement.tag != "SelectStmt" and statement.tag not in _WRITES:
        return Use(refused=f"{_WORDS.get(statement.tag, statement.tag.removesuffix('Stmt'))} is not repeated")
    why, relations = _refusal(statement, functions, ())
    if why:
        return Use(refused=why)
    if not relations:
        return Use(refused="it reads no table of the application")
    kinds = statement.kinds
    writes = statement.tag in _WRITES or any(tag in kinds for tag in _WRITES)
    locks = any(d.get("lockingClause") for d in _dicts(statement.body))
    return Use(
        sort=Sort.WRITE if writes or locks else Sort.READ,
        doubts=() if writes or locks else tuple(dict.fromkeys((*_doubts(statement, functions), *_hidden(relations)))),
        order=_order(statement.body),
        relations=relations,
    )


def _refusal(statement: Parsed, functions: Functions, above: tuple[str, ...]) -> tuple[str, tuple[Relation, ...]]:
    """Return why *statement* may not be repeated, '' when it may, and the application's relations that it names."""
    body, kinds = statement.body, statement.kinds
    if any("intoClause" in found for found in _dicts(body)):
        return "SELECT INTO makes a table", ()
    for call in kinds.get("FuncCall", ()):
        why = functions.refusal(*function_name(call))
        if why:
            return why, ()
    found: list[Relation] = []
    ctes = {item["ctename"] for item in kinds.get("CommonTableExpr", ())}
    for table in _tables(statement):
        name, schema = table["relname"], table.get("schemaname")
        if schema is None and name in ctes:
            continue
        if schema == TOOL_SCHEMA or table.get("catalogname"):
            return "it reads tables of the migration itself, or of another database", ()
        if schema in SYSTEM_SCHEMAS or (schema is None and name.startswith("pg_")):
            return "it reads catalogs of the server", ()
        relation = functions.catalog.find(name, schema)
        if relation is None:
            return f"it names {name}, which is not in the database", ()
        if relation.kind is RelationKind.FOREIGN:
            return f"it reads {relation.qualified}, which is on another server", ()
        if relation.qualified not in above and relation.view_sql and relation.kind is RelationKind.VIEW:
            why, below = _of_view(relation, functions, (*above, relation.qualified))
            if why:
                return why, ()
            found += below
        found.append(relation)
    return "", _distinct(found)


def _of_view(relation: Relation, functions: Functions, above: tuple[str, ...]) -> tuple[str, tuple[Relation, ...]]:
    try:
        [inside] = parse(relation.view_sql or "")
    except (Unparsable, ValueError):
        return f"view {relation.qualified} cannot be read", ()
    why, found = _refusal(inside, functions, above)
    return (f"view {relation.qualified}: {why}" if why else ""), found


def _distinct(relations: Sequence[Relation]) -> tuple[Relation, ...]:
    return tuple({relation.qualified: relation for relation in relations}.values())


def _tables(statement: Parsed) -> Iterator[Body]:
    yield from statement.kinds.get("RangeVar", ())
    if statement.tag in _WRITES:
        yield statement.body["relation"]
    for tag in _WRITES:
        for body in statement.kinds.get(tag, ()):
            yield body["relation"]


# -- results that may differ ------------------------------------------------------------------------------------------


def _doubts(statement: Parsed, functions: Functions) -> Iterator[str]:
    """Yield why two equal sides may give different results."""
    kinds = statement.kinds
    for call in kinds.get("FuncCall", ()):
        schema, name = function_name(call)
        if functions.differs(schema, name):
            yield f"{name}()"
        if name in _BY_ORDER and "agg_order" not in call:
            yield f"{name}() without ORDER BY"
        if "over" in call:
            yield f"{name}() OVER: rows that are equal in its order"
    for body in kinds.get("SQLValueFunction", ()):
        yield str(body.get("op", "")).removeprefix("SVFOP_").removesuffix("_N").lower()
    if "RangeTableSample" in kinds:
        yield "TABLESAMPLE"
    for column in kinds.get("ColumnRef", ()):
        if (last := names(column.get("fields"))[-1:]) and last[0] in _SYSTEM_COLUMNS:
            yield last[0]
    for view in _views(statement, functions):
        yield from (f"{doubt} in a view" for doubt in _doubts(view, functions))
    for inside in _dicts(statement.body):
        limited = "limitCount" in inside or "limitOffset" in inside
        if limited and "sortClause" not in inside:
            yield "LIMIT without ORDER BY"
        elif limited and inside is not statement.body:
            yield "LIMIT in a subquery"
        if any(inside.get("distinctClause") or ()):
            yield "DISTINCT ON"


def _hidden(relations: Sequence[Relation]) -> Iterator[str]:
    """Yield tables whose policies decide which rows a session sees: another one than the application's sees others."""
    yield from (f"row-level security of {r.qualified}" for r in relations if r.row_security)


def _views(statement: Parsed, functions: Functions) -> Iterator[Parsed]:
    for table in _tables(statement):
        relation = functions.catalog.find(table["relname"], table.get("schemaname"))
        if relation is not None and relation.view_sql and relation.kind is RelationKind.VIEW:
            yield from parse(relation.view_sql)


def _dicts(node: Any) -> Iterator[Body]:
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            yield current
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)


def _order(body: Body) -> Order:
    """Return how a SELECT orders its rows, by columns of its result as far as its text says which."""
    sorts = body.get("sortClause") or ()
    targets = [item["ResTarget"] for item in body.get("targetList", ()) if "ResTarget" in item]
    keys = [_key(item["SortBy"]["node"], targets) for item in sorts]
    return Order(
        by=bool(sorts),
        keys=tuple(key for key in keys if key is not None) if all(k is not None for k in keys) else (),
        limited="limitCount" in body or "limitOffset" in body,
    )


def _key(node: Body, targets: Sequence[Body]) -> str | int | None:
    """Return the column of the result that a key of ORDER BY is: its name, or its number from 1; None if none is."""
    if "A_Const" in node:
        text = constant(node["A_Const"]) or ""
        return int(text) if text.isdecimal() else None
    if "ColumnRef" not in node:
        return None
    parts = names(node["ColumnRef"].get("fields"))
    if len(parts) == 1 and not any(t.get("name") == parts[0] for t in targets):
        return parts[0] if _shows(targets, parts[0]) else None
    if len(parts) == 1:
        return parts[0]
    return parts[-1] if _shows(targets, parts[-1]) else None


def _shows(targets: Sequence[Body], column: str) -> bool:
    """Return whether a column is in the result under its own name."""
    for target in targets:
        shown = names(target.get("val", {}).get("ColumnRef", {}).get("fields"))
        if shown[-1:] == ["*"] or (shown[-1:] == [column] and target.get("name", column) == column):
            return True
    return not targets
