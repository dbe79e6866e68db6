"""How are values moved without being interpreted? Results as the server's text, untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql


def texts(cursor: psycopg.AsyncCursor[Any]) -> list[tuple[str | None, ...]]:
    """Return all rows of *cursor*'s result as the texts the server sent."""
    result = cursor.pgresult
    if result is None:
        return []
    columns = range(result.nfields)
    get = result.get_value
    rows = []
    for number in range(result.ntuples):
        values = [get(number, column) for column in columns]
        rows.append(tuple(None if v is None else str(v, "utf-8") for v in values))
    return rows


async def fetch(
    conn: psycopg.AsyncConnection[Any], query: sql.Composable, parameters: Sequence[Any] | None = None
) -> list[tuple[str | None, ...]]:
    """Run *query* and return its rows as texts."""
    cursor = await conn.execute(sql.Composed([query]), parameters)
    return texts(cursor)
