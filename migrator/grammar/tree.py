"""How is a parse tree read like an object? `node.relation.relname` instead of chains of keys.

For what is read seldom and has many fields (DDL); statements by the thousand are read as dicts (parse.py).
"""

from __future__ import annotations

from typing import Any

from migrator.grammar.parse import Body, Node

_LEFT_OUT: dict[tuple[str, str], Any] = {("Integer", "ival"): 0, ("Boolean", "boolval"): False, ("String", "sval"): ""}


class Tree:
    """One node: `tag` is its type, empty where only one is possible; every field is an attribute.

    A node below is a Tree, a list a tuple; a field that is not there is None, as libpg_query leaves out what is 0,
    false or empty.
    """

    __slots__ = ("body", "tag")

    def __init__(self, tag: str, body: Body) -> None:
        self.tag = tag
        self.body = body

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self.body.get(name.rstrip("_"))
        return _LEFT_OUT.get((self.tag, name)) if value is None else wrap(value)

    @property
    def node(self) -> Node:
        """The node as its dict, for what reads trees as dicts."""
        return {self.tag: self.body}

    @property
    def text(self) -> str | None:
        """The string that this node is, constant or name; None when it is another thing."""
        if self.tag == "A_Const":
            found = self.body.get("sval")
            return None if found is None else str(found.get("sval", ""))
        return str(self.body.get("sval", "")) if self.tag == "String" else None


def wrap(value: Any) -> Any:
    """Return a value of a parse tree as a Tree, a tuple of such, or itself where it is a scalar."""
    if isinstance(value, list):
        return tuple(wrap(v) for v in value)
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(tag, body)] = value.items()
        if tag[:1].isupper():
            return wrap(body.get("items", [])) if tag == "List" else Tree(tag, body)
    return Tree("", value)
