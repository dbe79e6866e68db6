"""Whose statements run here, and where they may be answered: bound to the context, as a request or a task is.

A context variable and no thread-local: it reaches what `sync_to_async` runs in another thread, and no other request.
Threads that an application starts by itself begin with an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from migrator.errors import UsageError
from migrator.model.ack import Ack, level
from migrator.model.tenant import TenantId
from migrator.shim import Session


@dataclass(frozen=True, slots=True)
class Scope:
    """What is bound.

    Attributes:
        tenant: None outside of any tenant.
        reads: whether statements outside of a transaction are reads that the tenant's route may send to Limitless.
        ack: level of acknowledgement of writes; None: what the database's settings say, else the plan.
        session: whose own writes reads see without a wait for the mirror.
        session_of: alias of the database whose shim made the session.
    """

    tenant: TenantId | None = None
    reads: bool = False
    ack: Ack | None = None
    session: Session | None = None
    session_of: str = "default"


_scope: ContextVar[Scope] = ContextVar("migrator_django_scope", default=Scope())  # noqa: B039 - frozen


def current() -> Scope:
    """Return what is bound here."""
    return _scope.get()


@contextmanager
def bound(scope: Scope) -> Iterator[Scope]:
    """Bind *scope* as a whole."""
    before = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(before)


def tenant_id(value: object) -> TenantId:
    """Return the tenant that an application's value names, in the form in which PostgreSQL prints it.

    Raises:
        UsageError: it names none.
    """
    text = "" if value is None or isinstance(value, bool) else str(value)
    if not text:
        raise UsageError(
            "no tenant is given", hint="Bind none with no_tenant(); such statements are answered by classic."
        )
    if any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text):
        raise UsageError("a tenant's name holds a character that PostgreSQL cannot store")
    return TenantId(text)


@contextmanager
def tenant(value: object) -> Iterator[TenantId]:
    """Bind a tenant: anything whose text is the tenant column's, such as a number, a text, a UUID.

    Raises:
        UsageError: *value* names no tenant: None, an empty text.
    """
    name = tenant_id(value)
    with bound(replace(current(), tenant=name)):
        yield name


@contextmanager
def no_tenant() -> Iterator[None]:
    """Bind no tenant, for what belongs to none: classic answers until the migration is over."""
    with bound(replace(current(), tenant=None, reads=False)):
        yield


@contextmanager
def reading(value: object = None) -> Iterator[TenantId]:
    """Have statements be read-only and answered where the route of the tenant says: the one given, else the one bound.

    Each statement outside of a transaction is a read by itself, tried again on classic where Limitless fails. One
    `transaction.atomic()` inside is one read-only transaction on one side. Inside of a transaction that began before,
    it changes nothing: what a writing transaction reads comes from the writer.

    Raises:
        UsageError: no tenant is given and none is bound.
    """
    name = tenant_id(value) if value is not None else current().tenant
    if name is None:
        raise UsageError("reading() needs a tenant, and none is bound", hint="Say reading(tenant), or bind one before.")
    with bound(replace(current(), tenant=name, reads=True)):
        yield name


@contextmanager
def acknowledging(ack: Ack | str) -> Iterator[None]:
    """Have writes acknowledged by another level: everywhere, session or none.

    Raises:
        UsageError: there is no such level.
    """
    with bound(replace(current(), ack=level(ack))):
        yield


@contextmanager
def session(of: Session, using: str = "default") -> Iterator[Session]:
    """Have reads see the writes of this session without a wait: `session(shim_of(using).session(token), using)`."""
    with bound(replace(current(), session=of, session_of=using)):
        yield of
