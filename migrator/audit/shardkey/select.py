"""What does one query level give to the outside, and which filters reach into it? SELECT, VALUES, set operations."""

from __future__ import annotations

from typing import Any

from migrator.audit.shardkey import aggregate, barrier, compared, from_clause, full_join, operand, predicate, pull_up
from migrator.audit.shardkey.scope import Cte, Level, Outputs, relabel
from migrator.audit.shardkey.strict import strict_names
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body, Node, function_name, names, walk

_NONE: frozenset[str] = frozenset()


def select(analysis: Analysis, body: Body, level: Level) -> Outputs:
    """Analyse a SELECT inside *level* (a fresh level of its own); return its output columns."""
    with_clause(analysis, body, level)
    if body.get("op", "SETOP_NONE") != "SETOP_NONE":
        return set_operation(analysis, body, level)
    if "valuesLists" in body:
        return values(analysis, body["valuesLists"], level)
    where = body.get("whereClause")
    strict = strict_names(where) if where and any("JoinExpr" in item for item in body.get("fromClause", ())) else _NONE
    level.full = not level.padded and full_join.only_filtered(analysis, body, level)
    merges = level.merges
    level.merges = merges and not level.exists
    pending: from_clause.Pending = []
    # Grouping sets pad with NULL, as outer joins do.
    sets = "groupClause" in body and any(t == "GroupingSet" for t, _ in walk(body["groupClause"]))
    level.sets = sets
    for item in body.get("fromClause", ()):
        from_clause.from_item(analysis, item, level, pending, strict, inner=not sets)
    own = {e.number for e in level.entries}
    level.allowed.update(own)
    for condition, allowed, joins in pending:
        predicate.conjunct(analysis, condition, level, allowed, joins=joins)
    level.merges = merges and not (level.exists and level.crossed)
    if not level.merges:
        level.allowed.intersection_update(own)
    if where:
        predicate.conjunct(analysis, where, level, level.allowed)
    having = body.get("havingClause")
    if having:
        if "groupClause" in body and not sets:
            predicate.conjunct(analysis, having, level, level.allowed, joins=False)
        else:
            operand.visit(analysis, having, level)
    outputs = targets(analysis, body.get("targetList", ()), level)
    for field_name in ("groupClause", "sortClause", "limitCount", "limitOffset", "distinctClause", "windowClause"):
        if field_name in body:
            operand.visit(analysis, body[field_name], level)
    if level.parent is not None:
        level.passes = passable(analysis, body, outputs, level)
    return outputs


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
        known = Cte(name, Level(level))
        renamed = names(cte.get("aliascolnames"))
        if (
            recursive
            and tag == "SelectStmt"
            and query.get("op", "SETOP_NONE") != "SETOP_NONE"
            and names_itself(query, name)
        ):
            outputs = recursive_cte(analysis, query, known, level, renamed)
        else:
            known.inlined = tag == "SelectStmt" and pull_up.inlined(
                analysis.context, query, references=counted.get(name, 0), materialize=cte.get("ctematerialized", "")
            )
            known.level.merges = known.inlined and pull_up.pulled_up(analysis.context, query)
            outputs = analysis.descend(analysis, tag, query, known.level)
        known.outputs = relabel(outputs, renamed)
        level.ctes[name] = known


def names_itself(query: Body, name: str) -> bool:
    return any(tag == "RangeVar" and body["relname"] == name for tag, body in walk(query))


def recursive_cte(analysis: Analysis, query: Body, cte: Cte, level: Level, renamed: list[str]) -> Outputs:
    """A recursive CTE: what the first arm binds holds for all rows if the recursive arm passes it on, at run time."""
    inner = Level(level)
    inner.merges = False
    with_clause(analysis, query, inner)
    _, base = arm(analysis, query["larg"], inner)
    cte.recursive_base = relabel(base, renamed)
    inner.ctes[cte.name] = cte
    _, result = arm(analysis, query["rarg"], inner)
    level.crossed = level.crossed or inner.crossed
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


def arm(analysis: Analysis, body: Body, level: Level) -> tuple[Level, Outputs]:
    """Read an arm of a set operation, which is planned by itself."""
    inside = Level(level)
    inside.merges = False
    outputs = select(analysis, body, inside)
    return inside, barrier.seen_through(analysis, inside, outputs, pulled=False, inner=True)


def passable(analysis: Analysis, body: Body, outputs: Outputs, level: Level) -> frozenset[int]:
    """Return the positions of the output columns through which a filter from outside reaches in."""
    if "limitCount" in body or "limitOffset" in body:
        return frozenset()
    grouped: set[int] | None = None
    if "groupClause" in body:
        grouped = {n for n in (grouping(analysis, g, outputs, level) for g in body["groupClause"]) if n is not None}
        if any("GroupingSet" in g for g in body["groupClause"]):
            return frozenset()
    elif "havingClause" in body or aggregate.is_aggregate(analysis.context, body.get("targetList")):
        return frozenset()
    distinct = body.get("distinctClause")
    if distinct and distinct != [{}]:
        on = {n for n in (grouping(analysis, d, outputs, level) for d in distinct) if n is not None}
        grouped = on if grouped is None else grouped & on
    for window in aggregate.window_partitions(body):
        parts = {n for n in (operand.column_node(analysis, p, level) for p in window) if n is not None}
        grouped = parts if grouped is None else grouped & parts
    return frozenset(
        p for p, (_, node) in enumerate(outputs) if node is not None and (grouped is None or node in grouped)
    )


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
    """Nothing that one arm knows is known outside or in the other arm; a filter from outside reaches into both."""
    left_level, left = arm(analysis, body["larg"], level)
    right_level, right = arm(analysis, body["rarg"], level)
    for field_name in ("sortClause", "limitCount", "limitOffset"):
        if field_name in body:
            operand.visit(analysis, body[field_name], level)
    closed = "limitCount" in body or "limitOffset" in body or body["op"] == "SETOP_EXCEPT"
    level.passes = frozenset() if closed else left_level.passes & right_level.passes
    outputs: Outputs = []
    for position, (name, node) in enumerate(left):
        other = right[position][1] if position < len(right) else None
        out = analysis.graph.node()
        if body["op"] in ("SETOP_EXCEPT", "SETOP_INTERSECT"):
            for known in (node, other if body["op"] == "SETOP_INTERSECT" else None):
                if known is not None:
                    analysis.graph.weak_edge(known, out)
        elif node is not None and other is not None:
            analysis.graph.join(out, (node, other))
        if position in level.passes:
            for inside in (node, other):
                if inside is not None:
                    analysis.graph.push(out, inside)
        outputs.append((name, out))
    return outputs


def values(analysis: Analysis, rows: list[Node], level: Level) -> Outputs:
    """Return the columns of a VALUES list."""
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
            node = _constant(analysis, [row["List"]["items"][position] for row in rows])
            analysis.graph.bind(node, frozenset().union(*(k for k in keys if k is not None)))
        outputs.append((f"column{position + 1}", node))
    return outputs


def targets(analysis: Analysis, items: Any, level: Level) -> Outputs:
    """Return the output columns that *items* make; none for the whole statement, whose outputs feed no other."""
    if level.parent is None:
        operand.visit(analysis, list(items), level)  # SELECT FROM t has none
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
            node = _constant(analysis, [value])
            analysis.graph.bind(node, found)
        elif isinstance(found, int):
            node = found
        outputs.append((target.get("name") or _label(value), node))
    return outputs


def _constant(analysis: Analysis, made_of: list[Node]) -> int:
    """Return a node for an output column of constants, with the widest type that they have."""
    node = analysis.graph.node()
    analysis.constants.add(node)
    if (found := compared.common_type(made_of)) is not None:
        analysis.types[node] = found
    return node


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
