"""Which objects a session may hold and flush: rules that keep what was read apart from what is written.

A read may have been answered by Limitless, or by a replica, a moment behind classic. An object that it loaded is fine
to show, and wrong to write back: SQLAlchemy's merge() compares all its columns with the row on classic and would undo
what others changed meanwhile. So it enters no session for writes, unless its mapper has a version_id_col, which finds
that out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import InstanceState, Session, SessionTransaction, UOWTransaction, sessionmaker
from sqlalchemy.orm.attributes import instance_state

from migrator.errors import ReadStale, UsageError
from migrator.shim import CommittedUnconfirmed
from migrator.sqlalchemy.connection import BlockConnection
from migrator.sqlalchemy.dialect import writes_in_a_read
from migrator.sqlalchemy.engine import scope_of
from migrator.sqlalchemy.scope import Ended

READ = "migrator_read"
"""Key of an object's state (`inspect(obj).info`): a read loaded it."""

TENANT = "migrator_tenant"
"""Key of `session.info`: whose objects it holds, where the tenant is the current one of each transaction."""

ENDED = "migrator_ended"
"""Key of `session.info`: what became of its transactions."""


class OneSide(Session):
    """What the sessions made here are besides the application's own class."""

    def merge(self, instance: Any, **options: Any) -> Any:
        """Merge, but no object that a read loaded into a session for writes."""
        if not self.info.get(READ):
            for state in _merged(instance):
                _refuse_read(state)
        return super().merge(instance, **options)


def _merged(instance: Any) -> Iterator[InstanceState[Any]]:
    state: InstanceState[Any] = instance_state(instance)
    yield state
    for _, _, other, _ in state.mapper.cascade_iterator("merge", state):
        yield other


def _refuse_read(state: InstanceState[Any]) -> None:
    if state.key is not None and state.info.get(READ) and state.mapper.version_id_col is None:
        raise UsageError(
            f"a {state.class_.__name__} that a read loaded cannot enter a session for writes: it may be older than the "
            "row on classic, and would undo what others changed",
            hint="Load it in this session, session.get(type, key), and change that; or give its mapper a "
            "version_id_col, by which SQLAlchemy notices.",
        )


def watch_writes(maker: sessionmaker[Any]) -> None:
    """Hold the sessions of *maker* to the rules of those that write."""
    event.listen(maker, "before_attach", _before_attach)
    _watch(maker)


def watch_reads(maker: sessionmaker[Any]) -> None:
    """Hold the sessions of *maker* to the rules of those that read."""
    event.listen(maker, "loaded_as_persistent", _mark, raw=True)
    event.listen(maker, "before_flush", _before_flush)
    _watch(maker)


def _watch(maker: sessionmaker[Any]) -> None:
    event.listen(maker, "after_begin", _after_begin)
    event.listen(maker, "after_transaction_end", _after_transaction_end)


def _before_attach(session: Session, instance: Any) -> None:
    _refuse_read(instance_state(instance))


def _mark(session: Session, state: InstanceState[Any]) -> None:
    state.info[READ] = True


def _before_flush(session: Session, context: UOWTransaction, instances: Any) -> None:
    changed = [*session.new, *session.deleted, *(o for o in session.dirty if session.is_modified(o))]
    if changed:
        names = ", ".join(sorted({type(o).__name__ for o in changed}))
        raise writes_in_a_read(f"a flush of changed objects ({names})")


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Refuse to go on for another tenant with objects of the last one: as a scoped_session that was not removed."""
    scope = scope_of(connection)
    if scope is None:
        return
    inner = connection.connection.dbapi_connection
    if scope.ended is None and isinstance(inner, BlockConnection):  # of a sessionmaker, or a bind of the application's
        inner.scope = replace(scope, ended=session.info.setdefault(ENDED, Ended()))
    if scope.tenant is not None:
        return
    tenant, before = scope.of_tenant(), session.info.get(TENANT)
    if before not in (None, tenant) and (len(session.identity_map) or session.new):
        raise UsageError(
            f"a session that holds objects of tenant {before} goes on for tenant {tenant}",
            hint="Close a session with its tenant, for example scoped_session.remove() at the end of a request.",
        )
    session.info[TENANT] = tenant


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """Raise what the block raised at its end, now that the session has done what follows a commit or rollback."""
    ended = session.info.get(ENDED)
    if transaction.parent is not None or not isinstance(ended, Ended):
        return
    late = ended.take_late()
    if late is not None:
        _raise_late(late)


def _raise_late(late: CommittedUnconfirmed | ReadStale) -> None:
    running = sys.exc_info()[1]
    if isinstance(late, ReadStale) and running is not None and not isinstance(running, Exception):
        return  # the caller is being cancelled or ended: what was read is thrown away as it is
    raise late
