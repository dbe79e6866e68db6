"""Rollback, and the monitor that watches all processes' breakers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
from temporalio import activity

from migrator.breaker.monitor import MonitorSettings, tick
from migrator.errors import ClusterUnavailable
from migrator.incident.rollback import roll_back
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from workflows.activities.base import Connection, Context, beating
from workflows.activities.validation import ValidationActivities
from workflows.messages import PlanInput, RollbackInput, RollbackOutcome

TICK_S = 1.0
DIVERGENT_S = 60.0
"""Rows that differ wait for a person: comparing them every second would say the same, an incident each time."""
CONFIRM_S = 10.0
"""A rollback waits this long for processes; those that did not answer read classic by themselves soon after."""


class IncidentActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="roll_back")
    async def roll_back(self, inp: RollbackInput) -> RollbackOutcome:
        self.context.serves(inp.plan)
        return await self.context.on_classic(_roll_back, inp)

    @activity.defn(name="watch_breakers")
    async def watch_breakers(self, inp: PlanInput) -> None:
        """Look once a second at what processes report, for ever."""
        self.context.serves(inp.plan)
        await beating(self._watch())

    async def _watch(self) -> None:
        settings = monitor_settings(self.context.plan)
        loop = asyncio.get_running_loop()
        again_at = loop.time()
        while True:
            found = await self.context.on_classic(tick, self.context.limitless_dsn(), settings, datetime.now(UTC))
            if found.to_validate and loop.time() >= again_at:
                tenants = [t for t in found.to_validate if t is not None]
                shared = len(tenants) < len(found.to_validate)
                try:
                    report = await ValidationActivities(self.context).compare(tenants, "breaker", reference=shared)
                    again_at = loop.time() + (DIVERGENT_S if report.divergent_rows else 0)
                except (ClusterUnavailable, psycopg.Error) as error:
                    # Limitless fell ill again; the next look finds that out and says so.
                    activity.logger.info("breaker.validation_failed: %s", type(error).__name__)
            await asyncio.sleep(TICK_S)


def monitor_settings(plan: Plan) -> MonitorSettings:
    return MonitorSettings(
        open_s=plan.breaker.open_s,
        quorum=plan.breaker.quorum,
        validate_before_close=plan.breaker.validate_before_close,
        fresh_s=max(1.5, plan.shim.max_lag_s / 2),
    )


def _roll_back(conn: Connection, inp: RollbackInput) -> RollbackOutcome:
    return roll_back(
        conn,
        all=inp.all,
        wave=inp.wave,
        tenants=[TenantId(t) for t in inp.tenants],
        who=inp.who,
        reason=inp.reason,
        timeout_s=CONFIRM_S,
    )
