"""Which elements has the list or array of a condition, as far as its text holds them?"""

from __future__ import annotations

from migrator.grammar.parse import Node, constant


def items(node: Node) -> list[Node] | None:
    """Return the elements of an IN list, an ARRAY[…] or an array literal; None when they are not in the text."""
    if "List" in node:
        found: list[Node] = node["List"].get("items", [])
        return found
    if "TypeCast" in node:
        return items(node["TypeCast"]["arg"])
    if "A_ArrayExpr" in node:
        elements: list[Node] = node["A_ArrayExpr"].get("elements", [])
        return elements
    if "A_Const" in node:
        text = constant(node["A_Const"]) or ""
        if text.startswith("{") and text.endswith("}") and '"' not in text:
            return [_element(part.strip()) for part in text[1:-1].split(",") if part]
    return None


def _element(text: str) -> Node:
    return {"A_Const": {"isnull": True} if text.upper() == "NULL" else {"sval": {"sval": text}}}


def is_null(node: Node) -> bool:
    return "isnull" in _bare(node).get("A_Const", ())


def is_fixed(node: Node) -> bool:
    """Return whether *node* is a constant, and not NULL."""
    return "A_Const" in _bare(node) and not is_null(node)


def _bare(node: Node) -> Node:
    """Return *node* without the casts around it."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return node
