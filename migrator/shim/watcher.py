"""Reads route changes for a process, and confirms them to others.

One thread with one connection to classic. It listens for notifications of route changes, looks whether anything
changed as a fallback, and publishes a heartbeat with the epoch it has applied. The order of the steps carries the
promise that a route change confirmed by all has been applied by every process:

1. A heartbeat commits. From now on others count this process as alive until seen_at + staleness.
2. Only then the snapshot is taken of what is read next: a look that finds the routes unchanged, or the routes. If it
   misses a change, that change committed after the heartbeat, so the one that waits for confirmations counts this
   process as alive.
3. What was read is valid for staleness_s counted from before that heartbeat was *sent*: it runs out here before
   the operator may count this process as silent, however late any answer came.

One heartbeat vouches for everything that is read after it, each time until the same moment; so a process looks more
often than it writes. A heartbeat and a look travel in one message, in which the server commits the one before it begins
the other; if the heartbeat fails, nothing is looked at. After a new connection, and once validity has lapsed, nothing
counts before another heartbeat.

(Look first and heartbeat second would be wrong: a heartbeat delayed in its commit could make an old look valid
after an operator had already counted this process as silent.)
"""

from __future__ import annotations

import contextlib
import selectors
import threading
from collections.abc import Callable
from dataclasses import replace

import psycopg
from psycopg.pq import TransactionStatus

from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.model.route import WriteMode
from migrator.shim import statements as st
from migrator.shim.current_view import CurrentView
from migrator.shim.identity import Identity as Identity
from migrator.shim.inflight import Inflight
from migrator.shim.link import PINNED, Link
from migrator.shim.listener import Listener, RoutesApplied, RoutesLost, SettledOnLimitless
from migrator.shim.look import Look, ask, with_positions
from migrator.shim.pool import ConnectTo
from migrator.shim.settings import Settings
from migrator.shim.view import MARKS, Poll, View, applied, confirmed_by_all, lapsed
from migrator.shim.wake import Wake

BEATS = 3
"""Heartbeats within the staleness limit: the next two may fail before validity lapses."""

SETTLED_EVERY_S = 1.0
CLOSE_S = 2.0
"""An end waits no longer for an answer of classic: a server that says nothing keeps no process from ending."""

COUNT_EVERY_S = 60.0
"""How often a process asks how many there are."""


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
        flush: Callable[[Link], int | None],
        on_applied: Callable[[View], None],
        *,
        listen: bool = True,
        read_more: Callable[[Link, View, View], None] | None = None,
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
        self._listen = listen
        self._read_more = read_more  # what else the epoch that is confirmed next must cover
        self._link: Link | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.wake = Wake()  # makes the thread see what there is to do
        self._routes_due_s = 0.0
        self._flush_due_s = 0.0
        self._settled_due_s = 0.0
        self._count_due_s, self._count_every_s = 0.0, 1.0
        self._beat_s = float("-inf")  # when the last heartbeat was sent that is known to be on classic
        self._prepared = False  # looks and heartbeats
        self._seen: dict[int, str] = {}  # positions at the last look
        self._news = False  # a route change was announced
        self._lost = False
        self._told_settled = False  # the listener
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
        self._go()

    def _go(self) -> None:
        self._settle()
        self._thread = threading.Thread(target=self._run, name="migrator-shim-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and take this process off the register when classic can be reached and answers; see `kill_if_silent`.

        Harmless when it does not: the row expires by itself after the staleness limit.
        """
        self._stop.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout=CLOSE_S + 8.0)  # it may be connecting
            if self._thread.is_alive():
                return  # on a server that does not answer; the connection is its own
        if (link := self._link) is not None:
            with contextlib.suppress(psycopg.Error):
                self._flush(link)
                link.conn.execute(st.LEAVE, {"process_id": self._identity.process_id})
            self._link = None
            link.close()
        self.let_go()

    def let_go(self) -> None:
        """Give back what wakes the thread; it is not there any more."""
        self.wake.close()

    def refresh(self) -> None:
        """Make the thread read the routes now."""
        self._routes_due_s = 0.0
        self.wake()

    def kill_if_silent(self, at_s: float) -> None:
        """Shut down a connection whose answer is overdue; the thread then connects again, or ends."""
        link = self._link
        if link is not None:
            since, longest_s = link.conn.busy_since_s, self._settings.staleness_s
            if since is not None and at_s - since > (min(longest_s, CLOSE_S) if self._stop.is_set() else longest_s):
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
        self._prepared = False
        if self._listen:
            link.conn.add_notify_handler(lambda told: self._told(told.payload))
            link.conn.execute(st.LISTEN)
            with contextlib.suppress(psycopg.errors.DuplicatePreparedStatement):  # by another: a pooler's session
                link.conn.execute(st.PREPARE)
                self._prepared = True
        self._link = link
        self._beat_s = float("-inf")  # this server may not have the last one

    def _work(self) -> None:
        board, now = self._current, self._current.now_s()
        if now >= self._routes_due_s:
            self._refresh()
        elif board.waiting and now >= board.pace.due_s:
            if board.view.valid(now):
                self._positions()
            else:
                self._refresh()
        owed = board.view.history or (board.view.over_since >= 0 and not board.known_to_all)
        if owed and board.pace.may_ask_confirmations(board.now_s()):
            self._settle()
        self._report()
        self._lost = False

    def _report(self) -> None:
        """Write samples, when it is time."""
        board, link = self._current, self._link
        if board.now_s() >= self._flush_due_s and link is not None:
            rows = self._flush(link) or 0
            self._flush_due_s = board.now_s() + board.pace.flush_s(rows)
            self._count()

    def _refresh(self) -> None:
        """Renew the validity of the routes, and read them when they changed."""
        old, now = self._current.view, self._current.now_s()
        self._routes_due_s = now + self._settings.poll_s * self._current.pace.at_most_one()
        beat = not old.valid(now) or now >= self._beat_s + self._settings.staleness_s / BEATS
        if beat or not self._news:
            look, vouched_s = self._look(beat=beat)
            if look is not None and look.finds(old):
                assert self._link is not None
                if self._read_more is not None:
                    self._read_more(self._link, old, old)
                self._install(with_positions(old, look, self._settings.max_lag_s), old, vouched_s)
                return
        self._read_routes()

    def _look(self, *, beat: bool) -> tuple[Look | None, float]:
        """Look at the head of the tables, after a heartbeat of the present view or without one.

        Returns it with the moment when the heartbeat was sent that vouches for it.
        """
        link = self._link
        assert link is not None
        pace, sent_s = self._current.pace, self._current.now_s()
        vouched_s = sent_s if beat else self._beat_s
        try:
            look = Look.of(ask(link, self._message(link, beat=beat)))
        except psycopg.errors.InvalidSqlStatementName:
            # A pooler lent another session, which has not prepared them.
            self._prepared = False
            if link.conn.info.transaction_status is TransactionStatus.INERROR:
                link.ask("ROLLBACK")
            look = Look.of(ask(link, self._message(link, beat=beat)))
        self._beat_s = vouched_s
        moved = look is not None and look.snapshots() != self._seen
        self._seen = look.snapshots() if look is not None else {}
        pace.looked(sent_s, self._current.now_s(), moved)
        self._current.looks += 1
        return look, vouched_s

    def _message(self, link: Link, *, beat: bool) -> str:
        look = st.PREPARED_LOOK if self._prepared else st.LOOK
        if not beat:
            return st.LOOK_ALONE.format(look=look)
        heartbeat = st.PREPARED_BEAT if self._prepared else st.HEARTBEAT
        filled = psycopg.ClientCursor(link.conn).mogrify(heartbeat, self._row(self._current.view))
        return st.BEAT_AND_LOOK.format(pins=PINNED, heartbeat=filled, look=look)

    def _read_routes(self) -> None:
        link = self._link
        assert link is not None
        self._news = False
        old, vouched_s = self._current.view, self._beat_s
        row = link.conn.execute(st.POLL, {"after": old.epoch, "mark": old.mark, "marks": MARKS}).fetchone()
        if row is None:
            raise NotInstalled("the control schema on classic is not complete")
        view = applied(old, Poll.of(row), self._settings.max_lag_s)
        if self._read_more is not None:
            self._read_more(link, old, view)
        self._install(view, old, vouched_s)
        if (view.epoch, view.mark) != (old.epoch, old.mark):
            self._heartbeat(link, view)
            self._listener.on_event(RoutesApplied(view.epoch))

    def _install(self, view: View, old: View, vouched_s: float) -> None:
        """Go from *old* to *view*, which was read after the heartbeat that was sent at *vouched_s*."""
        if not old.valid(self._current.now_s()):
            view = lapsed(view)
        self._current.install(replace(view, valid_until_s=vouched_s + self._settings.staleness_s))
        if view.routes is not old.routes or view.caps is not old.caps or view.write_mode is not old.write_mode:
            self._inflight.lower(view)
            self._on_applied(view)
        self._tell_settled()

    def _tell_settled(self) -> None:
        if self._current.settled and not self._told_settled:
            self._told_settled = True
            self._listener.on_event(SettledOnLimitless())

    def _heartbeat(self, link: Link, view: View) -> None:
        sent_s = self._current.now_s()
        link.conn.execute(st.HEARTBEAT, self._row(view))
        self._beat_s = sent_s

    def _row(self, view: View) -> dict[str, object]:
        """Return the values of the heartbeat of *view*."""
        return {
            "process_id": self._identity.process_id,
            "name": self._identity.name,
            "epoch": view.epoch,
            "mark": view.mark,
            "registered_s": self._settings.registered_s,
        }

    def _positions(self) -> None:
        """Look at positions for those who wait; they count only with the routes of their moment."""
        old = self._current.view
        look, vouched_s = self._look(beat=False)
        if look is not None and look.finds(old):
            self._install(with_positions(old, look, self._settings.max_lag_s), old, vouched_s)
        else:
            self._read_routes()

    def _count(self) -> None:
        """Learn now and then how many processes share what the fleet may cost."""
        now, link = self._current.now_s(), self._link
        assert link is not None
        if now >= self._count_due_s:
            self._current.pace.fleet = max(1, int(ask(link, st.FLEET)[0][0] or 0))
            self._count_every_s = min(COUNT_EVERY_S, self._count_every_s * 2)
            self._count_due_s = now + self._count_every_s

    def _settle(self) -> None:
        link = self._link
        assert link is not None
        before = self._current.view
        row = link.conn.execute(st.APPLIED_AND_LONGEST, {"epoch": before.epoch, "mark": before.mark}).fetchone()
        if row is not None and row[0] is not None:
            if before.over_since >= 0:
                self._current.longest_s = max(self._current.longest_s, float(row[1]))
                if row[0] >= before.over_since:
                    self._current.all_know()
            view = confirmed_by_all(before, row[0])
            if view is not before:
                self._current.install(view)

    def _wait(self) -> None:
        """Return when something is due, at a notification of a route change, or when a writer begins to wait."""
        link = self._link
        assert link is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake, selectors.EVENT_READ)
            selector.register(link.conn.pgconn.socket, selectors.EVENT_READ)
            while not self._stop.is_set():
                self._hear(link)
                rest = self._due_s() - self._current.now_s()
                if rest <= 0:
                    return
                for key, _ in selector.select(rest):
                    if key.fileobj is self.wake:
                        self.wake.heard()
                        return
                    link.conn.pgconn.consume_input()

    def _due_s(self) -> float:
        due = min(self._routes_due_s, self._flush_due_s)
        return min(due, self._current.pace.due_s) if self._current.waiting else due

    def _hear(self, link: Link) -> None:
        pgconn = link.conn.pgconn
        pgconn.consume_input()
        while (notification := pgconn.notifies()) is not None:
            self._told(notification.extra.decode(errors="replace"))

    def _told(self, payload: str) -> None:
        """A route change was announced: read it at once, or soon when it went up and others read it too."""
        if payload.startswith("position"):
            return  # by a mirror of release 0.1.0
        self._news = True
        due_s, (_, up, routes) = 0.0, payload.partition("route up ")
        if up and routes.isascii() and routes.isdigit():
            due_s = self._current.now_s() + self._current.pace.spread_s(int(routes), self._settings.poll_s)
        self._routes_due_s = min(self._routes_due_s, due_s)

    def _give_up(self, error: Exception) -> bool:
        """Close a failed connection and pause; return whether the thread has nothing left to do."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._current.settled:
            self._tell_settled()  # a read may have found out
            return True  # classic is retired; this process does not need it
        if not self._lost:
            self._lost = True
            self._listener.on_event(RoutesLost(type(error).__name__ if isinstance(error, OSError) else str(error)))
        now = self._current.now_s()
        if now >= self._settled_due_s:
            self._settled_due_s = now + SETTLED_EVERY_S
            if self._ask_settled():
                view = self._current.view
                self._install(replace(view, write_mode=WriteMode.LIMITLESS_ONLY), view, self._beat_s)
                return True
        self._pause(min(self._settings.poll_s, 0.5) * self._current.pace.about_one())
        return False

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
