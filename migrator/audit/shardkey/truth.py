"""Which conditions are known from the text alone: constants (`1 = 0`), and conditions compared with one (`… = true`)?

A planner computes both before it looks for partitions, so that an arm of an OR that is never true counts for nothing.
"""

from __future__ import annotations

import operator as compare
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Any

from migrator.grammar.parse import Body, Node, constant, operator

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": compare.eq,
    "<>": compare.ne,
    "<": compare.lt,
    ">": compare.gt,
    "<=": compare.le,
    ">=": compare.ge,
}
_SPELLED = {
    **dict.fromkeys(("t", "true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("f", "false", "no", "n", "off", "0"), False),
}
_NOTHING: Node = {}
_CONDITIONS = frozenset(("BoolExpr", "NullTest", "BooleanTest"))


class Truth(Enum):
    TRUE = True
    FALSE = False
    NULL = "null"
    UNKNOWN = "unknown"

    def excludes(self, negated: bool) -> bool:
        """Return whether no row passes a condition of this value, or its negation."""
        return self is Truth.NULL or self is (Truth.TRUE if negated else Truth.FALSE)


def may_be_known(body: Body) -> bool:
    """Return whether it is worth asking for the value of an A_Expr: most compare a column with a parameter."""
    left, right = body.get("lexpr", _NOTHING), body.get("rexpr", _NOTHING)
    if "A_Const" in left or "A_Const" in right:
        return "ColumnRef" not in left and "ColumnRef" not in right
    return "A_Expr" in left and "A_Expr" in right


def truth(node: Node) -> Truth:
    """Return the value of a condition, if it is made of constants alone."""
    if "A_Const" in node:
        body = node["A_Const"]
        if "isnull" in body:
            return Truth.NULL
        return Truth(bool(body["boolval"].get("boolval"))) if "boolval" in body else Truth.UNKNOWN
    if "A_Expr" not in node:
        return Truth.UNKNOWN
    body = node["A_Expr"]
    left, right = body.get("lexpr"), body.get("rexpr")
    if left is None or right is None or not ("A_Const" in left and "A_Const" in right) or body["kind"] != "AEXPR_OP":
        return Truth.UNKNOWN
    if Truth.NULL in (truth(left), truth(right)):
        return Truth.NULL
    one, other, how = _value(left["A_Const"]), _value(right["A_Const"]), operator(body)
    if type(one) is not type(other) or how not in _COMPARED or (isinstance(one, str) and how not in ("=", "<>")):
        return Truth.UNKNOWN
    return Truth(bool(_COMPARED[how](one, other)))


def compared_with_constant(body: Body) -> tuple[Node, bool] | None:
    """Return the condition that an A_Expr compares with true or false, and whether it must be true; else None."""
    how, left, right = operator(body), body.get("lexpr"), body.get("rexpr")
    if body["kind"] != "AEXPR_OP" or how not in ("=", "<>") or left is None or right is None:
        return None
    for condition, value in ((left, right), (right, left)):
        if is_condition(condition):
            told = truth(value)
            if told is Truth.UNKNOWN and "sval" in value.get("A_Const", ()):
                told = Truth(_SPELLED.get((constant(value["A_Const"]) or "").strip().lower(), "unknown"))
            if told in (Truth.TRUE, Truth.FALSE):
                return condition, (told is Truth.TRUE) is (how == "=")
    return None


def is_condition(node: Node) -> bool:
    """Return whether an expression is certainly a boolean one."""
    if "A_Expr" in node:
        body = node["A_Expr"]
        return body["kind"] not in ("AEXPR_OP", "AEXPR_NULLIF") or operator(body) in _COMPARED
    if "SubLink" in node:
        return node["SubLink"]["subLinkType"] in ("EXISTS_SUBLINK", "ANY_SUBLINK", "ALL_SUBLINK")
    return not _CONDITIONS.isdisjoint(node)


def _value(body: Body) -> Decimal | str | bool | None:
    text = constant(body)
    if text is None or "bsval" in body:
        return None
    if "boolval" in body:
        return text == "true"
    return text if "sval" in body else Decimal(text)
