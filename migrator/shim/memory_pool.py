"""Pools for migrator.testing: to a PostgreSQL without control tables and capture, or to nothing.

With a PostgreSQL, connections, transactions and errors are real; only what classic's control tables and capture would
have said at a COMMIT is put in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus

from migrator.errors import ClusterUnavailable
from migrator.model.position import Snapshot
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.lent import Conn
from migrator.shim.link import Link
from migrator.shim.memory import MemoryConnection, Store
from migrator.shim.pool import Pool
from migrator.shim.shadow_evidence import Begun

PART = 1
"""The mirror partition that all tenants are in."""


class ServerLink(Link):
    """A connection to a PostgreSQL that has neither control tables nor capture."""

    store: Store
    writes = False

    def start(self, statement: str, *, owe: bool) -> None:
        self.writes = statement.startswith("BEGIN READ WRITE")
        super().start(statement, owe=owe)

    def ask(self, statement: str) -> list[str | None]:
        if statement != st.BEFORE_COMMIT:
            return self._ask(statement)
        xid, parts, begun, deferrable = self._ask(st.MARKS)[:4]
        mode, epoch, mark = self.store.switch()
        if xid is not None and parts == st.UNTOUCHED:
            parts = str(1 << PART)
        return [xid, parts, begun, deferrable, mode, str(epoch), mark]

    def finish(self, how: str, *, first: Sequence[str] = (), then: str = "") -> str:
        if how != "COMMIT" or not self.writes or not self.store.lost_commits:
            return self._finish(how, first)
        self._finish("COMMIT" if self.store.lost_commits.pop(0) else "ROLLBACK", first)
        self.close()
        raise psycopg.OperationalError("the connection was lost before COMMIT was answered")

    def _ask(self, statement: str) -> list[str | None]:
        return super().ask(statement)

    def _finish(self, how: str, first: Sequence[str]) -> str:
        return super().finish(how, first=first)


class MemoryLink(ServerLink):
    """A connection to nothing."""

    def __init__(self, store: Store, side: Side) -> None:
        self.store = store
        self._renewed(side)
        self.fresh = self.clean = True
        self.silent_s = None

    def _renewed(self, side: Side) -> None:
        self.memory = MemoryConnection(self.store, side)
        self.conn = cast(Conn, self.memory)

    @property
    def untouched(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return self.memory.closed

    @property
    def status(self) -> TransactionStatus:
        return self.memory.transaction_status

    def start(self, statement: str, *, owe: bool) -> None:
        super().start(statement, owe=False)

    def leave(self, how: str) -> None:
        self.finish(how)

    def overdue(self, at_s: float) -> bool:
        return False

    def kill(self) -> None:
        self.memory.closed = True

    close = kill

    def check(self) -> None:
        pass

    def renew(self) -> None:
        self.memory.closed = True
        self._renewed(self.memory.side)

    def _ask(self, statement: str) -> list[str | None]:
        self.memory.check()
        if statement.startswith("BEGIN"):
            self.memory.begin(statement)
        xid = self.memory.take_xid_if_changed()
        return [
            None if xid is None else str(xid),
            st.UNTOUCHED,
            self.memory.begun,
            "on" if self.memory.begun else "off",
        ]

    def _finish(self, how: str, first: Sequence[str]) -> str:
        if self.memory.closed:
            raise psycopg.OperationalError("the connection is closed")
        if first:
            self.memory.check()
            if not self.memory.begun:  # by this block
                raise psycopg.errors.InvalidParameterValue(st.ANOTHER)
        self.clean = True
        return self.memory.end(how)


class MemoryPool(Pool):
    """A pool whose side can be lost; without a connection string, one of connections to nothing."""

    link_type = ServerLink

    def __init__(self, side: Side, dsn: str, store: Store, app: str, *, size: int) -> None:
        super().__init__(side, dsn, app, size=size, connect_timeout_s=5, silent_s=30)
        self.lost = False
        self.store = store
        self._to_server = store.answers is None

    def _open(self, more: dict[str, str], cursors: type[psycopg.Cursor[Any]]) -> Link:
        if self.lost:
            raise ClusterUnavailable(self.side.value, "the test lost it")
        if not self._to_server:
            return MemoryLink(self.store, self.side)
        link = super()._open(more, cursors)
        assert isinstance(link, ServerLink)
        link.store = self.store
        return link

    def lose(self) -> None:
        """End all connections and make no new ones."""
        self.lost = True
        self.drop_idle()
        with self._lock:
            out = tuple(self._out)
        for link in out:
            link.kill()


class MemoryEvidence:
    """Nothing changed if no transaction ended. While Limitless does not follow, nothing is compared."""

    def __init__(self, store: Store, snapshot: Callable[[], Snapshot]) -> None:
        self._store = store
        self._snapshot = snapshot

    def begin(self, tenant_id: TenantId) -> Begun | None:
        return Begun(tenant_id, {}, PART, self._snapshot()) if self._store.mirrored else None

    def wait(self, begun: Begun, timeout_s: float) -> Begun:
        return begun

    def unchanged(self, begun: Begun, *, everything: bool) -> bool:
        return self._store.mirrored and self._snapshot() == begun.snapshot
