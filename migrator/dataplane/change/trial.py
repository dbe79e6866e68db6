"""Tries a CREATE on classic, in the check's transaction, which is rolled back.

So the server itself says what it refuses, and the design of provisioning sees it in the catalog. Foreign keys lock the
tables they lead to: they are tried alone, for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import psycopg

from migrator.control.tables import owner as owner_of_tables
from migrator.dataplane.change import constraints
from migrator.dataplane.change.change import Change, Made
from migrator.dataplane.change.create import create, exists, filled, link, make_there, planned
from migrator.dataplane.change.drop_table import drop_there
from migrator.dataplane.change.kinds import CREATIONS, Kind, RequestedChange
from migrator.dataplane.change.names import UNDEFINED, WHERE_NAMES
from migrator.dataplane.change.printed import makes_routine
from migrator.dataplane.change.progress import LOCK_TIMEOUT_MS, Connection
from migrator.dataplane.change.whole import run_there
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY, until_free
from migrator.errors import ClusterUnavailable, PlanInvalid
from migrator.model.table import Table
from migrator.plan.captured import parse_entry, with_captured
from migrator.plan.schema import Plan
from migrator.plan.tables import describe_table
from migrator.provision.one import Look, look

_PATIENCE_S = 30.0


class Creations:
    """Tries what a file makes, one after the other, in the caller's transaction on classic."""

    def __init__(self, classic: Connection, limitless: Connection, plan: Plan, tables: dict[str, Table]) -> None:
        self.classic, self.limitless, self.plan, self.tables = classic, limitless, plan, tables
        self.seen: Look | None = None

    def attempt(self, request: RequestedChange) -> tuple[Change | None, list[str]]:
        """Return the change, and every problem; a table is among `tables` from then on."""
        if self.seen is None:
            self.seen = self._look()
        change = Change(
            request.kind,
            request.table,
            request.schema,
            request.name,
            request.words,
            statement=request.statement,
            links=request.links,
            path=request.path,
        )
        problems: list[str] = []
        if request.kind is Kind.CREATE_TABLE:
            change, problems = self._entry(request, change)
        owner, problem = self.owner(request.schema)
        problems += problem
        if problems:
            return None, problems
        change = replace(change, owner=owner)
        try:
            with self.classic.transaction():
                create(self.classic, change)
        except psycopg.Error as error:
            return None, [f"classic refuses it: {server_message(error)}. {WHERE_NAMES}"]
        if request.kind is Kind.CREATE_TABLE:
            problems = self._table(change)
        if problems:
            return None, problems
        now = self._look()
        new, self.seen = now.since(self.seen), now
        there = exists(self.limitless, request.kind, request.schema, request.name)
        if there and request.kind is Kind.CREATE_TABLE and filled(self.limitless, request.table):
            problems.append("Limitless has a table of this name, with rows: drop it there first")
        elif there:
            problems += [f"Limitless has it already, and {d}: drop it there first" for d in sorted(new.differences)]
        problems += sorted(new.blockers)
        made = tuple(
            Made(
                step.label,
                (step.record.kind, step.record.schema, step.record.name, step.record.detail),
                tuple(s.as_string(self.limitless) for s in step.statements),
                dict(step.settings),
            )
            for step in new.steps.values()
        )
        return replace(change, there=made), problems

    def _look(self) -> Look:
        return look(self.classic, self.limitless, list(self.tables.values()), self.plan)

    def owner(self, schema: str) -> tuple[str, list[str]]:
        """Return who owns the tables there, '' for ourselves: what is new is to be theirs too."""
        owner, may_act, is_us = owner_of_tables(self.classic, schema) or ("", True, True)
        if is_us:
            return "", []
        if not may_act:
            return "", [f"tables of schema {schema} belong to {owner}, whom this tool's role may not act as: GRANT it"]
        return owner, []

    def _entry(self, request: RequestedChange, change: Change) -> tuple[Change, list[str]]:
        """Take what the file says about the table, or else the plan."""
        given = {n: [c.strip() for c in v.split(",")] if n == "key" else v for n, v in request.options}
        named = self.plan.tables.table.get(request.table)
        try:
            entry = parse_entry({"kind": "sharded", **given}) if given else named
        except PlanInvalid as error:
            return change, [f"its comments: {problem}" for problem in error.problems]
        if entry is None:
            return change, []
        if named is not None and entry != named:
            return change, ["the plan says something else about it: leave the comments out, or correct them"]
        if entry.kind == "excluded":
            return change, ["a table that stays behind is excluded in the plan and made directly, not by this command"]
        return replace(change, entry=entry.model_dump(mode="json", exclude_none=True)), []

    def _table(self, change: Change) -> list[str]:
        """Describe the new table as capture would."""
        try:
            table = describe_table(
                self.classic, planned(with_captured(self.plan.tables, self.tables.values()), change), change.table
            )
        except PlanInvalid as error:
            how = " Say it in comments before the statement: -- migrator: kind = reference"
            return [p + ("." + how if " say what it is" in p else "") for p in error.problems]
        missing = [hop.parent for hop in table.path if hop.parent not in self.tables]
        if missing:
            return [f"via leads through {', '.join(missing)}, which is not captured"]
        self.tables[table.qualified] = table
        return []


def try_limitless(limitless: Connection, changes: Sequence[Change]) -> list[str]:
    """Make everything on Limitless in a transaction that is rolled back; return what it refuses."""
    with limitless.transaction(force_rollback=True):
        limitless.execute("SET LOCAL lock_timeout = '2s'")
        return next(([refused] for refused in _make_all(limitless, changes)), [])


def _make_all(limitless: Connection, changes: Sequence[Change]) -> Iterator[str]:
    """Make what *changes* make there, and yield what Limitless refuses. What names a view that only its step makes is
    tried by its own step."""
    deferred = False
    for change in changes:
        deferred = deferred or (not change.there and makes_routine(change))
        try:
            with limitless.transaction():
                _make(limitless, change)
        except psycopg.Error as error:
            busy = change.kind in (Kind.DROP_TABLE, Kind.DROP_CONSTRAINT) and isinstance(error, BUSY)
            if not busy and not (deferred and isinstance(error, UNDEFINED)):  # its step waits
                yield f"{change.words}: Limitless refuses it: {server_message(error)}"


def _make(limitless: Connection, change: Change) -> None:
    if change.kind is Kind.BOTH_SIDES:
        run_there(limitless, change)
    elif change.kind is Kind.DROP_TABLE:
        drop_there(limitless, change)
    elif change.kind is Kind.DROP_CONSTRAINT:
        limitless.execute(constraints.drop(change, change.name))
    elif not exists(limitless, change.kind, change.schema, change.name):
        make_there(limitless, change.there)


def ask_limitless(limitless: Connection, act: Callable[[], object], earlier: Sequence[Change]) -> None:
    """Run *act*, which changes nothing there; where it names something that is not there, with what *earlier* makes.

    Raises:
        psycopg.Error: Limitless refuses it all the same.
    """
    try:
        act()
    except UNDEFINED:
        if not earlier:
            raise
        with limitless.transaction(force_rollback=True):
            limitless.execute("SET LOCAL lock_timeout = '2s'")
            list(_make_all(limitless, earlier))  # what is refused there is said at the end
            act()


def try_links(classic: Connection, changes: Sequence[Change]) -> list[str]:
    """Make everything on classic with its foreign keys and roll it back at once; return what classic refuses.

    Raises:
        ClusterUnavailable: a table they lead to stayed locked.
    """
    new = [c for c in changes if c.kind in CREATIONS]
    problems: list[str] = []

    def act() -> None:
        problems.clear()
        with classic.transaction(force_rollback=True):
            classic.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
            for change in new:
                create(classic, change)
            for change in new:
                try:
                    with classic.transaction():
                        link(classic, change)
                except psycopg.errors.LockNotAvailable:
                    raise
                except psycopg.Error as error:
                    problems.append(f"{change.words}: classic refuses a foreign key: {server_message(error)}")

    if any(c.links for c in new) and not (tried := until_free(act, _PATIENCE_S)):
        raise ClusterUnavailable(
            "classic",
            f"a table that a new foreign key leads to stayed locked {tried}",
            "Find the long transaction in pg_stat_activity; nothing was changed.",
        )
    return problems
