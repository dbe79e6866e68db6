"""Reads what classic's statistics have counted so far: transactions, rows, WAL, statements, sessions.

Each group says since when it counts, so that a reset, a restart or a failover is told from a quiet minute. What a role
may not see, or what is not installed, is None, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.writer_load import journal_bytes
from migrator.db.named import load
from migrator.model.own_session import is_own_application

Connection = psycopg.Connection[Any]

_SQL = load("migrator.runway", "counters.sql")

_MARK = sql.SQL("/* migrator:runway */")

_STATEMENTS = sql.SQL("""
SELECT CASE WHEN s.may_be_own THEN s.queryid END, s.is_read, s.query = '<insufficient privilege>',
       sum(s.calls)::int8, sum(s.total_exec_time)::float8, sum(s.wal_bytes)::float8,
       CASE WHEN bool_and(s.may_be_own) THEN min(s.query) END
  FROM (SELECT queryid, query, calls, total_exec_time, wal_bytes,
               query ~* 'migrator|u&' AS may_be_own,
               query ~* '^(\\s|/\\*[^*]*\\*/|\\()*(select|with|table|values)\\M'
                   AND query !~* '\\m(insert\\s+into|update|delete\\s+from|merge\\s+into)\\M'
                   AND query !~* '\\mfor\\s+(no\\s+key\\s+update|update|key\\s+share|share)\\M' AS is_read
          FROM {0}.pg_stat_statements
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) s
 GROUP BY 1, 2, 3 {1}
""")
_STATEMENTS_SINCE = sql.SQL(
    "SELECT extract(epoch FROM stats_reset)::float8, dealloc FROM {0}.pg_stat_statements_info {1}"
)

PARTS = ("mirrors", "backfill", "validation", "control", "shims")
"""What sessions of this tool do on classic; shims' sessions run the application's statements as well."""

_PART_NAMES = (
    ("mirrors", re.compile(r"migrator mirror\b.*")),
    ("backfill", re.compile(r"migrator copy\b.*")),
    ("validation", re.compile(r"migrator validate\b.*")),
    ("shims", re.compile(r"migrator-shim:.*")),
)


def part_of(application: str) -> str | None:
    """Return which part of this tool a session of *application* is; None: it is an application's."""
    for part, pattern in _PART_NAMES:
        if pattern.fullmatch(application):
            return part
    return "control" if is_own_application(application) else None


@dataclass(frozen=True, slots=True)
class Session:
    """A session of this tool. active: it runs a statement; running: one that waits for nothing."""

    pid: int
    part: str
    started_s: float
    active: bool
    running: bool


@dataclass(frozen=True, slots=True)
class Statements:
    """What pg_stat_statements has counted. `since` changes with a reset; `evicted`: entries that had no room.

    Attributes:
        own_calls, own_ms, own_wal: of this tool's statements; ms are of execution, waits included.
        read_ms, write_ms: of the application's statements.
        hidden: statements whose text this role may not see; then nothing is said about whose they are.
    """

    since: tuple[float, int]
    own_calls: int
    own_ms: float
    own_wal: float
    read_ms: float
    write_ms: float
    hidden: int


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading. Times are classic's, in seconds; `taken_s` is this process's monotonic clock.

    Attributes:
        started_s: when the server was started: another value is another server, or the same one anew.
        row_writes: by table, since tables come and go and take their counts with them.
        wal_bytes, capture_ms, statements: None where classic does not say.
        sees_all: whether this role sees sessions and statements of others.
    """

    at: datetime
    taken_s: float
    started_s: float
    is_replica: bool
    transactions: int
    database_since_s: float
    row_writes: Mapping[int, int]
    database_bytes: int
    wal_bytes: float | None
    wal_since_s: float
    capture_ms: float | None
    sees_all: bool
    journal_bytes: int
    statements: Statements | None = None


@dataclass
class Reader:
    """Reads counters on one connection after another; remembers which statements are this tool's."""

    _own: dict[int, bool] = field(default_factory=dict)

    def read(self, conn: Connection, taken_s: float, *, statements: bool = True) -> Counters:
        """Return what is counted now. *statements*: read pg_stat_statements too, which costs most."""
        row = conn.execute(_SQL["database"]).fetchone()
        assert row is not None
        (at, started, replica, transactions, since, size, wal, wal_since, ms, tracked, sees_all) = row
        row_writes = {int(relid): int(count) for relid, count in conn.execute(_SQL["row_writes"])}
        return Counters(
            at, taken_s, started, replica, int(transactions), since, row_writes, int(size),
            None if wal is None else float(wal), wal_since or 0.0, float(ms) if tracked else None, bool(sees_all),
            journal_bytes(conn), self._statements(conn) if statements else None,
        )  # fmt: skip

    def _statements(self, conn: Connection) -> Statements | None:
        found = conn.execute(_SQL["has_statements"]).fetchone()
        if found is None:
            return None
        schema = sql.Identifier(found[0])
        try:
            with conn.transaction():
                since = conn.execute(_STATEMENTS_SINCE.format(schema, _MARK)).fetchone()
                rows = conn.execute(_STATEMENTS.format(schema, _MARK)).fetchall()
        except (psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.InsufficientPrivilege,
                psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):  # fmt: skip
            return None  # installed but not loaded, not ours to read, or of a version without it
        assert since is not None
        calls, own_ms, own_wal, read_ms, write_ms, hidden = 0, 0.0, 0.0, 0.0, 0.0, 0
        for queryid, is_read, is_hidden, count, ms, wal, text in rows:
            if is_hidden:
                hidden += int(count)
            elif text is not None and self._is_own(queryid, text):
                calls, own_ms, own_wal = calls + int(count), own_ms + ms, own_wal + wal
            elif is_read:
                read_ms += ms
            else:
                write_ms += ms
        return Statements((since[0] or 0.0, int(since[1])), calls, own_ms, own_wal, read_ms, write_ms, hidden)

    def _is_own(self, queryid: int, text: str) -> bool:
        from migrator.audit.own import is_marked, may_be_own

        if queryid not in self._own:
            self._own[queryid] = is_marked(text) or (may_be_own(text) and _names_own(text))
        return self._own[queryid]


def _names_own(text: str) -> bool:
    """As audits tell it; a text that does not parse, being cut or of another language, is not ours."""
    from migrator.audit.own import is_own
    from migrator.grammar.parse import Unparsable, parse

    try:
        return any(is_own(statement.tag, statement.body) for statement in parse(text))
    except Unparsable:
        return False


def sessions(conn: Connection) -> tuple[Session, ...]:
    """Return this tool's sessions, but for the one that asks."""
    found = []
    for pid, application, started, active, running in conn.execute(_SQL["sessions"]):
        part = part_of(application)
        if part is not None:
            found.append(Session(int(pid), part, float(started), bool(active), bool(running)))
    return tuple(found)


def by_part(found: tuple[Session, ...]) -> Mapping[str, tuple[Session, ...]]:
    """Return sessions by part, with an empty tuple for a part that has none."""
    return {part: tuple(s for s in found if s.part == part) for part in PARTS}
