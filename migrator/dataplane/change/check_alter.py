"""Checks changes of constraints, defaults, NOT NULL and types: on temporary tables that look as theirs will.

No lock is taken on a migrated table of classic. Limitless is asked in a transaction that is rolled back, with a short
lock timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import columns, foreign_keys, indexes
from migrator.catalog.values import Catalog, Column, Index, Name
from migrator.dataplane.change import attributes, change_sql, constraints, recipe
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.inspect import columns_of, has_column, read_index
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.needed import needed_by_mirror
from migrator.db.error_text import server_message
from migrator.db.lock_retry import until_free
from migrator.model.blocker import Blocker
from migrator.model.table import Table, split_qualified
from migrator.plan.schema import Plan
from migrator.provision.design import design
from migrator.provision.read import available_extensions

Connection = psycopg.Connection[Any]

_PATIENCE_S = 30.0
_OTHER_ZONE = "America/New_York"  # a type that depends on the zone is rewritten there

_LABELS = {"c": "check", "f": "fkey", "u": "key"}  # at the end of the names that PostgreSQL gives
_IN_THE_WAY = ("rule ", "trigger ", "policy ", "default value for column ")


class Ground(Protocol):
    """What a check stands on: both sides, and what the changes of the file before it made of them."""

    classic: Connection
    limitless: Connection
    plan: Plan
    tables: dict[str, Table]
    catalog: Catalog

    probes: dict[str, sql.Identifier]
    dropped: set[Name]
    labels: dict[str, tuple[list[str], list[str]]]
    made: dict[Name, str]

    def problem(self, request: RequestedChange, text: str, *, missing: bool = False) -> None: ...
    def probe(self, table: str) -> sql.Identifier: ...
    def tried(self, request: RequestedChange, *queries: sql.Composed) -> bool: ...
    def done_before(self, request: RequestedChange) -> bool: ...
    def free_name(self, table: str, columns: str, label: str, *, constraint: bool) -> str: ...
    def ask_limitless(self, act: Callable[[], object]) -> None: ...
    def limitless_rules(self, table: str, index: Index) -> list[Blocker]: ...


class AlterChecks:
    """Checks what ALTER TABLE asks for; knows the constraints that the file adds and drops."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.added: dict[tuple[str, str], Change] = {}
        self.dropped: set[tuple[str, str]] = set()

    def check(self, request: RequestedChange) -> Change | None:
        """Return the change, or None: it holds already, or there is a problem."""
        change = Change(
            request.kind, request.table, split_qualified(request.table)[0], request.name, request.words,
            type=request.type, collation=request.collation, default=request.default, unique=request.unique,
            tail=request.tail, statement=request.statement, source=request.source, parent=request.parent,
            condition=request.condition, late=request.late,
        )  # fmt: skip
        match request.kind:
            case Kind.ADD_CONSTRAINT | Kind.ADD_UNIQUE:
                return self._add(request, change)
            case Kind.VALIDATE_CONSTRAINT:
                return self._validate(request, change)
            case Kind.DROP_CONSTRAINT:
                return self._drop(request, change)
        probe = self.ground.probe(request.table)
        if not has_column(self.ground.classic, probe, request.name):
            self.ground.problem(request, "there is no such column", missing=True)
            return None
        match request.kind:
            case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL:
                return self._null(request, change, probe)
            case Kind.SET_DEFAULT:
                return self._default(request, change, probe)
            case _:
                return self._type(request, change, probe)

    # -- constraints ---------------------------------------------------------------------------------

    def _names(self, table: sql.Identifier) -> set[str]:
        return set(details.constraints(self.ground.classic, table))

    def _add(self, request: RequestedChange, change: Change) -> Change | None:
        ground, table = self.ground, self.ground.tables[request.table]
        if table.partitioned and change.condition != "c":
            ground.problem(request, "PostgreSQL cannot add it to a partitioned table without locking writers out")
            return None
        if change.condition == "f" and change.parent not in ground.tables:
            ground.problem(request, f"{change.parent} is not captured, so Limitless has no such table", missing=True)
            return None
        probe = ground.probe(request.table)
        parent = ground.probe(change.parent) if change.parent else None
        before = self._names(probe)
        unique = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE {}{}")
        if change.condition != "u":
            statement = constraints.add(change, probe, parent)
        elif change.name:
            statement = unique.format(probe, sql.Identifier(change.name), _key_first(change), sql.SQL(change.statement))
        else:
            statement = sql.SQL("ALTER TABLE {} ADD UNIQUE {}").format(probe, _key_first(change))
        if not ground.tried(request, statement):
            return None
        [tried] = self._names(probe) - before
        change = self._named(change, tried, probe)
        there = details.constraints(ground.classic, change.table).get(change.name)
        if there is not None and (change.table, change.name) not in self.dropped:
            ground.problem(request, f"{change.table} has a constraint {change.name} already: {there.definition}")
            return None
        change = replace(change, words=replace(request, name=change.name).words)
        match change.condition:
            case "f":
                change = self._foreign_key(request, change, tried, probe)
            case "u":
                index = read_index(ground.classic, change, change_sql.temporary(tried))
                for blocker in ground.limitless_rules(change.table, index):
                    ground.problem(request, blocker)
            case _:  # with every name qualified
                written = details.constraints(ground.classic, probe)[tried].definition
                change = replace(change, statement=written.removesuffix(" NOT VALID"))
                self._ask_limitless(request, change, constraints.add(change, change_sql.table_name(change.table)))
        self.added[change.table, change.name] = change
        return change

    def _named(self, change: Change, tried: str, probe: sql.Identifier) -> Change:
        """Give a constraint without a name the one that PostgreSQL would give it."""
        if change.name:
            return change
        classic = self.ground.classic
        match change.condition:
            case "u":
                oid = details.oid_of(classic, change_sql.temporary(tried))
                columns = details.index_columns(classic, oid) if oid is not None else []
            case "f":
                found = foreign_keys(classic, relation=details.oid_of(classic, probe))
                columns = list(next(k.columns for k in found if k.name == tried))
            case _:
                named = details.constraints(classic, probe)[tried].columns
                columns = list(named) if len(named) == 1 else []
        label = _LABELS[change.condition]
        return replace(change, name=self.ground.free_name(change.table, "_".join(columns), label, constraint=True))

    def _foreign_key(self, request: RequestedChange, change: Change, tried: str, probe: sql.Identifier) -> Change:
        """Let the rules of provisioning judge it; what Limitless makes of it is said in the words of the change."""
        ground = self.ground
        relation = details.oid_of(ground.classic, probe)
        as_tried = next(k for k in foreign_keys(ground.classic, relation=relation) if k.name == tried)
        key = replace(
            as_tried, name=change.name, table=split_qualified(change.table), parent=split_qualified(change.parent),
            validated=True,
        )  # fmt: skip
        catalog = replace(ground.catalog, foreign_keys=(*ground.catalog.foreign_keys, key))
        result = design(
            catalog,
            list(ground.tables.values()),
            available_extensions=available_extensions(ground.limitless, ground.plan.limitless.engine_version),
            acknowledged=ground.plan.gates.acknowledged,
        )
        what = f"foreign key {key.name} of {'.'.join(key.table)}"
        said = [w.removeprefix(what).removeprefix(": ").strip() for w in result.warnings if w.startswith(what)]
        taken = [k for k in result.catalog.foreign_keys if (k.table, k.name) == (key.table, key.name)]
        if any(len(k.columns) > len(key.columns) for k in taken):
            said.append("within a tenant; the mirror of a row that refers to another tenant's row waits")
        if not taken and what not in ground.plan.gates.acknowledged:
            why = "; ".join(said) or "it is not taken over"
            ground.problem(
                request, f'{why} (LIM-FK-02). Leave it to the application, or add "{what}" to gates.acknowledged'
            )
        return replace(change, words=f"{change.words} (on Limitless: {'; '.join(said)})") if said else change

    def _validate(self, request: RequestedChange, change: Change) -> Change | None:
        added = self.added.get((change.table, change.name))
        if added is not None and not added.late:
            return None
        there = details.constraints(self.ground.classic, change.table).get(change.name)
        if added is None and there is None:
            self.ground.problem(request, "there is no such constraint", missing=True)
            return None
        return None if there is not None and there.validated else change

    def _drop(self, request: RequestedChange, change: Change) -> Change | None:
        ground, table = self.ground, change_sql.table_name(change.table)
        there = details.constraints(ground.classic, table).get(change.name)
        added = self.added.pop((change.table, change.name), None)
        if there is None and added is None:
            if not request.lenient:
                names = ", ".join(sorted(self._names(table)))
                ground.problem(request, f"there is no such constraint; there are {names}", missing=True)
            return None
        sort = there.sort if there is not None else added.condition if added is not None else ""
        match sort:
            case "p":
                ground.problem(request, recipe.new_key(ground.tables[change.table], "the primary key"))
            case "n":
                ground.problem(request, "say ALTER COLUMN … DROP NOT NULL")
            case "u":
                self._drop_unique(request, change)
            case "f" if self._leads_to_tenant(change):
                ground.problem(request, f"the way from {change.table} to its tenant relies on it: after dual write")
        self.dropped.add((change.table, change.name))
        ground.classic.execute(constraints.drop(change, change.name, ground.probe(change.table)))
        return replace(change, condition=sort)

    def _drop_unique(self, request: RequestedChange, change: Change) -> None:
        ground = self.ground
        relation = details.oid_of(ground.classic, change.table)
        key = set(ground.tables[change.table].key)
        keys = {i.name for i in indexes(ground.classic, relation=relation) if i.is_key and set(i.columns) == key}
        if keys == {change.name}:
            ground.problem(request, f"it is the key that {change.table} is migrated by")
        index = details.oid_of(ground.classic, sql.Identifier(change.schema, change.name))
        for _, name, where in details.backed_by(ground.classic, index) if index is not None else ():
            if name != change.name:
                ground.problem(request, f"foreign key {name} of {where} needs it: drop that first")

    def _leads_to_tenant(self, change: Change) -> bool:
        table = self.ground.tables[change.table]
        key = next((k for k in self.ground.catalog.foreign_keys if k.name == change.name
                    and k.table == split_qualified(change.table)), None)  # fmt: skip
        return key is not None and bool(table.path) and set(key.columns) == set(table.path[0].columns)

    # -- columns -------------------------------------------------------------------------------------

    def _null(self, request: RequestedChange, change: Change, probe: sql.Identifier) -> Change | None:
        ground, table = self.ground, self.ground.tables[change.table]
        wanted = change.kind is Kind.SET_NOT_NULL
        if not wanted and change.name in (*table.key, table.tenant_source if not table.path else None):
            ground.problem(request, recipe.new_key(table, f"column {change.name}"))
            return None
        here, there = columns_of(ground.classic, change.table), columns_of(ground.limitless, change.table)
        both = [side[change.name][1] for side in (here, there) if change.name in side]
        if len(both) == 2 and all(state is wanted for state in both):
            return None
        never_null = self._columns(probe)[change.name].never_null
        change = replace(change, before="NOT NULL" if never_null else "")
        return change if ground.tried(request, attributes.null(change, probe, wanted=wanted)) else None

    def _default(self, request: RequestedChange, change: Change, probe: sql.Identifier) -> Change | None:
        ground = self.ground
        old = self._columns(probe)[change.name].default  # as the file's changes before it leave it
        if not ground.tried(request, attributes.default(change, probe)):
            return None
        kind = ground.tables[change.table].column(change.name).there if self._is_old(change) else ""
        printed = self._columns(probe)[change.name].default or ""
        change = replace(change, before=old or "", type=kind, default=printed if change.default else "")
        if change.default and kind:
            try:
                ground.ask_limitless(partial(ground.limitless.execute, change_sql.plan_default(change)))
            except psycopg.Error as error:
                ground.problem(request, f"Limitless refuses it: {server_message(error)}")
        return change

    def _is_old(self, change: Change) -> bool:
        return change.name in columns_of(self.ground.classic, change.table)

    def _type(self, request: RequestedChange, change: Change, probe: sql.Identifier) -> Change | None:
        ground = self.ground
        needed = needed_by_mirror(ground.tables, request.table, request.name)
        if needed:
            ground.problem(request, f"it is {needed}. {recipe.new_key(ground.tables[change.table], 'it')}")
            return None
        here, there = columns_of(ground.classic, change.table), columns_of(ground.limitless, change.table)
        if change.name not in here:
            ground.problem(request, "the column is added in this file: add it with this type")
            return None
        written = self._tried_type(request, change, probe)
        if written is None:
            return None
        kind, rewritten = written
        change = replace(change, type=kind, before=here[change.name][0])
        if change.before == kind == there.get(change.name, ("",))[0] and not change.collation:
            return None
        if rewritten:
            ground.problem(
                request,
                f"from {change.before} to {kind} every row or an index would be written anew, which locks writers out"
                f" and hides rows from older snapshots; {recipe.other_type(change.table, change.name, kind)}",
            )
            return None
        self._in_the_way(request, change)
        self._ask_limitless(request, change, attributes.change_type(change, change_sql.table_name(change.table)))
        return change

    def _tried_type(self, request: RequestedChange, change: Change, probe: sql.Identifier) -> tuple[str, bool] | None:
        """Return the type as the server prints it, and whether anything would be written anew."""
        classic = self.ground.classic
        before = details.files(classic, probe)
        zone = sql.SQL("SELECT set_config('TimeZone', {}, true)").format(sql.Literal(_OTHER_ZONE))
        if not self.ground.tried(request, zone, attributes.change_type(change, probe)):
            return None
        made = self._columns(probe)[change.name]
        if made.domain:
            self.ground.problem(request, "Limitless has no domains (LIM-COL-04): use the base type with a CHECK")
        return made.declared, before != details.files(classic, probe)

    def _columns(self, table: sql.Identifier) -> dict[str, Column]:
        relation = details.oid_of(self.ground.classic, table)
        return {c.name: c for found in columns(self.ground.classic, relation=relation).values() for c in found}

    def _in_the_way(self, request: RequestedChange, change: Change) -> None:
        classic = self.ground.classic
        for check in details.constraints(classic, change.table).values():
            if check.sort == "c" and change.name in check.columns and (change.table, check.name) not in self.dropped:
                self.ground.problem(
                    request,
                    f"CHECK {check.name} would look at every row while writers wait: drop it before, add it after",
                )
        oid = details.oid_of(classic, change.table)
        for text, name, _ in details.dependents(classic, oid, change.name) if oid is not None else ():
            if text.startswith(_IN_THE_WAY) and name not in self.ground.dropped:
                self.ground.problem(request, f"{text} needs it: drop that before, create it after")

    def _ask_limitless(self, request: RequestedChange, change: Change, statement: sql.Composed) -> None:
        """Run *statement* on Limitless, with the columns that the file adds, and roll it back."""
        limitless, ground = self.ground.limitless, self.ground
        there = columns_of(limitless, change.table)
        if not there:
            return  # a table of this file
        here = self._columns(ground.probe(change.table)).values()

        def act() -> None:
            with limitless.transaction(force_rollback=True):
                limitless.execute("SET LOCAL lock_timeout = '300ms'")
                for column in here:
                    if column.name not in there:
                        limitless.execute(
                            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                                change_sql.table_name(change.table), sql.Identifier(column.name), sql.SQL(column.type)
                            )
                        )
                limitless.execute(statement)

        try:
            if not until_free(partial(ground.ask_limitless, act), _PATIENCE_S):
                ground.problem(request, f"{change.table} stayed locked on Limitless for {_PATIENCE_S:.0f} s")
        except psycopg.Error as error:
            ground.problem(request, f"Limitless refuses it: {server_message(error)}")


def _key_first(change: Change) -> sql.SQL:
    """Return the columns of a UNIQUE constraint, behind NULLS NOT DISTINCT, which an index has behind them."""
    distinct = " NULLS NOT DISTINCT"
    return sql.SQL(f"{distinct if distinct in change.tail else ''} {change.tail.replace(distinct, '')}")
