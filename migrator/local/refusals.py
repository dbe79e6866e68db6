"""Decides which statements a stand-in's router refuses.

Those of the table of refusals (migrator.model.refused), wherever in a statement they occur: in a CTE, behind EXPLAIN or
PREPARE, in the body of a function or of DO. What a body makes up at run time reaches no router; of that, the server
refuses what event triggers see and what the catalog shows (standin_refusals.sql), with the same texts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from migrator.grammar.parse import Unparsable, parse_plpgsql, trees
from migrator.model.refusing import met, strings

Node = dict[str, Any]


def refusal(tree: Any, text: str) -> str | None:
    """Limitless' answer to the statement *text*; None when it accepts it (or the server itself refuses it)."""
    for kind, node in nodes(tree):
        for entry in met(kind, node):
            if entry.until is None:
                return entry.words
        if kind in ("CreateFunctionStmt", "DoStmt") and (answer := _body(node, text)):
            return answer
    return None


def nodes(tree: Any) -> Iterator[tuple[str, Node]]:
    """Every node under *tree*, outer ones first, with what it is: the key it stands under.

    The JSON leaves out the kind of a node where only one is possible, so that the field's name has to do.
    """
    stack: list[tuple[str | None, Any]] = [(None, tree)]
    while stack:
        key, current = stack.pop()
        if isinstance(current, list):
            stack += [(None, item) for item in reversed(current)]
        elif isinstance(current, dict):
            if key is not None:
                yield _FIELDS.get(key, key), current
            stack += [(str(name), value) for name, value in reversed(current.items())]


# A field whose value is a node of a known kind without its name.
_FIELDS = {"onConflictClause": "OnConflictClause"}


def calls(tree: Any) -> Iterator[tuple[int, str]]:
    """The function calls in DO UPDATE clauses under *tree*: where each begins (in bytes) and the name it is called by.

    Whether a function is immutable only the server knows.
    """
    for kind, clause in nodes(tree):
        if kind == "OnConflictClause":
            for inner, node in nodes([clause.get("targetList"), clause.get("whereClause")]):
                if inner == "FuncCall" and node.get("funcformat") != "COERCE_SQL_SYNTAX":
                    yield node["location"], ".".join(_quoted(part) for part in strings(node["funcname"]))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _body(node: Node, text: str) -> str | None:
    """A function or DO block whose body holds what is refused; bodies in other languages are not read."""
    options = {
        option["defname"]: strings([option.get("arg")])
        for kind, option in nodes([node.get("options"), node.get("args")])
        if kind == "DefElem"
    }
    language = (options.get("language") or ["plpgsql"])[0].lower()
    inner: list[str] = []
    if language == "sql":
        inner = options.get("as", [])[:1]
    elif language == "plpgsql":
        inner = _plpgsql(text)
    for statement in inner:
        with contextlib.suppress(Unparsable):
            if answer := refusal(trees(statement), statement):
                return answer
    return None


def _plpgsql(text: str) -> list[str]:
    """The statements of a PL/pgSQL body, those among them that EXECUTE is given as a constant."""
    texts = []
    with contextlib.suppress(Unparsable):
        for kind, node in nodes(parse_plpgsql(text)):
            if kind == "PLpgSQL_expr" and node.get("parseMode", 0) == 0:
                texts.append(node["query"])
            elif kind == "PLpgSQL_stmt_dynexecute":
                texts += strings(trees(f"SELECT {node['query']['PLpgSQL_expr']['query']}"))
    return texts
