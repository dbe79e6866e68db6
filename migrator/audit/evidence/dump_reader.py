"""Keeps what a schema dump has created so far, and resolves the names of its next statement.

A file may name what it does not create: tables of another tool, types of an extension, the parent of a partition. Each
such name is noted with what hangs on it, and the rest is read.
"""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import Attribute, Catalog, Relation, Source
from migrator.audit.evidence.dump_outside import OUTSIDE
from migrator.audit.evidence.rows import Evidence
from migrator.grammar.tree import Tree
from migrator.grammar.types import type_text as spelled
from migrator.grammar.written import Written


class Reader:
    """The catalog that the statements of a dump build, in order, and the schema their bare names belong to."""

    def __init__(self, catalog: Catalog, evidence: Evidence) -> None:
        self.catalog = catalog
        self.evidence = evidence
        self.source = Source()
        self.written = Written("")  # the statement that is being read
        self.default = "public"
        self.made: list[str] = []  # tables that this file created
        self.dropped: list[str] = []  # relations that it dropped
        self.pending_owners: list[tuple[str, str]] = []

    def name_of(self, relation: Any) -> tuple[str, str]:
        return relation.schemaname or self.default, relation.relname

    def known(self, relation: Any) -> Relation | None:
        schema, name = self.name_of(relation)
        return self.catalog.relations.get(f"{schema}.{name}") or self.catalog.find(name, relation.schemaname)

    def outside(self, obj: str, what: str) -> None:
        """Note that *obj* needs something that the files given do not hold; *what* says what, in a few words."""
        self.evidence.outside.append((obj, f"{what} {OUTSIDE}", self.source))

    def finish(self) -> None:
        """Tie up what needs the whole file: owners of sequences, kinds of types, the path."""
        for column, sequence in self.pending_owners:
            found = self.catalog.sequences.get(sequence)
            table, _, name = column.rpartition(".")
            relation = self.catalog.relations.get(table)
            if found is not None:
                found.owned_by = column
            if relation is not None and name in relation.columns:
                relation.columns[name].sequence = sequence
        for relation in self.catalog.relations.values():
            for attribute in relation.columns.values():
                self._finish_attribute(attribute)
        schemas = dict.fromkeys(("public", *(r.schema for r in self.catalog.relations.values())))
        self.catalog.search_path = tuple(schemas) if len(schemas) <= 2 else ("public",)

    def _finish_attribute(self, attribute: Attribute) -> None:
        bare = attribute.type.split("(")[0].removesuffix("[]")
        kind = next((k for n, k in self.catalog.types.items() if n == bare or n.rpartition(".")[2] == bare), None)
        if attribute.type.endswith("[]"):
            attribute.type_kind = "a"
        elif kind:
            attribute.type_kind = kind
        if attribute.sequence is None and attribute.default and "nextval(" in attribute.default:
            quoted = attribute.default.split("'")
            if len(quoted) > 1:
                name = quoted[1].replace('"', "")
                attribute.sequence = name if "." in name else f"{self.default}.{name}"


def option(node: Any) -> str:
    """Return an option as `name=value`; one without a value means true."""
    return f"{node.defname}={'true' if node.arg is None else value(node.arg)}"


def value(node: Any) -> str:
    """Return a value that stands alone: a number, a word, a text."""
    if node.tag == "Integer":
        return str(node.ival)
    if node.tag == "Boolean":
        return str(node.boolval).lower()
    if node.tag == "TypeName":
        return type_text(node)
    return next((str(v) for v in (node.sval, node.fval) if v is not None), "")


def dotted(names: Any, default: str) -> tuple[str, str]:
    """Return (schema, name) of a list of String nodes."""
    parts = [n.sval for n in names]
    return (parts[-2], parts[-1]) if len(parts) > 1 else (default, parts[-1])


def type_text(node: Tree) -> str:
    """Return a type as PostgreSQL's own catalog shows it."""
    return ("SETOF " if node.setof else "") + spelled(node.body)
