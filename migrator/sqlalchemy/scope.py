"""Whose transactions a connection of SQLAlchemy runs: of which tenant, reads or writes, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from migrator.errors import ReadStale, UsageError
from migrator.shim import CommittedUnconfirmed
from migrator.shim.read import ReadSteps
from migrator.shim.write import WriteSteps

OPTION = "migrator_scope"
"""The execution option of engines and connections that holds a Scope."""


class _Current(Enum):
    TENANT = "the current tenant"


CURRENT: Final = _Current.TENANT
"""In place of a tenant: the one that `for_tenant` set, at each begin of a transaction."""

_tenant: ContextVar[str | None] = ContextVar("migrator_tenant", default=None)


@contextmanager
def for_tenant(tenant: object) -> Iterator[None]:
    """Make *tenant* the current one of this thread or task: of sessions and engines that are given none.

    Args:
        tenant: its key; the text is what counts, as PostgreSQL prints it.
    """
    before = _tenant.set(named(tenant))
    try:
        yield
    finally:
        _tenant.reset(before)


def current_tenant() -> str | None:
    """Return the tenant that `for_tenant` set, None outside of it."""
    return _tenant.get()


def named(tenant: object) -> str:
    """Return the text of a tenant's key.

    Raises:
        UsageError: it is None, which some frameworks give for a user that is not logged in.
    """
    if tenant is None:
        raise UsageError(
            "the tenant is None",
            hint="Give a tenant's key. For work of no single tenant, use an engine of its own on classic.",
        )
    return str(tenant)


def fixed(tenant: object) -> str | None:
    """Return the text of a tenant's key; None for the current one of each transaction."""
    return None if tenant is CURRENT else named(tenant)


@dataclass
class Ended:
    """What became of the transactions of one session.

    Attributes:
        last: the block that was opened last, whether or not it could be entered.
        committed: whether a write that said something was committed. It must not be repeated.
        late: what a block raised at its end, for the session to raise once it has put its own house in order: the
            transaction has ended as SQLAlchemy was told.
    """

    last: ReadSteps | WriteSteps | None = None
    committed: bool = False
    late: CommittedUnconfirmed | ReadStale | None = None

    def take_late(self) -> CommittedUnconfirmed | ReadStale | None:
        late, self.late = self.late, None
        return late


@dataclass
class Lent:
    """A read that is running and is ended by its owner; `used`: a transaction of SQLAlchemy has begun in it before."""

    read: ReadSteps
    used: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Set on an engine, a session's bind or a connection; read at each begin of a transaction.

    Attributes:
        opens: returns a block of a tenant that is not entered yet.
        reads: whether it is a read, whose statements may change nothing.
        tenant: None is the current one at each begin; see `for_tenant`.
        lent: where transactions run in place of blocks of their own.
        ended: of one session alone; None for engines, which many threads share.
    """

    opens: Callable[[str], ReadSteps | WriteSteps]
    reads: bool
    tenant: str | None = None
    lent: Lent | None = field(default=None, compare=False)
    ended: Ended | None = field(default=None, compare=False)

    def of_tenant(self) -> str:
        """Return the tenant of a transaction that begins now.

        Raises:
            UsageError: none is given, and there is no current one.
        """
        tenant = self.tenant if self.tenant is not None else current_tenant()
        if tenant is None:
            raise UsageError(
                "a transaction begins, and it is not known for which tenant",
                hint="Give the session a tenant, or run it inside `with for_tenant(tenant):`, as a web framework's "
                "middleware can. Schema changes and work of no single tenant need an engine of their own on classic.",
            )
        return tenant
