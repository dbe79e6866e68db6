"""Does a SELECT compute over several rows at once, and over which? Aggregates and window functions."""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import Catalog
from migrator.audit.shardkey.volatility import AGGREGATES
from migrator.grammar.parse import LEAVES, Body, Node, function_name, walk


def is_aggregate(catalog: Catalog, node: Any) -> bool:
    """Return whether an aggregate (not a window function) stands in *node*, outside of subqueries."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            for key, value in current.items():
                if key in LEAVES or key == "SubLink" or not isinstance(value, (dict, list)):
                    continue
                if key == "FuncCall" and isinstance(value, dict) and _aggregates(catalog, value):
                    return True
                stack.append(value)
    return False


def _aggregates(catalog: Catalog, call: Body) -> bool:
    if "over" in call:
        return False
    name = function_name(call)[1]
    if name in AGGREGATES or call.get("agg_star") or call.get("agg_within_group"):
        return True
    return any(f.kind == "a" for f in catalog.functions_named(name))


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
