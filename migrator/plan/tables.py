"""Resolves a plan's tables against a cluster's catalog.

The plan names exceptions; the catalog knows the rest. Every problem is reported at once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg

from migrator.catalog import details
from migrator.catalog import read as catalog
from migrator.catalog.values import Column as Shape
from migrator.catalog.values import ForeignKey, Form, Index
from migrator.errors import PlanInvalid
from migrator.model.near import nearest, unknown
from migrator.model.table import Column, Hop, Table, TableKind, qualify, split_qualified
from migrator.plan.schema import TablePlan, Tables
from migrator.plan.via import problems as via_problems

TENANT_TYPES = re.compile(r"^(smallint|integer|bigint|uuid|text|character varying(\(\d+\))?|character(\(\d+\))?)$")
"""Types whose text form is the same in every session: the text form names the tenant everywhere."""

_VIA = re.compile(r"^\s*(?P<columns>[^>]+?)\s*->\s*(?P<target>.+?)\s*$")


class _Reader:
    def __init__(self, conn: psycopg.Connection[Any], tables: Tables) -> None:
        self.conn, self.tables = conn, tables
        self.problems: list[str] = []
        self.found = {t.qualified: t for t in catalog.tables(conn, tables.schemas) if t.kind != "f"}
        self._columns: dict[str, tuple[Column, ...]] = {}

    def problem(self, table: str, text: str) -> None:
        self.problems.append(f'tables.table."{table}": {text}')

    def columns(self, qualified: str) -> tuple[Column, ...]:
        if qualified not in self._columns:
            table = self.found[qualified]
            shapes = catalog.columns(self.conn, relation=table.oid)[table.schema, table.name]
            forms = details.forms(self.conn, table.oid)
            self._columns[qualified] = tuple(_column(shape, forms[shape.name]) for shape in shapes)
        return self._columns[qualified]

    @cached_property
    def guards(self) -> list[ForeignKey]:
        """The foreign keys that hold at every moment: checked at once, of columns that are equal and not of periods."""
        unfired = details.unfired_keys(self.conn, self.tables.schemas)
        return [
            key
            for key in catalog.foreign_keys(self.conn, self.tables.schemas)
            if key.validated and not key.deferrable and not key.temporal and (key.table, key.name) not in unfired
        ]

    def enforced(self, child: str, hop: Hop) -> bool:
        """Whether a foreign key guards *hop* at every moment."""
        pairs = set(zip(hop.columns, hop.parent_columns, strict=True))
        return any(
            (qualify(*key.table), qualify(*key.parent)) == (child, hop.parent)
            and set(zip(key.columns, key.parent_columns, strict=True)) == pairs
            for key in self.guards
        )

    def hop(self, table: str, at: str, via: str) -> Hop | None:
        """Read 'a, b -> schema.parent.x, y', a step of *table*'s path that leaves from *at*."""
        match = _VIA.match(via)
        columns = tuple(c.strip() for c in match["columns"].split(",")) if match else ()
        target = match["target"] if match else ""
        first, *others = (part.strip() for part in target.split(","))
        parent, _, column = first.rpartition(".")
        if parent and "." not in parent:
            parent = next((q for q in self.found if split_qualified(q)[1] == parent), parent)
        if not parent or len(columns) != 1 + len(others):
            self.problem(table, f"via '{via}' → write 'column -> schema.parent.column'")
            return None
        if parent not in self.found:
            self.problem(table, f"via '{via}' → there is no table {parent} in {self.schemas()}")
            return None
        hop = Hop(columns, parent, (column, *others))
        for name, owner in [*((c, at) for c in hop.columns), *((c, parent) for c in hop.parent_columns)]:
            if name not in {c.name for c in self.columns(owner)}:
                self.problem(table, f"via '{via}' → {owner} has no column {name}")
                return None
        operators = {c.name: c.equality for c in self.columns(at)}
        hop = replace(hop, enforced=self.enforced(at, hop), equality=tuple(operators[c] for c in hop.columns))
        if table == at:  # else it is the parent's own step, and reported there
            for why in via_problems(self.conn, at, hop, {q: self.found[q].oid for q in (at, parent)}):
                self.problem(table, f"via '{via}' → {why}")
        return hop

    def schemas(self) -> str:
        return f"schema {', '.join(self.tables.schemas)}"

    def path(self, qualified: str) -> tuple[tuple[Hop, ...], str] | None:
        """Return the hops to the ancestor with the tenant column, and that column's name."""
        hops: list[Hop] = []
        at = qualified
        while True:
            plan = self.tables.table.get(at, TablePlan(kind="sharded"))
            if plan.via is None:
                return tuple(hops), plan.tenant_column or self.tables.tenant_key
            hop = self.hop(qualified, at, plan.via)
            if hop is None:
                return None
            if hop.parent in {h.parent for h in hops} or hop.parent == qualified:
                self.problem(qualified, f"via leads back to {hop.parent}: a path to the tenant may not contain a cycle")
                return None
            hops.append(hop)
            at = hop.parent

    def table(self, qualified: str) -> Table | None:
        there = self.found[qualified]
        plan = self.tables.table.get(qualified)
        columns = self.columns(qualified)
        names = {c.name for c in columns}
        if plan is None and self.tables.tenant_key not in names:
            self.problem(
                qualified,
                f'has no column {self.tables.tenant_key} → say what it is: kind = "reference" | "standard" | '
                '"excluded", or kind = "sharded" with via or tenant_column',
            )
            return None
        plan = plan or TablePlan(kind="sharded")
        kind = TableKind(plan.kind)
        if kind is TableKind.EXCLUDED:
            return None
        if there.kin:
            others = ", ".join(qualify(*name) for name in there.kin)
            self.problem(
                qualified,
                f"is linked to {others} by INHERITS → a statement on the parent changes rows of the child that capture"
                " does not see, and Limitless has no inheritance: ALTER TABLE … NO INHERIT, or exclude both",
            )
        unique = [index for index in catalog.indexes(self.conn, relation=there.oid) if index.refuses]
        unique.sort(key=lambda index: (not index.primary, index.oid))
        key = self._key(qualified, plan, columns, [index for index in unique if index.is_key])
        source: str | None = None
        hops: tuple[Hop, ...] = ()
        tenant_type = "text"
        if kind is TableKind.SHARDED:
            found = self.path(qualified)
            if found is None:
                return None
            hops, source = found
            owner = hops[-1].parent if hops else qualified
            source_column = next((c for c in self.columns(owner) if c.name == source), None)
            if source_column is None:
                self.problem(qualified, f"tenant column {source} → {owner} has no such column")
                return None
            tenant_type = source_column.type
            if not TENANT_TYPES.match(tenant_type):
                self.problem(
                    qualified,
                    f"tenant column {source} is {tenant_type} → allowed: smallint, integer, bigint, uuid, text,"
                    " varchar",
                )
                return None
            if not source_column.exact:
                self.problem(
                    qualified,
                    f"tenant column {source} has a nondeterministic collation or no length → tenants that are equal"
                    " but look different cannot be told apart; give it a deterministic collation",
                )
                return None
            if hops and self.tables.tenant_key in names:
                self.problem(qualified, f"via → it already has a column {self.tables.tenant_key}; remove via")
                return None
        if key is None:
            return None
        return Table(
            schema=there.schema,
            name=there.name,
            kind=kind,
            columns=columns,
            key=key,
            tenant_column=(self.tables.tenant_key if hops else source) if kind is TableKind.SHARDED else None,
            tenant_source=source,
            tenant_type=tenant_type,
            path=hops,
            # Rows that differ in the key differ in every key that contains it: such a key never conflicts.
            unique_keys=tuple(_names(i) for i in unique if not (set(i.columns) >= set(key) and i.is_key)),
            partitioned=there.kind == "p",
        )

    def _key(
        self, qualified: str, plan: TablePlan, columns: tuple[Column, ...], keys: list[Index]
    ) -> tuple[str, ...] | None:
        not_null = {c.name for c in columns if c.not_null}
        if plan.key is not None:
            wanted = set(plan.key)
            for index in keys:
                if set(index.columns) == wanted and wanted <= not_null:
                    return _names(index)
            self.problem(qualified, f"key {plan.key} → must be the columns of a unique index, all NOT NULL")
            return None
        if keys and keys[0].primary:
            return _names(keys[0])
        usable = [list(_names(index)) for index in keys if set(index.columns) <= not_null]
        advice = f"name one of {usable} as key" if usable else "add a primary key"
        self.problem(qualified, f"has no primary key → {advice}, or exclude the table")
        return None


def _column(column: Shape, form: Form) -> Column:
    return Column(
        name=column.name,
        type=column.declared,
        not_null=column.never_null,
        generated=bool(column.generated),
        binary_safe=form.binary_safe,
        target_type=column.type if column.domain else "",
        exact=form.exact,
        equality=form.equality,
        listed=form.listed,
    )


def _names(key: Index) -> tuple[str, ...]:
    """Return the columns of an index without expressions."""
    return tuple(column for column in key.columns if column is not None)


def resolve_tables(classic: psycopg.Connection[Any], tables: Tables) -> tuple[Table, ...]:
    """Return every table the plan migrates, described from the catalog.

    Raises:
        PlanInvalid: with every problem: unknown or unnamed tables, missing keys, broken paths.
    """
    reader = _Reader(classic, tables)
    for named in tables.table:
        if named not in reader.found:
            close = [q for q in reader.found if split_qualified(q)[1] == named.rsplit(".", 1)[-1]]
            close = close or list(filter(None, [nearest(named, reader.found)]))
            advice = f"did you mean {close[0]}?" if close else f"existing tables: {', '.join(reader.found) or 'none'}"
            reader.problem(named, f"no such table in {reader.schemas()} → {advice}")
    there = sorted(set(catalog.schemas_there(classic)) - {"migrator"})
    for schema in tables.schemas:
        if schema not in there:
            reader.problems.append(f"tables.schemas: {unknown('schema', [schema], there)}")
    if not reader.found:
        reader.problems.append(f"tables.schemas: no tables in {reader.schemas()}")
    result = []
    for qualified in reader.found:
        table = reader.table(qualified)
        if table is not None:
            result.append(table)
    migrated = {t.qualified for t in result}
    for table in result:
        for hop in table.path:
            if hop.parent not in migrated and not reader.problems:
                reader.problem(table.qualified, f"via leads through {hop.parent}, which is not migrated")
    if reader.problems:
        raise PlanInvalid("the plan does not fit the classic cluster", reader.problems)
    return tuple(result)


def describe_table(classic: psycopg.Connection[Any], tables: Tables, qualified: str) -> Table:
    """Return one table of the plan as the catalog describes it now, also inside a transaction that changes it.

    Raises:
        PlanInvalid: it does not exist, or cannot be migrated.
    """
    reader = _Reader(classic, tables)
    found = reader.table(qualified) if qualified in reader.found else None
    if found is None:
        raise PlanInvalid(
            "the plan does not fit the classic cluster", reader.problems or [f"there is no table {qualified}"]
        )
    return found
