"""Reads the facts of the decommission gate."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control import tenant
from migrator.control.breaker import fallback_reasons
from migrator.control.partition import partition_lags
from migrator.control.process import processes
from migrator.control.route import switch
from migrator.control.tenant_hold import holds
from migrator.dataplane.capture import watch
from migrator.decommission.gate import DecommissionFacts
from migrator.decommission.write_stop import prepared
from migrator.inventory.look import look

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
    now = switch(conn)
    worst = max(partition_lags(conn), key=lambda partition: partition.lag_s, default=None)
    return DecommissionFacts(
        write_mode=now.write_mode,
        switch=now.level,
        window_over=window_over,
        window=window,
        not_limitless=tuple(tenant.not_on_limitless(conn)),
        unmirrored=tuple(tenant.unmirrored(conn)),
        stale=tuple(tenant.stale(conn, max_age_s)),
        divergent=tuple(tenant.divergent(conn)),
        fallbacks=tuple(fallback_reasons(conn)),
        worst_lag_s=worst.lag_s if worst else None,
        max_lag_s=max_lag_s,
        max_age_s=max_age_s,
        unconfirmed=tuple(process.label for process in processes(conn) if process.live and process.behind),
        held=tuple(held.tenant_id for held in holds(conn, with_rows=True)),
        prepared=tuple(prepared(conn)),
        inventory=tuple(difference.blocker for difference in look(conn, limitless)),
        capture=tuple(watch.problems(conn)),
        problem=f"partition {worst.part}: {worst.problem}" if worst and worst.problem else "",
    )
