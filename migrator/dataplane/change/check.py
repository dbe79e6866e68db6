"""Checks the changes that a file requests against both sides: every problem at once, nothing is changed.

Types, defaults and indexes are tried on empty temporary tables in a transaction that is rolled back, so the server
itself says what it refuses, what a default is worth now, and whether it would rewrite the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import indexes
from migrator.catalog.values import Catalog, Index, Name
from migrator.control.change import is_done, is_done_by_source
from migrator.dataplane.change import change_sql, recipe
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.check_alter import AlterChecks
from migrator.dataplane.change.check_drop import DropChecks
from migrator.dataplane.change.check_drop_table import DropTableChecks, children_first
from migrator.dataplane.change.check_rename import RenameChecks
from migrator.dataplane.change.check_whole import WholeChecks
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.enum_values import labels_of, place, with_label
from migrator.dataplane.change.inspect import columns_of, index_of, read_index, try_column
from migrator.dataplane.change.kinds import CREATIONS, Kind, RequestedChange
from migrator.dataplane.change.names import UNDEFINED, WHERE_NAMES, given_name, looked_up_in
from migrator.dataplane.change.refusal import Refusal
from migrator.dataplane.change.trial import Creations, ask_limitless, try_limitless, try_links
from migrator.db.error_text import server_message
from migrator.model.blocker import UNIQUE_ACROSS, Blocker
from migrator.model.table import Table, split_qualified
from migrator.plan.schema import Plan
from migrator.provision.design import design
from migrator.provision.read import available_extensions, read

Connection = psycopg.Connection[Any]


def check(
    classic: Connection, limitless: Connection, plan: Plan, tables: Sequence[Table], requests: Sequence[RequestedChange]
) -> tuple[list[Change], list[Refusal]]:
    """Return the changes still to be made (those that hold already are left out), and every problem."""
    schemas = list(plan.tables.schemas)
    checker = _Checker(classic, limitless, plan, {t.qualified: t for t in tables}, read(classic, schemas))
    with classic.transaction(force_rollback=True):
        classic.execute("SET LOCAL lock_timeout = '2s'")
        for request in children_first(classic, requests):
            checker.check(request)
    if not checker.problems:
        tried = try_links(classic, checker.changes) + try_limitless(limitless, checker.new)
        checker.problems += [Refusal(text) for text in tried]
    return checker.changes, checker.problems


class _Checker:
    def __init__(
        self, classic: Connection, limitless: Connection, plan: Plan, tables: dict[str, Table], catalog: Catalog
    ) -> None:
        self.classic, self.limitless, self.plan, self.tables = classic, limitless, plan, tables
        self.catalog = catalog
        self.changes: list[Change] = []
        self.problems: list[Refusal] = []
        self.probes: dict[str, sql.Identifier] = {}
        self.dropped: set[Name] = set()  # indexes and views
        self.made: dict[Name, str] = {}  # indexes of this file, with their table
        self.labels: dict[str, tuple[list[str], list[str]]] = {}  # of enums, as they will be on both sides
        self.creations = Creations(classic, limitless, plan, self.tables)
        self.alter = AlterChecks(self)
        self.whole = WholeChecks(self, self.creations.owner)
        self.drop = DropChecks(self, self.alter, self.whole)
        self.rename = RenameChecks(self, self.alter)
        self.drop_table = DropTableChecks(self, self.alter, self.whole)

    @property
    def new(self) -> list[Change]:
        tried = {*CREATIONS, Kind.BOTH_SIDES}
        if any(c.kind is Kind.DROP_TABLE for c in self.changes):  # which a foreign key may need
            tried |= {Kind.DROP_TABLE, Kind.DROP_CONSTRAINT}
        return [c for c in self.changes if c.kind in tried]

    def check(self, request: RequestedChange) -> None:
        probes = dict(self.probes)
        try:
            with self.classic.transaction():
                found = self._check(request)
            # What goes with a column is done by itself, and the statement is not when that is.
            self.changes += [c if c.column else replace(c, source=request.source) for c in found]
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:  # nothing of it stays, also no temporary table
            self.probes = probes
            self.problem(request, server_message(error), missing=isinstance(error, UNDEFINED))

    def _check(self, request: RequestedChange) -> list[Change]:
        if request.source and is_done_by_source(self.classic, request.source):
            return []
        nameless = CREATIONS | {Kind.DROP_INDEX, Kind.DROP_TABLE, Kind.ADD_LABEL, Kind.BOTH_SIDES, Kind.CLASSIC_ONLY}
        if request.table and request.kind not in nameless and request.table not in self.tables:
            self.problem(request, f"{request.table} is not there", missing=True)
            return []
        match request.kind:
            case Kind.ADD_COLUMN:
                found = self._add_column(request)
            case Kind.DROP_COLUMN:
                return self.drop.column(request)
            case Kind.CREATE_INDEX:
                found = self._create_index(request)
            case Kind.DROP_INDEX:
                found = self.drop.index(request)
            case Kind.DROP_TABLE:
                found = self.drop_table.check(request)
            case Kind.ADD_LABEL:
                found = self._add_label(request)
            case Kind.RENAME:
                found = self.rename.check(request)
            case Kind.BOTH_SIDES | Kind.CLASSIC_ONLY:
                found = self.whole.check(request, first=not self.changes)
                self.drop.statement(request)
            case kind if kind in CREATIONS:
                found = self._create(request)
            case _:
                found = self.alter.check(request)
        return [] if found is None else [found]

    def problem(self, request: RequestedChange, text: str, *, missing: bool = False) -> None:
        self.problems.append(Refusal(f"{request.words}: {text}", request.place, missing=missing))

    def done_before(self, request: RequestedChange) -> bool:
        """Whether a run before this one made the change."""
        return is_done(self.classic, request.kind.value, request.table, request.name, request.statement)

    def probe(self, table: str) -> sql.Identifier:
        """Return the temporary table that looks as *table* will after the changes before this one."""
        if table not in self.probes:
            name = f"migrator_probe_{len(self.probes)}"
            self.classic.execute(change_sql.probe_like(name, table))
            self.probes[table] = change_sql.temporary(name)
        return self.probes[table]

    def tried(self, request: RequestedChange, *queries: sql.Composed) -> bool:
        """Run *queries*; a refusal is a problem, in the server's words, and leaves nothing behind."""
        try:
            with self.classic.transaction(), looked_up_in(self.classic, request.path):
                for query in queries:
                    self.classic.execute(query)
        except psycopg.Error as error:
            self.problem(request, f"classic refuses it: {server_message(error)}", missing=isinstance(error, UNDEFINED))
            return False
        return True

    def ask_limitless(self, act: Callable[[], object]) -> None:
        """Run *act*, which changes nothing on Limitless, as Limitless will be when it comes to the change.

        Raises:
            psycopg.Error: Limitless refuses it.
        """
        ask_limitless(self.limitless, act, self.new)

    # -- what is new ---------------------------------------------------------------------------------

    def _create(self, request: RequestedChange) -> Change | None:
        if exists(self.classic, request.kind, request.schema, request.name):
            captured = request.kind is not Kind.CREATE_TABLE or request.table in self.tables
            if not captured:
                self.problem(request, "it is on classic and not captured: drop it there, and let this command make it")
            elif not request.lenient and not self.done_before(request):
                self.problem(request, "classic has it already")
            elif not exists(self.limitless, request.kind, request.schema, request.name):
                self.problem(request, "classic has it and Limitless lacks it: migrator provision makes it there")
            return None
        change, problems = self.creations.attempt(request)
        for text in problems:
            self.problem(request, text, missing=" does not exist" in text)
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
            self.problem(request, "there is no such enum on classic", missing=True)
        elif request.name in here and request.name in there:
            if not request.lenient and not self.done_before(request):
                self.problem(request, "both sides have this value already")
        elif request.neighbour and request.neighbour not in here:
            self.problem(request, f"there is no value {request.neighbour!r}; there are {', '.join(map(repr, here))}")
        else:
            target = with_label(here, request.name, request.neighbour, after=request.after)
            if [v for v in target if v != request.name] != [v for v in there if v != request.name]:
                self.problem(request, f"Limitless has other values: {', '.join(map(repr, there)) or 'none'}")
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
        probe, table = self.probe(request.table), self.tables[request.table]
        here, there = columns_of(self.classic, request.table), columns_of(self.limitless, request.table)
        change = self._new_column(request)
        if change is None:
            return None
        if request.name in here:
            if here[request.name][0] != change.type and not request.lenient:
                self.problem(request, f"classic has this column already, as {here[request.name][0]}")
            elif request.name not in there:
                self.problem(request, "classic has this column and Limitless lacks it: add it on Limitless first")
            return None
        if table.derived and request.name in (table.tenant_column, self.plan.tables.tenant_key):
            self.problem(request, recipe.own_tenant(table, request.name))
            return None
        if request.name in there and there[request.name][0] != change.type:
            self.problem(request, f"Limitless has a column of this name, as {there[request.name][0]}")
            return None
        if not self.tried(request, change_sql.add_column(replace(change, literal=None, not_null=False), probe)):
            return None
        for query in change_sql.plan_type(change):
            try:
                self.ask_limitless(partial(self.limitless.execute, query))
            except psycopg.Error as error:
                why = server_message(error)
                self.problem(request, f"Limitless does not know {change.type}: create it there first ({why})")
                return change
        if change.default:
            try:
                self.ask_limitless(partial(self.limitless.execute, change_sql.plan_default(change)))
            except psycopg.Error as error:
                self.problem(request, f"Limitless refuses its default: {server_message(error)}")
        return change

    def _new_column(self, request: RequestedChange) -> Change | None:
        """Let classic say what type and default mean, on a table of one row."""
        try:
            with self.classic.transaction(force_rollback=True):
                seen = try_column(self.classic, request)
        except psycopg.Error as error:
            self.problem(
                request,
                f"classic refuses it: {server_message(error)}. {WHERE_NAMES}",
                missing=isinstance(error, UNDEFINED),
            )
            return None
        if seen.is_domain:
            self.problem(request, "a domain rewrites the table while writers wait: use its base type")
        if seen.rewritten and request.not_null:
            self.problem(
                request,
                "a default that differs from row to row fills existing rows in batches, so they are NULL at first:"
                " leave NOT NULL out",
            )
        if request.not_null and not seen.rewritten and seen.value is None:
            self.problem(request, "existing rows would be NULL: give it a default, or leave NOT NULL out")
        return Change(
            Kind.ADD_COLUMN,
            request.table,
            "",
            request.name,
            request.words,
            type=seen.type,
            collation=request.collation,
            default=seen.default,
            literal=None if seen.rewritten else seen.value,
            volatile=seen.rewritten,
            not_null=request.not_null,
        )

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
            path=request.path,
            source=request.source,
        )
        probe = self.probe(request.table)
        if not request.name:
            change = self._with_name(request, change, probe)
            request = replace(request, name=change.name)
            change = replace(change, words=request.words)
        found = index_of(self.classic, request.schema, request.name)
        if found is not None and (request.schema, request.name) not in self.dropped and found[0] != request.table:
            self.problem(request, f"an index of this name is on {found[0]}")
            return None
        if not self.tried(request, change_sql.create_index(change, probe, concurrently=False)):
            return None
        index = read_index(self.classic, change, change_sql.temporary(change.name))
        if found is not None and found[1] and (request.schema, request.name) not in self.dropped:
            here = read_index(self.classic, change, sql.Identifier(request.schema, request.name))
            if (here.unique, here.method, here.tail) != (index.unique, index.method, index.tail):
                self.problem(request, f"classic has an index of this name already: {here.tail}")
                return None
            if index_of(self.limitless, request.schema, request.name) is not None:
                return None
            change = replace(change, before=here.tail)
        for blocker in self.limitless_rules(request.table, index):
            self.problem(request, blocker)
        self.made[request.schema, request.name] = request.table
        return change

    def _with_name(self, request: RequestedChange, change: Change, probe: sql.Identifier) -> Change:
        """Give an index the name that PostgreSQL would give it.

        Raises:
            psycopg.Error: classic refuses the index.
        """
        relation = details.oid_of(self.classic, probe)
        before = {i.oid for i in indexes(self.classic, relation=relation)}
        with self.classic.transaction(force_rollback=True), looked_up_in(self.classic, request.path):
            self.classic.execute(change_sql.create_index(change, probe, concurrently=False))
            [made] = [i.oid for i in indexes(self.classic, relation=relation) if i.oid not in before]
            columns = "_".join(details.index_columns(self.classic, made))
        return replace(change, name=self.free_name(change.table, columns, "idx", constraint=False))

    def free_name(self, table: str, columns: str, label: str, *, constraint: bool) -> str:
        """Return the name PostgreSQL gives to an index or a constraint of *table*, as the file leaves things."""
        schema, name = split_qualified(table)

        def taken(name: str) -> bool:
            relation, other = details.is_taken(self.classic, schema, name)
            gone = (schema, name) in self.dropped or (table, name) in self.alter.dropped
            added = any(n == name and split_qualified(t)[0] == schema for t, n in self.alter.added)
            return ((relation or (constraint and other)) and not gone) or (schema, name) in self.made or added

        return given_name(name, columns, label, taken)

    def limitless_rules(self, table: str, index: Index) -> list[Blocker]:
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
