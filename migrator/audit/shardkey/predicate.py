"""What does a condition say about the rows that pass it: which keys they have, and what is not NULL?

Only facts that hold for *every* row that passes count: equalities joined by AND, what all arms of an OR have in
common, a NOT pushed inwards. Everything else says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.audit.shardkey.aggregate import is_aggregate
from migrator.audit.shardkey.graph import KeySet
from migrator.audit.shardkey.operand import ALWAYS, NEVER, Column, Operand, operand, resolve, subquery, visit
from migrator.audit.shardkey.scope import Level
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body, Node, constant, names, operator, walk


@dataclass(slots=True)
class Facts:
    binds: dict[Column, KeySet] = field(default_factory=dict)
    equals: set[tuple[Column, Column]] = field(default_factory=set)

    def bind(self, column: Column, keys: KeySet) -> None:
        known = self.binds.get(column)
        if known is None or len(keys) < len(known):
            self.binds[column] = keys


@dataclass(frozen=True, slots=True)
class Place:
    """Where a condition stands: the analysis it adds to, its level, and the entries whose rows it may restrict."""

    analysis: Analysis
    level: Level
    allowed: frozenset[int] | set[int]


def conjunct(analysis: Analysis, condition: Node, level: Level, allowed: frozenset[int] | set[int]) -> None:
    """Add to the graph what *condition* says about the entries in *allowed*."""
    facts = Facts()
    collect(Place(analysis, level, allowed), condition, facts, positive=True, negated=False)
    graph = analysis.graph
    for (node, entry), keys in facts.binds.items():
        if entry in allowed or entry == ALWAYS:
            graph.bind(node, keys)
    for (x, x_entry), (y, y_entry) in facts.equals:
        if y_entry in allowed or y_entry == ALWAYS:
            (graph.weak_edge if _late(x_entry, level) else graph.edge)(x, y)
        if x_entry in allowed or x_entry == ALWAYS:
            (graph.weak_edge if _late(y_entry, level) else graph.edge)(y, x)


def _late(entry: int, level: Level) -> bool:
    """Return whether a key seen through *entry* is a run-time value here: a scalar subquery's, or an outer level's
    where this level is not merged with it."""
    if entry == NEVER:
        return True
    return not level.merges and entry != ALWAYS and all(e.number != entry for e in level.entries)


def collect(place: Place, node: Node, facts: Facts, *, positive: bool, negated: bool) -> None:
    """Collect the facts of a condition. *positive*: no OR stands above, so subqueries act as semi-joins."""
    [(tag, body)] = node.items()
    if tag == "BoolExpr":
        kind = body["boolop"]
        if kind == "NOT_EXPR":
            collect(place, body["args"][0], facts, positive=positive, negated=not negated)
        elif (kind == "AND_EXPR") is not negated:
            for arm in body["args"]:
                collect(place, arm, facts, positive=positive, negated=negated)
        else:
            _either(place, body["args"], facts, negated)
    elif tag == "A_Expr":
        _comparison(place, body, facts, negated)
    elif tag == "SubLink":
        _subquery(place, body, facts, positive and not negated)
    else:
        if tag == "NullTest" and "ColumnRef" in body["arg"]:
            _note(place, body["arg"], "IS NULL names no tenant")
        visit(place.analysis, node, place.level)


def _either(place: Place, arms: list[Node], facts: Facts, negated: bool) -> None:
    found = []
    for arm in arms:
        one = Facts()
        collect(place, arm, one, positive=False, negated=negated)
        found.append(one)
    for column in found[0].binds:
        if all(column in one.binds for one in found):
            facts.bind(column, frozenset().union(*(one.binds[column] for one in found)))
    facts.equals |= set.intersection(*(one.equals for one in found))
    for one in found:
        for column in one.binds:
            if column not in facts.binds:
                place.analysis.graph.notes.setdefault(
                    column[0], "the key stands inside an OR whose other side does not bind it"
                )


def _comparison(place: Place, body: Body, facts: Facts, negated: bool) -> None:
    kind, name = body["kind"], operator(body)
    left, right = body.get("lexpr"), body.get("rexpr")
    if kind == "AEXPR_OP" and name == ("<>" if negated else "=") and left is not None and right is not None:
        pairs = [(left, right)]
        if "RowExpr" in left and "RowExpr" in right and not negated:
            pairs = list(zip(left["RowExpr"].get("args", ()), right["RowExpr"].get("args", ()), strict=False))
        for one, other in pairs:
            left_side = operand(place.analysis, one, place.level)
            _equal(place, (one, left_side), (other, operand(place.analysis, other, place.level)), facts)
        return
    if kind in ("AEXPR_IN", "AEXPR_OP_ANY") and left is not None and right is not None:
        if (name == "=") is not negated and not (negated and kind == "AEXPR_OP_ANY"):
            _membership(place, left, right, facts)
            return
        _note(place, left, "a negated list binds no key")
    elif kind == "AEXPR_DISTINCT" or kind == "AEXPR_NOT_DISTINCT":
        _note(place, left, "IS NOT DISTINCT FROM is no plain equality")
    elif "BETWEEN" in kind:
        _note(place, left, "a range of keys")
    elif name in ("<", ">", "<=", ">="):
        for side in (left, right):
            _note(place, side, "a range of keys")
    elif name in ("<>", "!=") or (negated and name == "="):
        for side in (left, right):
            _note(place, side, "an inequality binds no key")
    elif name != "=":
        for side in (left, right):
            _note(place, side, f"the operator {name} is no equality")
    for side in (left, right):
        if side is not None:
            visit(place.analysis, side, place.level)


Side = tuple[Node, Operand]
"""One side of an equality, and what it is."""


def _equal(place: Place, left: Side, right: Side, facts: Facts) -> None:
    (left_node, one), (right_node, other) = left, right
    if isinstance(one, tuple) and isinstance(other, tuple):
        if one != other:
            facts.equals.add((one, other) if one <= other else (other, one))
        return
    if isinstance(one, tuple) and isinstance(other, frozenset):
        facts.bind(one, other)
    elif isinstance(other, tuple) and isinstance(one, frozenset):
        facts.bind(other, one)
    elif isinstance(one, tuple):
        place.analysis.graph.notes.setdefault(one[0], _unknown_value(right_node))
    elif isinstance(other, tuple):
        place.analysis.graph.notes.setdefault(other[0], _unknown_value(left_node))
    else:
        for side in (left_node, right_node):
            _note(place, side, "the key stands inside an expression")


def _unknown_value(node: Node) -> str:
    tags = {t for t, _ in walk(node)}
    if "SubLink" in tags:
        return "the key comes from a subquery, so it is known at run time only"
    if "FuncCall" in tags:
        return "the key comes from a function that may change from row to row"
    return "the other side of the equality is neither a constant nor a parameter"


def _membership(place: Place, left: Node, right: Node, facts: Facts) -> None:
    analysis, level = place.analysis, place.level
    items = _items(right)
    if items is None:
        _note(place, left, "= ANY over an array parameter: as many shards as it has keys")
        visit(analysis, left, level)
        visit(analysis, right, level)
        return
    sides = left["RowExpr"].get("args", []) if "RowExpr" in left else [left]
    for position, side in enumerate(sides):
        column = operand(analysis, side, level)
        keys: set[str] = set()
        known = True
        for item in items:
            value = item["RowExpr"]["args"][position] if "RowExpr" in left and "RowExpr" in item else item
            found = operand(analysis, value, level)
            if isinstance(found, frozenset):
                keys |= found
            elif len(items) == 1 and isinstance(found, tuple) and isinstance(column, tuple):
                _equal(place, (side, column), (value, found), facts)
                known = False
            else:
                known = False
        if isinstance(column, tuple) and known and keys:
            facts.bind(column, frozenset(keys))
        elif not isinstance(column, tuple):
            _note(place, side, "the key stands inside an expression")


def _items(node: Node) -> list[Node] | None:
    """Return the elements of an IN list, an ARRAY[…] or an array literal; None when they are not in the text."""
    if "List" in node:
        found: list[Node] = node["List"].get("items", [])
        return found
    if "TypeCast" in node:
        return _items(node["TypeCast"]["arg"])
    if "A_ArrayExpr" in node:
        elements: list[Node] = node["A_ArrayExpr"].get("elements", [])
        return elements
    if "A_Const" in node:
        text = constant(node["A_Const"]) or ""
        if text.startswith("{") and text.endswith("}") and '"' not in text:
            return [{"A_Const": {"sval": {"sval": part}}} for part in text[1:-1].split(",") if part]
    return None


def _subquery(place: Place, body: Body, facts: Facts, semi: bool) -> None:
    analysis, level = place.analysis, place.level
    kind = body["subLinkType"]
    select = body["subselect"].get("SelectStmt", {})
    bare = "groupClause" not in select and is_aggregate(analysis.context.catalog, select.get("targetList"))
    joined = kind in ("EXISTS_SUBLINK", "ANY_SUBLINK")
    outer = frozenset(place.allowed) if semi and joined and not bare else frozenset()
    outputs = subquery(analysis, body["subselect"], level, outer, merges=joined)
    if "testexpr" not in body:
        return
    test = body["testexpr"]
    if kind == "ANY_SUBLINK" and semi and names(body.get("operName")) in ([], ["="]):
        sides = test["RowExpr"].get("args", []) if "RowExpr" in test else [test]
        for side, (_, node) in zip(sides, outputs, strict=False):
            column = operand(analysis, side, level)
            if node is None:
                if isinstance(column, tuple):
                    analysis.graph.notes.setdefault(column[0], "the keys come from a subquery, known at run time only")
            elif isinstance(column, tuple):
                facts.equals.add((column, (node, ALWAYS)))
            elif isinstance(column, frozenset):
                facts.bind((node, ALWAYS), column)
        return
    visit(analysis, test, level)


def _note(place: Place, node: Node | None, text: str) -> None:
    """Remember why a key column in *node* is not bound by this condition."""
    if node is None:
        return
    for tag, body in walk(node):
        if tag == "ColumnRef":
            found = resolve(place.analysis, body, place.level)
            if isinstance(found, tuple):
                place.analysis.graph.notes.setdefault(found[0], text)


def strict_names(where: Node | None) -> frozenset[str]:
    """Return what WHERE rejects NULL for: "alias." for a qualified column, "column" for a bare one."""
    found: set[str] = set()
    stack = [where] if where else []
    while stack:
        [(tag, body)] = stack.pop().items()
        if tag == "BoolExpr" and body["boolop"] == "AND_EXPR":
            stack.extend(body["args"])
        elif tag == "A_Expr" and body["kind"] in (
            "AEXPR_OP",
            "AEXPR_IN",
            "AEXPR_OP_ANY",
            "AEXPR_LIKE",
            "AEXPR_ILIKE",
            "AEXPR_BETWEEN",
        ):
            for side in (body.get("lexpr"), body.get("rexpr")):
                while side and "TypeCast" in side:
                    side = side["TypeCast"]["arg"]
                if side and "ColumnRef" in side:
                    fields = names(side["ColumnRef"].get("fields"))
                    found.add(f"{fields[-2]}." if len(fields) > 1 else fields[-1])
        elif tag == "NullTest" and body.get("nulltesttype") == "IS_NOT_NULL" and "ColumnRef" in body["arg"]:
            fields = names(body["arg"]["ColumnRef"].get("fields"))
            found.add(f"{fields[-2]}." if len(fields) > 1 else fields[-1])
    return frozenset(found)
