"""Connections without a server, for migrator.testing: a function of the test answers the statements.

SQL is not run: half an SQL engine would say yes where PostgreSQL says no, and a test would pass that must fail. What is
kept is what blocks rely on: a transaction works on a copy of what its side holds, sees what others commit, commits or
rolls back as a whole, is aborted by an error, and refuses to write where it is read-only.
"""

from __future__ import annotations

import copy
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from migrator.model.position import Snapshot
from migrator.model.side import Side
from migrator.model.sqlstate import is_lost
from migrator.model.tenant import TenantId
from migrator.shim import statements as st


@dataclass(frozen=True, slots=True)
class Asked:
    """One statement, for the function that answers.

    Attributes:
        tenant_id: of the block; None for a shadow read.
        writes: whether the block is a write.
        state: what the side holds, as the block sees it. Change it in place: a commit keeps it, a rollback does not.
            When another block commits meanwhile, statements of a write are asked again on what it left.
    """

    side: Side
    tenant_id: TenantId | None
    text: str
    params: Any
    writes: bool
    state: Any = field(repr=False)


Answers = Callable[[Asked], Iterable[Any] | int | None]
"""Answers a statement: the rows as the application is to get them, or how many it changed (None: it does not say). May
raise psycopg's errors."""

Switch = Callable[[], tuple[str, int, str]]
"""Says what classic's switch says: write mode, epoch, mark."""


class Store:
    """What both sides hold, and what became of transactions. A commit replaces a side's state as a whole.

    Attributes:
        switch: see Switch.
        mirrored: whether Limitless follows classic.
        lost_commits: for the next COMMITs of writes: the answer is lost, and whether they happened.
    """

    def __init__(self, answers: Answers | None, state: Any, switch: Switch) -> None:
        self.answers = answers
        self.switch = switch
        self.mirrored = True
        self.lost_commits: list[bool] = []
        self.lock = threading.RLock()
        self.states = dict.fromkeys(Side, copy.deepcopy(state))  # values are replaced, never changed
        self.next_xid = 1000
        self.outcomes: dict[str, str] = {}

    def take_xid(self) -> int:
        with self.lock:
            xid, self.next_xid = self.next_xid, self.next_xid + 1
            self.outcomes[str(xid)] = "in progress"
            return xid

    def snapshot(self) -> Snapshot:
        """Return what has ended so far."""
        with self.lock:
            running = frozenset(int(xid) for xid, outcome in self.outcomes.items() if outcome == "in progress")
            return Snapshot(min(running, default=self.next_xid), self.next_xid, running)

    def put(self, side: Side, state: Any) -> None:
        """Replace what *side* holds; Limitless follows."""
        self.states[side] = state
        self.mirror()

    def mirror(self) -> None:
        """Bring Limitless to the state of classic, where it follows."""
        if self.mirrored and self.switch()[0] != "limitless_only":
            self.states[Side.LIMITLESS] = self.states[Side.CLASSIC]


_CHANGES = (
    "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE",
)  # fmt: skip
_ENDS = ("COMMIT", "END", "ROLLBACK", "ABORT")
_HIDDEN = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b|\bFOR\s+(?:KEY\s+)?SHARE\b")
_NOT_SQL = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def change_in(text: str) -> str | None:
    """Return the first command of *text* that a read-only transaction refuses; judged by its words."""
    for statement in _NOT_SQL.sub(" ", text).upper().split(";"):
        words = statement.replace("(", " ").split()
        if words and words[0] in _CHANGES:
            return words[0]
        if words and words[0] in ("SELECT", "WITH") and (hidden := _HIDDEN.search(statement)):
            return hidden[0] if words[0] == "WITH" else "SELECT FOR UPDATE"
    return None


class _Partial:
    """A part of what psycopg has."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"without a server there is no {name}: give MemoryShim a PostgreSQL for this test")


class MemoryCursor(_Partial):
    """The rows of one answer. Row factories are ignored: rows come as they were answered."""

    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection
        self.closed = False
        self.rowcount = -1
        self._rows: Iterator[Any] | None = None

    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        self._check()
        found = self.connection.answered(query, params)
        self._rows, self.rowcount = None, -1
        if isinstance(found, int):
            self.rowcount = found
        elif found is not None:
            rows = list(found)
            self._rows, self.rowcount = iter(rows), len(rows)
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], **_: Any) -> None:
        counts = [self.execute(query, params).rowcount for params in params_seq]
        self._rows, self.rowcount = None, -1 if -1 in counts else sum(counts)

    def stream(self, query: Any, params: Any = None, **_: Any) -> Iterator[Any]:
        yield from self.execute(query, params)

    def fetchone(self) -> Any:
        return next(self._records(), None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return list(itertools.islice(self._records(), size))

    def fetchall(self) -> list[Any]:
        return list(self._records())

    def __iter__(self) -> Iterator[Any]:
        return self._records()

    def _records(self) -> Iterator[Any]:
        self._check()
        if self._rows is None:
            raise psycopg.ProgrammingError("the last operation didn't produce records")
        return self._rows

    def _check(self) -> None:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Savepoint:
    """What `connection.transaction()` is inside a block; psycopg.Rollback may name it."""


def _fixed(name: str, value: Any) -> property:
    def refuse(connection: MemoryConnection, _: Any) -> None:
        status = connection.transaction_status.name
        raise psycopg.ProgrammingError(f"can't change {name!r} now: connection in transaction status {status}")

    return property(lambda _: value, refuse)


class MemoryConnection(_Partial):
    """What applications use most of a psycopg connection; the rest raises AttributeError."""

    autocommit = _fixed("autocommit", True)
    isolation_level = _fixed("isolation_level", None)
    read_only = _fixed("read_only", None)
    deferrable = _fixed("deferrable", None)

    def __init__(self, store: Store, side: Side) -> None:
        self.side = side
        self.tenant_id: TenantId | None = None
        self.closed = self.interrupted = self.canceled = False
        self.cut_s = 0.0
        self.refused: tuple[tuple[str, str], ...] = ()
        self.transaction_status = TransactionStatus.IDLE
        self.xid: int | None = None
        self.begun: str | None = None
        self.reads = False  # READ ONLY
        self._store = store
        self._base = self.state = None  # what the transaction started from last, and what it made of that
        self._log: list[tuple[str, Any]] = []  # statements of a write

    @property
    def info(self) -> Self:
        return self  # transaction_status is all that is asked of it

    def begin(self, how: str) -> None:
        """Start a transaction on a copy of what the side holds."""
        mark = re.search(r"migrator\.begun = '(\w+)'", how)
        self.reads, self.begun, self.xid = "READ ONLY" in how, mark and mark[1], None
        self._log = []
        self._base = self._store.states[self.side]
        self.state = copy.deepcopy(self._base)
        self.transaction_status = TransactionStatus.INTRANS

    def end(self, how: str) -> str:
        """Commit or roll back; return the command's tag."""
        broken, self.transaction_status = self.transaction_status is TransactionStatus.INERROR, TransactionStatus.IDLE
        if broken or how != "COMMIT":
            self._became("aborted")
            return "ROLLBACK"
        with self._store.lock:
            if self.take_xid_if_changed() is not None:
                self._catch_up()
                self._store.put(self.side, self.state)
            self._became("committed")
        return "COMMIT"

    def take_xid_if_changed(self) -> int | None:
        """Return the transaction's number; it has one if a statement was a change or the state is not what it was."""
        if self.xid is None and not self.reads and self.state != self._base:
            self.xid = self._store.take_xid()
        return self.xid

    def _catch_up(self) -> None:
        """Go on from what the side holds now, as READ COMMITTED does."""
        if self._store.states[self.side] is self._base:
            return
        self._base = self._store.states[self.side]
        self.state = copy.deepcopy(self._base)
        for text, params in self._log:
            self._ask(text, params)

    def _became(self, outcome: str) -> None:
        if self.xid is not None:
            self._store.outcomes[str(self.xid)] = outcome

    def cursor(self, *_: Any, **__: Any) -> MemoryCursor:
        return MemoryCursor(self)

    def execute(self, query: Any, params: Any = None, **_: Any) -> MemoryCursor:
        return self.cursor().execute(query, params)

    @property
    def broken(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def commit(self) -> None:
        self.end("COMMIT")

    def rollback(self) -> None:
        self.end("ROLLBACK")

    @contextmanager
    def transaction(self, _name: str | None = None, force_rollback: bool = False) -> Iterator[Savepoint]:
        self.check()
        base, state, length = self._base, copy.deepcopy(self.state), len(self._log)
        this = Savepoint()
        try:
            yield this
            self.check()
            if force_rollback:
                raise psycopg.Rollback
        except BaseException as error:
            if not self.closed:
                self._base, self.state, self.transaction_status = base, state, TransactionStatus.INTRANS
                del self._log[length:]
            named: object = error.transaction if isinstance(error, psycopg.Rollback) else error
            if named is not None and named is not this:
                raise

    def answered(self, query: Any, params: Any) -> Iterable[Any] | int | None:
        """Return the answer to one statement, as a server would note it."""
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else str(text)
        try:
            return self._answered(text, params)
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and is_lost(error.sqlstate):
                self.closed = True
            elif error.sqlstate:
                self.refused += ((error.sqlstate, str(error)),)
                self.transaction_status = TransactionStatus.INERROR
            raise

    def _answered(self, text: str, params: Any) -> Iterable[Any] | int | None:
        if text == st.OUTCOME:
            return [(self._store.outcomes.get(params[0]),)]
        words = text.upper().rstrip("; \n").split() or [""]
        if words[0] in ("SAVEPOINT", "RELEASE") or (words[0] in _ENDS and words[1:] not in ([], ["WORK"])):
            raise psycopg.NotSupportedError(f"{text}: use connection.transaction(), or give MemoryShim a PostgreSQL")
        if words[0] in _ENDS:
            self.end("COMMIT" if words[0] in ("COMMIT", "END") else "ROLLBACK")
            return None
        self.check()
        if self.transaction_status is TransactionStatus.IDLE:
            return self._alone(text, params)
        if words[0] in ("SET", "RESET", "BEGIN", "START"):
            return None  # a second BEGIN changes nothing
        change = change_in(text)
        if change and self.reads:
            raise psycopg.errors.ReadOnlySqlTransaction(f"cannot execute {change} in a read-only transaction")
        self._catch_up()
        found = self._ask(text, params)
        if not self.reads:
            self._log.append((text, params))
        if change in _CHANGES and found != 0:
            self.xid = self.xid or self._store.take_xid()
        return found

    def _alone(self, text: str, params: Any) -> Iterable[Any] | int | None:
        """Run a statement after the application ended the transaction of its block."""
        self.begin("")
        if text.upper().startswith(("BEGIN", "START")):
            return None
        try:
            found = self._answered(text, params)
        except BaseException:
            self.end("ROLLBACK")
            raise
        self.end("COMMIT")
        return found

    def _ask(self, text: str, params: Any) -> Iterable[Any] | int | None:
        assert self._store.answers is not None  # else this connection would be to a server
        return self._store.answers(Asked(self.side, self.tenant_id, text, params, not self.reads, self.state))

    def check(self) -> None:
        """Raise what a server would say before it looks at a statement."""
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        if self.transaction_status is TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            )
