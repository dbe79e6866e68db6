"""Chooses the sampled tenants after the waves: those that processes report one by one, besides the hot ones.

All of them while they are few; of many, `AT_ONCE` after the other: each reported tenant is a row of every process that
reads it, each second.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import sql

from migrator.model.tenant import TenantId

AT_ONCE = 100
"""Tenants reported at once, and a few that stay because they are over a limit."""

_MONITOR = 0x6D696777  # "migw": an advisory lock on classic

_AFTER = sql.SQL("""
WITH ended AS (
    -- A number comes again when its whole wave was deferred or dual write was undone, and decisions stay.
    SELECT subject FROM migrator.decision WHERE kind IN ('wave.chosen', 'wave.finished')
     GROUP BY subject
    HAVING max(id) FILTER (WHERE kind = 'wave.finished') > coalesce(max(id) FILTER (WHERE kind = 'wave.chosen'), 0)
), after AS (
    SELECT t.tenant_id, t.hot, r.watched, r.level = 'limitless' AND r.reads_pct = 100 AS there
      FROM migrator.tenant t
      JOIN migrator.route r USING (tenant_id)
      JOIN ended ON ended.subject = 'wave-' || t.wave
)
""")
"""Tenants whose wave is over, and whether all their reads are on Limitless."""

_DIFFERENT = sql.SQL("""
{after}, numbered AS (
    SELECT *, row_number() OVER (PARTITION BY there ORDER BY tenant_id) - 1 AS n,
           count(*) OVER (PARTITION BY there) AS total
      FROM after WHERE NOT hot
), wanted AS (
    SELECT tenant_id, watched,
           there AND (n / %(room)s = %(turn)s %% ((total + %(room)s - 1) / %(room)s)
                      OR tenant_id = ANY (%(keep)s)) AS due
      FROM numbered
)
SELECT tenant_id, due FROM wanted WHERE watched <> due ORDER BY tenant_id
""").format(after=_AFTER)

_WATCHED = sql.SQL("{after} SELECT tenant_id FROM after WHERE watched AND there ORDER BY tenant_id").format(
    after=_AFTER
)


def lock_sampling(conn: psycopg.Connection[Any]) -> bool:
    """Lock the choice of sampled tenants until the caller's transaction ends; False when another monitor has the
    lock."""
    row = conn.execute(
        "SELECT migrator_lock FROM pg_try_advisory_xact_lock(%s) AS migrator_lock", (_MONITOR,)
    ).fetchone()
    return bool(row and row[0])


def changes(
    conn: psycopg.Connection[Any], turn: int, keep: Collection[TenantId], room: int = AT_ONCE
) -> tuple[list[TenantId], list[TenantId]]:
    """Return the tenants to sample from now on, and those to sample no more.

    Args:
        turn: counts up; every tenant's comes as soon as all before have had theirs.
        keep: tenants that stay sampled, whose turn it may be or not.
    """
    rows = conn.execute(_DIFFERENT, {"turn": turn, "keep": list(keep), "room": room}).fetchall()
    return [TenantId(t) for t, due in rows if due], [TenantId(t) for t, due in rows if not due]


def watched_after_their_wave(conn: psycopg.Connection[Any]) -> list[TenantId]:
    """Return tenants that processes report one by one although their wave is over: no guard looks at them any more."""
    return [TenantId(tenant) for (tenant,) in conn.execute(_WATCHED)]
