"""What will each table be on Limitless, as far as statements are concerned?

Comes from the plan where there is one, else from the tenant key and its aliases: a table that has the key is
sharded by it, any other table stays undecided and counts as not sharded (the report proposes what to do with it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from migrator.audit.catalog import Catalog, ForeignKey, Relation
from migrator.model.table import TableKind
from migrator.plan.schema import Tables


@dataclass(frozen=True, slots=True)
class Shape:
    """One table's future.

    Attributes:
        kind: None before it is decided.
        key: the shard key column on Limitless; None when not sharded.
        derived: the column does not exist on classic; it is filled through `via`.
        via: steps (column, parent, parent column) to the ancestor that has the tenant.
        proposed: `via` is the audit's proposal, not decided yet.
    """

    kind: TableKind | None
    key: str | None = None
    derived: bool = False
    via: tuple[tuple[str, str, str], ...] = ()
    proposed: bool = False

    @property
    def sharded(self) -> bool:
        return self.kind is TableKind.SHARDED


UNDECIDED = Shape(None)


@dataclass(slots=True)
class Shapes:
    """The shape of every table, by qualified name."""

    tenant_key: str
    by_table: dict[str, Shape] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    planned: bool = False
    problems: list[str] = field(default_factory=list)

    def of(self, relation: Relation) -> Shape:
        name = relation.partition_of or relation.qualified
        return self.by_table.get(name, UNDECIDED)

    def sharded(self) -> dict[str, Shape]:
        return {name: shape for name, shape in self.by_table.items() if shape.sharded}


def parse_via(via: str) -> tuple[str, str, str]:
    """Return (column, parent, parent column) of 'column -> schema.parent.column'."""
    column, _, target = via.partition("->")
    parent, _, parent_column = target.strip().rpartition(".")
    return column.strip(), parent, parent_column


def shapes_of_plan(catalog: Catalog, tables: Tables) -> Shapes:
    """Return the shapes a plan declares: named tables as they say, others sharded when they have the tenant key."""
    shapes = Shapes(tables.tenant_key, schemas=tuple(tables.schemas), planned=True)
    for relation in catalog.tables():
        if relation.schema not in tables.schemas:
            continue
        entry = tables.table.get(relation.qualified)
        if entry is None:
            if tables.tenant_key in relation.columns:
                shapes.by_table[relation.qualified] = Shape(TableKind.SHARDED, tables.tenant_key)
            continue
        kind = TableKind(entry.kind)
        if kind is not TableKind.SHARDED:
            shapes.by_table[relation.qualified] = Shape(kind)
        elif entry.via:
            shapes.by_table[relation.qualified] = Shape(
                kind, tables.tenant_key, derived=tables.tenant_key not in relation.columns, via=(parse_via(entry.via),)
            )
        else:
            shapes.by_table[relation.qualified] = Shape(kind, entry.tenant_column or tables.tenant_key)
    _propose(catalog, shapes, tables.tenant_key, set(tables.schemas))
    shapes.problems += [
        f"the plan names {name}, which the audited database does not have"
        for name in tables.table
        if name not in catalog.relations
    ]
    return shapes


def shapes_of_key(catalog: Catalog, tenant_key: str, aliases: Mapping[str, str]) -> Shapes:
    """Return the shapes that the tenant key and its aliases (table to column) imply."""
    shapes = Shapes(tenant_key, schemas=tuple(sorted({r.schema for r in catalog.tables()})))
    by_alias: dict[str, str] = {}
    for table, column in aliases.items():
        schema, _, name = table.rpartition(".")
        relation = catalog.find(name, schema or None)
        if relation is None:
            shapes.problems.append(f"--key-alias {table}={column}: the schema has no table {table}")
        elif column not in relation.columns:
            shapes.problems.append(f"--key-alias {table}={column}: {relation.qualified} has no column {column}")
        else:
            by_alias[relation.qualified] = column
    for relation in catalog.tables():
        column_name = by_alias.get(relation.qualified) or (tenant_key if tenant_key in relation.columns else None)
        if column_name:
            shapes.by_table[relation.qualified] = Shape(TableKind.SHARDED, column_name)
    _propose(catalog, shapes, tenant_key, None)
    return shapes


def _propose(catalog: Catalog, shapes: Shapes, tenant_key: str, schemas: set[str] | None) -> None:
    """Propose a path to the tenant for every undecided table."""
    for relation in catalog.tables():
        if relation.qualified in shapes.by_table or (schemas is not None and relation.schema not in schemas):
            continue
        path = path_to_key(catalog, shapes, relation)
        if path:
            shapes.by_table[relation.qualified] = Shape(None, tenant_key, derived=True, via=path, proposed=True)


def path_to_key(
    catalog: Catalog, shapes: Shapes, relation: Relation, limit: int = 4
) -> tuple[tuple[str, str, str], ...]:
    """Return the shortest way from *relation* through single-column foreign keys to a table with the tenant key.

    Columns that are NOT NULL come first: a nullable one leaves rows without a tenant.
    """
    seen = {relation.qualified}
    front: list[tuple[Relation, tuple[tuple[str, str, str], ...]]] = [(relation, ())]
    for _ in range(limit):
        following = []
        for current, path in front:
            keys = [k for k in current.foreign_keys if len(k.columns) == 1]
            keys.sort(key=partial(_nullable_last, current))
            for key in keys:
                parent = catalog.relations.get(key.parent)
                if parent is None or parent.qualified in seen or len(key.parent_columns) != 1:
                    continue  # a file may name a parent that it does not hold
                step = (*path, (key.columns[0], key.parent, key.parent_columns[0]))
                if shapes.of(parent).sharded:
                    return step
                seen.add(parent.qualified)
                following.append((parent, step))
        front = following
    return ()


def _nullable_last(relation: Relation, key: ForeignKey) -> tuple[bool, str]:
    attribute = relation.columns.get(key.columns[0])
    return attribute is None or not attribute.not_null, key.name
