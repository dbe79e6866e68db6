"""Finds the statements of a DO block that are not built at run time. Migrations guard theirs with one."""

from __future__ import annotations

from typing import Any

from migrator.grammar.parse import expression, parse_plpgsql
from migrator.grammar.tree import wrap


class NotPlpgsql(Exception):
    """A block is in a language that the audit does not read."""


def block_statements(node: Any) -> tuple[list[str], int]:
    """Return the statements of a DO block in their order, and how many texts it builds when it runs.

    Every branch counts as run; an EXECUTE of a constant is a statement.

    Raises:
        NotPlpgsql: the block is in another language.
        Unparsable: its body cannot be read.
    """
    options = {o.defname: o.arg for o in node.args or ()}
    language = options["language"].sval if "language" in options else "plpgsql"
    if language.lower() != "plpgsql":
        raise NotPlpgsql(f"a DO block in {language}")
    body = options["as"].sval
    tag = "$block$"
    while tag in body:
        tag = f"{tag[:-1]}x$"
    definition = f"CREATE FUNCTION block() RETURNS void LANGUAGE plpgsql AS {tag}{body}{tag}"
    found: list[str] = []
    dynamic = 0
    stack: list[Any] = [parse_plpgsql(definition)]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack.extend(reversed(part))
        elif isinstance(part, dict):
            for key, value in reversed(part.items()):
                if key == "PLpgSQL_stmt_execsql":
                    found.append(value["sqlstmt"]["PLpgSQL_expr"]["query"])
                elif key == "PLpgSQL_stmt_dynexecute":
                    text = _constant(value["query"]["PLpgSQL_expr"]["query"])
                    found += [text] if text is not None else []
                    dynamic += text is None
                else:
                    stack.append(value)
    return found, dynamic


def _constant(text: str) -> str | None:
    """Return the text of an expression that is a string constant; None of any other."""
    found = wrap(expression(text))
    return found.text if found is not None and found.tag == "A_Const" else None
