"""What does PostgreSQL's planner merge with the query around it? Whitelists; everything else is a barrier.

What is merged is planned as one query, so that equalities work in both directions. Through a barrier a filter may
reach inwards (select.py says through which columns), and nothing that is known inside is known outside before the
statement runs. The conditions are those of the planner of PostgreSQL 15 to 18 where they agree, else the narrowest.
"""

from __future__ import annotations

from typing import Any

from migrator.audit.shardkey.aggregate import is_aggregate, window_partitions
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Body, function_name, walk

_NOT_PLAIN = (
    *("withClause", "valuesLists", "groupClause", "havingClause", "distinctClause", "sortClause"),
    *("limitCount", "limitOffset", "lockingClause"),
)
_NO_JOIN = ("withClause", "valuesLists", "havingClause", "limitOffset", "lockingClause")

SYSTEM = ("pg_", "txid_")
"""Functions about the server and its catalogs; many return sets, none belongs to an application's rows."""

SET_RETURNING = frozenset(
    (
        *("generate_series", "generate_subscripts", "unnest", "regexp_matches", "regexp_split_to_table"),
        *("string_to_table", "json_array_elements", "json_array_elements_text", "json_each", "json_each_text"),
        *("json_object_keys", "json_populate_recordset", "json_to_recordset", "jsonb_array_elements"),
        *("jsonb_array_elements_text", "jsonb_each", "jsonb_each_text", "jsonb_object_keys", "jsonb_path_query"),
        *("jsonb_path_query_tz",),
        *("jsonb_populate_recordset", "jsonb_to_recordset", "json_populate_record", "json_to_record"),
        *(
            "jsonb_populate_record",
            "jsonb_to_record",
            "ts_stat",
            "ts_parse",
            "ts_token_type",
            "ts_debug",
            "xpath_table",
        ),
        *("aclexplode", "each", "skeys", "svals", "_pg_expandarray", "pg_logical_slot_get_changes", "crosstab"),
    )
)


def pulled_up(context: Context, body: Body, *, lateral: bool = False) -> bool:
    """Return whether a SELECT in FROM is planned as one with the query around it."""
    if body.get("op", "SETOP_NONE") != "SETOP_NONE" or any(key in body for key in _NOT_PLAIN):
        return False
    targets = body.get("targetList", [])
    if lateral and any(t == "JoinExpr" and j["jointype"] != "JOIN_INNER" for t, j in walk(body.get("fromClause"))):
        return False  # names of the query around it may stand in the condition of an outer join
    if not any(tag == "FuncCall" for tag, _ in walk(targets)):
        return True
    return not (
        is_aggregate(context, targets)
        or window_partitions(body)
        or returns_sets(context, targets)
        or is_volatile(context, targets)
    )


def becomes_join(context: Context, body: Body) -> bool:
    """Return whether EXISTS (…) can become a join, unless its FROM names something from outside, which shows later."""
    if body.get("op", "SETOP_NONE") != "SETOP_NONE" or any(key in body for key in _NO_JOIN):
        return False
    if "limitCount" in body and not body["limitCount"].get("A_Const", {}).get("ival", {}).get("ival"):
        return False
    if "groupClause" in body and any(t == "GroupingSet" for t, _ in walk(body["groupClause"])):
        return False
    parts = [body.get("targetList"), body.get("sortClause"), body.get("distinctClause"), body.get("groupClause")]
    return not (
        is_aggregate(context, parts)
        or window_partitions(body)
        or returns_sets(context, parts)
        or is_volatile(context, body.get("whereClause"))
    )


def inlined(context: Context, query: Body, *, references: int, materialize: str) -> bool:
    """Return whether a common table expression, not a recursive one, becomes a subquery where it is named."""
    if references != 1 or materialize == "CTEMaterializeAlways" or "lockingClause" in query:
        return False
    return not is_volatile(context, query)


def returns_sets(context: Context, node: Any) -> bool:
    """Return whether a call in *node* may return several rows; an unknown function may."""
    for tag, call in walk(node):
        if tag == "FuncCall":
            schema, name = function_name(call)
            if name in SET_RETURNING or name.startswith(SYSTEM):
                return True
            if any(f.returns.startswith(("SETOF ", "TABLE")) for f in context.functions_named(name, schema)):
                return True
    return False


def is_volatile(context: Context, node: Any) -> bool:
    """Return whether a call in *node* may have another value each time; an unknown function may."""
    return any(
        tag == "FuncCall" and "over" not in call and context.volatility(*function_name(call)) == "v"
        for tag, call in walk(node)
    )
