"""What makes a plain PostgreSQL database stand in for Limitless?

A schema `rds_aurora` with the catalog views and conversion procedures of Limitless, tables that are
hash-partitioned when created as sharded, and event triggers that refuse what Limitless refuses. Installed by a
superuser; the tool itself works with an ordinary role, `DBA`, as it does on Aurora.
"""

from __future__ import annotations

from importlib import resources

import psycopg
from psycopg import sql

DBA = "dba"
"""The role the tool and the tests use on a stand-in: it may create, but it is no superuser."""


def is_limitless(conn: psycopg.Connection) -> bool:
    """Whether the server is Limitless, or stands in for it."""
    row = conn.execute("SELECT pg_catalog.to_regclass('rds_aurora.limitless_subclusters') IS NOT NULL").fetchone()
    return bool(row and row[0])


def create_role(conn: psycopg.Connection, name: str, password: str) -> None:
    """Create the tool's role, or set its password; *conn* is a superuser's."""
    if conn.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [name]).fetchone() is None:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(sql.Identifier(name)))
        conn.execute(sql.SQL("GRANT pg_monitor, pg_signal_backend TO {}").format(sql.Identifier(name)))
    # psycopg hashes nothing here: the statement reaches a server of ours on loopback, and its log shows no statements.
    conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))


def install(conn: psycopg.Connection, owner: str, shards: int = 4) -> None:
    """Make the database of *conn* (a superuser's) a stand-in with that many shards; nothing to do the second time."""
    with conn.transaction():
        if is_limitless(conn):
            return
        database = conn.info.dbname
        conn.execute("SET LOCAL search_path = pg_catalog")
        conn.execute(resources.files("migrator.local").joinpath("standin.sql").read_bytes())
        for number in range(1, shards + 1):
            conn.execute("INSERT INTO rds_aurora.standin_subcluster VALUES (%s, 'shard')", [str(number)])
        for number in range(shards + 1, shards + 3):
            conn.execute("INSERT INTO rds_aurora.standin_subcluster VALUES (%s, 'router')", [str(number)])
        for statement in ("GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {db} TO {owner}", "GRANT ALL ON SCHEMA public TO {owner}"):
            conn.execute(sql.SQL(statement).format(db=sql.Identifier(database), owner=sql.Identifier(owner)))


def is_standin(conn: psycopg.Connection) -> bool:
    """Whether the server stands in for Limitless, rather than being it."""
    row = conn.execute("SELECT pg_catalog.to_regclass('rds_aurora.standin_subcluster') IS NOT NULL").fetchone()
    return bool(row and row[0])


DEFAULTS = {
    "limitless_create_table_mode": "standard",
    "limitless_create_table_shard_key": "",
    "limitless_create_table_collocate_with": "",
    "limitless_active_shard_key": "",
    "limitless_explain_options": "single_shard_optimization",
    "limitless_sequence_chunk_size": "250000",
}


def set_defaults(conn: psycopg.Connection, database: str, owner: str) -> None:
    """Give a database copied from a stand-in the settings and rights that a copy does not inherit."""
    for name, value in DEFAULTS.items():
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(database), sql.Identifier("rds_aurora", name), sql.Literal(value)
            )
        )
