"""Reads what was counted since the tool was installed, and what else metrics need beside the status.

Totals are what samples added up to, in the table of totals, and the samples that are not added up yet: each event
counts exactly once at every instant, and a total never shrinks when samples grow old.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.control.samples import each_bucket
from migrator.db.named import load
from migrator.model.measured import COUNTED, SHADOW, SHADOW_UNDECIDED, Measured, Total, WindowTime

_SQL = load("migrator.control", "measured.sql")

_TOTALS = sql.SQL("""
SELECT side, sum(reads)::bigint, sum(errors)::bigint, {summed}
  FROM (SELECT side, reads, errors, buckets FROM migrator.read_total
         UNION ALL
        SELECT side, sum(reads), sum(errors), {summed} FROM migrator.read_sample
         WHERE tenant_id IS NULL GROUP BY side HAVING side ~ {counted}
         UNION ALL
        SELECT {shadow}, sum(compared), sum(mismatched), '{{}}' FROM migrator.shadow_sample HAVING count(*) > 0
         UNION ALL
        SELECT {undecided}, sum(undecided), 0, '{{}}' FROM migrator.shadow_read_sample HAVING sum(undecided) > 0) t
 GROUP BY side
""").format(
    summed=each_bucket(sql.SQL("coalesce(sum(buckets[{}]), 0)").format),
    counted=sql.Literal(COUNTED),
    shadow=sql.Literal(SHADOW),
    undecided=sql.Literal(SHADOW_UNDECIDED),
)


def measured(conn: psycopg.Connection[Any]) -> Measured:
    """Return what is known besides the status, from one snapshot of classic; owns its transaction."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        now = cursor.execute(_SQL["now"]).fetchone()
        assert now is not None
        window = cursor.execute(_SQL["window"]).fetchone()
        return Measured(
            totals=totals(conn),
            **now,
            window=WindowTime(**window) if window else None,
        )


def totals(conn: psycopg.Connection[Any]) -> dict[str, Total]:
    """Return how many reads, errors and writes there were since the tool was installed, by kind; see `Total`."""
    rows = conn.execute(_TOTALS).fetchall()
    return {side: Total(int(reads), int(errors), tuple(map(int, buckets))) for side, reads, errors, buckets in rows}
