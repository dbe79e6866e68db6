"""What a client of the test does with a server: connects as an application would, and runs one transaction.

Each transaction brings its settings along (`SET LOCAL`), so nothing is left in a session that a pooler lends to the
application next. Reads are in READ ONLY transactions: what writes unasked is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from migrator.db.connect import masked
from migrator.db.unwrap import AsyncConnection
from migrator.errors import ClusterUnavailable
from migrator.load.workload import Transaction, Value
from migrator.login.parts import parts_of, spread
from migrator.login.refusal import refused_connection
from migrator.login.source import Login
from migrator.model.traffic_test import LOST

APP = "migrator load"
"""application_name of every session; the tool counts them as its own."""

Connection = psycopg.AsyncConnection[Any]
Took = Callable[[int, float], None]
"""Is told which statement of a transaction took how many seconds."""


async def connect(dsn: str, side: str, timeout_s: float) -> Connection:
    """Return a connection as an application opens one: without settings of its own.

    Raises:
        psycopg.Error: it is refused, or not there.
        UsageError, ClusterUnavailable: the connection string cannot be had.
    """
    login = Login(dsn)
    text: str | None = await asyncio.to_thread(login.text) if login.asks_others else login.text()
    while True:
        assert text is not None
        parameters = parts_of(text)
        parameters |= {"application_name": APP, "connect_timeout": max(2, round(timeout_s))}
        parameters.setdefault("tcp_user_timeout", 30_000)
        try:
            conn = await AsyncConnection.connect(
                **(spread(parameters) if side == "Limitless" else parameters),
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=psycopg.AsyncRawCursor,
            )
        except psycopg.Error as error:
            text = await asyncio.to_thread(login.after, error) if login.asks_others else login.after(error)
            if text is None:
                raise
        else:
            conn.side = side
            return conn


def look(dsn: str, timeout_s: float) -> psycopg.Connection[Any]:
    """Return a connection for questions beside the test, also without settings of its own: it may be a pooler's.

    Raises:
        ClusterUnavailable: the server cannot be reached or refuses.
    """
    login = Login(dsn)
    text: str | None = login.text()
    while True:
        assert text is not None
        parameters = parts_of(text) | {"application_name": APP, "connect_timeout": max(2, round(timeout_s))}
        try:
            return psycopg.connect(**parameters, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            text = login.after(error)
            if text is None:
                why, hint = refused_connection(str(error), error.sqlstate)
                raise ClusterUnavailable(masked(dsn), why, hint) from None


_REFUSALS = (
    ("53300", re.compile("too many (?:clients|connections)|connection slots|no more connections|max_client_conn")),
    ("57P03", re.compile("starting up|shutting down|not yet accepting")),
)
"""What servers and PgBouncer say when they refuse a connection. libpq keeps the words and not the SQLSTATE."""


def state_of(error: psycopg.Error) -> str:
    """Return the SQLSTATE of *error*, of a refused connection by its words; `LOST` where there is none."""
    if error.sqlstate is not None:
        return error.sqlstate
    return next((state for state, words in _REFUSALS if words.search(str(error))), LOST)


def begin(writes: bool, timeout_s: float) -> bytes:
    """Return what begins a transaction; one message, so one round trip."""
    mode = "READ WRITE" if writes else "READ ONLY"
    ms = max(1, round(timeout_s * 1000))
    return f"BEGIN {mode}; SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms}".encode()


async def run(
    conn: Connection,
    transaction: Transaction,
    values: Sequence[Sequence[Value]],
    *,
    timeout_s: float,
    commit: bool,
    now_s: Callable[[], float],
    took: Took,
    failed: Callable[[psycopg.Error], object] | None = None,
) -> str | None:
    """Run *transaction*; return the SQLSTATE it ended with, `LOST` without one, None when all was well.

    What writes is rolled back unless *commit*. Rows are received and not looked at. *failed* is told the error.
    """
    try:
        cursor = conn.cursor()
        await cursor.execute(begin(transaction.writes, timeout_s))
        for number, (statement, given) in enumerate(zip(transaction.statements, values, strict=True)):
            began = now_s()
            await cursor.execute(statement.sql.encode(), list(given) or None)
            took(number, now_s() - began)
        await cursor.execute(b"COMMIT" if commit or not transaction.writes else b"ROLLBACK")
    except psycopg.Error as error:
        if failed is not None:
            failed(error)
        await _end(conn)
        return state_of(error)
    return None


async def _end(conn: Connection) -> None:
    """Leave the session usable, or close it."""
    try:
        if not conn.closed:
            await conn.execute(b"ROLLBACK")
    except psycopg.Error:  # the transaction's own error is what is counted; a new connection comes next
        await conn.close()
