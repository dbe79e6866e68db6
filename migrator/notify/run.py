"""The notifier: looks at classic every second, sends what is due, and says itself when classic is unreachable.

Runs in each worker and server; one at a time sends (a lease on classic). At least once: what was sent and not recorded
is sent again, under the same key. Each receiver has a task of its own, so that a slow one delays no other, and a look
that hangs is abandoned, so that a frozen classic does not silence the notifier.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg

from migrator.control import notify as stored
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.notify.classic import GAP_S, Due, Looked, Looker
from migrator.notify.direct import APP, Direct
from migrator.notify.message import Note
from migrator.notify.retrying import MOST_REFUSALS, pause_s
from migrator.notify.send import Outcome, Result, in_thread, send
from migrator.plan.notify import Notify, Receiver
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

EVERY_S = 1.0
WAITING = 2
"""A process that does not send looks so much more rarely: one that ended is followed after the lease and this."""
HANGS_S = 12.0
"""A look that takes longer is abandoned: a statement is given up after less."""
STATEMENT_S = 8.0
LEAVE_S = 3.0

log = logging.getLogger("migrator.notify")


@dataclass(frozen=True, slots=True)
class _Tried:
    """A message of the outbox, and what became of it."""

    due: Due
    outcome: Outcome


@dataclass
class Notifier:
    """One process's notifier.

    Attributes:
        dsn: where classic is; asked for each connection.
        plan: the plan this process was started with, or follows; None where it has none. What classic stores wins.
        every_s: how often it looks whether anything happened.
    """

    dsn: Callable[[], str]
    plan: Callable[[], Plan | None] = lambda: None
    every_s: float = EVERY_S
    me: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    _conn: Connection | None = None
    _looker: Looker = field(init=False)
    _direct: Direct = field(init=False)
    _looked: Looked = field(default_factory=Looked)
    _tried: list[_Tried] = field(default_factory=list)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _failing: tuple[float, str] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._looker, self._direct = Looker(self.me), Direct(self.dsn, self.plan)

    async def run(self, stop: asyncio.Event) -> None:
        """Look and send until *stop* is set; then give the lease back."""
        ending = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._look()
                    self._dispatch()
                except Exception as error:  # it has to run for months: what one round lacks, the next one may not
                    log.warning("notifier.look_failed", extra={"error": type(error).__name__})
                pause = self.every_s if self._looked.lease or self._failing else WAITING * self.every_s
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait({ending, waking}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            ending.cancel()
            await self._leave()

    @property
    def sends(self) -> bool:
        """Whether this process has the lease, by its last look."""
        return self._looked.lease is not None

    @property
    def section(self) -> Notify:
        """The plan's [notify]: as classic had it last, or as this process was started with."""
        if self._looked.section is not None:
            return self._looked.section
        plan = self.plan()
        return plan.notify if plan is not None else Notify()

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Record what became of messages, and look; or note why that cannot be done."""
        tried, looker = list(self._tried), self._looker
        try:
            looked = await asyncio.wait_for(in_thread(lambda: self._once(looker, tried)), HANGS_S)
        except TimeoutError:
            self._failed(f"no answer within {HANGS_S:g} s")
        except ClusterUnavailable as error:
            self._failed(error.why)
        except MigratorError as error:
            self._failed(str(error))
        except psycopg.Error as error:
            self._failed(f"{type(error).__name__}{f', SQLSTATE {error.sqlstate}' if error.sqlstate else ''}")
        except Exception as error:  # a mistake in a look must not end the notifier
            log.warning("notifier.look_failed", extra={"error": type(error).__name__})
            self._failed(f"a look ended with {type(error).__name__}")
        else:
            self._succeeded(looked, tried)
        silent_s = time.monotonic() - self._failing[0] if self._failing else None
        mine = self._looked.holder in ("", self.me)
        why = self._failing[1] if self._failing else ""
        await self._direct.say(self.section, self._looked.plan, silent_s, why, mine, self._looked.wrong)

    def _once(self, looker: Looker, tried: Sequence[_Tried]) -> Looked:
        """In a thread of its own, which closes the connection when it fails or was abandoned meanwhile."""
        conn = self._conn
        if conn is None or conn.closed:
            conn = connect(self.dsn(), APP, statement_timeout_s=STATEMENT_S, lock_timeout_s=2, side="classic")
        try:
            for one in tried:
                record(conn, one.due, one.outcome)
            looked = looker.look(conn)
        except BaseException:
            conn.close()
            raise
        if looker is self._looker:
            self._conn = conn
        else:
            conn.close()
        return looked

    def _failed(self, why: str) -> None:
        self._abandon()
        self._failing = (self._failing[0] if self._failing else time.monotonic(), why)
        self._looked = replace(self._looked, waiting=(), lease=None, wrong=None)

    def _abandon(self) -> None:
        """Leave the connection to the thread that may still wait for it, and have that thread end.

        One that is just being made is bounded by itself.
        """
        conn, self._conn = self._conn, None
        self._looker = Looker(self.me)
        if conn is not None and not conn.closed:
            with contextlib.suppress(OSError, psycopg.Error):
                with socket.socket(fileno=os.dup(conn.fileno())) as same:
                    same.shutdown(socket.SHUT_RDWR)

    def _succeeded(self, looked: Looked, tried: Sequence[_Tried]) -> None:
        self._looked, self._failing = looked, None
        for one in tried:
            self._tried.remove(one)
        if looked.lease is not None and (looked.lease.gap_s or 0.0) > GAP_S:
            self._direct.resolve_quietly(self.section, looked.plan)
        self._direct.over = self._direct.over or looked.over

    # -- sending -------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give each receiver that is idle what is due for it.

        Of one whose last tries are not recorded yet the list is outdated: the look may have been under way meanwhile.
        """
        outdated = {one.due.receiver for one in self._tried}
        due: dict[str, list[Due]] = {}
        for one in self._looked.waiting:
            if one.receiver not in outdated:
                due.setdefault(one.receiver, []).append(one)
        for name, receiver in self.section.receiver.items():
            if name in self._tasks or not (name in due or self._direct.due(name)):
                continue
            task = asyncio.create_task(self._deliver(name, receiver, due.get(name, [])))
            self._tasks[name] = task
            task.add_done_callback(partial(self._idle, name))

    def _idle(self, name: str, _: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        self._wake.set()

    async def _deliver(self, name: str, receiver: Receiver, due: Sequence[Due]) -> None:
        """Send to one receiver, in order; end at the first one that finds it failing. Where it refuses a message, those
        about the same condition wait with it."""
        refused: set[str] = set()
        while (first := self._direct.due(name)) is not None:
            outcome = await send(first.note, receiver)
            _log(first.note, name, outcome)
            self._direct.tried(name, first, outcome)
        for one in due:
            if not self.sends or time.monotonic() >= self._looked.until:
                break
            if one.note.condition.name in refused:
                continue
            outcome = await send(one.note, receiver)
            _log(one.note, name, outcome)
            self._tried.append(_Tried(one, outcome))
            if outcome.result is Result.FAILED:
                break
            if outcome.result is Result.REFUSED:
                refused.add(one.note.condition.name)

    async def _leave(self) -> None:
        """Let what is being sent end, record it, and give the lease back; all of it bounded."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks.values()), timeout=LEAVE_S)
            for task in late:
                task.cancel()
        tried, conn = list(self._tried), self._conn
        if conn is None or conn.closed:
            return

        def end() -> None:
            with contextlib.suppress(psycopg.Error, MigratorError), conn:
                for one in tried:
                    record(conn, one.due, one.outcome)
                stored.leave(conn, self.me)

        try:
            await asyncio.wait_for(in_thread(end), LEAVE_S)
        except TimeoutError:
            self._abandon()


async def run(stop: asyncio.Event, dsn: Callable[[], str], plan: Callable[[], Plan | None] = lambda: None) -> None:
    """Run a notifier until *stop* is set: for servers and workers alike."""
    await Notifier(dsn, plan).run(stop)


def record(conn: Connection, due: Due, outcome: Outcome) -> None:
    """Record what became of a message. Safe to repeat."""
    number, receiver, tries = due.note.number, due.receiver, due.tries + 1
    with conn.transaction():
        match outcome.result:
            case Result.SENT:
                stored.sent(conn, number, receiver, outcome.problem)
            case Result.FAILED:
                stored.failed(conn, number, receiver, outcome.problem, pause_s(tries, outcome.after_s))
            case Result.REFUSED:
                last = tries >= MOST_REFUSALS
                stored.refused(conn, number, receiver, outcome.problem, pause_s(3 * tries), last=last)


def _log(note: Note, receiver: str, outcome: Outcome) -> None:
    extra: Mapping[str, str] = {"receiver": receiver, "condition": note.condition.name, "action": note.action.value}
    if outcome.result is Result.SENT:
        log.info("notification.sent", extra=dict(extra))
    else:
        log.warning("notification.not_sent", extra={**extra, "problem": outcome.problem})
