"""Which tenants do processes report one by one after the waves, besides the hot ones?

All of them while they are few; of many, `AT_ONCE` after the other: each reported tenant is a row of every process that
reads it, each second.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from migrator.model.tenant import TenantId

AT_ONCE = 100
"""Tenants reported at once, and a few that stay because they are over a limit."""

_DIFFERENT = """
WITH after AS (
    SELECT t.tenant_id, r.watched, r.level, row_number() OVER (ORDER BY t.tenant_id) - 1 AS n, count(*) OVER () AS total
      FROM migrator.tenant t
      JOIN migrator.route r USING (tenant_id)
     WHERE NOT t.hot AND 'wave-' || t.wave IN (SELECT subject FROM migrator.decision WHERE kind = 'wave.finished')
), wanted AS (
    SELECT tenant_id, watched,
           level = 'limitless' AND (n / %(room)s = %(turn)s %% ((total + %(room)s - 1) / %(room)s)
                                    OR tenant_id = ANY (%(keep)s)) AS due
      FROM after
)
SELECT tenant_id, due FROM wanted WHERE watched <> due ORDER BY tenant_id
"""


def changes(
    conn: psycopg.Connection[Any], turn: int, keep: Collection[TenantId], room: int = AT_ONCE
) -> tuple[list[TenantId], list[TenantId]]:
    """Return the tenants to watch from now on, and those to watch no more.

    Args:
        turn: counts up; everybody's comes as soon as all before have had theirs.
        keep: tenants that stay watched, whose turn it may be or not.
    """
    rows = conn.execute(_DIFFERENT, {"turn": turn, "keep": list(keep), "room": room}).fetchall()
    return [TenantId(t) for t, due in rows if due], [TenantId(t) for t, due in rows if not due]
