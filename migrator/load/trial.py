"""Reads pools, and tries each transaction once on a target before any load is offered: what is refused is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import psycopg

from migrator.db.error_text import described
from migrator.errors import UsageError
from migrator.load import session
from migrator.load.draw import Deck, Rows
from migrator.load.workload import Transaction, Workload

MOST_ROWS = 200_000
"""Rows of a pool: all processes keep them."""

TIMEOUT_S = 60.0


def read_pools(dsn: str, side: str, workload: Workload) -> Mapping[str, Rows]:
    """Return the rows of each pool by tenant, values as PostgreSQL prints them; in READ ONLY transactions.

    Raises:
        UsageError: a pool's statement fails, or returns nothing, too little or too much.
        psycopg.Error: no connection can be made.
    """
    return asyncio.run(_read_pools(dsn, side, workload)) if workload.pools else {}


async def _read_pools(dsn: str, side: str, workload: Workload) -> Mapping[str, Rows]:
    found: dict[str, Rows] = {}
    conn = await session.connect(dsn, side, TIMEOUT_S)
    try:
        for name, text in workload.pools.items():
            try:
                cursor = conn.cursor()
                await cursor.execute(session.begin(False, TIMEOUT_S))
                await cursor.execute(text.encode())
                found[name] = _by_tenant(name, cursor.pgresult, _most_column(workload, name))
                await cursor.execute(b"ROLLBACK")
            except psycopg.Error as error:
                raise UsageError(f"pool {name}: {described(error)}") from None
    finally:
        await conn.close()
    return found


def _most_column(workload: Workload, pool: str) -> int:
    columns = [
        int(p.of[1])
        for t in workload.transactions
        for s in t.statements
        for p in s.parameters
        if p.of[:1] == (pool,) and len(p.of) == 2
    ]
    return max(columns, default=1)


def _by_tenant(name: str, result: psycopg.pq.abc.PGresult | None, columns: int) -> Rows:
    if result is None or result.nfields < columns:
        raise UsageError(
            f"pool {name}: the workload uses its column {columns}, and it returns {result and result.nfields}"
        )
    if not 1 <= result.ntuples <= MOST_ROWS:
        raise UsageError(f"pool {name}: it returns {result.ntuples:,} rows; it may return 1 to {MOST_ROWS:,}")
    rows: dict[str, list[list[str | None]]] = {}
    for number in range(result.ntuples):
        row = [_text(result.get_value(number, column)) for column in range(result.nfields)]
        if row[0] is not None:
            rows.setdefault(row[0], []).append(row)
    return rows


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def try_each(dsn: str, side: str, deck: Deck) -> list[str]:
    """Run each transaction once, and roll it back; return what was refused, one line each.

    Raises:
        psycopg.Error: no connection can be made.
    """
    return asyncio.run(_try_each(dsn, side, deck))


async def _try_each(dsn: str, side: str, deck: Deck) -> list[str]:
    conn = await session.connect(dsn, side, TIMEOUT_S)
    problems: list[str] = []
    try:
        for number, transaction in enumerate(deck.transactions):
            errors: list[psycopg.Error] = []
            await session.run(
                conn, transaction, deck.draw(number, transaction=number).values,
                timeout_s=TIMEOUT_S, commit=False, now_s=time.monotonic, took=_ignored, failed=errors.append,
            )  # fmt: skip
            problems += [_problem(side, transaction.name, error) for error in errors]
            if conn.closed:
                conn = await session.connect(dsn, side, TIMEOUT_S)
    finally:
        await conn.close()
    return problems


def _ignored(number: int, seconds: float) -> None:
    """How long a trial takes says nothing."""


def _problem(side: str, name: str, error: psycopg.Error) -> str:
    more = "; say writes = true in the workload" if error.sqlstate == "25006" else ""
    said = described(error)
    return f"transaction {name!r}: {said if said.startswith(side) else f'{side}: {said}'}{more}"


def names(transactions: Sequence[Transaction]) -> dict[str, str]:
    """Return what each statement is called, by "transaction number.statement number"."""
    found = {}
    for number, transaction in enumerate(transactions):
        many = len(transaction.statements) > 1
        for at, _ in enumerate(transaction.statements):
            found[f"{number}.{at}"] = f"{transaction.name} ({at + 1})" if many else transaction.name
    return found
