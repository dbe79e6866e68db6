"""Lends connections to copies, and keeps those of units that ended well for the next one.

Opening three costs as much as copying some thousand rows. They are kept for a short time only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

from migrator.control.answers import learn_async
from migrator.db.connect import connect_async
from migrator.model.capability import Answers

Connection = psycopg.AsyncConnection[Any]

IDLE_S = 15.0
"""How long connections wait for another unit."""


@dataclass(slots=True)
class Links:
    """Connections of one copy: *control* commits on its own on classic, the others hold a transaction each."""

    control: Connection
    classic: Connection
    limitless: Connection
    idle_since: float = 0.0
    answers: Answers = field(default_factory=Answers)  # what this Limitless can do

    def all(self) -> tuple[Connection, Connection, Connection]:
        return self.control, self.classic, self.limitless

    def healthy(self) -> bool:
        """Whether nothing is open on any of them, as far as one can tell without asking."""
        return all(
            not c.closed and c.pgconn.transaction_status == pq.TransactionStatus.IDLE and c.pgconn.socket >= 0
            for c in self.all()
        )


async def open_links(classic_dsn: str, limitless_dsn: str, unit_id: str) -> Links:
    """Return new connections, all of them or none.

    Raises:
        ClusterUnavailable: a side cannot be reached.
    """
    app = f"migrator copy {unit_id}"
    opened: list[Connection] = []
    try:
        ends = (
            (classic_dsn, f"{app} control", "classic"),
            (classic_dsn, app, "classic"),
            (limitless_dsn, app, "Limitless"),
        )
        for dsn, name, side in ends:
            opened.append(await connect_async(dsn, name, side=side))
        learned = await learn_async(opened[-1])
    except BaseException:
        for conn in opened:
            await conn.close()
        raise
    control, classic, limitless = opened
    return Links(control, classic, limitless, answers=learned)


async def _renamed(links: Links, unit_id: str) -> bool:
    """Give the sessions the unit's name; False when one of them was lost meanwhile."""
    try:
        for conn, suffix in zip(links.all(), (" control", "", ""), strict=True):
            await conn.execute(
                "SELECT set_config('application_name', %s, false)", (f"migrator copy {unit_id}{suffix}",)
            )
    except psycopg.Error:
        return False
    return True


@dataclass(slots=True)
class LinkPool:
    """Connections that wait for a unit; of one worker, in one event loop."""

    idle: dict[tuple[str, str], list[Links]] = field(default_factory=dict)
    closing: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def lend(self, classic_dsn: str, limitless_dsn: str, unit_id: str) -> AsyncIterator[Links]:
        """Yield connections for one unit; after an error they are closed.

        Raises:
            ClusterUnavailable: a side cannot be reached.
        """
        waiting = self.idle.setdefault((classic_dsn, limitless_dsn), [])
        links = None
        while links is None and waiting:
            links = waiting.pop()
            if not await _renamed(links, unit_id):
                await _close(links)
                links = None
        links = links or await open_links(classic_dsn, limitless_dsn, unit_id)
        kept = False
        try:
            yield links
            await links.control.execute("SELECT migrator_lock FROM pg_advisory_unlock_all() AS migrator_lock")
            kept = links.healthy()
        finally:
            if not kept:
                await _close(links)
        if kept:
            loop = asyncio.get_running_loop()
            links.idle_since = loop.time()
            waiting.append(links)
            loop.call_later(IDLE_S + 0.1, self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        for waiting in self.idle.values():
            old = [links for links in waiting if now - links.idle_since >= IDLE_S]
            waiting[:] = [links for links in waiting if links not in old]
            for links in old:
                task = asyncio.create_task(_close(links))
                self.closing.add(task)
                task.add_done_callback(self.closing.discard)

    async def close(self) -> None:
        """Close what waits."""
        for waiting in self.idle.values():
            while waiting:
                await _close(waiting.pop())


async def _close(links: Links) -> None:
    """Close without a message to the server, which rolls back what is open."""
    for conn in links.all():
        await conn.close()
