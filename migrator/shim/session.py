"""A session: reads and writes of one caller that see what it wrote before, without waiting for the mirror.

    with shim.session(request.cookies.get("writes")) as session:
        session.run_write(tenant, lambda w: w.connection.execute("INSERT ..."))
        rows = session.run_read(tenant, lambda r: r.connection.execute("SELECT ...").fetchall())
    response.set_cookie("writes", session.token)

Threads may share one: a read sees what writes of any of them had returned when it began.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from migrator.model.ack import Ack
from migrator.model.tenant import TenantId
from migrator.shim.current_view import CurrentView
from migrator.shim.read import Read
from migrator.shim.token import SessionToken, Token, session_token
from migrator.shim.write import Write

T = TypeVar("T")


class Chain:
    """The writes of one session so far; shared by its threads."""

    def __init__(self, current: CurrentView, token: SessionToken | None) -> None:
        self._current = current
        self._lock = threading.Lock()
        self._token = token or SessionToken()

    @property
    def token(self) -> SessionToken:
        """What names the writes, without those that Limitless is known to hold."""
        with self._lock:
            self._token = self._token.trimmed(self._current.view)
            return self._token

    def add(self, write: Token, before: SessionToken) -> None:
        """Add a write. *before*: the token when its COMMIT had not been sent; empty when that was not answered."""
        with self._lock:
            self._token = self._token.after(write, before.writes)

    def include(self, other: SessionToken) -> None:
        """Add what *other* names; of neither is known which came first."""
        with self._lock:
            self._token = self._token.merged(other)


class Blocks(Protocol):
    """What a session needs of its shim."""

    def read(self, tenant: TenantId | str, *, after: SessionToken) -> Read: ...
    def run_read(self, tenant: TenantId | str, fn: Callable[[Read], T], *, after: SessionToken) -> T: ...
    def write(self, tenant: TenantId | str, *, ack: Ack | str, chain: Chain) -> Write: ...
    def run_write(self, tenant: TenantId | str, fn: Callable[[Write], T], *, ack: Ack | str, chain: Chain) -> T: ...


class Chained:
    """What a session wrote so far, on either front."""

    def __init__(self, current: CurrentView, token: SessionToken | None) -> None:
        self._chain = Chain(current, token)

    @property
    def token(self) -> str:
        """The session as text, for the next request or another process: `shim.session(text)` goes on from there.

        A-Z a-z 0-9 - _ and at most 1024 characters, as a rule about 50. Take it after the last write.
        """
        return str(self._chain.token)

    def include(self, token: SessionToken | Token | str | bytes) -> None:
        """Have later reads also see what another session wrote, or a write: by its token.

        Raises:
            TokenInvalid: *token* cannot be read.
        """
        self._chain.include(session_token(token) or SessionToken())


class Session(Chained):
    """Reads and writes of one caller. Its writes are acknowledged by level `session` unless they say otherwise.

    What a write of level `none` wrote is not chained: a later read may miss it.
    """

    def __init__(self, shim: Blocks, current: CurrentView, token: SessionToken | None) -> None:
        super().__init__(current, token)
        self._shim = shim

    def read(self, tenant: TenantId | str) -> Read:
        """Return a read that sees the session's writes; as `Shim.read`."""
        return self._shim.read(tenant, after=self._chain.token)

    def run_read(self, tenant: TenantId | str, fn: Callable[[Read], T]) -> T:
        """Return what *fn* returns for a read that sees the session's writes; as `Shim.run_read`."""
        return self._shim.run_read(tenant, fn, after=self._chain.token)

    def write(self, tenant: TenantId | str, *, ack: Ack | str | None = None) -> Write:
        """Return a write whose changes the session's later reads see; as `Shim.write`."""
        return self._shim.write(tenant, ack=ack or Ack.SESSION, chain=self._chain)

    def run_write(self, tenant: TenantId | str, fn: Callable[[Write], T], *, ack: Ack | str | None = None) -> T:
        """Return what *fn* returns inside a write of the session; as `Shim.run_write`."""
        return self._shim.run_write(tenant, fn, ack=ack or Ack.SESSION, chain=self._chain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # it holds nothing; `token` stays
