"""Reads route changes for a process, and confirms them to others.

One thread with one connection to classic. It listens for notifications, polls as a fallback, and publishes a
heartbeat with the epoch it has applied. The order of the three steps of a refresh carries the promise that a route
change confirmed by all has been applied by every process:

1. The heartbeat commits. From now on others count this process as alive until seen_at + staleness.
2. Only then the poll is sent. If it misses a change, that change committed after the heartbeat, so the one that
   waits for confirmations counts this process as alive.
3. What was polled is valid for staleness_s counted from before the heartbeat was *sent*: it runs out here before
   the operator may count this process as silent, however late any answer came.

(Poll first and heartbeat second would be wrong: a heartbeat delayed in its commit could make an old poll valid
after an operator had already counted this process as silent.)
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg

from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.model.position import Snapshot
from migrator.model.route import WriteMode
from migrator.shim import statements as st
from migrator.shim.current_view import CurrentView
from migrator.shim.inflight import Inflight
from migrator.shim.link import Link
from migrator.shim.listener import Listener, RoutesApplied, RoutesLost, SettledOnLimitless
from migrator.shim.pool import ConnectTo
from migrator.shim.settings import Settings
from migrator.shim.view import MARKS, Poll, View, applied, confirmed_by_all, lapsed

FAST_S = 0.01
"""How often positions are read while a thread waits for them."""

CALM_S = 0.05
"""The same when notifications are known to arrive, so that reading is only a safety net."""

FLUSH_S = 1.0
SETTLED_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is among the others."""

    process_id: str
    name: str


class Watcher:
    """Keeps the current view up to date."""

    def __init__(
        self,
        identity: Identity,
        settings: Settings,
        board: CurrentView,
        inflight: Inflight,
        listener: Listener,
        connect_classic: ConnectTo,
        ask_settled: Callable[[], bool],
        flush: Callable[[Link], None],
        on_applied: Callable[[View], None],
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._current = board
        self._inflight = inflight
        self._listener = listener
        self._connect_classic = connect_classic
        self._ask_settled = ask_settled
        self._flush = flush
        self._on_applied = on_applied
        self._link: Link | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        self._routes_due_s = 0.0
        self._flush_due_s = 0.0
        self._settled_due_s = 0.0
        self._heard_at_s = -1e9  # when a notification last arrived
        self._news = False  # positions were announced
        self._lost = False
        board.wake = self.wake
        board.refresh = self.refresh

    # -- lifetime -----------------------------------------------------------------------------------------

    def open(self, link: Link) -> None:
        """Read the routes for the first time on *link*, which becomes the watcher's, and start its thread.

        Raises:
            psycopg.Error, ClusterUnavailable: classic cannot be read; the caller closes *link*.
        """
        self._adopt(link)
        self._refresh()
        self._settle()
        self._thread = threading.Thread(target=self._run, name="migrator-shim-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and take this process off the register when classic can be reached."""
        self._stop.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout=self._settings.staleness_s + 5)
        link, self._link = self._link, None
        if link is not None:
            # Harmless when it fails: the row expires by itself after the staleness limit.
            with contextlib.suppress(psycopg.Error):
                self._flush(link)
                link.conn.execute(st.LEAVE, {"process_id": self._identity.process_id})
            link.close()
        for end in (self._wake_read, self._wake_write):
            os.close(end)
        self._wake_write = -1

    def wake(self) -> None:
        """Make the thread poll now."""
        with contextlib.suppress(OSError):  # a full pipe wakes it as well; after close there is no thread
            os.write(self._wake_write, b"!")

    def refresh(self) -> None:
        """Make the thread read the routes now."""
        self._routes_due_s = 0.0
        self.wake()

    def kill_if_silent(self, at_s: float) -> None:
        """Shut down a connection whose answer is overdue; the thread then connects again."""
        link = self._link
        if link is not None:
            since = link.conn.busy_since_s
            if since is not None and at_s - since > self._settings.staleness_s:
                link.kill()

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._link is None:
                    link = self._connect_classic()
                    try:
                        self._adopt(link)
                    except BaseException:
                        link.close()
                        raise
                    self._routes_due_s = 0.0
                self._work()
                self._wait()
            except (psycopg.Error, ClusterUnavailable, NotInstalled, OSError) as error:
                if self._give_up(error):
                    return

    def _adopt(self, link: Link) -> None:
        link.conn.execute(st.LISTEN)
        self._link = link

    def _work(self) -> None:
        board, now = self._current, self._current.now_s()
        if now >= self._routes_due_s:
            self._refresh()
        elif board.waiting or self._news:
            self._positions()
        self._news = False
        if board.view.history:
            self._settle()
        if board.now_s() >= self._flush_due_s:
            self._flush_due_s = board.now_s() + FLUSH_S
            link = self._link
            assert link is not None
            self._flush(link)
        self._lost = False

    def _refresh(self) -> None:
        link = self._link
        assert link is not None
        old, sent_s = self._current.view, self._current.now_s()
        self._routes_due_s = sent_s + self._settings.poll_s
        self._heartbeat(link, old)
        row = link.conn.execute(st.POLL, {"after": old.epoch, "mark": old.mark, "marks": MARKS}).fetchone()
        if row is None:
            raise NotInstalled("the control schema on classic is not complete")
        view = applied(old, Poll.of(row), self._settings.max_lag_s)
        if not old.valid(self._current.now_s()):
            view = lapsed(view)
        self._install(replace(view, valid_until_s=sent_s + self._settings.staleness_s))
        if (view.epoch, view.mark) != (old.epoch, old.mark):
            self._heartbeat(link, view)
            self._listener.on_event(RoutesApplied(view.epoch))

    def _install(self, view: View) -> None:
        before = self._current.settled
        self._current.install(view)
        self._inflight.lower(view)
        self._on_applied(view)
        if self._current.settled and not before:
            self._listener.on_event(SettledOnLimitless())

    def _heartbeat(self, link: Link, view: View) -> None:
        arguments = {
            "process_id": self._identity.process_id,
            "name": self._identity.name,
            "epoch": view.epoch,
            "mark": view.mark,
            "registered_s": self._settings.registered_s,
        }
        link.conn.execute(st.HEARTBEAT, arguments)

    def _positions(self) -> None:
        link = self._link
        assert link is not None
        row = link.conn.execute(st.POSITIONS).fetchone()
        view = self._current.view
        if row is None or (int(row[0]), row[1]) != (view.epoch, view.mark):
            self._refresh()  # routes changed, or this is another history: positions count only with their epoch
            return
        published = {part: Snapshot.parse(text) for part, text in row[2]}
        if published != view.positions:
            self._current.install(replace(view, positions=published))

    def _settle(self) -> None:
        link = self._link
        assert link is not None
        before = self._current.view
        row = link.conn.execute(st.APPLIED_BY_ALL, {"epoch": before.epoch, "mark": before.mark}).fetchone()
        if row is not None and row[0] is not None:
            view = confirmed_by_all(before, row[0])
            if view is not before:
                self._current.install(view)

    def _wait(self) -> None:
        """Return at a notification, when a writer begins to wait, or at the next poll's time."""
        link = self._link
        assert link is not None
        deadline = min(self._routes_due_s, self._flush_due_s)
        if self._current.waiting:
            calm = self._current.now_s() - self._heard_at_s < 5
            deadline = min(deadline, self._current.now_s() + (CALM_S if calm else FAST_S))
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            selector.register(link.conn.pgconn.socket, selectors.EVENT_READ)
            while not self._stop.is_set():
                self._hear(link)
                if self._routes_due_s == 0.0 or self._news:
                    return
                rest = deadline - self._current.now_s()
                if rest <= 0:
                    return
                for key, _ in selector.select(rest):
                    if key.fd == self._wake_read:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_read, 4096)
                        return
                    link.conn.pgconn.consume_input()

    def _hear(self, link: Link) -> None:
        pgconn = link.conn.pgconn
        pgconn.consume_input()
        while (notification := pgconn.notifies()) is not None:
            self._heard_at_s = self._current.now_s()
            if notification.extra.startswith(b"position"):
                # Every mirror cycle notifies; only a thread that waits for a position needs it.
                self._news = self._news or self._current.waiting > 0
            else:
                self._routes_due_s = 0.0

    def _give_up(self, error: Exception) -> bool:
        """Close a failed connection and pause; return whether the thread has nothing left to do."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._current.settled:
            return True  # classic is retired; this process does not need it
        if not self._lost:
            self._lost = True
            self._listener.on_event(RoutesLost(type(error).__name__ if isinstance(error, OSError) else str(error)))
        now = self._current.now_s()
        if now >= self._settled_due_s:
            self._settled_due_s = now + SETTLED_EVERY_S
            if self._ask_settled():
                self._install(replace(self._current.view, write_mode=WriteMode.LIMITLESS_ONLY))
                return True
        self._stop.wait(min(self._settings.poll_s, 0.5))
        return False
