"""Opens every connection of the tool.

One place, so that every connection of the tool has a name in pg_stat_activity, detects an unreachable peer, and has the
settings of `migrator.model.session`, whatever the database, the role or the client's defaults say, and errors that a
router wrapped are those of the shard.

These are direct connections: snapshots, LISTEN and session settings do not survive a transaction pooler.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import conninfo

from migrator.db.unwrap import AsyncConnection, Connection, Unwraps
from migrator.errors import ClusterUnavailable, UsageError
from migrator.model import session
from migrator.model.blocker import Blocker
from migrator.model.sqlstate import Fault, fault_of

__all__ = ["Unwraps", "connect", "connect_async", "fault", "masked"]


def _parameters(dsn: str, app: str, connect_timeout_s: float) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise UsageError(
            "the connection string cannot be read (not shown)",
            hint="Use postgresql://user:password@host:port/database or key=value pairs.",
        ) from None
    parameters["application_name"] = app
    parameters["connect_timeout"] = max(2, round(connect_timeout_s))  # libpq: below 2 means 2
    parameters.setdefault("keepalives_idle", 10)
    parameters.setdefault("keepalives_interval", 5)
    parameters.setdefault("keepalives_count", 3)
    parameters.setdefault("tcp_user_timeout", 30_000)
    return parameters


def _settings(statement_timeout_s: float | None, lock_timeout_s: float | None) -> str:
    """Return the statement that gives a session its settings; a timeout of None is none."""
    bounds = {"statement_timeout": statement_timeout_s, "lock_timeout": lock_timeout_s}
    settings = session.everything({name: str(round(s * 1000)) for name, s in bounds.items() if s is not None})
    return f"{settings} UNION ALL {session.INTRODUCTION}"


def _unavailable(dsn: str, error: psycopg.Error) -> ClusterUnavailable:
    state = error.sqlstate
    text = str(error).strip().splitlines()
    # 'connection failed: connection to server at "…", port … failed: Connection refused', then a question
    why = text[0].rsplit("failed: ", 1)[-1] if text else type(error).__name__
    hint = "Check that the server runs and that this host may reach it."
    if state in ("28P01", "28000") or "authentication failed" in why:
        why, hint = "it refused the user or password", "Check the secret that the plan refers to."
    elif "no password supplied" in why:
        why, hint = "it requires a password and none was given", "Check the secret that the plan refers to."
    elif state == "3D000" or re.search(r'database "[^"]*" does not exist', why):
        why, hint = "the database does not exist", "Check the database name in the connection string."
    return ClusterUnavailable(masked(dsn), why, hint)


def connect(
    dsn: str,
    app: str,
    *,
    autocommit: bool = True,
    statement_timeout_s: float | None = None,
    lock_timeout_s: float | None = None,
    connect_timeout_s: float = 5,
) -> psycopg.Connection[Any]:
    """Return a connection with the tool's session settings.

    Raises:
        ClusterUnavailable: the server cannot be reached or refuses us; the text holds no password.
        UsageError: *dsn* is not a connection string.
    """
    parameters = _parameters(dsn, app, connect_timeout_s)
    conn = None
    try:
        conn = Connection.connect(**parameters, autocommit=True, prepare_threshold=None)
        conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        conn.autocommit = autocommit
    except BaseException as error:
        if conn is not None:
            conn.close()
        if isinstance(error, psycopg.Error):
            raise _unavailable(dsn, error) from None
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
) -> psycopg.AsyncConnection[Any]:
    """Return an asynchronous connection with the tool's session settings; raises as `connect` does."""
    parameters = _parameters(dsn, app, connect_timeout_s)
    conn = None
    try:
        conn = await AsyncConnection.connect(**parameters, autocommit=True, prepare_threshold=None)
        await conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        await conn.set_autocommit(autocommit)
    except BaseException as error:  # a cancelled task must not leave the connection behind
        if conn is not None:
            await conn.close()
        if isinstance(error, psycopg.Error):
            raise _unavailable(dsn, error) from None
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
