"""Which relations stand in a FROM clause, and what do their joins equate? Tables, views, CTEs, joins, policies."""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import SYSTEM_SCHEMAS, Relation, RelationKind
from migrator.audit.shardkey import barrier, predicate
from migrator.audit.shardkey.operand import Column, resolve, visit
from migrator.audit.shardkey.scope import Cte, Entry, Instance, Level, relabel
from migrator.audit.shardkey.shape import Shape
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body, Node, Unparsable, expression, names, operator, parse

Pending = list[tuple[Node, frozenset[int], bool]]
"""Join conditions with the entries they may restrict, and whether subqueries in them may become joins; they are read
when all entries are known."""

DEEPEST = 24
"""Levels of views inside views that are followed; more means a cycle."""


def from_item(
    analysis: Analysis,
    item: Node,
    level: Level,
    pending: Pending,
    strict: frozenset[str],
    inner: bool,
    joined: bool = False,
) -> list[Entry]:
    """Add one FROM item to *level*; return its entries. Join conditions wait in *pending*.

    Args:
        inner: no outer join above pads it with NULL.
        joined: it stands below an outer join, on whichever side.
    """
    [(tag, body)] = item.items()
    if tag == "RangeVar":
        return [relation_entry(analysis, body, level, inner=inner)]
    if tag == "JoinExpr":
        return join(analysis, body, level, pending, strict, inner, joined)
    alias = body.get("alias", {})
    if tag == "RangeSubselect":
        [(sub_tag, sub)] = body["subquery"].items()
        outer: set[int] = set()
        if body.get("lateral") and inner:
            outer = {e.number for e in level.entries} | level.allowed
        # Without LATERAL the siblings are out of sight; CTEs of this level stay visible.
        parent = level if body.get("lateral") else _without_entries(level)
        _, outputs = barrier.derived(
            analysis,
            sub_tag,
            sub,
            Level(parent, outer),
            inner=inner,
            joined=joined,
            lateral=bool(body.get("lateral")),
            sealed=level.sets,
        )
        level.crossed = level.crossed or parent.crossed
        entry = analysis.entry(level, alias.get("aliasname", ""), closed=True)
        entry.columns = dict(relabel(outputs, names(alias.get("colnames"))))
        return [entry]
    entry = analysis.entry(level, alias.get("aliasname", ""), closed=False)
    if tag == "RangeFunction":
        for function in body.get("functions", ()):
            visit(analysis, function, level)
        entry.closed = True
        columns = names(alias.get("colnames")) or [
            d["ColumnDef"].get("colname", "") for d in body.get("coldeflist", ())
        ]
        entry.columns = dict.fromkeys(columns)
        if not columns and alias.get("aliasname"):
            entry.columns = {alias["aliasname"]: None}
        entry.closed = bool(columns)
    elif tag == "RangeTableSample":
        level.entries.remove(entry)
        return from_item(analysis, body["relation"], level, pending, strict, inner, joined)
    else:
        visit(analysis, body, level)
    return [entry]


def join(
    analysis: Analysis,
    body: Body,
    level: Level,
    pending: Pending,
    strict: frozenset[str],
    inner: bool,
    joined: bool,
) -> list[Entry]:
    kind = body.get("jointype", "JOIN_INNER")
    joined = joined or kind != "JOIN_INNER"
    on_left, on_right = (inner and kind in ("JOIN_INNER", side) for side in ("JOIN_LEFT", "JOIN_RIGHT"))
    around, level.merged = level.merged, {}
    left = from_item(analysis, body["larg"], level, pending, strict, on_left, joined)
    of_left, level.merged = level.merged, {}
    right = from_item(analysis, body["rarg"], level, pending, strict, on_right, joined)
    of_right = level.merged
    level.merged = {**around, **of_left, **of_right}
    full = kind == "JOIN_FULL"
    outer = kind != "JOIN_INNER"  # as it is written: subqueries become joins before outer joins become inner ones
    # A strict predicate in WHERE on the null-padded side makes the join an inner one, as the planner does.
    shared = names(body.get("usingClause"))
    if body.get("isNatural"):
        known = {c for e in left for c in _known(e)}
        shared = [c for e in right for c in _known(e) if c in known]
    left_strict = outer and any(_mentions(analysis, e, strict, shared) for e in left)
    right_strict = outer and any(_mentions(analysis, e, strict, shared) for e in right)
    if kind == "JOIN_FULL" and (left_strict or right_strict):
        kind = "JOIN_INNER" if left_strict and right_strict else "JOIN_LEFT" if left_strict else "JOIN_RIGHT"
    if (kind == "JOIN_LEFT" and right_strict) or (kind == "JOIN_RIGHT" and left_strict):
        kind = "JOIN_INNER"
    allowed = frozenset(
        [e.number for e in left if kind in ("JOIN_INNER", "JOIN_RIGHT")]
        + [e.number for e in right if kind in ("JOIN_INNER", "JOIN_LEFT")]
    )
    for name in shared:
        x, y = (
            merged[name] if name in merged else first(analysis, side, name)
            for side, merged in ((left, of_left), (right, of_right))
        )
        if x is not None and y is not None and predicate.alike(analysis, x[0], y[0]):
            edge = analysis.graph.weak_edge if predicate.is_boolean(analysis, x[0]) else analysis.graph.edge
            if y[1] in allowed:
                edge(x[0], y[0])
            if x[1] in allowed:
                edge(y[0], x[0])
        if full:
            level.merged[name] = _of_full_join(analysis, x, y, known=level.full)
        else:
            level.merged[name] = y if kind == "JOIN_RIGHT" else x
    if full and level.full and not shared:
        _equated(analysis, level, body.get("quals"), (left, right))
    if "quals" in body:
        pending.append((body["quals"], allowed, not outer))
    if "alias" in body:  # (a JOIN b) AS j: the joined columns get a new name
        entry = analysis.entry(level, body["alias"]["aliasname"], closed=False)
        for part in reversed(left + right):
            for column in _known(part):
                entry.columns[column] = analysis.column(part, column)
            if part in level.entries:
                level.entries.remove(part)
        level.allowed.update(e.number for e in left + right)
    return left + right


def _of_full_join(analysis: Analysis, x: Column | None, y: Column | None, *, known: bool) -> Column | None:
    """Return the column that USING makes of both sides of a full join: COALESCE(left, right).

    A planner makes something of it in one case: it equals a constant, and the join is *known* to stay a full one.
    """
    if x is None or y is None or not predicate.alike(analysis, x[0], y[0]):
        return None
    merged = analysis.graph.node()
    analysis.coalesced.add(merged)
    for half in (x, y):
        if half[0] in analysis.types:
            analysis.types[merged] = analysis.types[half[0]]
        if known:
            analysis.graph.merge(merged, half[0])
        else:
            analysis.graph.notes.setdefault(half[0], "the merged column of a full join is neither side's")
    return merged, x[1]


def _equated(analysis: Analysis, level: Level, quals: Node | None, sides: tuple[list[Entry], list[Entry]]) -> None:
    """Remember what ON of a full join equates: COALESCE of the two is what USING makes of them.

    A planner sees it where the left table stands to the left in both.
    """
    left, right = ({e.number for e in side} for side in sides)
    conditions = [quals] if quals else []
    while conditions:
        [(tag, body)] = conditions.pop().items()
        if tag == "BoolExpr" and body["boolop"] == "AND_EXPR":
            conditions += body["args"]
        elif tag == "A_Expr" and body["kind"] == "AEXPR_OP" and operator(body) == "=":
            x, y = (_column(analysis, body.get(side), level) for side in ("lexpr", "rexpr"))
            if x is not None and y is not None and x[1] in left and y[1] in right:
                merged = _of_full_join(analysis, x, y, known=True)
                if merged is not None:
                    level.halves[x[0], y[0]] = merged


def _column(analysis: Analysis, node: Node | None, level: Level) -> Column | None:
    found = resolve(analysis, node["ColumnRef"], level) if node and "ColumnRef" in node else None
    return found if isinstance(found, tuple) else None


def first(analysis: Analysis, entries: list[Entry], name: str) -> tuple[int, int] | None:
    for entry in entries:
        if name in _known(entry):
            node = analysis.column(entry, name)
            return None if node is None else (node, entry.number)
    return None


def relation_entry(analysis: Analysis, body: Body, level: Level, *, inner: bool = True) -> Entry:
    """Add a table, view or CTE to *level*."""
    name, schema = body["relname"], body.get("schemaname")
    alias = body.get("alias", {})
    known = level.cte(name) if schema is None else None
    if known is not None:
        return cte_entry(analysis, known, alias, level, inner=inner)
    entry = analysis.entry(level, alias.get("aliasname", name), closed=False)
    if schema in SYSTEM_SCHEMAS or (schema is None and name.startswith("pg_")):
        analysis.system.append(name)
        return entry
    named = analysis.context.named(name, schema)
    if named is None:
        analysis.unknown.append(f"{schema}.{name}" if schema else name)
        return entry
    relation, qualified, shape = named
    if relation.kind is RelationKind.VIEW:
        return view_entry(analysis, relation, entry, alias, inner=inner, sealed=level.sets)
    entry.closed = True
    entry.relation = relation
    entry.shape = shape
    analysis.kinds[qualified] = shape
    if shape.key and (shape.sharded or shape.proposed):
        node = analysis.graph.node()
        entry.columns[shape.key] = node
        column = relation.columns.get(shape.key)
        if column is not None:
            analysis.types[node] = column.type
        analysis.instances.append(
            Instance(
                relation,
                entry.alias,
                node,
                shape.key,
                entry.number,
                level,
                proposed=shape.proposed,
                place=body.get("location", -1) if analysis.depth == 0 else -1,
            )
        )
    if relation.row_security and shape.sharded:
        apply_policies(analysis, relation, entry)
        analysis.policed.append(qualified)
    if "colnames" in alias:  # all nodes first: the new names may be the old ones in another order
        renamed = names(alias["colnames"])
        nodes = [analysis.column(entry, old) for old in relation.columns]
        entry.columns = dict(zip((*renamed, *list(relation.columns)[len(renamed) :]), nodes, strict=True))
        entry.relation, entry.closed = None, True
    return entry


def cte_entry(analysis: Analysis, cte: Cte, alias: Body, level: Level, *, inner: bool) -> Entry:
    entry = analysis.entry(level, alias.get("aliasname", cte.name), closed=True)
    if cte.outputs is None and cte.recursive_base is not None:
        entry.columns = {c: analysis.graph.node() for c, _ in cte.recursive_base}
        cte.referenced.append(dict(entry.columns))
        return entry
    outputs = cte.outputs or []
    if not cte.inlined:  # computed once for all its readers: a filter of one cannot reach in
        cte.level.passes = frozenset()
    pulled = cte.inlined and cte.level.merges
    outputs = barrier.seen_through(analysis, cte.level, outputs, pulled=pulled, inner=inner, sealed=level.sets)
    entry.columns = dict(relabel(outputs, names(alias.get("colnames"))))
    return entry


def view_entry(
    analysis: Analysis, relation: Relation, entry: Entry, alias: Body, *, inner: bool, sealed: bool
) -> Entry:
    query: Any = analysis.context.views.get(relation.qualified)  # a Parsed, or False for one that cannot be read
    if query is None:
        try:
            query = parse(relation.view_sql or "")[0]
        except (Unparsable, IndexError):
            query = False
        analysis.context.views[relation.qualified] = query
    analysis.kinds.setdefault(relation.qualified, Shape(None))
    if query is False or analysis.depth >= DEEPEST:
        analysis.unknown.append(f"{relation.qualified} (a view whose definition cannot be read)")
        return entry
    analysis.depth += 1
    [(tag, body)] = query.body["query"].items() if "query" in query.body else [(query.tag, query.body)]
    _, outputs = barrier.derived(analysis, tag, body, Level(Level(None)), inner=inner, sealed=sealed)
    analysis.depth -= 1
    columns = list(relation.columns)
    entry.closed = True
    entry.columns = dict(relabel(relabel(outputs, columns), names(alias.get("colnames"))))
    return entry


def apply_policies(analysis: Analysis, relation: Relation, entry: Entry) -> None:
    """Add what the table's policies say about every row, for a role they apply to."""
    parsed = analysis.context.policies.get(relation.qualified)
    if parsed is None:
        wanted = [p for p in relation.policies if p.everybody and p.command in ("*", "r") and p.using]
        permissive = [e for p in wanted if p.permissive and (e := expression(p.using or ""))]
        parsed = [e for p in wanted if not p.permissive and (e := expression(p.using or ""))]
        if len(permissive) == 1:
            parsed.append(permissive[0])
        elif permissive:
            parsed.append({"BoolExpr": {"boolop": "OR_EXPR", "args": permissive}})
        analysis.context.policies[relation.qualified] = parsed
    level = Level(None)
    level.entries.append(entry)
    level.allowed.add(entry.number)
    analysis.depth += 1
    for condition in parsed:
        predicate.conjunct(analysis, condition, level, level.allowed)
    analysis.depth -= 1


def _known(entry: Entry) -> list[str]:
    return list(entry.relation.columns) if entry.relation is not None else list(entry.columns)


def _mentions(analysis: Analysis, entry: Entry, strict: frozenset[str], shared: list[str]) -> bool:
    """Return whether a strict column belongs to *entry*; what a subquery computes may be something where its rows are
    missing."""
    for name in _known(entry) if strict else ():
        if f"{entry.alias}.{name}" in strict or (name in strict and name not in shared):
            node = entry.columns.get(name)
            if entry.relation is not None or (node is not None and node not in analysis.constants):
                return True
    return False


def _without_entries(level: Level) -> Level:
    found = Level(level.parent)
    found.ctes, found.merges = level.ctes, level.merges
    return found
