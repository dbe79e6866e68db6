"""Makes a database of any PostgreSQL server a stand-in for Limitless, and undoes that.

What is installed is what the servers of `migrator local up` have (standin.py). It needs a superuser: event triggers, a
function in pg_catalog, and rights to PostgreSQL's own functions are not an owner's to give. Routers (router.py) are a
process of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.errors import UsageError
from migrator.local import standin
from migrator.model.action import Action
from migrator.model.counted import counted
from migrator.model.near import nearest
from migrator.model.refused import FUNCTIONS

Connection = psycopg.Connection[Any]

OLDEST = 15
"""Oldest major version of PostgreSQL on which the stand-in is tested."""

NEEDS = (
    "event triggers, which refuse DDL and shard tables as they are created",
    "pg_catalog.aurora_limitless_router_endpoints(), a function in the system's schema",
    "REVOKE on PostgreSQL's own functions that Limitless refuses (setval, pg_notify, lo_import, …)",
    "the extension pg_stat_statements",
)
"""What only a superuser may install, and what for."""

DIFFERENCES = (
    "One server holds all shards: no network between them, and no shard that fails by itself.",
    "What only a router refuses passes until routers stand before it, which speak no TLS:"
    " python -m migrator.local.router --listen 6432 --server HOST:PORT",
    "Text that a function puts together for EXECUTE is not judged, nor are settings given when a connection begins.",
    "CREATE INDEX CONCURRENTLY on a sharded table fails here and works on Limitless.",
    "Tables that were there before stay as they are: standard tables, of which nothing was judged.",
    "Times, throughput and cost say nothing about Limitless.",
)
"""What stays different from Limitless, for who relies on the stand-in."""


@dataclass(frozen=True)
class Found:
    """What a database is before anything is done to it.

    Attributes:
        database, role: of the connection that looked.
        superuser: whether that role is one.
        version: major version of the server.
        owner: the role that works there; owner_superuser: whether it is a superuser.
        with_rows: users' tables that hold rows, in order of name.
        shards: how many the stand-in has; None when it is none.
        limitless: it is Limitless itself.
        migration: schema migrator is there, with what a migration keeps.
        taken: names that a stand-in needs and something else has.
        recovering: the server is a standby.
        sharded: tables that the stand-in sharded.
    """

    database: str
    role: str
    superuser: bool
    version: int
    owner: str
    owner_superuser: bool
    with_rows: Sequence[str]
    shards: int | None
    limitless: bool
    migration: bool
    taken: Sequence[str]
    recovering: bool
    sharded: int


def look(conn: Connection, owner: str | None = None) -> Found:
    """Read what the database of *conn* is; *owner* is the role that will work there, else the database's own owner.

    Raises UsageError for a role that does not exist.
    """
    roles = [str(name) for (name,) in conn.execute("SELECT rolname FROM pg_catalog.pg_roles")]
    if owner is not None and owner not in roles:
        near = nearest(owner, roles)
        raise UsageError(
            f"there is no role {owner} on this server" + (f"; did you mean {near}?" if near else ""),
            hint="CREATE ROLE it first, with LOGIN and without SUPERUSER.",
        )
    stands_in, limitless = standin.is_standin(conn), standin.is_limitless(conn)
    with conn.cursor(row_factory=dict_row) as cursor:
        facts = cursor.execute(_script("any_server.sql"), {"owner": owner}).fetchone()
    assert facts is not None
    tables = facts.pop("tables")
    shards = sharded = 0
    if stands_in:
        shards = _count(conn, "SELECT count(*) FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'shard'")
        sharded = _count(conn, "SELECT count(*) FROM rds_aurora.standin_table WHERE table_type = 'sharded'")
    return Found(
        **facts,
        with_rows=[f"{schema}.{name}" for schema, name in tables if _has_rows(conn, schema, name)],
        shards=shards if stands_in else None,
        limitless=limitless and not stands_in,
        sharded=sharded,
    )


def blockers(found: Found, shards: int, confirmed: str | None) -> list[str]:
    """Return every reason why the database may not become a stand-in of *shards* shards; [] when it may, or is one.

    *confirmed* is the name of a database whose rows may be there.
    """
    if found.shards is not None:
        return (
            [] if found.shards == shards else [f"it is a stand-in of {found.shards} shards already: --remove it first"]
        )
    reasons = []
    if found.limitless:
        reasons.append("it is Limitless itself: there is nothing to stand in for")
    if found.recovering:
        reasons.append("the server is a standby: connect to its primary")
    if found.version < OLDEST:
        reasons.append(f"the server is PostgreSQL {found.version}; the stand-in is tested from {OLDEST} on")
    if found.migration:
        reasons.append("schema migrator is there: a side of a migration does not become a stand-in")
    if found.taken and not found.limitless:
        reasons.append(f"these names are taken by something else: {', '.join(found.taken)}")
    if found.with_rows and confirmed != found.database:
        few = ", ".join(found.with_rows[:5]) + (", …" if len(found.with_rows) > 5 else "")
        reasons.append(f"{counted(len(found.with_rows), 'table')} hold rows, as production's do: {few}")
    return reasons + _rights(found)


def removal_blockers(found: Found) -> list[str]:
    """Return every reason why the stand-in may not be removed; [] when it may, or there is none."""
    return [] if found.shards is None else _rights(found)


def _rights(found: Found) -> list[str]:
    if found.superuser:
        return []
    return [f"role {found.role} is no superuser, and only one may make or drop {what}" for what in NEEDS]


def warnings(found: Found) -> list[str]:
    """Return what is true and worth knowing before one relies on it."""
    if found.owner_superuser:
        return [f"Role {found.owner} is a superuser: rights are not tried with it. Name another one with --owner."]
    return []


def actions(found: Found, shards: int) -> list[Action]:
    """Return what makes the database a stand-in; [] when it is one."""
    if found.shards is not None:
        return []
    undo = "migrator local standin DSN --remove"
    where = f"database {found.database}"
    return [
        Action("standin/monitoring", f"Create extension pg_stat_statements in {where}, where the server has it"),
        Action("standin/catalog", f"Create schemas rds_aurora and standin_work in {where}, with {shards} shards", undo),
        Action("standin/refusals", "Create event triggers that refuse what Limitless refuses, and shard tables", undo),
        Action("standin/functions", f"Take from PUBLIC the right to call {', '.join(sorted(FUNCTIONS)[:3])}, …", undo),
        Action("standin/settings", f"Give {where} the settings of Limitless (rds_aurora.*)", undo),
        Action("standin/owner", f"Let {found.owner} create in {where} and in its schema public"),
    ]


def removal(found: Found) -> list[Action]:
    """Return what makes the database an ordinary one again; [] when it is."""
    if found.shards is None:
        return []
    where = f"database {found.database}"
    stay = (
        f"; {counted(found.sharded, 'sharded table')} stay hash-partitioned, with their rows" if found.sharded else ""
    )
    return [
        Action("standin/refusals", "Drop the event triggers"),
        Action("standin/catalog", f"Drop schemas rds_aurora and standin_work in {where}{stay}"),
        Action("standin/sequences", "Give sequences the CACHE they were declared with"),
        Action("standin/functions", "Give PUBLIC back the right to call PostgreSQL's own functions"),
        Action("standin/settings", f"Reset the settings rds_aurora.* of {where}"),
    ]


def make(conn: Connection, found: Found, shards: int) -> None:
    """Make the database a stand-in, in one transaction: all of it or nothing. *conn* is a superuser's."""
    standin.install(conn, found.owner, shards)


def remove(conn: Connection, found: Found) -> None:
    """Make the database an ordinary one again, in one transaction. Roles, rights to create and extensions stay."""
    with conn.transaction():
        if not standin.is_standin(conn):
            return
        conn.execute(_script("any_server_remove.sql").replace(b"@refused_functions@", ",".join(FUNCTIONS).encode()))
        for name in standin.SETTINGS:
            conn.execute(
                sql.SQL("ALTER DATABASE {} RESET {}").format(
                    sql.Identifier(found.database), sql.Identifier("rds_aurora", name)
                )
            )


def _script(name: str) -> bytes:
    return resources.files("migrator.local").joinpath(name).read_bytes()


def _count(conn: Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def _has_rows(conn: Connection, schema: str, name: str) -> bool:
    """Whether the table holds a row, or it cannot be known: a table that may not be read is no empty one."""
    try:
        with conn.transaction():
            query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(schema, name))
            row = conn.execute(query).fetchone()
    except psycopg.Error:
        return True
    return bool(row and row[0])
