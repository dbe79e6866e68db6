"""Makes a plain PostgreSQL database a stand-in for Limitless.

A schema `rds_aurora` with the catalog views and conversion procedures of Limitless, tables that are
hash-partitioned when created as sharded, and event triggers that refuse what Limitless refuses (standin.sql,
standin_refusals.sql, standin_cluster.sql). Installed by a superuser; the tool itself works with an ordinary role,
`DBA`, as on Aurora.

Clients reach it through routers (router.py, routers.py), a process that reads the statements on their way:

* It refuses what the table of refusals says (migrator.model.refused), by the parse tree, with Limitless' texts where
  they are known and with SQLSTATE 0A000 (refusals.py), in bodies of functions and DO blocks too; and functions that are
  not immutable in ON CONFLICT DO UPDATE.
* It answers as one router of many (statement.py, answers.py): object identifiers of users' objects differ from
  connection to connection, sizes are those of a router's own disk, tables are foreign tables in pg_class.
* EXPLAIN ends with `Single Shard Optimized` when one slice is left after pruning, or one row is inserted (also one
  whose key a function makes, which Limitless need not mark).
* Errors of rows come from a shard: `failed to execute remote query`, with the cause in DETAIL. The
  SQLSTATE is the cause's; what it is on Limitless is not documented.

* Told to in the connection string, it lacks what no document says that Limitless has (lacks.py).

Sequences hand out chunks: here every connection takes its own, which is harder than one per router.

What Limitless refuses and the stand-in accepts, so that only the audit and the plan's checks find it: text that a
function puts together and gives to EXECUTE; settings given at the start of a connection or as parameters of set_config;
stable operators and casts in DO UPDATE; statements sent straight to a slice. A connection past the routers, as a
superuser's to prepare the database, meets the event triggers alone.

What works on Limitless and not on the stand-in: CREATE INDEX CONCURRENTLY on a sharded table, which is partitioned
there; giving an object identifier back as a parameter on the connection it was read on.
"""

from __future__ import annotations

from importlib import resources

import psycopg
from psycopg import sql

from migrator.model.limits import EXTENSIONS, MAX_SHARDED_NAME, SEQUENCE_CHUNK
from migrator.model.refused import COMMANDS, FUNCTIONS, PUSHDOWN

DBA = "dba"
"""The role the tool and the tests use on a stand-in: it may create, but it is no superuser."""

ROUTERS = 2
"""Number of routers in the catalog; see router.py for how many answer."""

SETTINGS = {
    "limitless_create_table_mode": "standard",
    "limitless_create_table_shard_key": "",
    "limitless_create_table_collocate_with": "",
    "limitless_active_shard_key": "",
    "limitless_explain_options": "single_shard_optimization",
    "limitless_sequence_chunk_size": str(SEQUENCE_CHUNK),
    "limitless_supported_extensions": ",".join(sorted(EXTENSIONS)),
}
"""Defaults, so that SHOW works before the first SET. On plain PostgreSQL these are placeholders that take any value."""

LIMITS = {
    "@supported_extensions@": SETTINGS["limitless_supported_extensions"],
    "@max_sharded_name@": str(MAX_SHARDED_NAME),
    "@refused_commands@": ",".join(sorted(COMMANDS)),
    "@refused_functions@": ",".join(sorted(FUNCTIONS)),
    "@pushdown@": PUSHDOWN.replace("'", "''"),
}
"""Their placeholder in the stand-in's scripts."""


def is_limitless(conn: psycopg.Connection) -> bool:
    """Whether the server is Limitless, or stands in for it."""
    return _exists(conn, "rds_aurora.limitless_subclusters")


def is_standin(conn: psycopg.Connection) -> bool:
    """Whether the server stands in for Limitless, rather than being it."""
    return _exists(conn, "rds_aurora.standin_subcluster")


def _exists(conn: psycopg.Connection, relation: str) -> bool:
    row = conn.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [relation]).fetchone()
    return bool(row and row[0])


def create_role(conn: psycopg.Connection, name: str, password: str) -> None:
    """Create the tool's role, or set its password; *conn* is a superuser's.

    The password is hashed here: a statement can end up in a server's log.
    """
    if conn.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [name]).fetchone() is None:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(sql.Identifier(name)))
        conn.execute(sql.SQL("GRANT pg_monitor, pg_signal_backend TO {}").format(sql.Identifier(name)))
    hashed = conn.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(hashed)))


def install(conn: psycopg.Connection, owner: str, shards: int = 4) -> None:
    """Make the database of *conn* (a superuser's) a stand-in with that many shards; nothing to do the second time.

    *owner* is the role that will work there; it may create schemas and trusted extensions.
    """
    with conn.transaction():
        if is_limitless(conn):
            return
        conn.execute("SET LOCAL search_path = pg_catalog")
        _create_monitoring(conn)
        for name in ("standin.sql", "standin_refusals.sql", "standin_cluster.sql"):
            script = resources.files("migrator.local").joinpath(name).read_text(encoding="utf-8")
            for limit, value in LIMITS.items():
                script = script.replace(limit, value)
            conn.execute(script.encode())
        nodes = [(str(n), "shard" if n <= shards else "router") for n in range(1, shards + ROUTERS + 1)]
        for node in nodes:
            conn.execute("INSERT INTO rds_aurora.standin_subcluster VALUES (%s, %s)", node)
        role, database = sql.Identifier(owner), sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        conn.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {} WITH GRANT OPTION").format(role))
        set_defaults(conn, conn.info.dbname)


def set_defaults(conn: psycopg.Connection, database: str) -> None:
    """Give a database the settings of Limitless; CREATE DATABASE from a stand-in copies everything but these."""
    for name, value in SETTINGS.items():
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(database), sql.Identifier("rds_aurora", name), sql.Literal(value)
            )
        )


def _create_monitoring(conn: psycopg.Connection) -> None:
    """pg_stat_statements needs a superuser on plain PostgreSQL and none on Aurora, so it is there from the start."""
    available = conn.execute("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'pg_stat_statements'")
    if available.fetchone() is not None:
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")
