"""Can what a file asks for be done here, and what exactly? Nothing is changed; every problem at once.

Types, defaults and indexes are tried on empty temporary tables in a transaction that is rolled back, so the server
itself says what it refuses, what a default is worth now, and whether it would rewrite the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.change import is_done
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.enum_values import labels_of, place, with_label
from migrator.dataplane.change.inspect import columns_of, index_of, quoted, read_index, try_column
from migrator.dataplane.change.request import CREATIONS, Kind, Wish
from migrator.dataplane.change.trial import Creations, try_limitless, try_links
from migrator.db.error_text import said
from migrator.model.blocker import Blocker
from migrator.model.table import Table, qualify
from migrator.plan.schema import Plan
from migrator.provision.catalog import Catalog, Index
from migrator.provision.design import UNIQUE_ACROSS, design
from migrator.provision.read import available_extensions, read

Connection = psycopg.Connection[Any]


def check(
    classic: Connection, limitless: Connection, plan: Plan, tables: Sequence[Table], wishes: Sequence[Wish]
) -> tuple[list[Change], list[str]]:
    """Return the changes still to be made (those that hold already are left out), and every problem."""
    schemas = list(plan.tables.schemas)
    checker = _Checker(classic, limitless, plan, {t.qualified: t for t in tables}, read(classic, schemas))
    with classic.transaction(force_rollback=True):
        classic.execute("SET LOCAL lock_timeout = '2s'")
        for wish in wishes:
            checker.wish(wish)
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

    def wish(self, wish: Wish) -> None:
        found = {
            Kind.ADD_COLUMN: self._add_column,
            Kind.DROP_COLUMN: self._drop_column,
            Kind.CREATE_INDEX: self._create_index,
            Kind.DROP_INDEX: self._drop_index,
            Kind.CREATE_TABLE: self._create,
            Kind.CREATE_TYPE: self._create,
            Kind.CREATE_SEQUENCE: self._create,
            Kind.ADD_LABEL: self._add_label,
        }[wish.kind](wish)
        if found is not None:
            self.changes.append(found)

    def _problem(self, wish: Wish, text: str) -> None:
        self.problems.append(f"{wish.where}: {wish.words}: {text}")

    def _probe(self, table: str) -> sql.Identifier:
        """Return the temporary table that looks as *table* will after the changes before this one."""
        if table not in self.probes:
            name = f"migrator_probe_{len(self.probes)}"
            self.classic.execute(change_sql.probe_like(name, table))
            self.probes[table] = change_sql.temporary(name)
        return self.probes[table]

    def _tried(self, wish: Wish, *queries: sql.Composed) -> bool:
        """Run *queries*; a refusal is a problem, in the server's words, and leaves nothing behind."""
        try:
            with self.classic.transaction():
                for query in queries:
                    self.classic.execute(query)
        except psycopg.Error as error:
            self._problem(wish, f"classic refuses it: {said(error)}")
            return False
        return True

    # -- what is new ---------------------------------------------------------------------------------

    def _create(self, wish: Wish) -> Change | None:
        if exists(self.classic, wish.kind, wish.schema, wish.name):
            captured = wish.kind is not Kind.CREATE_TABLE or wish.table in self.tables
            if not captured:
                self._problem(wish, "it is on classic and not captured: drop it there, and let this command make it")
            elif not wish.lenient and not self._done_before(wish):
                self._problem(wish, "classic has it already")
            elif not exists(self.limitless, wish.kind, wish.schema, wish.name):
                self._problem(wish, "classic has it and Limitless lacks it: migrator provision makes it there")
            return None
        change, problems = self.creations.attempt(wish)
        for text in problems:
            self._problem(wish, text)
        if change is not None:
            self.catalog = read(self.classic, list(self.plan.tables.schemas))
        return change

    def _add_label(self, wish: Wish) -> Change | None:
        if wish.table not in self.labels:
            self.labels[wish.table] = (labels_of(self.classic, wish.table), labels_of(self.limitless, wish.table))
        here, there = self.labels[wish.table]
        if not here:
            self._problem(wish, "there is no such enum on classic")
        elif wish.name in here and wish.name in there:
            if not wish.lenient and not self._done_before(wish):
                self._problem(wish, "both sides have this value already")
        elif wish.neighbour and wish.neighbour not in here:
            self._problem(wish, f"there is no value {wish.neighbour!r}; there are {', '.join(map(repr, here))}")
        else:
            target = with_label(here, wish.name, wish.neighbour, after=wish.after)
            if [v for v in target if v != wish.name] != [v for v in there if v != wish.name]:
                self._problem(wish, f"Limitless has other values: {', '.join(map(repr, there)) or 'none'}")
                return None
            self.labels[wish.table] = (target, list(target))
            neighbour, after = place(target, wish.name)
            return Change(wish.kind, wish.table, wish.schema, wish.name, wish.words, neighbour=neighbour, after=after)
        return None

    # -- columns -------------------------------------------------------------------------------------

    def _add_column(self, wish: Wish) -> Change | None:
        probe = self._probe(wish.table)
        here, there = columns_of(self.classic, wish.table), columns_of(self.limitless, wish.table)
        change = self._new_column(wish)
        if change is None:
            return None
        if wish.name in here:
            if here[wish.name][0] != change.type and not wish.lenient:
                self._problem(wish, f"classic has this column already, as {here[wish.name][0]}")
            elif wish.name not in there:
                self._problem(wish, "classic has this column and Limitless lacks it: add it on Limitless first")
            return None
        if wish.name in there and there[wish.name][0] != change.type:
            self._problem(wish, f"Limitless has a column of this name, as {there[wish.name][0]}")
            return None
        if not self._tried(wish, change_sql.add_column(replace(change, literal=None, not_null=False), probe)):
            return None
        for what, text in (("regtype", change.type), ("regcollation", change.collation)):
            row = self.limitless.execute(
                sql.SQL("SELECT {} IS NOT NULL").format(
                    sql.SQL("to_{}({})").format(sql.SQL(what), sql.Literal(text)) if text else sql.SQL("1")
                )
            ).fetchone()
            if row is None or not row[0]:
                self._problem(wish, f"Limitless does not know {text}: create it there first")
        if change.default:
            try:
                self.limitless.execute(change_sql.plan_default(change))
            except psycopg.Error as error:
                self._problem(wish, f"Limitless refuses its default: {said(error)}")
        return change

    def _new_column(self, wish: Wish) -> Change | None:
        """Let classic say what type and default mean, on a table of one row."""
        try:
            with self.classic.transaction(force_rollback=True):
                seen = try_column(self.classic, wish)
        except psycopg.Error as error:
            self._problem(wish, f"classic refuses it: {said(error)}. Types and functions need their schema's name")
            return None
        if seen.is_domain:
            self._problem(wish, "a domain rewrites the table while writers wait: use its base type")
        if seen.rewritten and wish.not_null:
            self._problem(
                wish,
                "a default that differs from row to row fills existing rows in batches, so they are NULL at first:"
                " leave NOT NULL out",
            )
        if wish.not_null and not seen.rewritten and seen.value is None:
            self._problem(wish, "existing rows would be NULL: give it a default, or leave NOT NULL out")
        return Change(
            Kind.ADD_COLUMN,
            wish.table,
            "",
            wish.name,
            wish.words,
            type=seen.type,
            collation=wish.collation,
            default=wish.default,
            literal=None if seen.rewritten else seen.value,
            volatile=seen.rewritten,
            not_null=wish.not_null,
        )

    def _drop_column(self, wish: Wish) -> Change | None:
        probe = self._probe(wish.table)
        here = columns_of(self.classic, wish.table)
        if wish.name not in here and not self._in_probe(probe, wish.name):
            if not wish.lenient and not self._done_before(wish):
                self._problem(wish, f"there is no such column; there are {', '.join(here)}")
            return None
        needed = self._needed_by_mirror(wish)
        if needed:
            self._problem(wish, f"it is {needed}: it cannot go while the table is being migrated")
            return None
        needing = self._dependents(wish)
        for text in needing:
            self._problem(wish, f"{text} needs it: drop that first")
        if not needing:
            self._tried(wish, change_sql.drop_column(wish.name, probe))
        return Change(Kind.DROP_COLUMN, wish.table, "", wish.name, wish.words)

    def _in_probe(self, probe: sql.Identifier, name: str) -> bool:
        row = self.classic.execute(
            "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s"
            " AND NOT attisdropped)",
            (probe.as_string(self.classic), name),
        ).fetchone()
        return bool(row and row[0])

    def _needed_by_mirror(self, wish: Wish) -> str:
        table = self.tables[wish.table]
        if wish.name in table.key:
            return "part of the key"
        if not table.derived and wish.name == table.tenant_source:
            return "the tenant key"
        for other in self.tables.values():
            at = other.qualified
            for hop in other.path:
                if (at == wish.table and wish.name in hop.columns) or (
                    hop.parent == wish.table and wish.name in hop.parent_columns
                ):
                    return f"on the path from {other.qualified} to its tenant"
                at = hop.parent
            if other.path and at == wish.table and wish.name == other.tenant_source:
                return f"the tenant key of {other.qualified}"
        return ""

    def _dependents(self, wish: Wish) -> list[str]:
        """Return what depends on a column and would vanish or break with it; its default and NOT NULL may go."""
        rows = self.classic.execute(
            change_sql.DEPENDENTS, {"table": quoted(self.classic, wish.table), "column": wish.name}
        )
        return [str(text) for text, schema, name in rows if (schema, name) not in self.dropped]

    # -- indexes -------------------------------------------------------------------------------------

    def _create_index(self, wish: Wish) -> Change | None:
        change = Change(
            Kind.CREATE_INDEX, wish.table, wish.schema, wish.name, wish.words, unique=wish.unique, tail=wish.tail
        )
        found = index_of(self.classic, wish.schema, wish.name)
        if found is not None and (wish.schema, wish.name) not in self.dropped and found[0] != wish.table:
            self._problem(wish, f"an index of this name is on {found[0]}")
            return None
        probe = self._probe(wish.table)
        if not self._tried(wish, change_sql.create_index(change, probe, concurrently=False)):
            return None
        index = read_index(self.classic, change, change_sql.temporary(change.name))
        if found is not None and found[1] and (wish.schema, wish.name) not in self.dropped:
            here = read_index(self.classic, change, sql.Identifier(wish.schema, wish.name))
            if (here.unique, here.method, here.tail) != (index.unique, index.method, index.tail):
                self._problem(wish, f"classic has an index of this name already: {here.tail}")
                return None
            if index_of(self.limitless, wish.schema, wish.name) is not None:
                return None
        for blocker in self._limitless_rules(wish.table, index):
            self._problem(wish, blocker)
        self.made[wish.schema, wish.name] = wish.table
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

    def _drop_index(self, wish: Wish) -> Change | None:
        schemas = [wish.schema] if wish.schema else sorted({t.schema for t in self.tables.values()})
        found = [(s, i) for s in schemas if (i := index_of(self.classic, s, wish.name)) is not None]
        there = [(s, i) for s in schemas if (i := index_of(self.limitless, s, wish.name)) is not None]
        if len(found) > 1:
            self._problem(wish, "it may be any of " + ", ".join(qualify(s, wish.name) for s, _ in found))
            return None
        there += [(s, (t, True)) for (s, name), t in self.made.items() if name == wish.name and s in schemas]
        if not found and not there:
            if not wish.lenient and not self._done_before(wish):
                self._problem(wish, "there is no such index")
            return None
        schema, (table, _) = (found or there)[0]
        if table not in self.tables:
            self._problem(wish, f"{table} is not captured: drop it directly")
            return None
        backed = self.classic.execute(
            "SELECT pg_get_constraintdef(oid), conname, conrelid::regclass::text FROM pg_constraint"
            " WHERE conindid = to_regclass(%s)",
            (sql.Identifier(schema, wish.name).as_string(self.classic),),
        ).fetchall()
        for definition, name, on in backed:
            self._problem(wish, f"constraint {name} of {on} ({definition}) needs it")
        if found and self._is_the_key(self.tables[table], schema, wish.name):
            self._problem(wish, f"it is the key that {table} is migrated by")
        if not backed:
            self.dropped.append((schema, wish.name))
        return Change(Kind.DROP_INDEX, table, schema, wish.name, wish.words)

    def _is_the_key(self, table: Table, schema: str, name: str) -> bool:
        """Whether no other unique index remains over the key's columns."""
        row = self.classic.execute(
            change_sql.NO_OTHER_KEY,
            {
                "table": quoted(self.classic, table.qualified),
                "index": sql.Identifier(schema, name).as_string(self.classic),
                "key": sorted(table.key),
            },
        ).fetchone()
        return bool(row and row[0])

    def _done_before(self, wish: Wish) -> bool:
        return is_done(self.classic, wish.kind.value, wish.table, wish.name, wish.statement)
