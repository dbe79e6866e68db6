"""Does a SELECT compute over several rows at once, and over which? Aggregates and window functions."""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import Catalog
from migrator.audit.shardkey.volatility import AGGREGATES
from migrator.grammar.parse import Body, Node, function_name, walk


def is_aggregate(catalog: Catalog, node: Any) -> bool:
    """Return whether an aggregate (not a window function) stands in *node*, outside of subqueries."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            call = current.get("FuncCall")
            if call is not None and "over" not in call:
                name = function_name(call)[1]
                if name in AGGREGATES or call.get("agg_star") or call.get("agg_within_group"):
                    return True
                if any(f.kind == "a" for f in catalog.functions_named(name)):
                    return True
            stack.extend(v for k, v in current.items() if k != "SubLink" and isinstance(v, (dict, list)))
    return False


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
