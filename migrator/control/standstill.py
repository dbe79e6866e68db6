"""Why does a mirror partition stand still? Written by the mirror; status, gates and the breaker's monitor read it."""

from __future__ import annotations

from typing import Any

import psycopg


async def tell(conn: psycopg.AsyncConnection[Any], part: int, epoch: int, problem: str) -> None:
    """Say what *part* waits for; its next position takes it back. Of a superseded mirror nothing is taken: it waits for
    nobody."""
    await conn.execute(
        "UPDATE migrator.position SET state = 'waiting', problem = %s WHERE part = %s AND epoch <= %s",
        (problem, part, epoch),
    )
