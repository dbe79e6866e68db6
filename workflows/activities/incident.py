"""Rollback, and the monitor that watches all processes' breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import psycopg
from temporalio import activity

from migrator.control import sealing, upkeep
from migrator.control.compact import compact
from migrator.control.tables import captured_tables
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.log_events import tell
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.provision.rights import added_columns
from migrator.rights.follow import Followed, follow
from migrator.rights.follow import changed as rights_changed
from migrator.rights.read import mark
from migrator.traffic.breaker.monitor import pass_once, settings_of
from migrator.traffic.cutover import breach
from migrator.traffic.cutover.wave import slo_limits
from migrator.traffic.incident.rollback import RollbackResult, roll_back
from workflows.activities.base import Connection, Context, beating
from workflows.activities.validation import ValidationActivities
from workflows.messages import PlanInput, RollbackInput

TICK_S = 1.0
SLO_S = 5.0
ADD_UP_S = 10.0
PRUNE_S = 600.0
MORE_S = 0.1
SEAL_S = 5.0
"""How long a decision may stay outside the hash chain of the log."""
ANCHOR_S = 60.0
RIGHTS_S = 5.0
"""How often classic is asked whether its rights may have changed. A REVOKE reaches Limitless in about this time."""
REFUSED_S = 60.0
"""How long until a change of rights that Limitless refused is tried again."""
DIVERGENT_S = 60.0
"""Divergent rows need a person: comparing them every second would find the same rows, an incident each time."""
CONFIRM_S = 10.0
"""A rollback waits this long for processes; those that did not answer read classic by themselves soon after."""


class IncidentActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="roll_back")
    async def roll_back(self, inp: RollbackInput) -> RollbackResult:
        self.context.serves(inp.plan)
        return await self.context.on_classic(
            roll_back,
            all=inp.all,
            wave=inp.wave,
            tenants=[TenantId(t) for t in inp.tenants],
            who=inp.who,
            reason=inp.reason,
            timeout_s=CONFIRM_S,
        )

    @activity.defn(name="watch_breakers")
    async def watch_breakers(self, inp: PlanInput) -> None:
        """Run the monitor once a second until cancelled; beside it add up the processes' samples."""
        self.context.serves(inp.plan)
        await beating(self._watch_and_keep())

    async def _watch_and_keep(self) -> None:
        """The monitor must not wait for sums, so the upkeep runs beside it and ends with it."""
        keeping = asyncio.create_task(self._keep())
        try:
            await self._watch()
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _keep(self) -> None:
        """Add samples up, judge them, delete old ones; keep small tables small."""
        await asyncio.gather(
            self._again("slo", SLO_S, lambda conn: _judge_slo(conn, self.context.plan)),
            self._again("add_up", ADD_UP_S, upkeep.add_up),
            self._again("prune", PRUNE_S, upkeep.prune),
            self._again("compact", PRUNE_S, compact),
            self._again("seal", SEAL_S, sealing.seal_step),
            self._again("seal_all", PRUNE_S, sealing.seal_missed),
            self._anchor(),
            self._follow_rights(),
        )

    async def _anchor(self) -> None:
        """Write the head of the decision log's chain down on Limitless, where classic's rights do not reach."""
        told = ""
        while True:
            try:
                lost = await self.context.on_both(sealing.anchor)
                if lost is not None and lost.hash != told:
                    tell("log.altered", seal=lost.seq, anchor=lost.hash)
                told = lost.hash if lost is not None else ""
            except (MigratorError, psycopg.Error) as error:
                tell("upkeep.failed", job="anchor", error=type(error).__name__)
            await asyncio.sleep(ANCHOR_S)

    async def _follow_rights(self) -> None:
        """Bring Limitless what changes in classic's rights: a REVOKE must not stay open there."""
        settled = ""  # the mark of classic's catalog under which nothing was left to do
        while True:
            pause_s = RIGHTS_S
            try:
                schemas = self.context.plan.tables.schemas
                now = await self.context.on_classic(mark, schemas)
                if now != settled:
                    refused = await self._rights_followed(schemas)
                    settled = "" if refused else now
                    pause_s = REFUSED_S if refused else RIGHTS_S  # a blocker of every gate by now
            except (MigratorError, psycopg.Error) as error:
                tell("rights.follow_failed", error=type(error).__name__)
            await asyncio.sleep(pause_s)

    async def _rights_followed(self, schemas: Sequence[str]) -> bool:
        """Return whether Limitless refused something."""
        if not await self.context.on_classic(rights_changed, schemas):
            return False
        result = await self.context.on_both(follow_rights, self.context.plan)
        if result.refused:  # what was done is in the decision log, and told from there
            tell("rights.refused", count=len(result.refused), lines=list(result.refused[:10]))
        return bool(result.refused)

    async def _again(self, name: str, pause_s: float, job: Callable[[Connection], bool]) -> None:
        """Run *job* until cancelled, with a pause unless it says that there is more. Failures are retried later."""
        while True:
            more = False
            try:
                more = await self.context.on_classic(job)
            except (MigratorError, psycopg.Error) as error:
                tell("upkeep.failed", job=name, error=type(error).__name__)
            await asyncio.sleep(MORE_S if more else pause_s)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        again_at = loop.time()
        while True:
            settings = settings_of(self.context.plan)
            result = await self.context.on_classic(pass_once, self.context.limitless_dsn(), settings, datetime.now(UTC))
            if result.to_validate and loop.time() >= again_at:
                tenants = [t for t in result.to_validate if t is not None]
                shared = len(tenants) < len(result.to_validate)
                try:
                    report = await ValidationActivities(self.context).compare(tenants, "breaker", reference=shared)
                    again_at = loop.time() + (DIVERGENT_S if report.divergent_rows else 0)
                except (ClusterUnavailable, psycopg.Error) as error:
                    # Limitless is unhealthy again; the next pass finds and reports that.
                    tell("breaker.validation_failed", error=type(error).__name__)
            await asyncio.sleep(TICK_S)


def follow_rights(classic: Connection, limitless: Connection, plan: Plan) -> Followed:
    """Bring Limitless what changed in classic's rights since they were last compared."""
    columns = added_columns(list(captured_tables(classic).values()))
    return follow(classic, limitless, plan.tables.schemas, plan.gates.acknowledged, tenant_columns=columns)


def _judge_slo(conn: Connection, plan: Plan) -> bool:
    breach.pass_once(conn, slo_limits(plan), plan.stabilization.slo_patience_s)
    return False
