"""What does a statement that makes something new say, and what may it not say? Pure.

A new table's foreign keys are taken out of it: making them locks the tables they lead to, so they come last, in a
moment of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pglast import ast
from pglast.enums import ConstrType
from pglast.stream import RawStream

Resolve = Callable[[Any], None]
"""Gives a relation that is written without a schema the schema that is meant; says so where that is not clear."""

OPTIONS = ("kind", "via", "tenant_column", "key")
"""What a comment before CREATE TABLE may say; the fields of the plan's entry for a table."""

_OPTION = re.compile(r"^[ \t]*--[ \t]*migrator:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_PERSISTENT = "p"


def options(before: str) -> tuple[dict[str, str], list[str]]:
    """Return what comments of the form `-- migrator: name = value` in *before* say, and what is wrong with them."""
    found: dict[str, str] = {}
    problems = []
    for text in _OPTION.findall(before):
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in OPTIONS or not equals or not value:
            problems.append(
                f"'-- migrator: {text}' → write '-- migrator: NAME = VALUE', NAME one of {', '.join(OPTIONS)}"
            )
        elif name in found:
            problems.append(f"'-- migrator: {text}' → {name} is said twice")
        else:
            found[name] = value
    return found, problems


def refused_table(node: Any) -> Iterator[str]:
    """Say what a new table may not be, with advice."""
    if node.relation.relpersistence != _PERSISTENT:
        yield "an UNLOGGED or TEMPORARY table cannot be migrated: leave that out"
    if node.partbound is not None:
        yield (
            "a partition of a captured table is made on classic directly: it is captured in the same transaction, and"
            " Limitless keeps its rows in the one table"
        )
    elif node.inhRelations:
        yield "Limitless has no table inheritance: leave INHERITS out"
    if node.ofTypename is not None:
        yield "write the columns instead of OF type"
    if node.tablespacename:
        yield "Limitless has no TABLESPACE: leave it out"
    for element in node.tableElts or ():
        if isinstance(element, ast.TableLikeClause):
            yield "write the columns instead of LIKE: both sides are made from what is written"
        elif _is(element, ConstrType.CONSTR_EXCLUSION):
            yield "an EXCLUDE constraint cannot be kept across shards: leave it out"


def _is(element: Any, kind: ConstrType) -> bool:
    return isinstance(element, ast.Constraint) and element.contype == kind


def without_links(node: Any, resolve: Resolve) -> tuple[str, tuple[str, ...]]:
    """Return the CREATE TABLE without its foreign keys, and what follows ADD for each of those.

    *node* is changed.
    """
    links = []
    kept = []
    for element in node.tableElts or ():
        if _is(element, ConstrType.CONSTR_FOREIGN):
            links.append(element)
            continue
        if isinstance(element, ast.ColumnDef):
            mine = [c for c in element.constraints or () if c.contype == ConstrType.CONSTR_FOREIGN]
            for link in mine:
                link.fk_attrs = (ast.String(sval=element.colname),)
            links += mine
            element.constraints = tuple(c for c in element.constraints or () if c not in mine) or None
        kept.append(element)
    node.tableElts = tuple(kept)
    for link in links:
        resolve(link.pktable)
    node.if_not_exists = False
    return RawStream()(node), tuple(RawStream()(link) for link in links)
