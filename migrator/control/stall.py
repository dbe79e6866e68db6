"""Stores why a mirror partition is waiting or stalled. The mirror writes it; status, gates and the monitor read it."""

from __future__ import annotations

from typing import Any

import psycopg


async def store(conn: psycopg.AsyncConnection[Any], part: int, epoch: int, problem: str) -> None:
    """Store what *part* waits for; its next position clears it. A superseded mirror stores nothing."""
    await conn.execute(
        "UPDATE migrator.position SET state = 'waiting', problem = %s WHERE part = %s AND epoch <= %s",
        (problem, part, epoch),
    )
