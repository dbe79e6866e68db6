"""A watcher without a thread: for processes that are frozen between two invocations, where none can be relied on.

Those that need what the thread would have brought do its work: a block that finds the routes too old reads them before
it begins, in one round trip; a thread that waits for the mirror looks at positions meanwhile. One thread at a time
does; others go on with routes that are still valid, or wait for what it brings. The order of the steps, and with it the
promise, is the watcher's own.

Between two invocations the process leaves: first what it knows stops to count here, whatever the clocks say, then
classic forgets it. So no route change waits for a process that is frozen then, and the next invocation begins with a
heartbeat. When the answer to the goodbye is lost, it may still arrive, and must not take a later registration with it:
the process then goes by another id.
"""

from __future__ import annotations

import functools
import math
import select
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.abc import PQGen

from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.shim import statements as st
from migrator.shim.clock import now_s
from migrator.shim.identity import Identity
from migrator.shim.lent import Conn
from migrator.shim.link import Link
from migrator.shim.view import View
from migrator.shim.watcher import Watcher

RESTED_S = 5.0
PROBE_S = 1.0
"""A connection that rested for longer than RESTED_S may lead nowhere: a network that forgot it says nothing. It gets
PROBE_S to answer, then another one is made."""

LEAVE_S = 1.0
"""A goodbye is waited for at most so long; without it the registration runs out by itself."""

SHARE_S = 0.05
"""Who waits while another thread does the work looks so often whether that one has left."""


class TimedLink(Link):
    """A connection that ends by itself when the server is silent for too long: no other thread would end it."""

    def start(self, statement: str, *, owe: bool) -> None:
        """Run *statement* for the next borrower; see Link. A server that says nothing for long counts as gone."""
        silent_s = self.silent_s
        self.bound(min(PROBE_S, silent_s or PROBE_S) if _rested(self) else silent_s)
        super().start(statement, owe=owe)
        self.bound(silent_s)

    def bound(self, silent_s: float | None) -> None:
        """Let one conversation take *silent_s* at most from now on."""
        self.silent_s = silent_s
        self.conn.within = None if silent_s is None else functools.partial(_bounded, silent_s, self.kill)

    def _lent(self) -> Conn:
        made = super()._lent()
        made.within = self.conn.within
        return made


def _bounded(seconds: float, kill: Callable[[], None], gen: PQGen[Any]) -> Generator[Any, Any, Any]:
    """Run *gen*; when it takes longer than *seconds*, *kill* its connection, which it then finds lost."""
    until_s = now_s() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and now_s() >= until_s:  # psycopg tells several times a second that nothing came
                kill()
                until_s = math.inf
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


class InlineWatcher(Watcher):
    """Keeps the current view up to date in the threads that use it."""

    def __init__(self, *args: Any, renamed: Callable[[Identity], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._renamed = renamed
        self._turn = threading.Lock()
        self._rest_until_s = -math.inf  # classic failed; it is not asked before
        self._over = False  # classic is retired
        self._current.wake = lambda: None
        self._current.drive = self.drive

    def _go(self) -> None:
        """Start nothing."""

    def _pause(self, seconds: float) -> None:
        self._rest_until_s = self._current.now_s() + seconds

    # -- what blocks ask for --------------------------------------------------------------------------------

    def renew(self) -> None:
        """Have routes that are valid before a block begins, if classic can be asked.

        Costs one round trip when they are older than `shim.poll_s`, or a change was announced; else none.
        """
        if not self._needed():
            return
        valid = self._current.view.valid(self._current.now_s())
        if not self._turn.acquire(blocking=not valid):
            return  # another thread is at it, and these still hold
        try:
            if self._needed():
                self._do(self._renew)
        finally:
            self._turn.release()

    def _needed(self) -> bool:
        now = self._current.now_s()
        if self._over or now < self._rest_until_s:
            return False
        if now >= self._routes_due_s or not self._current.view.valid(now):
            return True
        link = self._link
        return self._listen and link is not None and link._speaks()

    def _renew(self) -> None:
        if self._listen:
            self._hear_it()
        self._refresh()
        self._report()
        self._lost = False

    def _hear_it(self) -> None:
        assert self._link is not None
        self._hear(self._link)

    def drive(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool:
        """Do the watcher's work until *satisfied* holds for the current view; return whether it did in time."""
        current = self._current
        until_s, first = current.now_s() + timeout_s, True
        while True:
            with current.changed:
                if satisfied(current.view):
                    return True
            now = current.now_s()
            if now >= until_s:
                return False
            if self._over or not self._turn.acquire(blocking=False):
                with current.changed:
                    current.changed.wait_for(lambda: satisfied(current.view), min(until_s - now, SHARE_S))
                continue
            try:
                rest_s = max(self._rest_until_s, -math.inf if first else self._due_s()) - now
                if rest_s > 0:
                    self._wait_for_news(min(rest_s, until_s - now), satisfied)
                else:
                    self._do(self._work_first if first else self._work)
                    first = False
            finally:
                self._turn.release()

    def _work_first(self) -> None:
        """Ask at once what all have applied: after a rest it is most often all that a write waits for."""
        if self._current.view.history:
            self._current.pace.may_ask_confirmations(self._current.now_s())  # it counts as asked
            self._settle()
        self._work()

    def _wait_for_news(self, seconds: float, satisfied: Callable[[View], bool]) -> None:
        link = self._link
        if self._listen and link is not None and not link.closed:
            poll = select.poll()
            poll.register(link.conn.pgconn.socket, select.POLLIN)
            if poll.poll(seconds * 1000):
                self._do(self._hear_it)
            return
        current = self._current
        with current.changed:
            current.changed.wait_for(lambda: satisfied(current.view), seconds)

    def leave(self) -> None:
        """Let nothing count that is known so far, and take this process off the register."""
        with self._turn:
            current, link = self._current, self._link
            with current.changed:
                current.view = replace(current.view, valid_until_s=-math.inf)
            if link is None or self._beat_s == -math.inf:
                return  # not registered since it left
            self._beat_s = -math.inf
            try:
                _bound(link, LEAVE_S)
                self._report()
                link.conn.execute(st.LEAVE, {"process_id": self._identity.process_id})
            except (psycopg.Error, OSError):
                link.close()
                self._link = None
                self._identity = Identity.new(self._identity.name)
                self._renamed(self._identity)

    def close(self) -> None:
        """Take this process off the register when classic can be reached."""
        self._over = True
        if self._link is not None:
            _bound(self._link, LEAVE_S)
        super().close()

    # -- work -----------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], None]) -> None:
        """Do *work* on a connection; on another one when the present one turns out to be lost. Classic may fail."""
        began_s = self._current.now_s()
        try:
            if self._link is None or not self._tried(work):
                self._adopt(self._connect_classic())
                self._routes_due_s = 0.0
                assert self._link is not None
                _bound(self._link, self._settings.staleness_s)
                work()
        except (psycopg.Error, ClusterUnavailable, NotInstalled, OSError) as error:
            self._over = self._give_up(error)
            # What takes long to fail does not hold up every block.
            self._rest_until_s += self._current.now_s() - began_s

    def _tried(self, work: Callable[[], None]) -> bool:
        """Do *work* on the connection there is; return False when it is lost."""
        link = self._link
        assert link is not None
        longest_s = self._settings.staleness_s
        _bound(link, min(PROBE_S, longest_s) if _rested(link) else longest_s)
        try:
            work()
        except (psycopg.Error, OSError):
            if not link.closed:
                raise
            link.close()
            self._link = None
            return False
        link.heard_s = now_s()
        return True

    def _adopt(self, link: Link) -> None:
        try:
            super()._adopt(link)
        except BaseException:
            link.close()
            raise
        link.heard_s = now_s()


def _rested(link: Link) -> bool:
    return RESTED_S < now_s() - link.heard_s < math.inf


def _bound(link: Link, seconds: float) -> None:
    if isinstance(link, TimedLink):
        link.bound(seconds)
