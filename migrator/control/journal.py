"""The journal: its size, its retention pins, what is noted of captured tables, and capture loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.db.named import load

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "journal.sql")

KEPT = sql.SQL("""
SELECT least((SELECT min(pg_snapshot_xmin(snapshot::pg_snapshot)::text::bigint) FROM migrator.position),
             (SELECT min(keep_xid) FROM migrator.hold)),
       (SELECT count(*) FROM migrator.position)
""")
"""Query for (the first transaction whose entries are needed, the number of positions). It takes no parameters."""


async def keep(classic: AsyncConnection, unit: str, lent_xid: int | None, *, shared: bool) -> None:
    """Keep the journal for a copy unit, from this statement's snapshot on, or from *lent_xid* if that is earlier.

    *shared*: an existing retention pin never moves forward, as others may have borrowed the snapshot it was made for.
    """
    await classic.execute(_SQL["keep"], {"holder": unit, "kept": lent_xid, "shared": shared})


async def release(classic: AsyncConnection, units: Sequence[str]) -> None:
    """Remove the retention pins of copy *units*."""
    await classic.execute(_SQL["release"], {"holders": list(units)})


def release_all(classic: Connection) -> None:
    """Remove every hold."""
    classic.execute(_SQL["release_all"])


def holds(classic: Connection) -> list[dict[str, Any]]:
    """Return the retention pins: holder, keep_xid, at."""
    with classic.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["holds"]).fetchall()


def size_bytes(classic: Connection) -> int:
    """Return what the journal takes on disk, with its indexes."""
    row = classic.execute(_SQL["size"]).fetchone()
    return int(row[0]) if row else 0


async def size_bytes_async(classic: AsyncConnection) -> int:
    """As `size_bytes`."""
    row = await (await classic.execute(_SQL["size"])).fetchone()
    return int(row[0]) if row else 0


def sizes(classic: Connection) -> list[tuple[int, int, int]]:
    """Return (table id, bytes of entries, bytes with indexes) of each captured table's journal."""
    return [(int(number), int(heap), int(whole)) for number, heap, whole in classic.execute(_SQL["sizes"])]


def count_waiting(journal: sql.Composable, sample: sql.Composable) -> sql.Composed:
    """Return the query for (partition, entries of *journal* that wait for it), and (NULL, all there are).

    A key without a tenant waits for every partition of tenants. *sample* is a TABLESAMPLE clause, or nothing.
    """
    return sql.SQL("""
WITH p AS MATERIALIZED (
    SELECT part, pg_snapshot_xmax(snapshot::pg_snapshot)::text::bigint AS xmax,
           ARRAY(SELECT x::text::bigint FROM pg_snapshot_xip(snapshot::pg_snapshot) AS x) AS xip
      FROM migrator.position
)
SELECT p.part, count(*) FROM {journal} AS j {sample} JOIN p ON p.part = (j.part & 63)
 WHERE j.part >= 0 AND (j.xid >= p.xmax OR j.xid = ANY (p.xip)) GROUP BY p.part
 UNION ALL
SELECT p.part, count(*) FROM {journal} AS j {sample} JOIN p ON p.part > 0
 WHERE j.part < 0 AND (j.xid >= p.xmax OR j.xid = ANY (p.xip)) GROUP BY p.part
 UNION ALL
SELECT NULL, count(*) FROM {journal} AS j {sample}
""").format(journal=journal, sample=sample)


async def is_lost(classic: AsyncConnection) -> bool:
    """Return whether writes may have passed the journal since everything was copied."""
    row = await (await classic.execute(_SQL["is_lost"])).fetchone()
    return bool(row and row[0])


def note_loss(classic: Connection, problems: Sequence[str], by: str, kind: str) -> None:
    """Record that writes may have passed the journal, once, as an incident of *kind* and a decision."""
    classic.execute(_SQL["note_loss"], {"problems": list(problems), "by": by, "kind": kind})


async def note_loss_async(classic: AsyncConnection, problems: Sequence[str], by: str, kind: str) -> None:
    """As `note_loss`."""
    await classic.execute(_SQL["note_loss"], {"problems": list(problems), "by": by, "kind": kind})


def lost(classic: Connection) -> list[str]:
    """Return why writes may have passed the journal since everything was copied, as it was recorded."""
    row = classic.execute(_SQL["lost"]).fetchone()
    return list(row[0]) if row else []


def explain_loss(classic: Connection, problems: Sequence[str]) -> None:
    """Take *problems* out of the recorded loss: nothing passed the journal by them."""
    classic.execute(_SQL["explain_loss"], {"problems": list(problems)})


def is_explained(classic: Connection) -> bool:
    """Return whether a loss is recorded of which nothing is left."""
    row = classic.execute(_SQL["is_explained"]).fetchone()
    return bool(row and row[0])


def forget_loss(classic: Connection) -> None:
    """Let mirrors go on: everything is to be copied again."""
    classic.execute(_SQL["forget_loss"])


def noted_tables(classic: Connection) -> set[int]:
    """Return the oids of tables and partitions whose shape is noted."""
    return {int(oid) for (oid,) in classic.execute(_SQL["noted_tables"])}


def forget_tables(classic: Connection, oids: Sequence[int]) -> None:
    """Forget the shape of tables or partitions."""
    classic.execute(_SQL["forget_tables"], {"tables": list(oids)})


def forget_dropped(classic: Connection, oids: Sequence[int]) -> None:
    """Forget the shape of dropped tables or partitions, and of what only their columns needed."""
    classic.execute(_SQL["forget_dropped"], {"tables": list(oids)})


def note_table(oid: int) -> sql.Composed:
    """Return the statement that notes a table's capture, or all of a partition that was not known."""
    return sql.SQL(
        "SELECT CASE WHEN EXISTS (SELECT FROM migrator.captured_shape WHERE kind = 'table' AND object = {oid})"
        " THEN migrator.note_facets({oid}, '{{capture}}') ELSE migrator.note_shape(ARRAY[{oid}::oid]) END"
    ).format(oid=sql.Literal(oid))


def note_labels(classic: Connection, enum: str) -> None:
    """Take the values of *enum* (as SQL names it) over into what is noted of it.

    Nothing else of the type is taken over: what changed otherwise stays a difference.
    """
    classic.execute(_SQL["note_labels"], {"type": enum})


def forget_capture(classic: Connection) -> None:
    """Forget every captured table, and all that was noted of them."""
    for table in ("captured_table", "captured_shape", "capture_loss", "dropped_leaf"):
        classic.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("migrator", table)))
