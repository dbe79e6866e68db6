"""Which columns does a condition reject NULL for, so that an outer join is an inner one?"""

from __future__ import annotations

from migrator.grammar.parse import Node, names


def strict_names(where: Node | None) -> frozenset[str]:
    """Return the columns that WHERE rejects NULL for, as they are written: "alias.column" or "column"."""
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
                    found.add(".".join(fields[-2:]))
        elif tag == "NullTest" and body.get("nulltesttype") == "IS_NOT_NULL" and "ColumnRef" in body["arg"]:
            fields = names(body["arg"]["ColumnRef"].get("fields"))
            found.add(".".join(fields[-2:]))
    return frozenset(found)
