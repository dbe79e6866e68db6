"""Checks that a tenant, wave, partition or table exists, for every command, webhook and activity that takes a name.

A tenant is known when it has a row in migrator.tenant or migrator.route, or is held, and also when one of the
application's tables has a row of it: one that signed up a minute ago. Tables are asked by the tenant
column, those with an index on it first, for `PATIENCE_S` in all; what is not determined by then is unsure, not unknown.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.install import installed_version
from migrator.control.tables import captured_tables
from migrator.control.tenant import waves
from migrator.db.named import load
from migrator.errors import UsageError
from migrator.model.near import unknown
from migrator.model.table import Table

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "known.sql")

PATIENCE_S = 1.0
"""How long the application's tables are asked in all; an operator in an incident cannot wait longer."""

_NEAR_AT_MOST = 2_000

_UNSURE = (
    psycopg.errors.QueryCanceled,  # the time is up
    psycopg.errors.LockNotAvailable,  # a session changes the table now
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
            met = {str(tenant) for (tenant,) in conn.execute(_SQL["met"], {"wanted": wanted})}
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
    """Refuse tenants that do not exist; return those of which that could not be determined in time.

    Raises:
        UsageError: naming every unknown tenant, with what is near.
    """
    looked_up = look_up(conn, tenants)
    if looked_up.absent:
        raise UsageError(
            unknown("tenant", looked_up.absent, _similar(conn, looked_up.absent)),
            hint="A tenant is named as its column prints it; nothing was changed.",
        )
    return looked_up.unsure


def have_rows(conn: Connection, tenants: Sequence[str]) -> dict[str, bool | None]:
    """Return whether a table of the application has a row of each of *tenants* now; None: not determined in time."""
    wanted = list(dict.fromkeys(tenants))
    deadline = time.monotonic() + PATIENCE_S
    try:
        with _bounded(conn, deadline):
            sources = list(_sources(conn))
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        return dict.fromkeys(wanted)
    return {tenant: _in_tables(conn, tenant, sources, deadline) for tenant in wanted}


def absent_tenants(conn: Connection, tables: Sequence[Table], named: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return one line for each tenant that the plan names, by key, and that is none; before capture from *tables*."""
    names = list(dict.fromkeys(name for given in named.values() for name in given))
    if installed_version(conn) is not None:
        absent: Sequence[str] = look_up(conn, names).absent
    else:
        absent = in_no_table(conn, tables, names)
    return tuple(
        f"{key}: there is no tenant {name!r}, as its column prints it"
        for key, given in named.items()
        for name in given
        if name in absent
    )


def in_no_table(conn: Connection, tables: Sequence[Table], tenants: Sequence[str]) -> list[str]:
    """Return those of *tenants* of which no table has a row; not those of which that was not determined in time."""
    deadline, sources = time.monotonic() + PATIENCE_S, _with_tenant(tables)
    return [name for name in tenants if _in_tables(conn, name, sources, deadline) is False]


def nothing_begun(conn: Connection) -> bool:
    """Return whether no tenant can have been moved yet: nothing is captured, there is no tenant and no route."""
    with conn.transaction():
        row = conn.execute(_SQL["nothing_begun"]).fetchone()
    return bool(row and row[0])


def check_wave(conn: Connection, wave: int) -> None:
    """Refuse a wave that was never chosen.

    Raises:
        UsageError: naming the waves there are.
    """
    with conn.transaction():
        known = waves(conn)
    if wave not in known:
        there = f"waves so far: {', '.join(map(str, known))}" if known else "no wave has begun yet"
        raise UsageError(f"there is no wave {wave}; {there}", hint="All tenants at once: migrator rollback --all.")


def check_part(conn: Connection, part: int) -> None:
    """Refuse a mirror partition that does not exist.

    Raises:
        UsageError: naming the partitions there are.
    """
    known = [str(number) for (number,) in conn.execute(_SQL["parts"])]
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
        conn.execute(_SQL["bound"], {"left": left})
        yield


@dataclass(frozen=True, slots=True)
class _Source:
    """A table of the application with a tenant column of its own."""

    schema: str
    name: str
    column: str
    type: str


def _with_tenant(tables: Iterable[Table]) -> list[_Source]:
    return [
        _Source(t.schema, t.name, t.tenant_source or "", t.tenant_type) for t in tables if t.sharded and not t.derived
    ]


def _sources(conn: Connection) -> Iterator[_Source]:
    """Yield the tables to ask: captured ones, before capture those that the stored plan would shard; indexed first."""
    sources = _with_tenant(captured_tables(conn).values())
    if not sources:
        sources = [_Source(*row) for row in conn.execute(_SQL["tables_of_plan"])]
    indexed = {tuple(row) for row in conn.execute(_SQL["indexed"], {"schemas": list({s.schema for s in sources})})}
    yield from sorted(sources, key=lambda s: ((s.schema, s.name, s.column) not in indexed, s.schema, s.name))


def _in_tables(conn: Connection, tenant: str, sources: Sequence[_Source], deadline: float) -> bool | None:
    """Return whether a table has a row of *tenant*; None when that could not be determined in time."""
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
            continue  # not a value of the column's type, so no tenant's name
        except _UNSURE:
            sure = False
    return False if sure else None


def _similar(conn: Connection, given: Sequence[str]) -> list[str]:
    """Return known tenants that may be meant: a bounded number, those that begin alike first."""
    prefixes = [name[:1].lower() for name in given]
    rows = conn.execute(_SQL["similar"], {"prefixes": prefixes, "limit": _NEAR_AT_MOST})
    return [str(tenant) for (tenant,) in rows]
