"""One run of schema changes: its connections, its lock waits, and a record of every step.

DDL waits for a lock only briefly and is tried again: while it waits, the application's statements would queue up
behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg

from migrator.control import change as changes_of
from migrator.control.answers import learn
from migrator.control.locks import release_copy_lock, take_copy_lock
from migrator.control.tables import captured_tables, store_tables
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.kinds import BY_NAME, Kind
from migrator.db.lock_retry import until_free
from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.table import Table
from migrator.plan.captured import with_captured
from migrator.plan.schema import Plan, Tables

Connection = psycopg.Connection[Any]
Moment = Literal["begin", "acted", "done"]
"""Of a step: before it, after its effect on a side, after its record."""

LOCK_TIMEOUT_MS = 300

_UNDOING = "undo:"
"""What the recorded steps of a change begin with while it is taken back."""


def _silent(_: str) -> None:
    return None


def _unwatched(_: str, __: Moment) -> None:
    return None


@dataclass
class Work:
    """Connections and limits of one run of schema changes.

    Attributes:
        classic, limitless: autocommit, without a statement timeout.
        turns: classic too; holds the locks of this run, so it must not be used for anything long.
        timeout_s: how long a lock, the mirrors or the copies are waited for.
        tell: called with what is going on, for the operator.
        watch: called around every step.
    """

    plan: Plan
    classic: Connection
    limitless: Connection
    turns: Connection
    who: str
    timeout_s: float = 600.0
    tell: Callable[[str], None] = _silent
    watch: Callable[[str, Moment], None] = _unwatched
    tables: dict[str, Table] = field(default_factory=dict)

    def patiently(self, side: str, what: str, act: Callable[[Connection], None], *, guarded: bool = False) -> None:
        """Run *act* in a transaction with a short lock timeout, again and again while a lock is busy.

        Args:
            guarded: the guard judges what it does as anybody's.

        Raises:
            ClusterUnavailable: it stayed busy for `timeout_s`.
        """
        conn = self.classic if side == "classic" else self.limitless

        def once() -> None:
            with conn.transaction():
                if side == "classic" and not guarded:
                    conn.execute("SELECT set_config('migrator.ddl', 'allowed', true)")  # our own guard
                conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
                act(conn)

        def tell(number: int, pause_s: float) -> None:
            self.tell(f"{side}: {what}: the table is locked by another session; try {number} in {pause_s:.1f} s")

        if not (tried := until_free(once, self.timeout_s, pause_s=0.1, tell=tell)):
            raise ClusterUnavailable(
                side,
                f"{what}: the table stayed locked {tried}",
                "Find the long transaction in pg_stat_activity; running this again goes on from here.",
            )

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Keep new copies from beginning, and wait for those that run: each holds its tables for a unit.

        Raises:
            ClusterUnavailable: one ran longer than `timeout_s`.
        """
        if not take_copy_lock(self.turns, 0.05):
            self.tell(f"{what}: waiting for copies that run now; new ones wait for this change")
            if not take_copy_lock(self.turns, self.timeout_s):
                raise ClusterUnavailable(
                    "classic",
                    f"a copy still runs after {self.timeout_s:.0f} s",
                    "See it with: migrator backfill status --units; running this again goes on from here.",
                )
        try:
            yield
        finally:
            if not self.turns.closed:
                release_copy_lock(self.turns)

    @property
    def planned(self) -> Tables:
        """What the plan says about tables, with those that came since it was written."""
        return with_captured(self.plan.tables, self.tables.values())

    def describe(self, conn: Connection, table: Table) -> None:
        """Store a descriptor in the caller's transaction on classic: mirrors take it over in their next cycle."""
        store_tables(conn, [table])
        self.tables[table.qualified] = table


@dataclass
class Recorded:
    """A change with how far it is.

    Attributes:
        step: the last step done, of `apply` or of `take_back`.
        undoing: it is being taken back: only that can go on.
        seen_from, at: see `migrator.schema_change`.
        filled_to: key up to which existing rows were filled.
    """

    change_id: int
    change: Change
    step: str = ""
    seen_from: Snapshot | None = None
    at: float = 0.0
    filled_to: tuple[str, ...] | None = None
    undoing: bool = False

    def done(self, conn: Connection, step: str) -> None:
        """Record *step*, in the caller's transaction if there is one."""
        changes_of.set_step(conn, self.change_id, f"{_UNDOING if self.undoing else ''}{step}")
        self.step = step

    def restate(self, conn: Connection, change: Change) -> None:
        """Store what was not known of the change when it was checked."""
        changes_of.set_body(conn, self.change_id, change.dump())
        self.change = change

    def shape_changed(self, conn: Connection, step: str) -> None:
        """Record *step* in the transaction that changes the descriptor; from when on it is known is recorded later."""
        changes_of.set_unseen(conn, self.change_id)
        self.done(conn, step)
        self.seen_from = None

    def mark_seen(self, conn: Connection) -> None:
        """Record from when on everything that begins uses the new shape; after it was committed."""
        seen = changes_of.set_seen(conn, self.change_id)
        if seen is not None:
            self.seen_from, self.at = Snapshot.parse(seen[0]), seen[1]


StepFn = Callable[[Work, Recorded], None]
"""A step finds out by itself whether it took effect before."""


def load_tables(work: Work) -> None:
    """Read what is captured, and whether Limitless answers.

    Raises:
        PreconditionFailed: nothing is captured.
    """
    work.tables = {t.qualified: t for t in captured_tables(work.classic).values()}
    if not work.tables:
        raise PreconditionFailed(
            "no table is captured", hint="Dual write has not begun: change classic directly, then provision."
        )
    learn(work.limitless)


def unfinished(conn: Connection) -> list[Recorded]:
    """Return changes that were begun and not finished, oldest first."""
    return [
        Recorded(
            one.change_id,
            Change.load(one.body),
            one.step.removeprefix(_UNDOING),
            Snapshot.parse(one.seen_from) if one.seen_from else None,
            one.at,
            tuple(one.filled_to) if one.filled_to else None,
            one.step.startswith(_UNDOING),
        )
        for one in changes_of.unfinished(conn)
    ]


def record(conn: Connection, changes: Sequence[Change], who: str) -> None:
    """Record *changes* as begun, all or none; owns its transaction."""
    with conn.transaction():
        for change in changes:
            changes_of.add(conn, change.kind.value, change.table, change.name, change.words, change.dump(), who)


def is_same(change: Change, kind: Kind, table: str, name: str, source: str = "") -> bool:
    """Whether a file that asks for (kind, table, name) means *change*; an index to drop is known by its name, what is
    not told apart by its name by the statement it comes from."""
    if kind in BY_NAME and name:
        return change.kind is kind and change.name == name and table in ("", change.table)
    return source == change.source
