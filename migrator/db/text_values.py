"""Moves values without interpreting them: results as the server's text, unchanged.

Statements with parameters run on raw cursors ($1, $2...): an identifier may hold a percent sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def array(values: Iterable[str | None]) -> str:
    """Return *values* as the text of an array of any type whose elements are separated by commas.

    Sent without a type of its own, so the server reads each element with the input function of the type that the
    statement names: no cast from text, which for some types means something else.
    """
    listed = list(values)
    texts = [v for v in listed if v is not None]
    together = "".join(texts)
    if '"' not in together and "\\" not in together:  # nearly always; looked for once, not in each of them
        del together
        if len(texts) == len(listed):
            return '{"' + '","'.join(texts) + '"}' if texts else "{}"
        return "{" + ",".join(["NULL" if v is None else f'"{v}"' for v in listed]) + "}"
    del together
    parts = ["{"]  # joined once: values may be as large as they like, and every copy of one counts
    for v in listed:
        if v is None:
            parts += (",", "NULL")
        else:
            parts += (',"', v.replace("\\", "\\\\").replace('"', '\\"'), '"')
    parts[1] = parts[1][1:]
    parts.append("}")
    return "".join(parts)


async def run(
    conn: psycopg.AsyncConnection[Any], query: sql.Composable, columns: Sequence[Sequence[str | None]]
) -> psycopg.AsyncCursor[Any]:
    """Run *query*, whose parameters are one array per column."""
    cursor = psycopg.AsyncRawCursor(conn)
    await cursor.execute(sql.Composed([query]), [array(column) for column in columns])
    return cursor


async def fetch(
    conn: psycopg.AsyncConnection[Any], query: sql.Composable, columns: Sequence[Sequence[str | None]]
) -> list[tuple[str | None, ...]]:
    """Run *query* as `run` does and return its rows as texts."""
    return texts(await run(conn, query, columns))
