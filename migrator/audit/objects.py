"""Counts the objects of a database by type, and those that no finding names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from migrator.audit.catalog import Catalog, Relation, RelationKind
from migrator.audit.rules.findings import Finding
from migrator.audit.rules.rule import Severity

TYPES = {
    RelationKind.VIEW: "views",
    RelationKind.MATVIEW: "materialized views",
    RelationKind.FOREIGN: "foreign tables",
}


def by_type(catalog: Catalog, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return `type`, `count` and `clean` for every type there is one of; clean: nothing worse than info is said of it.

    What is said of a column is said of the table as well. Primary keys count with their tables.
    """
    named = {f.object for f in findings if f.severity is not Severity.INFO}
    counts: dict[str, list[int]] = {}
    for kind, names in _objects(catalog):
        cell = counts.setdefault(kind, [0, 0])
        cell[0] += 1
        cell[1] += named.isdisjoint(names)
    return [{"type": kind, "count": count, "clean": clean} for kind, (count, clean) in counts.items()]


def _objects(catalog: Catalog) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the type of every object with the names by which findings call it."""
    tables = catalog.tables()
    for table in tables:
        yield "tables", (table.qualified, *_below(table, table.columns), *_below(table, (c.name for c in table.checks)))
    for table in tables:
        for index in table.indexes:
            if not index.primary:
                yield "indexes", _below(table, [index.name])
    for table in tables:
        for key in table.foreign_keys:
            yield "foreign keys", _below(table, [key.name])
    for relation in catalog.relations.values():
        if relation.kind in TYPES:
            yield TYPES[relation.kind], (relation.qualified,)
    for sequence in catalog.sequences.values():
        yield "sequences", (sequence.qualified,)
    for function in catalog.functions:
        signature = function.signature
        yield "functions", (signature, function.qualified, f"aggregate {signature}", f"function {signature}")
    for relation in catalog.relations.values():
        for trigger in relation.triggers:
            yield "triggers", _below(relation, [trigger.name])
    for thing in catalog.things:
        if thing.sort == "extension":
            yield "extensions", (f"extension {thing.name}",)


def _below(relation: Relation, names: Iterable[str]) -> list[str]:
    return [f"{relation.qualified}.{name}" for name in names]
