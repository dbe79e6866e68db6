"""Tracks whether there may be orphan rows: a new parent may then have children that no entry names.

An enforced foreign key rules them out, unless it was bypassed: rows loaded with session_replication_role = replica,
or written so while capture is on; a trigger of the application that keeps a cascade from doing its work. Until all rows
have been checked, and always after a key was bypassed while capture is on, every new parent counts as moved: the
mirror looks for its children.

Two sequences say so, because every capture trigger reads them: that takes no query, and what was noted is not taken
back when its transaction fails. `migrator.orphans` is 1 until a key is bypassed, and then grows;
`migrator.orphans_checked` is 0 until a check of all rows found none, and then 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.dataplane.capture import names
from migrator.dataplane.capture.keys_sql import linked
from migrator.model.table import Table

MAY_EXIST = sql.SQL(
    "pg_catalog.int8ne(pg_catalog.pg_sequence_last_value('migrator.orphans'),"
    " pg_catalog.pg_sequence_last_value('migrator.orphans_checked'))"
)
"""Condition for the capture triggers."""

NOTE = sql.SQL("PERFORM pg_catalog.nextval('migrator.orphans')")
"""Statement for the capture triggers: a key was bypassed."""

IN_REPLICA = sql.SQL("pg_catalog.current_setting('session_replication_role') = 'replica'")
"""Condition for the capture triggers: this session checks no foreign key."""

_CHECKED = "SELECT pg_sequence_last_value('migrator.orphans_checked') = 1"

_WATCHED = """
SELECT count(*) FROM unnest(%s::text[]) AS t (name)
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g
                    WHERE g.tgrelid = to_regclass(t.name) AND g.tgname = 'migrator_capture_insert')
"""


def look(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> bool:
    """Return whether there are rows whose parent is missing, as far as foreign keys should prevent it.

    Reads every derived table once, by its link, until none was found; afterwards the triggers watch. Only while all
    *tables* are captured: what is written past the triggers would not be noticed.
    """
    row = conn.execute(_CHECKED).fetchone()
    if row and row[0]:
        return False
    enforced = [t for t in tables if t.path and t.path[0].enforced]
    captured = [names.table_identifier(t.qualified).as_string(conn) for t in tables]
    unwatched = conn.execute(_WATCHED, (captured,)).fetchone()
    if unwatched is None or unwatched[0]:
        return True
    for table in enforced:
        found = conn.execute(sql.SQL("SELECT EXISTS ({})").format(_orphans(table))).fetchone()
        if found is None or found[0]:
            return True
    conn.execute("SELECT migrator_set FROM setval('migrator.orphans_checked', 1) AS migrator_set")
    return False


def _orphans(table: Table) -> sql.Composed:
    hop = table.path[0]
    return sql.SQL("SELECT FROM {} AS c WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})").format(
        names.table_identifier(table.qualified),
        sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("c", c)) for c in hop.columns),
        names.table_identifier(hop.parent),
        linked("p", hop, "c"),
    )


def forget(conn: psycopg.Connection[Any]) -> None:
    """Not checked: capture is off, and no trigger watches."""
    conn.execute(
        "SELECT FROM setval('migrator.orphans', 1) AS migrator_set,"
        " setval('migrator.orphans_checked', 0) AS migrator_set_too"
    )
