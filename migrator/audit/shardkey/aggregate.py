"""Does a SELECT compute over several rows at once, and over which? Aggregates and window functions."""

from __future__ import annotations

from typing import Any

from migrator.audit.shardkey.volatility import AGGREGATES
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import LEAVES, NAMES, Body, Node, function_name, walk


def is_aggregate(context: Context, node: Any) -> bool:
    """Return whether an aggregate (not a window function) stands in *node*, outside of subqueries."""
    stack = [node]
    while stack:
        current = stack.pop()
        if type(current) is list:
            stack.extend(current)
        elif type(current) is dict:
            for key, value in current.items():
                if key in LEAVES or key == "SubLink" or key in NAMES or type(value) not in (dict, list):
                    continue
                if key == "FuncCall" and _aggregates(context, value):
                    return True
                stack.append(value)
    return False


def _aggregates(context: Context, call: Body) -> bool:
    if "over" in call:
        return False
    name = function_name(call)[1]
    if name in AGGREGATES or call.get("agg_star") or call.get("agg_within_group"):
        return True
    return any(f.kind == "a" for f in context.functions_named(name))


def window_partitions(body: Body) -> list[list[Node]]:
    """Return the PARTITION BY list of every window function call of a SELECT."""
    named = {
        w["WindowDef"].get("name"): w["WindowDef"].get("partitionClause", []) for w in body.get("windowClause", ())
    }
    found: list[list[Node]] = []
    for target in body.get("targetList", ()):
        for tag, call in walk(target):
            if tag == "FuncCall" and "over" in call:
                over = call["over"]
                found.append(over.get("partitionClause") or named.get(over.get("name") or over.get("refname"), []))
    return found
