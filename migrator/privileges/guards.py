"""Makes and drops the event triggers that guard captured tables, for a role that may not do so itself too.

PostgreSQL lets only superusers make event triggers, RDS and Aurora the main user of the cluster. An administrator may
lend the tool's role two functions for that (guards.sql); a superuser needs none.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

SCHEMA = "migrator_guards"

Connection = psycopg.Connection[Any]

_LENT = """
SELECT pg_catalog.pg_get_userbyid(p.proowner)::text
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_roles r ON r.rolname = current_user AND NOT r.rolsuper
 WHERE n.nspname = 'migrator_guards' AND p.proname = 'make' AND p.pronargs = 4
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
"""


def script(role: str) -> str:
    """Return what an administrator runs so that *role* may make the tool's event triggers."""
    text = resources.files("migrator.privileges").joinpath("guards.sql").read_text(encoding="utf-8")
    name = sql.Identifier(role).as_string(None)
    return (
        f"{text}GRANT USAGE ON SCHEMA {SCHEMA} TO {name};\n"
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {name};\n"
    )


def make_guard(conn: Connection, name: str, event: str, tag: str, function: str) -> None:
    """Make one event trigger anew, enabled always, in the caller's transaction.

    Args:
        tag: the only command it fires for; '' for all.
        function: in schema migrator.

    Raises:
        psycopg.errors.InsufficientPrivilege: the role may not, and no administrator has lent it the functions.
    """
    lender = _lender(conn)
    if lender is not None:
        # On RDS the main user is no superuser, and looks the function up with its own rights.
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA migrator TO {}").format(sql.Identifier(lender)))
        conn.execute("SELECT migrator_guards.make(%s, %s, %s, %s)", (name, event, tag, function))
        return
    when = sql.SQL(" WHEN TAG IN ({})").format(sql.Literal(tag)) if tag else sql.SQL("")
    conn.execute(sql.SQL("DROP EVENT TRIGGER IF EXISTS {}").format(sql.Identifier(name)))
    conn.execute(
        sql.SQL("CREATE EVENT TRIGGER {} ON {}{} EXECUTE FUNCTION {}()").format(
            sql.Identifier(name), sql.SQL(event), when, sql.Identifier("migrator", function)
        )
    )
    # Also in sessions that switched ordinary triggers off (session_replication_role = replica).
    conn.execute(sql.SQL("ALTER EVENT TRIGGER {} ENABLE ALWAYS").format(sql.Identifier(name)))


def drop_guard(conn: Connection, name: str) -> None:
    """Drop one event trigger where it exists, in the caller's transaction; raises as `make_guard`."""
    if _lender(conn) is not None:
        conn.execute("SELECT migrator_guards.drop(%s)", (name,))
    else:
        conn.execute(sql.SQL("DROP EVENT TRIGGER IF EXISTS {}").format(sql.Identifier(name)))


def may_make(conn: Connection) -> bool:
    """Return whether the session's role may make event triggers, by making one and rolling it back.

    On RDS no catalog tells it: a member of rds_superuser may be refused what the main user of the cluster may do.
    """
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(
                "CREATE FUNCTION pg_temp.migrator_probe() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"
            )
            conn.execute(
                "CREATE EVENT TRIGGER migrator_probe ON ddl_command_start WHEN TAG IN ('CREATE CONVERSION')"
                " EXECUTE FUNCTION pg_temp.migrator_probe()"
            )
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _lender(conn: Connection) -> str | None:
    """Return the administrator whose functions this role uses; None where it needs none, or has none."""
    row = conn.execute(_LENT).fetchone()
    return str(row[0]) if row else None
