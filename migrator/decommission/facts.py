"""What does the decommission gate see on classic?"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.capture import watch
from migrator.decommission.close import prepared
from migrator.decommission.gate import DecommissionFacts
from migrator.inventory.look import look
from migrator.model.route import Level, WriteMode

Connection = psycopg.Connection[Any]


def gather(
    conn: Connection,
    window_over: bool,
    window: str,
    max_lag_s: float,
    max_age_s: float,
    limitless: Connection | None = None,
) -> DecommissionFacts:
    """Read everything the gate wants to know on classic; with *limitless*, look there too."""
    switch = conn.execute("SELECT write_mode, level FROM migrator.switch").fetchone()
    assert switch is not None  # inserted by the control schema, never deleted
    lag = conn.execute(
        "SELECT lag_s, coalesce('partition ' || part || ': ' || problem, '') FROM migrator.partition_status"
        " ORDER BY lag_s DESC LIMIT 1"
    ).fetchone()
    return DecommissionFacts(
        write_mode=WriteMode(switch[0]),
        switch=Level(switch[1]),
        window_over=window_over,
        window=window,
        not_limitless=_names(
            conn,
            # A sign-up that waits for its wave is no reason to wait: it is mirrored and validated like the others.
            "SELECT tenant_id FROM migrator.tenant t WHERE state = 'mirrored' AND wave IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = t.tenant_id)"
            " AND NOT EXISTS (SELECT"
            " FROM migrator.route r WHERE r.tenant_id = t.tenant_id AND r.level = 'limitless' AND r.reads_pct = 100)"
            " ORDER BY tenant_id",
        ),
        unmirrored=_names(conn, "SELECT tenant_id FROM migrator.tenant WHERE state <> 'mirrored' ORDER BY tenant_id"),
        stale=_names(
            conn,
            "SELECT tenant_id FROM (SELECT tenant_id, clean_at FROM migrator.gate_fact WHERE state = 'mirrored'"
            " UNION ALL SELECT '(reference tables)', clean_at FROM migrator.reference_fact) f WHERE clean_at IS NULL"
            " OR clean_at < clock_timestamp() - make_interval(secs => %s) ORDER BY tenant_id",
            max_age_s,
        ),
        divergent=_names(
            conn,
            "SELECT tenant_id FROM migrator.tenant WHERE divergent > 0"
            " UNION ALL SELECT '(reference tables)' FROM migrator.reference_fact WHERE divergent > 0 ORDER BY 1",
        ),
        fallbacks=_names(conn, "SELECT reason FROM migrator.fallback ORDER BY scope, scope_key"),
        worst_lag_s=float(lag[0]) if lag else None,
        max_lag_s=max_lag_s,
        max_age_s=max_age_s,
        unconfirmed=_names(
            conn,
            "SELECT label FROM migrator.process_status WHERE live AND behind > 0 ORDER BY 1",
        ),
        held=_names(conn, "SELECT tenant_id FROM migrator.tenant_hold ORDER BY tenant_id"),
        prepared=tuple(prepared(conn)),
        inventory=tuple(difference.blocker for difference in look(conn, limitless)),
        capture=tuple(watch.problems(conn)),
        problem=lag[1] if lag else "",
    )


def _names(conn: Connection, statement: str, *values: float) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in conn.execute(statement.encode(), values))
