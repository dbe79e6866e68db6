"""What waits in the journal, for whom, and since when; and who keeps it from being emptied?

Entries are counted in the journal itself, against the positions as published. A journal larger than `SAMPLED_BYTES` is
sampled: an operator who looks because it grows must not wait for all of it to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.capture.names import journal
from migrator.control.install import active_plan

SAMPLED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartWaiting:
    """What one mirror partition has not applied yet.

    Attributes:
        entries: journal entries; a key without a tenant waits for every partition of tenants.
        oldest_s: the oldest of them is at most this old (the age of the position); 0 without entries.
        bytes: of the journal, by the share of entries; they are freed when a whole slot is passed.
    """

    part: int
    entries: int
    oldest_s: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The journal: `bytes` on disk with its indexes, `entries` applied or not, the plan's limit, and who waits.

    `estimated`: entries are estimates from a sample.
    """

    bytes: int
    entries: int
    limit_bytes: int
    estimated: bool
    parts: tuple[PartWaiting, ...]


_SHAPE = """
SELECT t.table_id,
       (SELECT coalesce(sum(pg_relation_size(s.inhrelid)), 0) FROM pg_inherits s WHERE s.inhparent = j.oid)::bigint,
       (SELECT coalesce(sum(pg_total_relation_size(s.inhrelid)), 0) FROM pg_inherits s
         WHERE s.inhparent = j.oid)::bigint
  FROM migrator.captured_table t
  JOIN pg_class j ON j.oid = to_regclass('migrator.journal_' || t.table_id)
"""

_POSITIONS = """
SELECT part, age_s FROM migrator.partition_status ORDER BY part
"""

# Per table: entries that wait for each partition (NULL: all there are). A key without a tenant waits for each.
_COUNT = """
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
"""


def waiting(conn: psycopg.Connection[Any]) -> Waiting:
    """Return what waits, now; every table is read in its own short statement.

    Raises:
        NotInstalled: no plan was ever started on this cluster.
    """
    limit = float(active_plan(conn).get("dual_write", {}).get("journal_limit_mb", 4096)) * 1e6
    shape = conn.execute(_SHAPE).fetchall()
    ages = {int(part): float(age) for part, age in conn.execute(_POSITIONS)}
    heap = sum(int(size) for _, size, _ in shape)
    share = min(1.0, SAMPLED_BYTES / heap) if heap else 1.0
    sample = sql.SQL("" if share == 1.0 else f"TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)")
    size = conn.execute("SELECT bytes FROM migrator.journal_status").fetchone()
    entries = 0
    counts = dict.fromkeys(ages, 0)
    sizes = dict.fromkeys(ages, 0.0)
    for number, _, whole in shape:
        rows = conn.execute(
            sql.SQL(_COUNT).format(journal=sql.Identifier("migrator", journal(int(number))), sample=sample)
        ).fetchall()
        there = next(int(count) for part, count in rows if part is None)
        entries += there
        for part, count in rows:
            if part is not None:
                counts[part] += count
                sizes[part] += int(whole) * count / max(there, count)  # the ring may be emptied meanwhile
    return Waiting(
        bytes=int(size[0]) if size else 0,
        entries=round(entries / share),
        limit_bytes=int(limit),
        estimated=share < 1.0,
        parts=tuple(
            PartWaiting(part, round(counts[part] / share), ages[part] if counts[part] else 0.0, round(sizes[part]))
            for part in ages
        ),
    )


def holds(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return who keeps the journal from being emptied, and since when."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT holder, keep_xid, at FROM migrator.hold ORDER BY at").fetchall()
