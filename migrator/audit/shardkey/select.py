"""What does one query level give to the outside, and which filters reach into it? SELECT, VALUES, set operations."""

from __future__ import annotations

from typing import Any

from migrator.audit.shardkey import aggregate, from_clause, operand, predicate
from migrator.audit.shardkey.scope import Cte, Level, Outputs, relabel
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body, Node, function_name, names, walk


def select(analysis: Analysis, body: Body, level: Level) -> Outputs:
    """Analyse a SELECT inside *level* (a fresh level of its own); return its output columns."""
    with_clause(analysis, body, level)
    if body.get("op", "SETOP_NONE") != "SETOP_NONE":
        return set_operation(analysis, body, level)
    if "valuesLists" in body:
        return values(analysis, body["valuesLists"], level)
    where = body.get("whereClause")
    strict = predicate.strict_names(where)
    pending: from_clause.Pending = []
    for item in body.get("fromClause", ()):
        from_clause.from_item(analysis, item, level, pending, strict, inner=True)
    level.allowed.update(e.number for e in level.entries)
    for condition, allowed in pending:
        predicate.conjunct(analysis, condition, level, allowed)
    if where:
        predicate.conjunct(analysis, where, level, level.allowed)
    having = body.get("havingClause")
    if having:
        plain = "groupClause" in body and not any(t == "GroupingSet" for t, _ in walk(body["groupClause"]))
        if plain:
            predicate.conjunct(analysis, having, level, level.allowed)
        else:
            operand.visit(analysis, having, level)
    outputs = targets(analysis, body.get("targetList", ()), level)
    for field_name in ("groupClause", "sortClause", "limitCount", "limitOffset", "distinctClause", "windowClause"):
        if field_name in body:
            operand.visit(analysis, body[field_name], level)
    return shielded(analysis, body, outputs, level)


def with_clause(analysis: Analysis, body: Body, level: Level) -> None:
    clause = body.get("withClause")
    if not clause:
        return
    recursive = bool(clause.get("recursive"))
    counted: dict[str, int] = {}
    for tag, found in walk(body):
        if tag == "RangeVar" and "schemaname" not in found:
            counted[found["relname"]] = counted.get(found["relname"], 0) + 1
    for item in clause["ctes"]:
        cte = item["CommonTableExpr"]
        [(tag, query)] = cte["ctequery"].items()
        name = cte["ctename"]
        known = Cte(
            name,
            cte["ctequery"],
            counted.get(name, 0),
            cte.get("ctematerialized") == "CTEMaterializeAlways" or tag != "SelectStmt",
        )
        renamed = names(cte.get("aliascolnames"))
        if recursive and tag == "SelectStmt" and query.get("op", "SETOP_NONE") != "SETOP_NONE":
            outputs = recursive_cte(analysis, query, known, level, renamed)
        else:
            outputs = analysis.descend(analysis, tag, query, Level(level))
        known.outputs = relabel(outputs, renamed)
        level.ctes[name] = known


def recursive_cte(analysis: Analysis, query: Body, cte: Cte, level: Level, renamed: list[str]) -> Outputs:
    """A recursive CTE: what the first arm binds holds for all rows if the recursive arm passes it on."""
    inner = Level(level)
    with_clause(analysis, query, inner)
    base = select(analysis, query["larg"], Level(inner))
    cte.recursive_base = relabel(base, renamed)
    inner.ctes[cte.name] = cte
    result = select(analysis, query["rarg"], Level(inner))
    outputs: Outputs = []
    for position, (name, node) in enumerate(base):
        again = result[position][1] if position < len(result) else None
        if node is None or again is None:
            outputs.append((name, None))
            continue
        for columns in cte.referenced:
            reference = list(columns.values())[position] if position < len(columns) else None
            if reference is not None:
                analysis.graph.assume(node, reference, again)
        out = analysis.graph.node()
        analysis.graph.join(out, (node, again))
        outputs.append((name, out))
    return outputs


def shielded(analysis: Analysis, body: Body, outputs: Outputs, level: Level) -> Outputs:
    """Cut the way inwards for outputs that a filter from outside cannot pass (LIMIT, aggregates, windows)."""
    if level.parent is None:
        return outputs
    closed = "limitCount" in body or "limitOffset" in body
    grouped: set[int] | None = None
    if "groupClause" in body:
        grouped = {n for n in (grouping(analysis, g, outputs, level) for g in body["groupClause"]) if n is not None}
        if any("GroupingSet" in g for g in body["groupClause"]):
            grouped = set()
    elif aggregate.is_aggregate(analysis.context.catalog, body.get("targetList")):
        closed = True
    distinct = body.get("distinctClause")
    if distinct and distinct != [{}]:
        on = {n for n in (grouping(analysis, d, outputs, level) for d in distinct) if n is not None}
        grouped = on if grouped is None else grouped & on
    for window in aggregate.window_partitions(body):
        parts = {n for n in (operand.column_node(analysis, p, level) for p in window) if n is not None}
        grouped = parts if grouped is None else grouped & parts
    if not closed and grouped is None:
        return outputs
    found: Outputs = []
    for name, node in outputs:
        if node is not None and (closed or (grouped is not None and node not in grouped)):
            outside = analysis.graph.node()
            analysis.graph.weak_edge(node, outside)
            node = outside
        found.append((name, node))
    return found


def grouping(analysis: Analysis, item: Node, outputs: Outputs, level: Level) -> int | None:
    """Return the node of a GROUP BY or DISTINCT ON item: a column, a position, or the name of an output."""
    position = item.get("A_Const", {}).get("ival", {}).get("ival")
    if isinstance(position, int):
        return outputs[position - 1][1] if 0 < position <= len(outputs) else None
    node = operand.column_node(analysis, item, level)
    if node is None and "ColumnRef" in item:
        label = names(item["ColumnRef"].get("fields"))
        node = next((n for name, n in outputs if label == [name]), None)
    return node


def set_operation(analysis: Analysis, body: Body, level: Level) -> Outputs:
    # No outer rows may be restricted by one arm: the other arm may still let them through.
    left = select(analysis, body["larg"], Level(level))
    right = select(analysis, body["rarg"], Level(level))
    for field_name in ("sortClause", "limitCount", "limitOffset"):
        if field_name in body:
            operand.visit(analysis, body[field_name], level)
    closed = "limitCount" in body or "limitOffset" in body
    outputs: Outputs = []
    for position, (name, node) in enumerate(left):
        other = right[position][1] if position < len(right) else None
        out = analysis.graph.node()
        if body["op"] == "SETOP_EXCEPT":
            if node is not None:
                analysis.graph.edge(node, out)
        elif body["op"] == "SETOP_INTERSECT":
            for arm in (node, other):
                if arm is not None:
                    analysis.graph.edge(arm, out)
        elif node is not None and other is not None:
            analysis.graph.join(out, (node, other))
        if not closed:
            for arm in (node, other):
                if arm is not None:
                    analysis.graph.edge(out, arm)
        outputs.append((name, out))
    return outputs


def values(analysis: Analysis, rows: list[Node], level: Level, *, inserted: bool = False) -> Outputs:
    """Return the columns of a VALUES list; *inserted*: its rows go into a table as they stand."""
    columns: list[list[frozenset[str] | None]] = []
    for row in rows:
        for position, item in enumerate(row["List"].get("items", ())):
            while len(columns) <= position:
                columns.append([])
            term = operand.term(analysis, item, level)
            columns[position].append(term if isinstance(term, frozenset) else None)
    outputs: Outputs = []
    for position, keys in enumerate(columns):
        node = None
        if keys and all(k is not None for k in keys):
            node = inside = analysis.graph.node()
            analysis.graph.bind(inside, frozenset().union(*(k for k in keys if k is not None)))
            if len(rows) > 1 and not inserted:  # a planner sees through one row, not through several
                node = analysis.graph.node()
                analysis.graph.weak_edge(inside, node)
        outputs.append((f"column{position + 1}", node))
    return outputs


def targets(analysis: Analysis, items: Any, level: Level) -> Outputs:
    """Return the output columns that *items* make; none for the whole statement, whose outputs nobody reads."""
    if level.parent is None:
        operand.visit(analysis, items, level)
        return []
    outputs: Outputs = []
    for item in items:
        target = item.get("ResTarget", {})
        value = target.get("val")
        if value is None:
            continue
        if "ColumnRef" in value:
            fields = names(value["ColumnRef"].get("fields"))
            if fields and fields[-1] == "*":
                outputs += star(analysis, fields[:-1], level)
                continue
        found = operand.term(analysis, value, level)
        node = None
        if isinstance(found, frozenset):
            node = analysis.graph.node()
            analysis.graph.bind(node, found)
        elif isinstance(found, int):
            node = found
        outputs.append((target.get("name") or _label(value), node))
    return outputs


def star(analysis: Analysis, qualifier: list[str], level: Level) -> Outputs:
    outputs: Outputs = []
    for entry in level.entries:
        if qualifier and entry.alias != qualifier[-1]:
            continue
        if entry.relation is not None:
            outputs += [(c, analysis.column(entry, c)) for c in entry.relation.columns]
        else:
            outputs += list(entry.columns.items())
    return outputs


def _label(value: Node) -> str:
    if "FuncCall" in value:
        return function_name(value["FuncCall"])[1]
    if "TypeCast" in value:
        return _label(value["TypeCast"].get("arg", {})) if value["TypeCast"].get("arg") else "?column?"
    if "ColumnRef" in value:
        return (names(value["ColumnRef"].get("fields")) or ["?column?"])[-1]
    if "CoalesceExpr" in value:
        return "coalesce"
    return "?column?"
