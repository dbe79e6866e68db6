"""Reads a CREATE statement, and says what it may not contain. Pure.

A new table's foreign keys are taken out of it: making them locks the tables they lead to, so they come last, in a
moment of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from migrator.grammar.tree import Tree
from migrator.grammar.written import Edit, Written, edited, quoted

Resolve = Callable[[Tree], str | None]
"""The schema that is meant by a relation written without one; None, and said so, where that is not clear."""

OPTIONS = ("kind", "via", "tenant_column", "key", "side")
"""What a comment may say: before CREATE TABLE the fields of the plan's entry for a table, before others the side."""

_OPTION = re.compile(r"^[ \t]*--[ \t]*migrator:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_PERSISTENT = "p"


def options(before: str) -> tuple[dict[str, str], list[str]]:
    """Return what comments of the form `-- migrator: name = value` in *before* say, and what is wrong with them."""
    values: dict[str, str] = {}
    problems = []
    for text in _OPTION.findall(before):
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in OPTIONS or not equals or not value:
            problems.append(
                f"'-- migrator: {text}' → write '-- migrator: NAME = VALUE', NAME one of {', '.join(OPTIONS)}"
            )
        elif name in values:
            problems.append(f"'-- migrator: {text}' → {name} is said twice")
        else:
            values[name] = value
    return values, problems


def refused_table(node: Tree) -> Iterator[str]:
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
        if element.tag == "TableLikeClause":
            yield "write the columns instead of LIKE: both sides are made from what is written"
        elif element.contype == "CONSTR_EXCLUSION":
            yield "an EXCLUDE constraint cannot be kept across shards: leave it out"


def named(written: Written, position: int, schema: str | None) -> Edit:
    """Return the edit that gives the name at *position* its *schema*, where it has none yet."""
    number = written.at(position)
    bare = written.name_end(position) == number + 1
    return position, position, f"{quoted(schema)}." if bare and schema else ""


def not_lenient(written: Written) -> Iterator[Edit]:
    """Yield the edit that takes IF NOT EXISTS out."""
    for number, token in enumerate(written.tokens[:6]):
        if token.word == "IF" and written.tokens[number + 1].word == "NOT":
            yield token.begin, written.tokens[number + 2].end, ""


def without_links(node: Tree, written: Written, schema: str, resolve: Resolve) -> tuple[str, tuple[str, ...]]:
    """Return the CREATE TABLE, in *schema*, without its foreign keys, and what follows ADD for each of those."""
    edits = [*not_lenient(written), named(written, node.relation.location, schema)]
    links = []
    kept = False  # something before stays, so that the comma before goes
    for element in node.tableElts or ():
        if element.tag == "Constraint" and element.contype == "CONSTR_FOREIGN":
            end = written.end_of_item(written.at(element.location))
            links.append(_link(written, element, end, resolve))
            edits.append((*written.with_comma(element.location, end, before=kept), ""))
            continue
        kept = True
        for begin, end, link in _of_column(written, element):
            links.append(_link(written, link, end, resolve, element.colname))
            edits.append((begin, end, ""))
    return edited(written.data, edits), tuple(links)


def _of_column(written: Written, column: Tree) -> Iterator[tuple[int, int, Tree]]:
    """Yield the foreign keys in a column's definition, each with its part of the text. DEFERRABLE and its kin belong
    to the constraint before them."""
    parts = column.constraints or ()
    begins = [
        part.location
        for part in (*parts, column.collClause)
        if part is not None and not (part.contype or "").startswith("CONSTR_ATTR")
    ]
    for part in parts:
        if part.contype == "CONSTR_FOREIGN":
            yield part.location, written.end_of_item(written.at(part.location), begins), part


def _link(written: Written, link: Tree, end: int, resolve: Resolve, column: str = "") -> str:
    """Return what follows ADD for a foreign key; *column*: the one it is written behind."""
    edits = [named(written, link.pktable.location, resolve(link.pktable))]
    if column:
        begin = written.tokens[written.after(link.location, "REFERENCES")].begin
        edits.append((begin, begin, f"FOREIGN KEY ({quoted(column)}) "))
    return edited(written.data, edits, link.location, end)
