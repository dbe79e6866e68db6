"""Does a planner find a shard by `merged = constant`, where a full join made the merged column of both sides?

It does where the join stays a full one: each side is then asked for the constant. Another condition on one side, in the
query or from outside of it, may make a left or an inner join of it, and then `merged = constant`, which is COALESCE of
both sides, reaches neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrator.audit.catalog import RelationKind
from migrator.audit.shardkey.scope import Level
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import LEAVES, Body, Node, names


def only_filtered(analysis: Analysis, body: Body, level: Level) -> bool:
    """Return whether FROM of a SELECT is one full join, and all that is known of its rows, inside and outside, is about
    columns that it merged: by USING, NATURAL or a written COALESCE.

    Of several full joins PostgreSQL 15 asks the inner ones for everything.
    """
    items = body.get("fromClause", ())
    join = items[0].get("JoinExpr") if len(items) == 1 else None
    if join is None or join.get("jointype") != "JOIN_FULL" or "alias" in join:
        return False
    if "JoinExpr" in join["larg"] or "JoinExpr" in join["rarg"]:
        return False
    merged = _shared(analysis, join, level)
    seen = ("whereClause", "havingClause") if level.shut else ("whereClause", "havingClause", "targetList")
    named = [fields for part in seen for fields in _columns(body.get(part))]
    return all(len(fields) == 1 and fields[0] in merged for fields in named) and bool(merged or "quals" in join)


def _shared(analysis: Analysis, join: Body, level: Level) -> set[str]:
    """Return the columns that a join merges; of a natural one, where both sides are tables of the schema."""
    if not join.get("isNatural"):
        return set(names(join.get("usingClause")))
    sides = [join[side].get("RangeVar", {}) for side in ("larg", "rarg")]
    columns = []
    for side in sides:
        name, schema = side.get("relname", ""), side.get("schemaname")
        named = None if schema is None and level.cte(name) else analysis.context.named(name, schema)
        if named is None or named.relation.kind is RelationKind.VIEW or "colnames" in side.get("alias", {}):
            return set()
        columns.append(set(named.relation.columns))
    return columns[0] & columns[1]


def _columns(node: Any) -> Iterator[list[str]]:
    """Yield the columns that are named in *node*, but in COALESCE of several, which says nothing about either."""
    stack: list[Any] = [node]
    while stack:
        current: Node | Any = stack.pop()
        if isinstance(current, list):
            stack += current
        elif isinstance(current, dict):
            for tag, value in current.items():
                if tag == "ColumnRef":
                    yield names(value.get("fields"))
                elif tag != "CoalesceExpr" or not _is_of_columns(value):
                    stack += [] if tag in LEAVES else [value]


def _is_of_columns(body: Body) -> bool:
    return len(body.get("args", ())) > 1 and all("ColumnRef" in argument for argument in body["args"])
