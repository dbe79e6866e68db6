"""A session of a caller whose reads and writes are awaited.

    async with shim.session(request.cookies.get("writes")) as session:
        await session.run_write(tenant, add)
        rows = await session.run_read(tenant, show)
    response.set_cookie("writes", session.token)

Tasks may share one: a read sees what writes of any of them had returned when it began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from migrator.model.ack import Ack
from migrator.model.tenant import TenantId
from migrator.shim.aio.blocks import AsyncRead, AsyncWrite
from migrator.shim.current_view import CurrentView
from migrator.shim.session import Chain, Chained
from migrator.shim.token import SessionToken

T = TypeVar("T")
Reads = Callable[[AsyncRead], Awaitable[T]]
Writes = Callable[[AsyncWrite], Awaitable[T]]


class Blocks(Protocol):
    """What a session needs of its shim."""

    def read(self, tenant: TenantId | str, *, after: SessionToken) -> AsyncRead: ...
    async def run_read(self, tenant: TenantId | str, fn: Reads[T], *, after: SessionToken) -> T: ...
    def write(self, tenant: TenantId | str, *, ack: Ack | str, chain: Chain) -> AsyncWrite: ...
    async def run_write(self, tenant: TenantId | str, fn: Writes[T], *, ack: Ack | str, chain: Chain) -> T: ...


class AsyncSession(Chained):
    """Reads and writes of one caller; as migrator.shim.Session, awaited."""

    def __init__(self, shim: Blocks, current: CurrentView, token: SessionToken | None) -> None:
        super().__init__(current, token)
        self._shim = shim

    def read(self, tenant: TenantId | str) -> AsyncRead:
        """Return a read that sees the session's writes; as `AsyncShim.read`."""
        return self._shim.read(tenant, after=self._chain.token)

    async def run_read(self, tenant: TenantId | str, fn: Reads[T]) -> T:
        """Return what *fn* returns for a read that sees the session's writes; as `AsyncShim.run_read`."""
        return await self._shim.run_read(tenant, fn, after=self._chain.token)

    def write(self, tenant: TenantId | str, *, ack: Ack | str | None = None) -> AsyncWrite:
        """Return a write whose changes the session's later reads see; as `AsyncShim.write`."""
        return self._shim.write(tenant, ack=ack or Ack.SESSION, chain=self._chain)

    async def run_write(self, tenant: TenantId | str, fn: Writes[T], *, ack: Ack | str | None = None) -> T:
        """Return what *fn* returns inside a write of the session; as `AsyncShim.run_write`."""
        return await self._shim.run_write(tenant, fn, ack=ack or Ack.SESSION, chain=self._chain)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # it holds nothing; `token` stays
