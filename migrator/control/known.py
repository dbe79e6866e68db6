"""Is there such a tenant, wave, partition or table? Every command, webhook and activity that takes a name asks here.

A tenant is known when the tool has met it (migrator.tenant), has routed it (migrator.route) or holds it, and also when
one of the application's tables has a row of it: somebody who signed up a minute ago. Tables are asked by the tenant
column, those with an index on it first, for `PATIENCE_S` in all; what is not found out by then is unsure, not unknown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.tables import captured_tables
from migrator.errors import UsageError
from migrator.model.near import unknown

Connection = psycopg.Connection[Any]

PATIENCE_S = 1.0
"""How long the application's tables are asked in all; an operator at 3 a.m. waits for nothing longer than that."""

_NEAR_AT_MOST = 2_000

_UNSURE = (
    psycopg.errors.QueryCanceled,  # the time is up
    psycopg.errors.LockNotAvailable,  # somebody changes the table now
    psycopg.errors.InsufficientPrivilege,  # a table the tool may not read, or not all rows of
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known about the names given. `unsure`: the look-up did not end in time, so they may exist."""

    known: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def look_up(conn: Connection, tenants: Sequence[str]) -> Found:
    """Return which of *tenants* exist. Reads only; *conn* is in autocommit mode."""
    wanted = list(dict.fromkeys(tenants))
    deadline = time.monotonic() + PATIENCE_S
    try:
        with _bounded(conn, deadline):
            rows = conn.execute(
                "SELECT u.id FROM unnest(%s::text[]) AS u (id)"
                " WHERE EXISTS (SELECT FROM migrator.tenant t WHERE t.tenant_id = u.id)"
                " OR EXISTS (SELECT FROM migrator.route r WHERE r.tenant_id = u.id)"
                " OR EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = u.id)",
                (wanted,),
            ).fetchall()
            met = {str(tenant) for (tenant,) in rows}
            rest = [t for t in wanted if t not in met]
            sources = list(_sources(conn)) if rest else []
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return Found((), tuple(wanted))
    answers = {t: _in_tables(conn, t, sources, deadline) for t in rest}
    return Found(
        known=tuple(t for t in wanted if t in met or answers.get(t) is True),
        unsure=tuple(t for t in rest if answers[t] is None),
        absent=tuple(t for t in rest if answers[t] is False),
    )


def check_tenants(conn: Connection, tenants: Sequence[str]) -> tuple[str, ...]:
    """Refuse tenants that do not exist; return those of which that could not be found out in time.

    Raises:
        UsageError: naming every unknown tenant, with what is near.
    """
    found = look_up(conn, tenants)
    if found.absent:
        raise UsageError(
            unknown("tenant", found.absent, _similar(conn, found.absent)),
            hint="A tenant is named as its column prints it; nothing was changed.",
        )
    return found.unsure


def nothing_begun(conn: Connection) -> bool:
    """Return whether nobody can have been moved yet: nothing is captured, no tenant was met, no route was made."""
    with conn.transaction():
        row = conn.execute(
            "SELECT write_mode = 'classic_only' AND NOT EXISTS (SELECT FROM migrator.captured_table)"
            " AND NOT EXISTS (SELECT FROM migrator.tenant) AND NOT EXISTS (SELECT FROM migrator.route)"
            " FROM migrator.switch"
        ).fetchone()
    return bool(row and row[0])


def check_wave(conn: Connection, wave: int) -> None:
    """Refuse a wave that was never chosen.

    Raises:
        UsageError: naming the waves there are.
    """
    with conn.transaction():
        rows = conn.execute(
            "SELECT wave FROM migrator.tenant WHERE wave IS NOT NULL UNION SELECT wave FROM migrator.route"
            " WHERE wave IS NOT NULL UNION SELECT wave FROM migrator.tenant_hold WHERE wave IS NOT NULL ORDER BY 1"
        ).fetchall()
    known = [int(number) for (number,) in rows]
    if wave not in known:
        there = f"waves so far: {', '.join(map(str, known))}" if known else "no wave has begun yet"
        raise UsageError(f"there is no wave {wave}; {there}", hint="Everybody at once: migrator rollback --all.")


def check_part(conn: Connection, part: int) -> None:
    """Refuse a mirror partition that does not exist.

    Raises:
        UsageError: naming the partitions there are.
    """
    known = [str(number) for (number,) in conn.execute("SELECT part FROM migrator.position ORDER BY part")]
    if str(part) not in known:
        there = f"there are: {', '.join(known)}" if known else "there are none before dual write begins"
        raise UsageError(f"there is no mirror partition {part}; {there}", hint="See them with: migrator mirror status.")


def check_tables(conn: Connection, tables: Sequence[str]) -> None:
    """Refuse tables that are not captured.

    Raises:
        UsageError: naming what is near.
    """
    known = [t.qualified for t in captured_tables(conn).values()]
    wrong = [t for t in tables if t not in known]
    if wrong:
        raise UsageError(unknown("captured table", wrong, known), hint="Tables are named schema.table.")


@contextmanager
def _bounded(conn: Connection, deadline: float) -> Iterator[None]:
    """Open a transaction whose statements end at *deadline* (monotonic), waiting for locks included."""
    with conn.transaction():
        left = f"{max(1, round((deadline - time.monotonic()) * 1000))}ms"
        conn.execute(
            "SELECT set_config('statement_timeout', %(left)s, true), set_config('lock_timeout', %(left)s, true),"
            " set_config('row_security', 'off', true)",  # a row that a policy hides must be an error
            {"left": left},
        )
        yield


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of the application with a tenant column of its own."""

    schema: str
    name: str
    column: str
    type: str


def _sources(conn: Connection) -> Iterator[_Source]:
    """Yield the tables to ask: captured ones, before capture those that the stored plan would shard; indexed first."""
    found = [
        _Source(t.schema, t.name, t.tenant_source or "", t.tenant_type)
        for t in captured_tables(conn).values()
        if t.sharded and not t.derived
    ]
    if not found:
        rows = conn.execute(
            """
            SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
              FROM migrator.plan p
              JOIN pg_namespace n ON p.body -> 'tables' -> 'schemas' ? n.nspname::text
              JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.attname = p.body -> 'tables' ->> 'tenant_key'
            """
        )
        found = [_Source(*row) for row in rows]
    first = conn.execute(
        "SELECT DISTINCT n.nspname, c.relname, a.attname FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE i.indisvalid AND i.indpred IS NULL AND n.nspname = ANY (%s)",
        (list({s.schema for s in found}),),
    ).fetchall()
    indexed = {tuple(row) for row in first}
    yield from sorted(found, key=lambda s: ((s.schema, s.name, s.column) not in indexed, s.schema, s.name))


def _in_tables(conn: Connection, tenant: str, sources: Sequence[_Source], deadline: float) -> bool | None:
    """Return whether a table has a row of *tenant*; None when that was not found out in time."""
    sure = True
    for source in sources:
        if time.monotonic() >= deadline:
            return None
        query = sql.SQL(
            "SELECT FROM {} AS t WHERE t.{} = %(tenant)s::text::{} AND t.{}::text = %(tenant)s LIMIT 1"
        ).format(
            sql.Identifier(source.schema, source.name),
            sql.Identifier(source.column),
            sql.SQL(source.type),  # as the catalog prints it
            sql.Identifier(source.column),
        )
        try:
            with _bounded(conn, deadline):
                if conn.execute(query, {"tenant": tenant}).fetchone() is not None:
                    return True
        except psycopg.errors.DataError:
            continue  # not a value of the column's type, so nobody's name
        except _UNSURE:
            sure = False
    return False if sure else None


def _similar(conn: Connection, given: Sequence[str]) -> list[str]:
    """Return known tenants that may be meant: a bounded number, those that begin alike first."""
    prefixes = [name[:1].lower() for name in given]
    rows = conn.execute(
        "SELECT tenant_id FROM migrator.tenant ORDER BY lower(left(tenant_id, 1)) <> ALL (%s), tenant_id LIMIT %s",
        (prefixes, _NEAR_AT_MOST),
    )
    return [str(tenant) for (tenant,) in rows]
