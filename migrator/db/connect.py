"""Opens every connection of the tool.

One place, so that every connection of the tool has a name in pg_stat_activity, detects an unreachable peer, and has the
settings of `migrator.model.session`, whatever the database, the role or the client's defaults say, and errors that a
router wrapped are those of the shard.

What a connection string was read from is read again for each connection: its password may be another one by now.

These are direct connections: snapshots, LISTEN and session settings do not survive a transaction pooler.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg import conninfo

from migrator.db.cursors import AsyncCursor, AsyncServerCursor, Cursor, ServerCursor
from migrator.db.unwrap import AsyncConnection, Connection, Unwraps
from migrator.errors import ClusterUnavailable
from migrator.login.parts import parts_of, spread
from migrator.login.refusal import refused_connection
from migrator.login.source import Login
from migrator.model import session
from migrator.model.blocker import Blocker
from migrator.model.sqlstate import Fault, fault_of

__all__ = ["Unwraps", "connect", "connect_async", "fault", "masked"]


def _parameters(dsn: str, app: str, connect_timeout_s: float, side: str) -> dict[str, Any]:
    parameters = parts_of(dsn)
    parameters["application_name"] = app
    parameters["connect_timeout"] = max(2, round(connect_timeout_s))  # libpq: below 2 means 2
    parameters.setdefault("keepalives_idle", 10)
    parameters.setdefault("keepalives_interval", 5)
    parameters.setdefault("keepalives_count", 3)
    parameters.setdefault("tcp_user_timeout", 30_000)
    return spread(parameters) if side == "Limitless" else parameters


def _settings(statement_timeout_s: float | None, lock_timeout_s: float | None) -> str:
    """Return the statement that gives a session its settings; a timeout of None is none."""
    bounds = {"statement_timeout": statement_timeout_s, "lock_timeout": lock_timeout_s}
    settings = session.everything({name: str(round(s * 1000)) for name, s in bounds.items() if s is not None})
    return f"{settings} UNION ALL {session.INTRODUCTION}"


def _unavailable(dsn: str, side: str, error: psycopg.Error) -> ClusterUnavailable:
    """Return the refusal of a connection in words; libpq's hold no password, and none of them is a row's."""
    why, hint = refused_connection(str(error), error.sqlstate)
    return ClusterUnavailable(f"{side} ({masked(dsn)})" if side else masked(dsn), why, hint)


def connect(
    dsn: str,
    app: str,
    *,
    autocommit: bool = True,
    statement_timeout_s: float | None = None,
    lock_timeout_s: float | None = None,
    connect_timeout_s: float = 5,
    side: str = "",
) -> psycopg.Connection[Any]:
    """Return a connection with the tool's session settings.

    Args:
        side: what messages call it, "classic" or "Limitless"; without it they give its address alone.

    Raises:
        ClusterUnavailable: the server cannot be reached or refuses us; the text holds no password.
        UsageError: *dsn* is not a connection string, or its source lacks something.
    """
    login, conn = Login(dsn), None
    text: str | None = login.text()
    while conn is None:
        assert text is not None
        parameters = _parameters(text, app, connect_timeout_s, side)
        try:
            conn = Connection.connect(**parameters, autocommit=True, prepare_threshold=None, cursor_factory=Cursor)
        except psycopg.Error as error:
            text = login.after(error)
            if text is None:
                raise _unavailable(dsn, side, error) from None
    try:
        conn.server_cursor_factory, conn.side = ServerCursor, side
        conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        conn.autocommit = autocommit
    except BaseException as error:
        conn.close()
        if isinstance(error, psycopg.Error):
            raise _unavailable(dsn, side, error) from None
        raise
    return conn


async def connect_async(
    dsn: str,
    app: str,
    *,
    autocommit: bool = True,
    statement_timeout_s: float | None = None,
    lock_timeout_s: float | None = None,
    connect_timeout_s: float = 5,
    side: str = "",
) -> psycopg.AsyncConnection[Any]:
    """Return an asynchronous connection with the tool's session settings; raises as `connect` does."""
    login, conn = Login(dsn), None
    text: str | None = await asyncio.to_thread(login.text) if login.asks_others else login.text()
    while conn is None:
        assert text is not None
        parameters = _parameters(text, app, connect_timeout_s, side)
        try:
            conn = await AsyncConnection.connect(
                **parameters, autocommit=True, prepare_threshold=None, cursor_factory=AsyncCursor
            )
        except psycopg.Error as error:
            text = await asyncio.to_thread(login.after, error) if login.asks_others else login.after(error)
            if text is None:
                raise _unavailable(dsn, side, error) from None
    try:
        conn.server_cursor_factory, conn.side = AsyncServerCursor, side
        await conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        await conn.set_autocommit(autocommit)
    except BaseException as error:  # a cancelled task must not leave the connection behind
        await conn.close()
        if isinstance(error, psycopg.Error):
            raise _unavailable(dsn, side, error) from None
        raise
    return conn


def unpinned(conn: psycopg.Connection[Any], side: str) -> list[Blocker]:
    """Return which settings that rows depend on are otherwise in the tool's session on *side*, and what to do."""
    rows = conn.execute(
        "SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.unnest(%s::text[]) AS n (name)",
        (list(session.MATTERS),),
    ).fetchall()
    return [
        Blocker(
            "session.unpinned",
            side,
            f"{side}: {setting} in sessions of {conn.info.user}, which may not set it, so rows could be missed:"
            " ALTER ROLE … RESET it, or GRANT SET ON PARAMETER",
        )
        for setting in session.refused(rows)
    ]


def masked(dsn: str) -> str:
    """Return user, host, port and database of *dsn*, without its password or other parameters."""
    try:
        p = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "(unreadable connection string)"
    user = f"{p['user']}@" if p.get("user") else ""
    return f"{user}{p.get('host') or 'localhost'}:{p.get('port') or 5432}/{p.get('dbname') or ''}"


def fault(error: psycopg.Error) -> Fault:
    """Return what *error* says about its cluster."""
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Fault.CALLER
    return fault_of(error.sqlstate)
