"""What will each table be on Limitless, as far as statements are concerned?

Comes from the plan where there is one, else from the tenant key and its aliases: a table that has the key is
sharded by it, any other table stays undecided and counts as not sharded (the report proposes what to do with it).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from migrator.audit.catalog import Catalog, ForeignKey, Relation
from migrator.model.table import TableKind, split_qualified

if TYPE_CHECKING:  # the judging processes need no plan, which takes a third of their start
    from migrator.plan.schema import Tables


class Step(NamedTuple):
    """A foreign key, of one column or several, that leads to the row that has the tenant, or leads to it."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]

    @classmethod
    def of(cls, step: Step | tuple[str, str, str]) -> Step:
        """Return a step of one column that is given as (column, parent, parent column)."""
        if isinstance(step, Step):
            return step
        column, parent, parent_column = step
        return cls((column,), parent, (parent_column,))

    def written(self, parent: str) -> str:
        """Return the step as a plan has it, with the name of the parent in a plan."""
        first, *others = self.parent_columns
        return f"{', '.join(self.columns)} -> {', '.join((f'{parent}.{first}', *others))}"

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} → {self.parent}.{', '.join(self.parent_columns)}"


@dataclass(frozen=True, slots=True)
class Shape:
    """One table's future.

    Attributes:
        kind: None before it is decided.
        key: the shard key column on Limitless; None when not sharded.
        derived: the column does not exist on classic; it is filled through `via`.
        via: steps to the ancestor that has the tenant.
        proposed: `via` is the audit's proposal, not decided yet.
    """

    kind: TableKind | None
    key: str | None = None
    derived: bool = False
    via: tuple[Step, ...] = ()
    proposed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "via", tuple(map(Step.of, self.via)))

    @property
    def sharded(self) -> bool:
        return self.kind is _SHARDED


_SHARDED = TableKind.SHARDED  # looking a member up takes a call
UNDECIDED = Shape(None)


@dataclass(slots=True)
class Shapes:
    """The shape of every table, by qualified name."""

    tenant_key: str
    by_table: dict[str, Shape] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    planned: bool = False
    problems: list[str] = field(default_factory=list)
    root: str | None = None  # the table of tenants, where it is not sharded by the key itself
    barred: frozenset[tuple[str, str]] = frozenset()  # (table, column): steps that rows without a parent rule out
    doubts: dict[str, str] = field(default_factory=dict)  # table → what a person must say about its tenant

    def of(self, relation: Relation) -> Shape:
        name = relation.partition_of or relation.qualified
        return self.by_table.get(name, UNDECIDED)

    def sharded(self) -> dict[str, Shape]:
        return {name: shape for name, shape in self.by_table.items() if shape.sharded}


def parse_via(via: str) -> Step:
    """Return the step that 'a, b -> schema.parent.x, y' is."""
    columns, _, target = via.partition("->")
    first, *others = (part.strip() for part in target.split(","))
    parent, _, parent_column = first.rpartition(".")
    with suppress(ValueError):  # a parent without its schema, which resolving the plan's tables allows
        parent = ".".join(split_qualified(parent))
    return Step(tuple(c.strip() for c in columns.split(",")), parent, (parent_column, *others))


def shapes_of_plan(catalog: Catalog, tables: Tables) -> Shapes:
    """Return the shapes a plan declares: named tables as they say, others sharded when they have the tenant key."""
    shapes = Shapes(tables.tenant_key, schemas=tuple(tables.schemas), planned=True)
    for relation in catalog.tables():
        if relation.schema not in tables.schemas:
            continue
        entry = tables.table.get(relation.planned_name)
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
    propose(catalog, shapes, tables.tenant_key, set(tables.schemas))
    shapes.problems += [
        f"the plan names {name}, which the audited database does not have"
        for name in tables.table
        if name not in {r.planned_name for r in catalog.relations.values()}
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
    propose(catalog, shapes, tenant_key, None)
    return shapes


def propose(catalog: Catalog, shapes: Shapes, tenant_key: str, schemas: set[str] | None) -> None:
    """Propose a path to the tenant for every undecided table that can have one."""
    for relation in catalog.tables():
        if relation.qualified in shapes.by_table or (schemas is not None and relation.schema not in schemas):
            continue
        if relation.qualified == shapes.root or tenant_key in relation.columns:
            continue  # the table of tenants has no other tenant; a column of that name means something else here
        path = path_to_key(catalog, shapes, relation)
        if path:
            shapes.by_table[relation.qualified] = Shape(None, tenant_key, derived=True, via=path, proposed=True)


def path_to_key(catalog: Catalog, shapes: Shapes, relation: Relation, limit: int = 4) -> tuple[Step, ...]:
    """Return the shortest way from *relation* through foreign keys to a table with the tenant key.

    Only what gives every row a tenant counts: columns that are NOT NULL, keys that are valid, parents that migrate.
    """
    seen = {relation.qualified, shapes.root}
    front: list[tuple[Relation, tuple[Step, ...]]] = [(relation, ())]
    for _ in range(limit):
        following = []
        for current, path in front:
            for key in sorted(current.foreign_keys, key=_first):
                parent = catalog.relations.get(key.parent)  # a file may name a parent that it does not hold
                if parent is None or parent.qualified in seen or not _leads(current, key, parent, shapes):
                    continue
                step = (*path, Step(key.columns, key.parent, key.parent_columns))
                if shapes.of(parent).sharded:
                    return step
                if shapes.of(parent).kind is not None:
                    continue
                seen.add(parent.qualified)
                following.append((parent, step))
        front = following
    return ()


def _first(key: ForeignKey) -> tuple[int, str]:
    """Prefer the key with the fewest columns."""
    return len(key.columns), key.name


def _leads(relation: Relation, key: ForeignKey, parent: Relation, shapes: Shapes) -> bool:
    """Return whether *key* gives every row of *relation* one row of *parent*, and a plan can say so."""
    if not key.columns or len(key.columns) != len(key.parent_columns) or not key.validated:
        return False
    for column in key.columns:
        attribute = relation.columns.get(column)
        if attribute is None or not attribute.not_null or (relation.qualified, column) in shapes.barred:
            return False
    return row_key(parent) is not None and not any(c in ",>." for n in (*key.columns, *key.parent_columns) for c in n)


def row_key(relation: Relation) -> tuple[str, ...] | None:
    """Return the columns that tell rows apart: the primary key, else a unique index on NOT NULL columns alone."""
    if relation.primary_key:
        return relation.primary_key
    usable = [
        index.plain
        for index in relation.indexes
        if index.unique
        and not index.predicate
        and not index.has_expression
        and all(c in relation.columns and relation.columns[c].not_null for c in index.plain)
    ]
    return min(usable, key=lambda columns: (len(columns), columns), default=None)
