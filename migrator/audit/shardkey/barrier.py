"""What does a query around a subquery in FROM see of its columns, and through which do filters reach in?"""

from __future__ import annotations

from migrator.audit.shardkey.pull_up import pulled_up
from migrator.audit.shardkey.scope import Level, Outputs
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body


def derived(
    analysis: Analysis,
    tag: str,
    body: Body,
    inside: Level,
    *,
    inner: bool,
    joined: bool = False,
    lateral: bool = False,
    alone: bool = False,
    sealed: bool = False,
) -> tuple[Level, Outputs]:
    """Read a subquery in FROM in the level *inside*; return that and the output columns as they are seen outside.

    Args:
        inner: no outer join above pads it with NULL.
        joined: it stands below an outer join, on whichever side.
        alone: what it names from outside is not known before it runs (IN, which is no join then).
        sealed: nothing is looked through, and no filter reaches in.
    """
    if tag != "SelectStmt":
        pulled = False
    elif "valuesLists" in body:
        pulled = len(body["valuesLists"]) == 1 and not joined
    else:
        pulled = pulled_up(analysis.context, body, lateral=lateral)
    inside.merges = pulled and not alone
    inside.padded = joined or not inner
    if not inside.merges:
        inside.allowed.clear()
    outputs = analysis.descend(analysis, tag, body, inside)
    return inside, seen_through(analysis, inside, outputs, pulled=pulled, inner=inner, sealed=sealed)


def seen_through(
    analysis: Analysis, inside: Level, outputs: Outputs, *, pulled: bool, inner: bool, sealed: bool = False
) -> Outputs:
    """Return the columns of a subquery as the query around it sees them: a barrier stands between, unless *pulled*."""
    pulled = pulled and not sealed
    found: Outputs = []
    for position, (name, node) in enumerate(outputs):
        outside = node
        if node is not None and not (pulled and (inner or node not in analysis.constants)):
            outside = analysis.graph.node()
            analysis.graph.weak_edge(node, outside)
            if node in analysis.types:
                analysis.types[outside] = analysis.types[node]
            if node in analysis.constants:
                analysis.constants.add(outside)
                analysis.wrapped.add(outside)
            if position in inside.passes and not pulled and not sealed:
                analysis.graph.push(outside, node)
        found.append((name, outside))
    return found
