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

from migrator.db.cursors import AsyncCursor, AsyncServerCursor, Cursor, ServerCursor
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


def _unavailable(dsn: str, side: str, error: psycopg.Error) -> ClusterUnavailable:
    """Return the refusal of a connection in words; libpq's hold no password, and none of them is a row's."""
    why, hint = refused_connection(str(error), error.sqlstate)
    return ClusterUnavailable(f"{side} ({masked(dsn)})" if side else masked(dsn), why, hint)


_REFUSALS: tuple[tuple[str, str, str], ...] = (
    # (what libpq or the server says, what it means; empty: its own words, what to do)
    ("no password supplied", "it requires a password and none was given", "Check the secret that the plan refers to."),
    (
        "authentication failed|role .* does not exist|28P01|28000",
        "it refused the user or password",
        "Check the secret that the plan refers to.",
    ),
    (
        "no pg_hba.conf entry",
        "",
        "Let this host in, with the TLS that is asked for: pg_hba.conf, or the security group.",
    ),
    (
        "database .* does not exist|3D000",
        "the database does not exist",
        "Check the database name in the connection string.",
    ),
    (
        "certificate|root.crt|SSL|TLS|GSSAPI",
        "",
        "Check sslmode and sslrootcert in the connection string, and the server's certificate.",
    ),
    (
        "too many clients|connection slots|too many connections|53300",
        "",
        "All its connections are in use: raise max_connections or the role's limit, or close sessions"
        " (pg_stat_activity).",
    ),
    (
        "starting up|shutting down|recovery|not yet accepting|57P0",
        "",
        "It starts, stops or fails over: try again in a minute.",
    ),
    (
        "could not translate host name|Name or service not known|resolve",
        "",
        "Check the host name in the connection string, and this host's DNS.",
    ),
    (
        "timeout expired|timed out",
        "it did not answer in time",
        "Check that this host may reach it: security group, routes, firewall; or the server hangs.",
    ),
)


def refused_connection(text: str, sqlstate: str | None = None) -> tuple[str, str]:
    """Return why no connection was made, and what to do, from what libpq says. Pure.

    It says it on one line per address that it tried; the last is the one that counts.
    """
    lines = [line.strip() for line in text.strip().splitlines() if "failed: " in line or "error" in line]
    last = (lines or text.strip().splitlines() or ["no reason was given"])[-1]
    # 'connection failed: connection to server at "…", port … failed: Connection refused', then a question
    own = re.sub(r"^(FATAL|ERROR|PANIC): +", "", last.rsplit("failed: ", 1)[-1].strip())
    for pattern, why, hint in _REFUSALS:
        if re.search(pattern, f"{own} {sqlstate or ''}"):
            return why or own, hint
    return own, "Check that the server runs and that this host may reach it."


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
        UsageError: *dsn* is not a connection string.
    """
    parameters = _parameters(dsn, app, connect_timeout_s)
    conn = None
    try:
        conn = Connection.connect(**parameters, autocommit=True, prepare_threshold=None, cursor_factory=Cursor)
        conn.server_cursor_factory, conn.side = ServerCursor, side
        conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        conn.autocommit = autocommit
    except BaseException as error:
        if conn is not None:
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
    parameters = _parameters(dsn, app, connect_timeout_s)
    conn = None
    try:
        conn = await AsyncConnection.connect(
            **parameters, autocommit=True, prepare_threshold=None, cursor_factory=AsyncCursor
        )
        conn.server_cursor_factory, conn.side = AsyncServerCursor, side
        await conn.execute(_settings(statement_timeout_s, lock_timeout_s))
        await conn.set_autocommit(autocommit)
    except BaseException as error:  # a cancelled task must not leave the connection behind
        if conn is not None:
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
