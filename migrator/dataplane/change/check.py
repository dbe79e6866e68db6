"""Checks the changes that a file requests against both sides: every problem at once, nothing is changed.

Types, defaults and indexes are tried on empty temporary tables in a transaction that is rolled back, so the server
itself says what it refuses, what a default is worth now, and whether it would rewrite the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import indexes
from migrator.catalog.values import Catalog, Index
from migrator.control.change import is_done
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.enum_values import labels_of, place, with_label
from migrator.dataplane.change.inspect import columns_of, has_column, index_of, read_index, try_column
from migrator.dataplane.change.request import CREATIONS, Kind, RequestedChange
from migrator.dataplane.change.trial import Creations, try_limitless, try_links
from migrator.db.error_text import server_message
from migrator.model.blocker import Blocker
from migrator.model.table import Table, qualify
from migrator.plan.schema import Plan
from migrator.provision.design import UNIQUE_ACROSS, design
from migrator.provision.read import available_extensions, read

Connection = psycopg.Connection[Any]


def check(
    classic: Connection, limitless: Connection, plan: Plan, tables: Sequence[Table], requests: Sequence[RequestedChange]
) -> tuple[list[Change], list[str]]:
    """Return the changes still to be made (those that hold already are left out), and every problem."""
    schemas = list(plan.tables.schemas)
    checker = _Checker(classic, limitless, plan, {t.qualified: t for t in tables}, read(classic, schemas))
    with classic.transaction(force_rollback=True):
        classic.execute("SET LOCAL lock_timeout = '2s'")
        for request in requests:
            checker.check(request)
    if not checker.problems:
        checker.problems += try_links(classic, checker.changes) + try_limitless(limitless, checker.new)
    return checker.changes, checker.problems


class _Checker:
    def __init__(
        self, classic: Connection, limitless: Connection, plan: Plan, tables: dict[str, Table], catalog: Catalog
    ) -> None:
        self.classic, self.limitless, self.plan, self.tables = classic, limitless, plan, tables
        self.catalog = catalog
        self.changes: list[Change] = []
        self.problems: list[str] = []
        self.probes: dict[str, sql.Identifier] = {}
        self.dropped: list[tuple[str, str]] = []
        self.made: dict[tuple[str, str], str] = {}  # indexes of this file, with their table
        self.creations = Creations(classic, limitless, plan, self.tables)
        self.labels: dict[str, tuple[list[str], list[str]]] = {}  # of enums, as they will be on both sides

    @property
    def new(self) -> list[Change]:
        return [change for change in self.changes if change.kind in CREATIONS]

    def check(self, request: RequestedChange) -> None:
        found = {
            Kind.ADD_COLUMN: self._add_column,
            Kind.DROP_COLUMN: self._drop_column,
            Kind.CREATE_INDEX: self._create_index,
            Kind.DROP_INDEX: self._drop_index,
            Kind.CREATE_TABLE: self._create,
            Kind.CREATE_TYPE: self._create,
            Kind.CREATE_SEQUENCE: self._create,
            Kind.ADD_LABEL: self._add_label,
        }[request.kind](request)
        if found is not None:
            self.changes.append(found)

    def _problem(self, request: RequestedChange, text: str) -> None:
        self.problems.append(f"{request.where}: {request.words}: {text}")

    def _probe(self, table: str) -> sql.Identifier:
        """Return the temporary table that looks as *table* will after the changes before this one."""
        if table not in self.probes:
            name = f"migrator_probe_{len(self.probes)}"
            self.classic.execute(change_sql.probe_like(name, table))
            self.probes[table] = change_sql.temporary(name)
        return self.probes[table]

    def _tried(self, request: RequestedChange, *queries: sql.Composed) -> bool:
        """Run *queries*; a refusal is a problem, in the server's words, and leaves nothing behind."""
        try:
            with self.classic.transaction():
                for query in queries:
                    self.classic.execute(query)
        except psycopg.Error as error:
            self._problem(request, f"classic refuses it: {server_message(error)}")
            return False
        return True

    # -- what is new ---------------------------------------------------------------------------------

    def _create(self, request: RequestedChange) -> Change | None:
        if exists(self.classic, request.kind, request.schema, request.name):
            captured = request.kind is not Kind.CREATE_TABLE or request.table in self.tables
            if not captured:
                self._problem(request, "it is on classic and not captured: drop it there, and let this command make it")
            elif not request.lenient and not self._done_before(request):
                self._problem(request, "classic has it already")
            elif not exists(self.limitless, request.kind, request.schema, request.name):
                self._problem(request, "classic has it and Limitless lacks it: migrator provision makes it there")
            return None
        change, problems = self.creations.attempt(request)
        for text in problems:
            self._problem(request, text)
        if change is not None:
            self.catalog = read(self.classic, list(self.plan.tables.schemas))
        return change

    def _add_label(self, request: RequestedChange) -> Change | None:
        if request.table not in self.labels:
            self.labels[request.table] = (
                labels_of(self.classic, request.table),
                labels_of(self.limitless, request.table),
            )
        here, there = self.labels[request.table]
        if not here:
            self._problem(request, "there is no such enum on classic")
        elif request.name in here and request.name in there:
            if not request.lenient and not self._done_before(request):
                self._problem(request, "both sides have this value already")
        elif request.neighbour and request.neighbour not in here:
            self._problem(request, f"there is no value {request.neighbour!r}; there are {', '.join(map(repr, here))}")
        else:
            target = with_label(here, request.name, request.neighbour, after=request.after)
            if [v for v in target if v != request.name] != [v for v in there if v != request.name]:
                self._problem(request, f"Limitless has other values: {', '.join(map(repr, there)) or 'none'}")
                return None
            self.labels[request.table] = (target, list(target))
            neighbour, after = place(target, request.name)
            return Change(
                request.kind,
                request.table,
                request.schema,
                request.name,
                request.words,
                neighbour=neighbour,
                after=after,
            )
        return None

    # -- columns -------------------------------------------------------------------------------------

    def _add_column(self, request: RequestedChange) -> Change | None:
        probe = self._probe(request.table)
        here, there = columns_of(self.classic, request.table), columns_of(self.limitless, request.table)
        change = self._new_column(request)
        if change is None:
            return None
        if request.name in here:
            if here[request.name][0] != change.type and not request.lenient:
                self._problem(request, f"classic has this column already, as {here[request.name][0]}")
            elif request.name not in there:
                self._problem(request, "classic has this column and Limitless lacks it: add it on Limitless first")
            return None
        if request.name in there and there[request.name][0] != change.type:
            self._problem(request, f"Limitless has a column of this name, as {there[request.name][0]}")
            return None
        if not self._tried(request, change_sql.add_column(replace(change, literal=None, not_null=False), probe)):
            return None
        for what, text in (("regtype", change.type), ("regcollation", change.collation)):
            row = self.limitless.execute(
                sql.SQL("SELECT {} IS NOT NULL").format(
                    sql.SQL("to_{}({})").format(sql.SQL(what), sql.Literal(text)) if text else sql.SQL("1")
                )
            ).fetchone()
            if row is None or not row[0]:
                self._problem(request, f"Limitless does not know {text}: create it there first")
        if change.default:
            try:
                self.limitless.execute(change_sql.plan_default(change))
            except psycopg.Error as error:
                self._problem(request, f"Limitless refuses its default: {server_message(error)}")
        return change

    def _new_column(self, request: RequestedChange) -> Change | None:
        """Let classic say what type and default mean, on a table of one row."""
        try:
            with self.classic.transaction(force_rollback=True):
                seen = try_column(self.classic, request)
        except psycopg.Error as error:
            self._problem(
                request, f"classic refuses it: {server_message(error)}. Types and functions need their schema's name"
            )
            return None
        if seen.is_domain:
            self._problem(request, "a domain rewrites the table while writers wait: use its base type")
        if seen.rewritten and request.not_null:
            self._problem(
                request,
                "a default that differs from row to row fills existing rows in batches, so they are NULL at first:"
                " leave NOT NULL out",
            )
        if request.not_null and not seen.rewritten and seen.value is None:
            self._problem(request, "existing rows would be NULL: give it a default, or leave NOT NULL out")
        return Change(
            Kind.ADD_COLUMN,
            request.table,
            "",
            request.name,
            request.words,
            type=seen.type,
            collation=request.collation,
            default=request.default,
            literal=None if seen.rewritten else seen.value,
            volatile=seen.rewritten,
            not_null=request.not_null,
        )

    def _drop_column(self, request: RequestedChange) -> Change | None:
        probe = self._probe(request.table)
        here = columns_of(self.classic, request.table)
        if request.name not in here and not has_column(self.classic, probe, request.name):
            if not request.lenient and not self._done_before(request):
                self._problem(request, f"there is no such column; there are {', '.join(here)}")
            return None
        needed = self._needed_by_mirror(request)
        if needed:
            self._problem(request, f"it is {needed}: it cannot be dropped while the table is being migrated")
            return None
        needing = self._dependents(request)
        for text in needing:
            self._problem(request, f"{text} needs it: drop that first")
        if not needing:
            self._tried(request, change_sql.drop_column(request.name, probe))
        return Change(Kind.DROP_COLUMN, request.table, "", request.name, request.words)

    def _needed_by_mirror(self, request: RequestedChange) -> str:
        table = self.tables[request.table]
        if request.name in table.key:
            return "part of the key"
        if not table.derived and request.name == table.tenant_source:
            return "the tenant key"
        for other in self.tables.values():
            at = other.qualified
            for hop in other.path:
                if (at == request.table and request.name in hop.columns) or (
                    hop.parent == request.table and request.name in hop.parent_columns
                ):
                    return f"on the path from {other.qualified} to its tenant"
                at = hop.parent
            if other.path and at == request.table and request.name == other.tenant_source:
                return f"the tenant key of {other.qualified}"
        return ""

    def _dependents(self, request: RequestedChange) -> list[str]:
        """Return what would be dropped or fail with a column; its default and NOT NULL may be dropped."""
        table = details.oid_of(self.classic, request.table)
        found = [] if table is None else details.dependents(self.classic, table, request.name)
        return [text for text, name in found if name not in self.dropped]

    # -- indexes -------------------------------------------------------------------------------------

    def _create_index(self, request: RequestedChange) -> Change | None:
        change = Change(
            Kind.CREATE_INDEX,
            request.table,
            request.schema,
            request.name,
            request.words,
            unique=request.unique,
            tail=request.tail,
        )
        found = index_of(self.classic, request.schema, request.name)
        if found is not None and (request.schema, request.name) not in self.dropped and found[0] != request.table:
            self._problem(request, f"an index of this name is on {found[0]}")
            return None
        probe = self._probe(request.table)
        if not self._tried(request, change_sql.create_index(change, probe, concurrently=False)):
            return None
        index = read_index(self.classic, change, change_sql.temporary(change.name))
        if found is not None and found[1] and (request.schema, request.name) not in self.dropped:
            here = read_index(self.classic, change, sql.Identifier(request.schema, request.name))
            if (here.unique, here.method, here.tail) != (index.unique, index.method, index.tail):
                self._problem(request, f"classic has an index of this name already: {here.tail}")
                return None
            if index_of(self.limitless, request.schema, request.name) is not None:
                return None
        for blocker in self._limitless_rules(request.table, index):
            self._problem(request, blocker)
        self.made[request.schema, request.name] = request.table
        return change

    def _limitless_rules(self, table: str, index: Index) -> list[Blocker]:
        """Return what Limitless has against *index*, by the rules that provisioning follows."""
        catalog = self.catalog
        shape = catalog.tables[table]
        others = tuple(i for i in shape.indexes if i.name != index.name)
        with_it = replace(catalog, tables={**catalog.tables, table: replace(shape, indexes=(*others, index))})
        result = design(
            with_it,
            list(self.tables.values()),
            available_extensions=available_extensions(self.limitless),
            acknowledged=self.plan.gates.acknowledged,
        )
        refused = f"{table}.{index.name}"
        return [b for b in result.blockers if b.code == UNIQUE_ACROSS and b.subject == refused]

    def _drop_index(self, request: RequestedChange) -> Change | None:
        schemas = [request.schema] if request.schema else sorted({t.schema for t in self.tables.values()})
        indexes = [(s, i) for s in schemas if (i := index_of(self.classic, s, request.name)) is not None]
        there = [(s, i) for s in schemas if (i := index_of(self.limitless, s, request.name)) is not None]
        if len(indexes) > 1:
            self._problem(request, "it may be any of " + ", ".join(qualify(s, request.name) for s, _ in indexes))
            return None
        there += [(s, (t, True)) for (s, name), t in self.made.items() if name == request.name and s in schemas]
        if not indexes and not there:
            if not request.lenient and not self._done_before(request):
                self._problem(request, "there is no such index")
            return None
        schema, (table, _) = (indexes or there)[0]
        if table not in self.tables:
            self._problem(request, f"{table} is not captured: drop it directly")
            return None
        here = details.index_of(self.classic, sql.Identifier(schema, request.name))
        backed = details.backed_by(self.classic, here.oid) if here is not None else []
        for definition, name, on in backed:
            self._problem(request, f"constraint {name} of {on} ({definition}) needs it")
        if here is not None and self._is_the_key(self.tables[table], here):
            self._problem(request, f"it is the key that {table} is migrated by")
        if not backed:
            self.dropped.append((schema, request.name))
        return Change(Kind.DROP_INDEX, table, schema, request.name, request.words)

    def _is_the_key(self, table: Table, index: Index) -> bool:
        """Whether no other index remains that is a key over the key's columns, as the plan looks for one."""
        relation = details.oid_of(self.classic, table.qualified)
        keys = {
            i.oid for i in indexes(self.classic, relation=relation) if i.is_key and set(i.columns) == set(table.key)
        }
        return keys == {index.oid}

    def _done_before(self, request: RequestedChange) -> bool:
        return is_done(self.classic, request.kind.value, request.table, request.name, request.statement)
