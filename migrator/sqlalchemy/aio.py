"""The same sessions for asyncio: AsyncSession and AsyncEngine on a shim.

What differs from sessions.py is here; how it waits is a front's: loop.py on AsyncShim, threads.py on Shim.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from migrator.shim import Ack, SessionToken, Shim, Token
from migrator.shim.aio import AsyncShim
from migrator.sqlalchemy.connection import BlockConnection, Configure
from migrator.sqlalchemy.engine import attach, check_options, configured, leveled, with_scope
from migrator.sqlalchemy.loop import LoopFront
from migrator.sqlalchemy.objects import ENDED, READ
from migrator.sqlalchemy.scope import CURRENT, OPTION, Ended, Scope, named
from migrator.sqlalchemy.sessions import WRITE_TRIES, After, Makers, Scopes, may_try_again
from migrator.sqlalchemy.threads import ThreadFront

A = TypeVar("A", bound=AsyncSession)
T = TypeVar("T")


class Front(Protocol):
    """How asynchronous sessions wait for a shim."""

    @property
    def url(self) -> str: ...
    def connection(self, configure: Configure, /) -> BlockConnection: ...
    async def run_read(
        self,
        shim_reads: Callable[[Callable[[Any], Any]], Any],
        func: Callable[..., object],
        run: Callable[[Any], Coroutine[Any, Any, T]],
        /,
    ) -> T: ...
    async def rest(self, shim: Any, tries: int, /) -> None: ...
    def close(self) -> None: ...


class AsyncMakers(Generic[A]):
    """Makes asynchronous sessions of the application's class, held to the rules of objects.py."""

    def __init__(self, class_: type[A], options: Mapping[str, Any]) -> None:
        own = {name: value for name, value in options.items() if name != "sync_session_class"}
        sync: type[Session] = options.get("sync_session_class", class_.sync_session_class)
        self._class = class_
        self._options = own
        self._makers = Makers(sync, own)
        self.of_runs = self._makers.of_runs

    def make(self, engine: AsyncEngine, scope: Scope, **options: Any) -> A:
        """Return a session whose transactions are as *scope* says."""
        sync = (self._makers.reads if scope.reads else self._makers.writes).class_
        info = {**self._options.get("info", {}), ENDED: scope.ended, READ: scope.reads}
        bound = engine.execution_options(**{OPTION: scope})
        return self._class(bind=bound, sync_session_class=sync, **{**self._options, **options, "info": info})


class AsyncTenantSessions(Generic[A]):
    """Asynchronous sessions on one shim, or on one caller's session of it: see AsyncShimSessions.

    Attributes:
        engine: each transaction is a write of the current tenant; see `for_tenant`.
    """

    def __init__(self, scopes: Scopes, engine: AsyncEngine, makers: AsyncMakers[A], front: Front) -> None:
        self._scopes = scopes
        self._makers = makers
        self._front = front
        self.engine = engine

    def write(self, tenant: object = CURRENT, *, ack: Ack | str | None = None) -> A:
        """Return a session of *tenant* whose commit() returns when the write is acknowledged; as ShimSessions.write."""
        return self._makers.make(self.engine, self._scopes.writes(tenant, ack, Ended()))

    def read(self, tenant: object = CURRENT, *, after: After = None) -> A:
        """Return a session of *tenant* that goes where its route says, and cannot write; as ShimSessions.read."""
        return self._makers.make(self.engine, self._scopes.reads(tenant, after, Ended()))

    async def run_write(
        self, tenant: object, fn: Callable[[A], Coroutine[Any, Any, T]], *, ack: Ack | str | None = None
    ) -> T:
        """Return what *fn* returns for a session that writes, committed behind it; as ShimSessions.run_write."""
        name = named(tenant)
        for tries_left in reversed(range(WRITE_TRIES)):
            ended = Ended()
            try:
                async with self._makers.make(
                    self.engine, self._scopes.writes(name, ack, ended), **self._makers.of_runs
                ) as session:
                    result = await fn(session)
                    await session.commit()
                    return result
            except Exception as error:
                if not tries_left or not may_try_again(ended, error):
                    raise
                await self._front.rest(self._scopes.shim, WRITE_TRIES - tries_left)
        raise AssertionError("unreachable")

    async def run_read(self, tenant: object, fn: Callable[[A], Coroutine[Any, Any, T]], *, after: After = None) -> T:
        """Return what *fn* returns for a session that reads; as ShimSessions.run_read."""
        name = named(tenant)

        async def run(read: Any) -> T:
            async with self._makers.make(self.engine, self._scopes.lent(name, read)) as session:
                return await fn(session)

        return await self._front.run_read(lambda inside: self._scopes.run_read(name, inside, after), fn, run)

    def write_engine(self, tenant: object = CURRENT, *, ack: Ack | str | None = None) -> AsyncEngine:
        """Return an engine for Core, whose transactions are writes of *tenant*."""
        return self.engine.execution_options(**{OPTION: self._scopes.writes(tenant, ack)})

    def read_engine(self, tenant: object = CURRENT, *, after: After = None) -> AsyncEngine:
        """Return an engine for Core, whose transactions are reads of *tenant*; ReadStale comes from their end."""
        return self.engine.execution_options(**{OPTION: self._scopes.reads(tenant, after)})


class AsyncShimSessions(AsyncTenantSessions[A]):
    """Sessions of SQLAlchemy for asyncio on a shim. One per process; close it before the shim.

    Args:
        shim: opened and closed by the application: an AsyncShim of this event loop. A Shim serves as well, in threads;
            opening one waits for classic: do so in a thread, or before the loop.
        class_: a subclass of AsyncSession.
        configure: prepares each connection that a session is lent: a coroutine function on AsyncShim, where it runs
            statements; on Shim it runs in a thread.
        engine_options: of create_async_engine.
        options: of async_sessionmaker: expire_on_commit, autoflush, sync_session_class and so on.

    Raises:
        UsageError: an option is the shim's to decide; names each.
    """

    def __init__(
        self,
        shim: AsyncShim | Shim,
        *,
        class_: type[A] = AsyncSession,  # type: ignore[assignment]  # a default is not seen to fit the variable
        configure: Configure | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        front: Front = LoopFront() if isinstance(shim, AsyncShim) else ThreadFront()
        scopes, makers = Scopes(shim, shim), AsyncMakers(class_, options)
        engine = _engine(shim, scopes.writes(CURRENT), front, configure, engine_options or {})
        super().__init__(scopes, engine, makers, front)

    def session(self, token: After = None) -> AsyncCallerSessions[A]:
        """Return sessions of one caller, whose reads see what its writes wrote; see Shim.session.

        Raises:
            TokenInvalid: *token* cannot be read.
        """
        return AsyncCallerSessions(self, self._scopes.shim.session(token))

    async def close(self) -> None:
        """End what it holds besides the shim. Sessions must be closed before."""
        await self.engine.dispose()
        self._front.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncCallerSessions(AsyncTenantSessions[A]):
    """Sessions of one caller, such as a web request: reads see its writes, which do not wait for the mirror."""

    def __init__(self, sessions: AsyncTenantSessions[A], caller: Any) -> None:
        super().__init__(Scopes(sessions._scopes.shim, caller), sessions.engine, sessions._makers, sessions._front)
        self._caller = caller

    @property
    def token(self) -> str:
        """The session as text, for the next request or another process. Take it after the last commit."""
        found: str = self._caller.token
        return found

    def include(self, token: SessionToken | Token | str | bytes) -> None:
        """Have later reads also see what another session wrote; as `Session.include` of the shim."""
        self._caller.include(token)


def _engine(
    shim: AsyncShim | Shim, scope: Scope, front: Front, configure: Configure | None, options: Mapping[str, Any]
) -> AsyncEngine:
    check_options(options)
    prepare = configured(configure, options)

    def connect() -> DBAPIConnection:
        return leveled(engine.sync_engine, front.connection(prepare))

    engine: AsyncEngine = create_async_engine(
        front.url, poolclass=NullPool, creator=connect, **with_scope(options, scope)
    )
    attach(engine.sync_engine, shim)
    return engine
