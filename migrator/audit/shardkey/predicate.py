"""What does a condition say about the rows that pass it: which keys they have, and what is not NULL?

Only facts that hold for *every* row that passes count: equalities joined by AND, what all arms of an OR have in
common, a NOT pushed inwards. Everything else says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.audit.shardkey import compared
from migrator.audit.shardkey import listed as lists
from migrator.audit.shardkey.barrier import derived
from migrator.audit.shardkey.graph import KeySet
from migrator.audit.shardkey.operand import ALWAYS, NEVER, Column, Operand, operand, resolve, visit
from migrator.audit.shardkey.pull_up import becomes_join
from migrator.audit.shardkey.scope import Level
from migrator.audit.shardkey.truth import Truth, compared_with_constant, is_condition, may_be_known, truth
from migrator.audit.shardkey.walk import Analysis
from migrator.grammar.parse import Body, Node, names, operator, walk
from migrator.grammar.types import plain_type, type_name


@dataclass(slots=True)
class Facts:
    """What a condition says: keys that columns equal (`binds`) or are looked up by (`pins`), and equal columns.

    A planner makes nothing of those that are only `shared` by the arms of an OR. `never`: no row passes.
    """

    binds: dict[Column, KeySet] = field(default_factory=dict)
    pins: dict[Column, KeySet] = field(default_factory=dict)
    equals: set[tuple[Column, Column]] = field(default_factory=set)
    shared: set[tuple[Column, Column]] = field(default_factory=set)
    never: bool = False

    def bind(self, column: Column, keys: KeySet) -> None:
        self._keep(self.binds, column, keys)

    def pin(self, column: Column, keys: KeySet) -> None:
        self._keep(self.pins, column, keys)

    def known(self, column: Column) -> KeySet | None:
        return self.binds.get(column) or self.pins.get(column)

    @staticmethod
    def _keep(known: dict[Column, KeySet], column: Column, keys: KeySet) -> None:
        before = known.get(column)
        if before is None or len(keys) < len(before):
            known[column] = keys


@dataclass(slots=True)
class Place:
    """Where a condition stands: the analysis it adds to, its level, and the entries whose rows it may restrict."""

    analysis: Analysis
    level: Level
    allowed: frozenset[int] | set[int]


def conjunct(
    analysis: Analysis,
    condition: Node,
    level: Level,
    allowed: frozenset[int] | set[int],
    *,
    joins: bool = True,
) -> None:
    """Add to the graph what *condition* says about the entries in *allowed*; *joins*: EXISTS and IN in it may become
    joins."""
    facts = Facts({}, {}, set(), set())
    collect(Place(analysis, level, allowed), condition, facts, positive=joins, negated=False)
    graph = analysis.graph
    if facts.never:
        analysis.empty |= {e.number for e in level.entries if e.number in allowed}
    for (node, entry), keys in facts.binds.items():
        if entry in allowed:
            (graph.pin if is_boolean(analysis, node) else graph.bind)(node, keys)
    for (node, entry), keys in facts.pins.items():
        if entry in allowed and node not in analysis.coalesced:
            graph.pin(node, keys)
    for equals, shared in ((facts.equals, False), (facts.shared, True)):
        for (x, x_entry), (y, y_entry) in equals:
            late = shared or _late(x_entry, level) or _late(y_entry, level) or bool({x, y} & analysis.wrapped)
            late = late or is_boolean(analysis, x) or is_boolean(analysis, y)
            join = graph.weak_edge if late else graph.edge
            if y_entry in allowed or y_entry == ALWAYS:
                join(x, y)
            if x_entry in allowed or x_entry == ALWAYS:
                join(y, x)


def is_boolean(analysis: Analysis, node: int) -> bool:
    """Return whether a column is boolean: a planner makes `t` of `t = true`, which is no equality to pass on."""
    return analysis.types.get(node) == "boolean"


def _late(entry: int, level: Level) -> bool:
    """Return whether a key seen through *entry* is a run-time value in *level*: a scalar subquery's, or that of a level
    further out where one between does not merge."""
    if entry == NEVER:
        return True
    here: Level | None = level
    while here is not None and entry != ALWAYS and all(e.number != entry for e in here.entries):
        if not here.merges:
            return True
        here = here.parent
    return False


def collect(place: Place, node: Node, facts: Facts, *, positive: bool, negated: bool) -> None:
    """Collect the facts of a condition. *positive*: neither OR nor NOT stands above, so subqueries may become joins."""
    [(tag, body)] = node.items()
    if tag == "A_Const":
        facts.never = facts.never or truth(node).excludes(negated)
    elif tag == "BoolExpr":
        kind = body["boolop"]
        if kind == "NOT_EXPR":
            inside = body["args"][0]
            if positive and inside.get("SubLink", {}).get("subLinkType") == "EXISTS_SUBLINK":
                _exists(place, inside["SubLink"], merges=True, negated=True)
            else:
                collect(place, inside, facts, positive=False, negated=not negated)
        elif (kind == "AND_EXPR") is not negated:
            for arm in body["args"]:
                collect(place, arm, facts, positive=positive, negated=negated)
        else:
            _either(place, body["args"], facts, negated)
    elif tag == "A_Expr":
        if _names_parameter(place, body, facts, negated):
            pass
        elif not may_be_known(body):
            _comparison(place, body, facts, negated)
        elif (value := truth(node)) is not Truth.UNKNOWN:
            facts.never = facts.never or value.excludes(negated)
        elif (compared_one := compared_with_constant(body)) is not None:
            condition, wanted = compared_one
            collect(place, condition, facts, positive=False, negated=negated is wanted)
        else:
            _comparison(place, body, facts, negated)
    elif tag in ("ColumnRef", "BooleanTest"):
        _boolean(place, tag, body, facts, negated)
    elif tag == "TypeCast" and is_condition(body["arg"]) and plain_type(type_name(body.get("typeName"))) == "boolean":
        collect(place, body["arg"], facts, positive=False, negated=negated)
    elif tag == "SubLink":
        if body["subLinkType"] == "EXISTS_SUBLINK":
            _exists(place, body, merges=positive, negated=negated)
        elif positive and body["subLinkType"] == "ANY_SUBLINK" and names(body.get("operName")) in ([], ["="]):
            _in(place, body, facts)
        else:
            visit(place.analysis, node, place.level)
    else:
        if tag == "NullTest" and "ColumnRef" in body["arg"]:
            _note(place, body["arg"], "IS NULL names no tenant")
        visit(place.analysis, node, place.level)


def _boolean(place: Place, tag: str, body: Body, facts: Facts, negated: bool) -> None:
    """Read a boolean column that is a condition by itself, or IS TRUE or IS FALSE."""
    column, wanted = {tag: body}, not negated
    if tag == "BooleanTest":
        visit(place.analysis, column, place.level)
        column, kind = body["arg"], body.get("booltesttype", "IS_TRUE")
        if negated or kind not in ("IS_TRUE", "IS_FALSE") or "ColumnRef" not in column:
            return
        wanted = kind == "IS_TRUE"
    found = resolve(place.analysis, column["ColumnRef"], place.level)
    if isinstance(found, tuple) and is_boolean(place.analysis, found[0]):
        facts.pin(found, frozenset((str(wanted).lower(),)))


def _either(place: Place, arms: list[Node], facts: Facts, negated: bool) -> None:
    found = []
    for arm in arms:
        one = Facts()
        collect(place, arm, one, positive=False, negated=negated)
        if not one.never:
            found.append(one)
    if not found:
        facts.never = True
        return
    for column in (*found[0].binds, *found[0].pins):
        keys = [one.known(column) for one in found]
        if all(keys):
            same = len(set(keys)) == 1 and all(column in one.binds for one in found)
            (facts.bind if same else facts.pin)(column, frozenset().union(*(k for k in keys if k)))
    facts.shared |= set.intersection(*(one.equals | one.shared for one in found))
    for one in found:
        for column in (*one.binds, *one.pins):
            if facts.known(column) is None:
                place.analysis.graph.notes.setdefault(
                    column[0], "the key stands inside an OR whose other side does not bind it"
                )


def _names_parameter(place: Place, body: Body, facts: Facts, negated: bool) -> bool:
    """Read `column = $1`, by far the commonest condition, as `_comparison` would and in a third of the time; return
    whether it is one."""
    left, right = body.get("lexpr"), body.get("rexpr")
    if left is None or right is None or negated or body["kind"] != "AEXPR_OP":
        return False
    if "ParamRef" in right and "ColumnRef" in left:
        column, value = left["ColumnRef"], right["ParamRef"]
    elif "ParamRef" in left and "ColumnRef" in right:
        column, value = right["ColumnRef"], left["ParamRef"]
    else:
        return False
    if operator(body) != "=":
        return False
    found = resolve(place.analysis, column, place.level)
    if isinstance(found, tuple):
        facts.bind(found, frozenset((f"${value.get('number', 0)}",)))
    return True


def _comparison(place: Place, body: Body, facts: Facts, negated: bool) -> None:
    kind, name = body["kind"], operator(body)
    left, right = body.get("lexpr"), body.get("rexpr")
    if kind == "AEXPR_OP" and name == ("<>" if negated else "=") and left is not None and right is not None:
        pairs = [(left, right)]
        if "RowExpr" in left and "RowExpr" in right:
            pairs = list(zip(left["RowExpr"].get("args", ()), right["RowExpr"].get("args", ()), strict=False))
        for one, other in pairs:
            left_side = operand(place.analysis, one, place.level)
            _equal(place, (one, left_side), (other, operand(place.analysis, other, place.level)), facts)
        return
    if kind in _LISTS and left is not None and right is not None:
        some = kind == "AEXPR_IN" or (kind == "AEXPR_OP_ALL") is negated
        if name == ("<>" if negated else "=") and (some or len(lists.items(right) or ()) == 1):
            _membership(place, left, right, facts, listed=kind != "AEXPR_IN", some=some)
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


_LISTS = ("AEXPR_IN", "AEXPR_OP_ANY", "AEXPR_OP_ALL")
Side = tuple[Node, Operand]
"""One side of an equality, and what it is."""


def _equal(place: Place, left: Side, right: Side, facts: Facts) -> None:
    (left_node, one), (right_node, other) = left, right
    unlike = _unlike(place.analysis, left, right)
    if unlike is not None:
        for found in (one, other):
            if isinstance(found, tuple):
                place.analysis.graph.notes.setdefault(found[0], unlike)
    elif isinstance(one, tuple) and isinstance(other, tuple):
        if one != other:
            facts.equals.add((one, other) if one <= other else (other, one))
    elif isinstance(one, tuple) and isinstance(other, frozenset):
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


def alike(analysis: Analysis, one: int, other: int) -> bool:
    """Return whether what is known of one column is known of another that equals it, by their types."""
    return compared.same_hash(analysis.types.get(one), analysis.types.get(other))


def _unlike(analysis: Analysis, left: Side, right: Side) -> str | None:
    """Return why an equality between the two sides finds no shard by hash; None when it does."""
    (left_node, one), (right_node, other) = left, right
    if compared.collated(left_node) or compared.collated(right_node):
        return compared.COLLATED
    if isinstance(one, tuple) and isinstance(other, tuple):
        return None if alike(analysis, one[0], other[0]) else compared.UNLIKE
    for column, value in ((one, right_node), (other, left_node)):
        if isinstance(column, tuple) and not compared.found_by_hash(
            analysis.types.get(column[0]), compared.value_type(value)
        ):
            return compared.UNLIKE
    return None


def _unknown_value(node: Node) -> str:
    tags = {t for t, _ in walk(node)}
    if "SubLink" in tags:
        return "the key comes from a subquery, so it is known at run time only"
    if "FuncCall" in tags:
        return "the key comes from a function that may change from row to row"
    return "the other side of the equality is neither a constant nor a parameter"


def _membership(place: Place, left: Node, right: Node, facts: Facts, *, listed: bool, some: bool = True) -> None:
    """Read `= ANY`, IN, or `= ALL` (not *some*) of one element.

    Args:
        listed: an array, which PostgreSQL takes for no equality even if it has one element; a list of one is one.
    """
    analysis, level = place.analysis, place.level
    items = lists.items(right)
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
            elif lists.is_null(value):
                continue
            elif len(items) == 1 and not listed and isinstance(found, tuple) and isinstance(column, tuple):
                _equal(place, (side, column), (value, found), facts)
                known = False
            else:
                known = False
        whole = compared.list_type(right, items, position if "RowExpr" in left else None)
        if isinstance(column, tuple) and not compared.found_by_hash(analysis.types.get(column[0]), whole):
            analysis.graph.notes.setdefault(column[0], compared.UNLIKE)
        elif isinstance(column, tuple) and known and keys:
            array = listed or len(items) > 1
            (facts.pin if array else facts.bind)(column, frozenset(keys))
            if array and some and "RowExpr" not in left and not any(map(lists.is_fixed, items)):
                analysis.arrays = True
        elif not isinstance(column, tuple):
            _note(place, side, "the key stands inside an expression")


def _exists(place: Place, body: Body, *, merges: bool, negated: bool) -> None:
    """EXISTS becomes a semi-join, NOT EXISTS an anti-join, which restricts nothing outside."""
    [(tag, select)] = body["subselect"].items()
    merges = merges and becomes_join(place.analysis.context, select)
    inner = Level(place.level, place.allowed if merges and not negated else frozenset())
    inner.merges, inner.exists = merges, True
    place.analysis.descend(place.analysis, tag, select, inner)


def _in(place: Place, body: Body, facts: Facts) -> None:
    """IN (SELECT …) becomes a semi-join with what is a subquery in FROM, if that names nothing from outside."""
    analysis, level, test = place.analysis, place.level, body["testexpr"]
    [(tag, select)] = body["subselect"].items()
    inner, outputs = derived(analysis, tag, select, Level(level), inner=True, alone=True)
    sides = test["RowExpr"].get("args", []) if "RowExpr" in test else [test]
    for side, (_, node) in zip(sides, outputs, strict=False):
        column = operand(analysis, side, level)
        if not isinstance(column, tuple):
            continue
        if node is None or inner.crossed:
            analysis.graph.notes.setdefault(column[0], "the keys come from a subquery, known at run time only")
        else:
            if alike(analysis, column[0], node):
                facts.equals.add((column, (node, ALWAYS)))


def _note(place: Place, node: Node | None, text: str) -> None:
    """Remember why a key column in *node* is not bound by this condition."""
    if node is None:
        return
    for tag, body in walk(node):
        if tag == "ColumnRef":
            found = resolve(place.analysis, body, place.level)
            if isinstance(found, tuple):
                place.analysis.graph.notes.setdefault(found[0], text)
