"""Makes the second server of docker-compose.yml a stand-in for Limitless.

`python -m migrator.local.compose` does it once and ends; a second run finds nothing to do. Connection strings come
from the environment, so that no password is in any argument list:

* MIGRATOR_LIMITLESS_ADMIN_DSN  a superuser's
* MIGRATOR_LIMITLESS_DSN        the tool's; its role and database are made, with that password
"""

from __future__ import annotations

import os
import sys

import psycopg
from psycopg import conninfo, sql

from migrator.local import standin

ADMIN = "MIGRATOR_LIMITLESS_ADMIN_DSN"
TOOL = "MIGRATOR_LIMITLESS_DSN"


def prepare(admin_dsn: str, tool_dsn: str, shards: int = 4) -> None:
    """Make the role and the database of *tool_dsn*, and the stand-in in it."""
    wanted = conninfo.conninfo_to_dict(tool_dsn)
    role, database = str(wanted["user"]), str(wanted["dbname"])
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        standin.create_role(conn, role, str(wanted["password"]))
        if conn.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", [database]).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        conn.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (database, role))))
    with psycopg.connect(conninfo.make_conninfo(admin_dsn, dbname=database), autocommit=True) as conn:
        standin.install(conn, role, shards)


def fresh(classic_admin: str, limitless_admin: str, tool_dsn: str, database: str, shards: int = 4) -> tuple[str, str]:
    """Make an empty *database* on both servers, in the place of one of that name; returns the tool's two DSNs.

    Other databases of the servers stay as they are.
    """
    for admin in (classic_admin, limitless_admin):
        with psycopg.connect(admin, autocommit=True) as conn:
            name = sql.Identifier(database)
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            if admin == classic_admin:
                conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
    tool = conninfo.make_conninfo(tool_dsn, dbname=database)
    prepare(limitless_admin, tool, shards)
    return conninfo.make_conninfo(classic_admin, dbname=database), tool


def main() -> None:
    """Prepare what the environment names; an error is one line and holds no value."""
    absent = [name for name in (ADMIN, TOOL) if not os.environ.get(name)]
    if absent:
        sys.exit(f"not set: {', '.join(absent)}")
    try:
        prepare(os.environ[ADMIN], os.environ[TOOL])
    except psycopg.Error as error:
        why = error.diag.message_primary or str(error).strip().splitlines()[0]
        sys.exit(f"the stand-in for Limitless could not be prepared: {why}")
    print("the second server stands in for Limitless")


if __name__ == "__main__":
    main()
