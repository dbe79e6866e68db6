"""The connection pool of one side.

A small last-in-first-out pool per side. It leaves no session state behind, so connections may go through a pooler in
transaction mode: no prepared statements, no SET outside a transaction, transactions begun and ended by name.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import psycopg

from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.login.parts import parts_of, spread
from migrator.login.refusal import refused_connection
from migrator.login.source import Login
from migrator.model.side import Side
from migrator.model.sqlstate import Fault, fault_of
from migrator.shim.clock import now_s
from migrator.shim.lent import CURSOR, Conn
from migrator.shim.link import RESETS, BaseLink, Link, NotReset, OwnCursor
from migrator.shim.statements import ASK_AND_BEGIN_READ
from migrator.shim.steps import at_once, got

L = TypeVar("L", bound=BaseLink)


def fault(error: BaseException) -> Fault | None:
    """Return the kind of fault *error* is, None when it is not a database error."""
    if isinstance(error, ClusterUnavailable):
        return Fault.UNREACHABLE
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
        return Fault.CALLER  # psycopg's own refusals, for example of a parameter it cannot adapt
    return fault_of(error.sqlstate)


ConnectionInfo = str | Callable[[], str]
"""A connection string, or what returns one for each new connection; see migrator.shim.rds."""


def parameters(dsn: str, app: str, connect_timeout_s: float, silent_s: float) -> dict[str, Any]:
    """Return connection parameters that detect a peer that is unreachable.

    Raises:
        UsageError: *dsn* is not a connection string; the text does not show it.
    """
    values = parts_of(dsn)
    values["application_name"] = app
    values["connect_timeout"] = max(2, round(connect_timeout_s))  # libpq: below 2 means 2
    values.setdefault("keepalives_idle", 5)
    values.setdefault("keepalives_interval", 2)
    values.setdefault("keepalives_count", 3)
    values.setdefault("tcp_user_timeout", round(silent_s * 1000))
    return values


SILENT_S = 0.25
"""A server that is there begins a transaction within this time."""


def silent(error: BaseException) -> bool:
    """Return whether *error* interrupted one who had waited long for a server to begin, and not for a place."""
    return bool(getattr(error, "asked_s", 0.0) >= SILENT_S)


PING = "SELECT"
"""Begins nothing, and finds out whether the connection still works."""


class PoolExhausted(ClusterUnavailable):
    """All connections that this process may have are out, which says nothing about the server."""


class Lender(Protocol):
    """What a block needs of a pool."""

    def take(self, begin: str, *, silent_s: float | None = None) -> BaseLink | Awaitable[BaseLink]: ...
    def give(self, link: Any, *, discard: bool = False) -> None: ...

    def ended(self, link: Any, states: frozenset[str], *, lost: bool) -> str | None:
        """Return why what a read on *link* gave must be thrown away; None when it stands."""


class Free(Protocol):
    """Counts connections that may be taken; a semaphore."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool: ...
    def release(self) -> None: ...


class Places:
    """A semaphore that costs next to nothing as long as no thread has to wait."""

    def __init__(self, size: int) -> None:
        self._free = deque(range(size))  # whose pop and append are atomic
        self._waiting = 0
        self._freed = threading.Condition()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a place; return whether there was one in time."""
        return self._took() or (blocking and self._wait(timeout))

    def release(self) -> None:
        """Give a place back."""
        self._free.append(0)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def _took(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def _wait(self, timeout: float | None) -> bool:
        with self._freed:
            self._waiting += 1  # before looking again: a place that is given back afterwards is notified of
            try:
                return self._freed.wait_for(self._took, timeout)
            finally:
                self._waiting -= 1


class BasePool(Generic[L]):
    """Connections to one side. At most *size* are out at once; idle ones are reused, the youngest first."""

    def __init__(
        self,
        side: Side,
        dsn: ConnectionInfo,
        app: str,
        *,
        size: int,
        connect_timeout_s: float,
        silent_s: float,
        wait_s: float = 5.0,
    ) -> None:
        self.side = side
        self._dsn = dsn
        self._told = (app, connect_timeout_s, silent_s)
        if isinstance(dsn, str):
            parameters(dsn, *self._told)  # what cannot be read is an error at once
        self._size = size
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._idle: list[L] = []
        self._out: set[L] = set()
        self._closed = False
        self._resets = list(RESETS[side])

    # -- what the fronts do each in their way ---------------------------------------------------------------

    def _place(self) -> bool | Awaitable[bool]:
        """Take a place for one more connection; return whether there was one in time."""
        raise NotImplementedError  # each front's own

    def _leave_place(self) -> None:
        """Give it back. Returns at once."""
        raise NotImplementedError  # each front's own

    def _lend(self) -> L | Awaitable[L]:
        """Return a new connection for an application. Raises ClusterUnavailable."""
        raise NotImplementedError  # each front's own

    # -- lending --------------------------------------------------------------------------------------------

    async def taking(self, begin: str, silent_s: float | None) -> L:
        """Return a connection inside a transaction that *begin* starts; see `Pool.take`."""
        if self._closed:
            raise UsageError("the shim is closed")
        if not await got(self._place()):
            raise PoolExhausted(self.side.value, f"no connection of the pool became free within {self._wait_s:g} s")
        asked_s = now_s()
        try:
            while True:
                link = self._pop()
                if link is None:
                    link = await got(self._lend())
                    with self._lock:
                        self._out.add(link)
                link.silent_s = silent_s
                link.conn.refused = ()
                try:
                    await got(link.start(begin, owe=begin not in (PING, ASK_AND_BEGIN_READ)))
                    link.clean = begin == PING
                except BaseException as error:
                    with self._lock:
                        self._out.discard(link)
                    reused, lost = not link.fresh, fault(error) in (Fault.UNREACHABLE, Fault.OVERLOADED)
                    link.close()
                    if isinstance(error, NotReset):
                        continue
                    if reused and lost:
                        self.drop_idle()  # what broke this one very likely broke the others
                        continue
                    if lost:
                        raise ClusterUnavailable(self.side.value, "the connection was lost at once") from None
                    raise
                return link
        except BaseException as error:
            self._leave_place()
            if not isinstance(error, Exception):
                # A task that is cancelled has no answer, which may be the server's fault; `silent` looks at it.
                error.asked_s = now_s() - asked_s  # type: ignore[attr-defined]  # noted on the exception itself
            raise

    def give(self, link: L, *, discard: bool = False) -> None:
        """Take a connection back as it was lent; one that is not idle, healthy and clean is closed."""
        link.fresh = False
        keep = not discard and link.usable and link.clean
        if keep:
            link.renew()
        with self._lock:
            self._out.discard(link)
            keep = keep and not self._closed
            if keep:
                self._idle.append(link)
        if not keep:
            link.close()
        self._leave_place()

    def ended(self, link: L, states: frozenset[str], *, lost: bool) -> str | None:
        """Return None: what this side answered stands by itself."""
        return None

    def _pop(self) -> L | None:
        with self._lock:
            if not self._idle:
                return None
            link = self._idle.pop()
            self._out.add(link)
            return link

    def kill_overdue(self, at_s: float) -> None:
        """End the connections on which an answer is overdue: server-side timeouts do not help against silence."""
        with self._lock:
            late = [link for link in self._out if link.overdue(at_s)]
        for link in late:
            link.kill()

    def kill_all(self) -> None:
        """End every connection that is out: the server does not answer."""
        with self._lock:
            out = list(self._out)
        for link in out:
            link.kill()

    def drop_idle(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def close(self) -> None:
        """Close what is idle; what is out is closed when it comes back."""
        self._closed = True
        self.drop_idle()

    # -- connection strings -----------------------------------------------------------------------------------

    def info(self) -> str:
        """Return the connection string as it is now. Raises ClusterUnavailable when it cannot be had."""
        return self._asked(Login(self._dsn))

    def _asked(self, login: Login) -> str:
        try:
            return login.text()
        except MigratorError as error:
            raise ClusterUnavailable(self.side.value, str(error), error.hint) from None
        except Exception as error:  # of the application's own function; its text may hold anything
            what = f"its connection string cannot be had ({type(error).__name__})"
            raise ClusterUnavailable(self.side.value, what) from error

    def _given(self, text: str) -> dict[str, Any]:
        """Return what to connect with."""
        given = parameters(text, *self._told)
        return spread(given) if self.side is Side.LIMITLESS else given

    def _refused(self, error: psycopg.Error) -> ClusterUnavailable:
        """Return what a connection that was refused means; without the password."""
        why, hint = refused_connection(str(error), error.sqlstate)
        return ClusterUnavailable(self.side.value, why, hint)

    def _handle(self, conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> socket.socket:
        """Return a second handle on the socket of *conn*, which is closed when that fails."""
        try:
            return socket.socket(fileno=os.dup(conn.pgconn.socket))
        except (OSError, psycopg.Error):
            conn.pgconn.finish()
            raise ClusterUnavailable(self.side.value, "the connection closed at once") from None


class Pool(BasePool[Link]):
    """A pool whose callers are threads."""

    link_type: type[Link] = Link

    def __init__(self, side: Side, dsn: ConnectionInfo, app: str, **bounds: Any) -> None:
        super().__init__(side, dsn, app, **bounds)
        self._free: Free = Places(self._size)

    def connect(self) -> Link:
        """Return a new connection outside the pool's count, for statements of the shim alone.

        Raises:
            ClusterUnavailable: the side cannot be reached or refuses us; the text holds no password.
        """
        return self._open({"client_encoding": "utf8"}, OwnCursor)

    def take(self, begin: str, *, silent_s: float | None = None) -> Link:
        """Return a connection inside a transaction that *begin* starts; with PING, outside any.

        A server that neither answers nor closes for *silent_s* is disconnected by `kill_overdue`.

        An idle connection that turns out to be lost is replaced without an error: nothing ran on it.

        Raises:
            ClusterUnavailable: no connection can be had.
        """
        return at_once(self.taking(begin, silent_s))

    def _place(self) -> bool:
        return self._free.acquire(timeout=self._wait_s)

    def _leave_place(self) -> None:
        self._free.release()

    def _lend(self) -> Link:
        return self._open({}, CURSOR)

    def _open(self, more: dict[str, str], cursors: type[psycopg.Cursor[Any]]) -> Link:
        conn = self._connected(more, cursors)
        return self.link_type(conn, self._handle(conn), self._resets)

    def _connected(self, more: dict[str, str], cursors: type[psycopg.Cursor[Any]]) -> Conn:
        """Return a connection, its secret read anew; a server that refuses it is asked once more if it was changed."""
        login = Login(self._dsn)
        text: str | None = self._asked(login)
        while True:
            assert text is not None
            given = {**self._given(text), **more}
            try:
                return Conn.connect(**given, autocommit=True, prepare_threshold=None, cursor_factory=cursors)
            except psycopg.Error as error:
                text = login.after(error)
                if text is None:
                    raise self._refused(error) from None


ConnectTo = Callable[[], Link]
