"""Compares capture with what it was built to be, from classic alone."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from migrator.db.named import load
from migrator.model.blocker import Blocker
from migrator.model.capture import Difference

_SQL = load("migrator.control", "watch.sql")

DIFFERENCES = _SQL["differences"]

LOST = sql.SQL("(SELECT problems FROM migrator.capture_loss)")
"""Why the journal cannot be trusted, as it was recorded; NULL: nothing was."""

# Row versions, so that what was disabled and enabled again shows. Reads a few hundred rows; the whole comparison reads
# every column, which is too much for each cycle.
MARK = sql.SQL(
    "(SELECT concat_ws(' ',"
    " (SELECT sum(hashtextextended(concat(t.oid, ' ', t.xmin), 0)) FROM pg_trigger t"
    "   WHERE t.tgname LIKE 'migrator\\_%'),"
    " (SELECT sum(hashtextextended(concat(t.oid, ' ', t.xmin), 0)) FROM pg_event_trigger t),"
    " (SELECT sum(hashtextextended(concat(c.oid, ' ', c.relnamespace, ' ', c.relname), 0)) FROM pg_class c"
    "   WHERE c.oid = ANY (ARRAY(SELECT relid FROM migrator.captured_table))),"
    " (SELECT sum(hashtextextended(concat(e.oid, ' ', e.xmin), 0)) FROM pg_enum e)))"
)
"""Another value than before, in a snapshot: `DIFFERENCES` has to be read."""

# A few milliseconds for some hundred tables, so not for each cycle. What changes a table changes one of these rows.
SHAPE_MARK = sql.SQL(
    "WITH r AS MATERIALIZED (SELECT relid AS oid FROM migrator.captured_table WHERE relid IS NOT NULL)"
    " SELECT concat_ws(' ',"
    " (SELECT sum(hashtextextended(concat(c.oid, ' ', c.xmin), 0)) FROM r JOIN pg_class c ON c.oid = r.oid),"
    " (SELECT sum(hashtextextended(concat(a.attrelid, ' ', a.attnum, ' ', a.xmin), 0))"
    "    FROM r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0),"
    " (SELECT sum(hashtextextended(concat(c.oid, ' ', c.xmin), 0)) FROM r JOIN pg_constraint c ON c.conrelid = r.oid),"
    " (SELECT sum(hashtextextended(concat(i.inhrelid, ' ', i.xmin), 0))"
    "    FROM r JOIN pg_inherits i ON i.inhparent = r.oid))"
)
"""The same of tables themselves: their columns, constraints and partitions."""


def differences(conn: psycopg.Connection[Any]) -> list[Difference]:
    """Return what is not as capture was built for it, in *conn*'s snapshot; nothing while nothing is captured."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_SQL["what_is_there"]).fetchone()
        made, captured = row if row else (False, False)
        if not captured:
            return []
        if not made:
            return [Difference("unguarded", "capture function", "migrator.shape_differences")]
        rows = cursor.execute(DIFFERENCES).fetchall()
    return [Difference(code, kind, name, tuple(facets), oid) for code, kind, name, facets, oid in rows]


def loss(conn: psycopg.Connection[Any]) -> str:
    """Return why writes may have passed the journal since everything was copied; '' when none can have."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_SQL["loss"]).fetchone()
    return str(row[0]) if row else ""


def problems(conn: psycopg.Connection[Any]) -> list[Blocker]:
    """Return every reason why the journal cannot be trusted, in the operator's words."""
    changed = "capture is not as it was installed"
    blocking = [Blocker("capture.changed", d.name, f"{changed}: {d.text}") for d in differences(conn)]
    lost = loss(conn)
    if lost:
        blocking.append(Blocker("capture.lost", "", f"writes may have passed the journal: {lost}"))
    return blocking
