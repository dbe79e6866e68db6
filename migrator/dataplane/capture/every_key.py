"""Journals the key of every row of a captured table, as if each had been written just now.

For rows that came to be, or changed, without a write: a table that is captured with rows in it, an ALTER TABLE.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.control.tables import id_and_slot
from migrator.dataplane.capture.install import members
from migrator.dataplane.capture.names import function, table_identifier
from migrator.model.table import Table

# Leaves alone hold rows; the function journals them as it does for a leaf that is attached.
_LEAVES = "SELECT c.oid::int8 FROM pg_catalog.pg_class c WHERE c.oid = ANY (%s::oid[]) AND c.relkind = 'r' ORDER BY 1"


def journal_every_key(conn: psycopg.Connection[Any], table: Table) -> None:
    """Journal every key of *table*, in the caller's READ COMMITTED transaction, which keeps writers out.

    Raises:
        LookupError: it is not captured.
    """
    found = id_and_slot(conn, table.qualified)
    if found is None:
        raise LookupError(f"{table.qualified} is not captured")
    oids = list(members(conn, table_identifier(table.qualified).as_string(conn)).values())
    leaf = sql.Identifier("migrator", function(found[0], "leaf"))
    leaves = [int(oid) for (oid,) in conn.execute(_LEAVES, (oids,)).fetchall()]
    # One statement, so that the caller's statement_timeout bounds how long writers wait for all of them.
    conn.execute(sql.SQL("SELECT {}(u.oid::regclass) FROM unnest({}::oid[]) u (oid)").format(leaf, leaves))


_CAPTURED_BY = """
SELECT pg_catalog.substring(p.proname, '^capture_(\\d+)_insert$')::int
  FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = %s::oid AND t.tgname = 'migrator_capture_insert' AND t.tgenabled = 'A'
"""


def captured_by(conn: psycopg.Connection[Any], oid: int) -> int:
    """Return the number of the captured table whose journal the writes of relation *oid* go to; -1: of none.

    So that a partition that was detached past the guard is known.
    """
    row = conn.execute(_CAPTURED_BY, (oid,)).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else -1
