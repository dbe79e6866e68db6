"""Sessions of SQLAlchemy, each bound to one tenant: those that write are acknowledged, those that read are routed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from migrator.errors import ClusterUnavailable, UsageError, WritesClosed
from migrator.shim import Ack, Read, SessionToken, Shim, Token
from migrator.shim import Session as CallersSession
from migrator.shim.again import worth_another_try
from migrator.shim.between_tries import rest
from migrator.shim.read import ReadSteps
from migrator.shim.write import WriteSteps
from migrator.sqlalchemy.connection import Configure
from migrator.sqlalchemy.engine import make_engine
from migrator.sqlalchemy.objects import ENDED, READ, OneSide, watch_reads, watch_writes
from migrator.sqlalchemy.scope import CURRENT, OPTION, Ended, Lent, Scope, fixed, named
from migrator.sqlalchemy.values import OneRead

S = TypeVar("S", bound=Session)
T = TypeVar("T")

After = SessionToken | Token | str | bytes | None

WRITE_TRIES = 4
"""As Shim.run_write: a write that certainly did not commit is run at most so many times in all."""


class Scopes:
    """Whose transactions: of a shim, or of a caller's session of it.

    Args:
        shim: what a read with a token of its own asks, of either front.
        blocks: what opens blocks: the shim, or a caller's session of it.
    """

    def __init__(self, shim: Any, blocks: Any) -> None:
        self.shim = shim
        self.blocks = blocks

    def writes(self, tenant: object, ack: Ack | str | None = None, ended: Ended | None = None) -> Scope:
        opens = self.blocks.write if ack is None else partial(self.blocks.write, ack=ack)
        return Scope(opens, reads=False, tenant=fixed(tenant), ended=ended)

    def reads(self, tenant: object, after: After = None, ended: Ended | None = None) -> Scope:
        opens = self.blocks.read if after is None else partial(self.shim.read, after=after)
        return Scope(opens, reads=True, tenant=fixed(tenant), ended=ended)

    def lent(self, tenant: str, read: ReadSteps) -> Scope:
        """Return the scope of transactions inside a read that is running."""
        return Scope(self.blocks.read, reads=True, tenant=tenant, lent=Lent(read), ended=Ended())

    def run_read(self, tenant: str, fn: Callable[[Any], Any], after: After) -> Any:
        """Return what *fn* returns, as run_read of the shim does; a coroutine of the one for asyncio."""
        return self.blocks.run_read(tenant, fn) if after is None else self.shim.run_read(tenant, fn, after=after)


class Makers(Generic[S]):
    """Makes sessions of the application's class, held to the rules of objects.py.

    Args:
        class_: a subclass of SQLAlchemy's Session.
        options: of sessionmaker.

    Raises:
        UsageError: one of *options* is decided here.
    """

    def __init__(self, class_: type[S], options: Mapping[str, Any]) -> None:
        wrong = [name for name in ("bind", "twophase") if options.get(name)]
        if wrong:
            raise UsageError(
                f"sessions on a shim cannot take {', '.join(wrong)}",
                hint="The bind is the shim's; other databases go by `binds`. Limitless has no prepared transactions.",
            )
        made: type[S] = type(class_.__name__, (OneSide, class_), {})
        self.writes: sessionmaker[S] = sessionmaker(class_=made, **options)
        self.reads: sessionmaker[S] = sessionmaker(class_=made, **options)
        self.of_runs: dict[str, Any] = {} if "expire_on_commit" in options else {"expire_on_commit": False}
        watch_writes(self.writes)
        watch_reads(self.reads)

    def make(self, engine: Engine, scope: Scope, **options: Any) -> S:
        """Return a session whose transactions are as *scope* says."""
        maker = self.reads if scope.reads else self.writes
        info = {ENDED: scope.ended, READ: scope.reads}
        return maker(bind=engine.execution_options(**{OPTION: scope}), info=info, **options)


class TenantSessions(Generic[S]):
    """Sessions on one shim, or on one caller's session of it: see ShimSessions.

    Attributes:
        engine: each transaction is a write of the current tenant; see `for_tenant`.
    """

    def __init__(self, scopes: Scopes, engine: Engine, makers: Makers[S]) -> None:
        self._scopes = scopes
        self._makers = makers
        self.engine = engine

    def write(self, tenant: object = CURRENT, *, ack: Ack | str | None = None) -> S:
        """Return a session of *tenant* whose commit() returns when the write is acknowledged. Close it as any other.

        It begins a transaction with its first statement, and another one after each commit or rollback: several commits
        are several writes, one after another. Everything, reads included, runs where writes go.

        Args:
            tenant: its key; the current one when not given.
            ack: level of acknowledgement of its writes; the plan's `shim.ack` when not given, and `session` within
                `session(token)`.

        Raises (from commit(), and where a `with session.begin()` is left):
            CommitUnknown: the answer to COMMIT was lost. What the session holds may be there or not; close it.
            CommittedUnconfirmed: committed, but a read may still miss it. The session has done what follows a commit.
            WritesClosed: the short pause before classic retires; nothing was written.
        """
        return self._makers.make(self.engine, self._scopes.writes(tenant, ack, Ended()))

    def read(self, tenant: object = CURRENT, *, after: After = None) -> S:
        """Return a session of *tenant* whose statements go where the tenant's route says, and which cannot write.

        Each of its transactions is one read on one side. What it gave may be used when the transaction has ended, by
        commit(), rollback() or close(), without ReadStale; `run_read` does so by itself.

        Args:
            after: names writes that it must see, as Shim.read has it; within `session(token)` in place of its own.

        Raises (from commit(), rollback() and close()):
            ReadStale: the route changed meanwhile; what was read must be thrown away.
        """
        return self._makers.make(self.engine, self._scopes.reads(tenant, after, Ended()))

    def run_write(self, tenant: object, fn: Callable[[S], T], *, ack: Ack | str | None = None) -> T:
        """Return what *fn* returns for a session that writes, which is committed behind it.

        Run again as Shim.run_write does, each time with a new session: when certainly nothing was committed and another
        try may work. Never when *fn* has committed by itself. Objects it returns keep what they had, unless the
        sessions were made with an `expire_on_commit` of the application's own.
        """
        name = named(tenant)
        for tries_left in reversed(range(WRITE_TRIES)):
            ended = Ended()
            try:
                with self._makers.make(
                    self.engine, self._scopes.writes(name, ack, ended), **self._makers.of_runs
                ) as session:
                    result = fn(session)
                    session.commit()
                    return result
            except Exception as error:
                if not tries_left or not may_try_again(ended, error):
                    raise
                rest(self._scopes.shim, WRITE_TRIES - tries_left)
        raise AssertionError("unreachable")

    def run_read(self, tenant: object, fn: Callable[[S], T], *, after: After = None) -> T:
        """Return what *fn* returns for a session that reads. Run again as Shim.run_read does: *fn* must be repeatable.

        Load in it all that is used later: behind it the session is closed, and its objects are detached.
        """
        name = named(tenant)

        def run(read: Read) -> T:
            with self._makers.make(self.engine, self._scopes.lent(name, read)) as session:
                return fn(session)

        found: T = self._scopes.run_read(name, OneRead(fn, run), after)
        return found

    def write_engine(self, tenant: object = CURRENT, *, ack: Ack | str | None = None) -> Engine:
        """Return an engine for Core, whose transactions are writes of *tenant*."""
        return self.engine.execution_options(**{OPTION: self._scopes.writes(tenant, ack)})

    def read_engine(self, tenant: object = CURRENT, *, after: After = None) -> Engine:
        """Return an engine for Core, whose transactions are reads of *tenant*; ReadStale comes from their end."""
        return self.engine.execution_options(**{OPTION: self._scopes.reads(tenant, after)})


class ShimSessions(TenantSessions[S]):
    """Sessions of SQLAlchemy on a shim. One per process, as the shim; it may be made before the shim is opened.

    Args:
        shim: opened and closed by the application.
        class_: a subclass of Session.
        configure: prepares each connection that a session is lent, for example registers types.
        engine_options: of create_engine: echo, json_serializer, isolation_level and so on.
        options: of sessionmaker: expire_on_commit, autoflush, binds and so on.

    Attributes:
        maker: a sessionmaker for code that has one: its sessions write, for the current tenant of each transaction.

    Raises:
        UsageError: an option is the shim's to decide; names each.
    """

    def __init__(
        self,
        shim: Shim,
        *,
        class_: type[S] = Session,  # type: ignore[assignment]  # a default is not seen to fit the variable
        configure: Configure | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        scopes, makers = Scopes(shim, shim), Makers(class_, options)
        super().__init__(scopes, make_engine(shim, scopes.writes(CURRENT), configure, engine_options or {}), makers)

    @property
    def maker(self) -> sessionmaker[S]:
        """See the class."""
        made = self._makers.writes
        made.configure(bind=self.engine)
        return made

    def session(self, token: After = None) -> CallerSessions[S]:
        """Return sessions of one caller, whose reads see what its writes wrote; see Shim.session.

        Raises:
            TokenInvalid: *token* cannot be read.
        """
        return CallerSessions(self, self._scopes.shim.session(token))


class CallerSessions(TenantSessions[S]):
    """Sessions of one caller, such as a web request: reads see its writes, which do not wait for the mirror."""

    def __init__(self, sessions: TenantSessions[S], caller: CallersSession) -> None:
        super().__init__(Scopes(sessions._scopes.shim, caller), sessions.engine, sessions._makers)
        self._caller = caller

    @property
    def token(self) -> str:
        """The session as text, for the next request or another process. Take it after the last commit."""
        return self._caller.token

    def include(self, token: SessionToken | Token | str | bytes) -> None:
        """Have later reads also see what another session wrote; as `Session.include` of the shim."""
        self._caller.include(token)


def may_try_again(ended: Ended, error: Exception) -> bool:
    """Return whether the write of a session certainly did not commit by *error*, and another try may work."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if ended.committed or not isinstance(cause, WritesClosed | ClusterUnavailable | psycopg.Error):
        return False
    if ended.last is None:
        return isinstance(cause, ClusterUnavailable)
    return isinstance(ended.last, WriteSteps) and worth_another_try(ended.last, cause)
