"""Drops foreign keys on Limitless that are in their final form while rows still follow classic.

Shortly before the hand-over the foreign keys get the form an application expects: adding one reads its whole table
under a lock, which would take too long later. Until then a key that cascades must not see the tool delete a row that
is inserted again in the same transaction (rows that swapped a unique value, a copy that begins again): it would delete
children that are to stay. So a mirror or copy that is about to do that, or that a key refuses because it checks too
early, drops such keys first. The decommission makes them again, and hands over only when all are there.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load

Connection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "final_keys.sql")


async def drop_final_keys(limitless: Connection) -> list[str]:
    """Drop every foreign key of this tool's that is in its final form; return their names. Outside a transaction.

    Raises:
        psycopg.errors.LockNotAvailable: a long transaction reads a table; try again.
    """
    keys = await (await limitless.execute(_SQL["in_final_form"])).fetchall()
    for schema, table, name in keys:
        async with limitless.transaction():
            await limitless.execute("SET LOCAL lock_timeout = '2s'")
            await limitless.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(schema, table), sql.Identifier(name))
            )
    return [f"{schema}.{table}.{name}" for schema, table, name in keys]
