"""What goes on behind an AsyncShim: routes, heartbeats, samples, replicas, the hand-over. The same threads as ever.

A thread waits for classic as well as a task does, and goes on when the event loop is busy: a process whose loop is held
up for a second still renews its routes and confirms a rollback. What it learns is a value that tasks read; see news.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from migrator.shim.aio.news import News
from migrator.shim.aio.pool import AsyncPool, AsyncReplicaPool
from migrator.shim.aio.replicas import AsyncReadLender
from migrator.shim.core import Shim
from migrator.shim.link import Link
from migrator.shim.pool import ConnectionInfo
from migrator.shim.read_replicas import ReadReplicas

OWN_CONNECTIONS = 4
"""Connections a side at most for what runs in threads: fallbacks and questions about outcomes, which are rare."""


class Backstage(Shim):
    """A shim whose reads and writes are the event loop's. It lends no connection to an application itself."""

    def __init__(
        self,
        *args: Any,
        new_replica_pool: Callable[[ConnectionInfo], AsyncReplicaPool],
        **options: Any,
    ) -> None:
        self._new_replica_pool = new_replica_pool
        super().__init__(*args, **options, pool_size=OWN_CONNECTIONS)

    def _make(self) -> None:
        super()._make()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lent: tuple[AsyncPool, ...] = ()
        self._news = [News()]
        self._current.changed = self._news[0]

    def serve(self, loop: asyncio.AbstractEventLoop, *lent: AsyncPool) -> None:
        """Belong to *loop*, whose connections come from *lent*. Called before it opens."""
        self._loop = loop
        self._lent = lent
        for news in self._news:
            news.reach(loop)

    def _with_replicas(self, link: Link) -> ReadReplicas | None:
        found = super()._with_replicas(link)
        if found is not None:
            news = found.all.changed = News()
            self._news.append(news)
            if self._loop is not None:
                news.reach(self._loop)
            found.lends_by = AsyncReadLender
            for at, dsn in zip(found.all.endpoints, self._readers_given, strict=True):
                at.lends = self._new_replica_pool(dsn)
        return found

    def _end_silent(self, now: float) -> None:
        super()._end_silent(now)
        for pool in self._lent:
            pool.kill_overdue(now)
        if self._loop is not None and self._loop.is_closed():
            self._loop = None
            # It was not closed, and cannot be used any more: others must not count on this process.
            threading.Thread(target=self._left_alone, name="migrator-shim-end", daemon=True).start()

    def _left_alone(self) -> None:
        for pool in self._lent:
            pool.close()
        with suppress(Exception):  # no caller is left to tell; the process counts as silent soon
            self.close()
