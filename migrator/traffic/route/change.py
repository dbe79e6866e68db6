"""The transaction that every route change shares.

One transaction on classic that locks the switch row first: changes happen one after the other, epochs are handed out
in commit order, and a process that reads "what changed after epoch e" misses nothing. The decision is logged in the
same transaction and all processes are notified with it.

Every function that makes one owns its transaction, is a compare-and-set, and may be run again: a second run finds the
first one's work and changes nothing. Each returns the epoch to confirm (confirm.py).

Going up to LIMITLESS (and clearing a fallback) needs proof that the mirror has caught up since every process
confirmed joining (caught_up.py); promote.py obtains it. Going down needs nothing but classic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.incident import add_incident
from migrator.control.log import decide, decide_each
from migrator.errors import ClusterUnavailable, NotInstalled, PreconditionFailed
from migrator.model.route import Level, WriteMode
from migrator.model.sqlstate import Fault, fault_of
from migrator.model.tenant import TenantId
from migrator.shim import statements as st


@dataclass(slots=True)
class Change:
    """A route change under way, inside its transaction."""

    conn: psycopg.Connection[Any]
    who: str
    reason: str
    epoch: int
    level: Level
    write_mode: WriteMode
    made: bool = False

    def next_epoch(self) -> int:
        """Return the epoch of this change; the same one however often it is asked for."""
        if not self.made:
            row = self.conn.execute(st.NEXT_EPOCH).fetchone()
            assert row is not None
            self.epoch, self.made = int(row[0]), True
        return self.epoch

    def decide(self, kind: str, subject: str, before: Any, after: Any) -> None:
        """Log what this change did."""
        decide(self.conn, self.who, kind, subject, self.reason, before, after)

    def decide_each(self, kind: str, before: Mapping[TenantId, Any], after: Any = None) -> None:
        """Log what this change did with each tenant of *before*, in one statement."""
        was = {f"tenant/{tenant}": value for tenant, value in before.items()}
        decide_each(self.conn, self.who, kind, self.reason, was, after)

    def incident(self, kind: str, what: str) -> None:
        """Record an incident, which counts against the stabilization window."""
        add_incident(self.conn, kind, what, self.who)


@contextmanager
def reachable() -> Iterator[None]:
    """Raise the tool's own errors for an unreachable classic. A second run finds out what a lost COMMIT did."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate in ("42P01", "3F000"):
            raise NotInstalled("the control schema is missing on classic") from error
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if (error.sqlstate is None and lost) or (
            error.sqlstate is not None and fault_of(error.sqlstate) in (Fault.UNREACHABLE, Fault.OVERLOADED)
        ):
            raise ClusterUnavailable(
                "classic", "the connection was lost during the change", "Run the same command again: it is idempotent."
            ) from error
        if error.sqlstate == "55P03":
            raise ClusterUnavailable("classic", "another route change is under way", "Run it again.") from error
        raise


@contextmanager
def change(
    conn: psycopg.Connection[Any], who: str, reason: str, *, after_the_end: bool = False, lock_timeout_s: float = 5.0
) -> Iterator[Change]:
    """Open a route change; it commits on leaving. Notifies only when an epoch was taken.

    Raises:
        PreconditionFailed: the migration is past its point of no return (unless *after_the_end*).
    """
    with reachable(), conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{round(lock_timeout_s * 1000)}ms",))
        row = conn.execute(st.LOCK_SWITCH).fetchone()
        if row is None:
            raise NotInstalled("the control schema on classic is not complete")
        route_change = Change(conn, who, reason, int(row[0]), Level(row[1]), WriteMode(row[2]))
        if route_change.write_mode is WriteMode.LIMITLESS_ONLY and not after_the_end:
            raise PreconditionFailed(
                "writes go to limitless only: classic no longer has the latest rows, so no route can change",
                hint="The point of no return has passed; see migrator status.",
            )
        yield route_change
        if route_change.made:
            conn.execute(st.ANNOUNCE)


def as_json(value: Any) -> str:
    """Return *value* as JSON text."""
    return json.dumps(value)
