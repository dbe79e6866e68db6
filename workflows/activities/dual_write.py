"""Phase 3: capture, mirrors, copies."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator.control.copy_unit import mark_unit_failed, retry_failed_units
from migrator.control.pace import current_pace
from migrator.control.throttle import start_rate
from migrator.dataplane.backfill.copy import Progress, copy_unit
from migrator.dataplane.backfill.links import LinkPool
from migrator.dataplane.backfill.plan import next_units, plan_all, take_inventory
from migrator.dataplane.backfill.throttle import allowed
from migrator.dataplane.backfill.throttle import throttled as _throttled
from migrator.dataplane.capture.install import install
from migrator.dataplane.mirror import position
from migrator.dataplane.mirror.failure import note_failure
from migrator.dataplane.mirror.options import CycleStats, MirrorOptions, options_of
from migrator.dataplane.mirror.run import run_partition
from migrator.db.connect import connect_async
from migrator.model.route import FallbackScope
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.poll import until_async
from migrator.privileges.require import require
from migrator.provision.tables import tables_in_force
from migrator.traffic.route.fallback import fall_back, fall_back_tenants
from workflows.activities.base import APP, Connection, Context, beating
from workflows.failures import failure
from workflows.messages import CopyInput, DualWriteShape, MirrorInput, MirrorTrouble, PlanInput, Units, UnitsInput

__all__ = ["DualWriteActivities", "_next_units", "_throttled"]

LIMITS_LOOK_S = 1.0
"""How often a mirror looks whether the plan gives it other limits."""


class DualWriteActivities:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.links = LinkPool()

    @activity.defn(name="shape")
    async def shape(self, inp: PlanInput) -> DualWriteShape:
        self.context.serves(inp.plan)
        return DualWriteShape(
            parts=self.context.plan.dual_write.parts, concurrency=self.context.plan.backfill.concurrency
        )

    @activity.defn(name="capture_on")
    async def capture_on(self, inp: PlanInput) -> DualWriteShape:
        """Install capture, first positions, the list of tenants and copy units. Each step finds what exists."""
        self.context.serves(inp.plan)
        await beating(self._capture_on())
        return await self.shape(inp)

    async def _capture_on(self) -> None:
        plan = self.context.plan
        await asyncio.to_thread(self._install)
        async with (
            await connect_async(self.context.classic_dsn(), APP, side="classic") as classic,
            await connect_async(self.context.limitless_dsn(), APP, side="Limitless") as limitless,
        ):
            await position.initialise(classic, limitless, plan.dual_write.parts)
        await self.context.on_classic(take_inventory, plan.dual_write.parts, plan.waves.hot_ratio)
        await self.context.on_classic(plan_all, plan)

    def _install(self) -> None:
        plan = self.context.plan
        with closing(self.context.open_classic()) as classic:
            require(classic, Side.CLASSIC, plan.tables)
            tables = tables_in_force(classic, plan.tables)
            install(classic, tables, plan.dual_write.parts, plan.dual_write.ring_slots)
            start_rate(classic, plan.backfill.mb_per_s)

    @activity.defn(name="mirror")
    async def mirror(self, inp: MirrorInput) -> None:
        """Mirror one partition until cancelled. The heartbeat carries the position, visible in Temporal."""
        self.context.serves(inp.plan)
        last: dict[str, str | float] = {}

        def on_cycle(stats: CycleStats) -> None:
            last.update(snapshot=stats.snapshot, lag_s=round(stats.lag_s, 3), rows=stats.rows)

        async def bring_back(scope: FallbackScope, key: str, reason: str) -> None:
            timeout_s = self.context.plan.shim.staleness_s * 2 + 1
            await self.context.on_classic(fall_back, scope, key, by="mirror", reason=reason, timeout_s=timeout_s)

        async def bring_back_tenants(reasons: Mapping[str, str]) -> None:
            timeout_s = self.context.plan.shim.staleness_s * 2 + 1
            named = {TenantId(tenant): reason for tenant, reason in reasons.items()}
            await self.context.on_classic(fall_back_tenants, named, by="mirror", timeout_s=timeout_s)

        def tuned(limits: MirrorOptions) -> MirrorOptions:
            return replace(
                limits,
                fall_back=lambda _, reason: bring_back(FallbackScope.PART, str(inp.part), reason),
                for_tenants=bring_back_tenants,
                on_cycle=on_cycle,
            )

        await beating(self._mirror(inp.part, tuned), lambda: dict(last))

    async def _mirror(self, part: int, tuned: Callable[[MirrorOptions], MirrorOptions]) -> None:
        """Mirror by the plan's limits; begin again, in this process, when others are in force."""
        while True:
            limits = options_of(self.context.plan)
            running = asyncio.create_task(
                run_partition(self.context.classic_dsn(), self.context.limitless_dsn(), part, tuned(limits))
            )
            try:
                while not running.done() and options_of(self.context.plan) == limits:
                    await asyncio.wait({running}, timeout=LIMITS_LOOK_S)
                if running.done():
                    return running.result()
            finally:
                running.cancel()
                await asyncio.wait({running})

    @activity.defn(name="mirror_failed")
    async def mirror_failed(self, trouble: MirrorTrouble) -> None:
        """Show a mirror that failed for good; it is started again periodically, and at `resume`."""
        await self.context.on_classic(note_failure, trouble.part, trouble.error, trouble.message)

    @activity.defn(name="next_units")
    async def next_units(self, inp: UnitsInput) -> Units:
        """Return units to copy, waiting for sign-ups when there are none."""
        self.context.serves(inp.plan)

        async def look() -> Units:
            return await self.context.on_classic(_next_units, self.context.plan, inp)

        found = await beating(until_async(look, inp.wait_s, every_s=1.0, done=lambda units: units.units))
        return found if found.units else Units(concurrency=found.concurrency)

    @activity.defn(name="copy_unit")
    async def copy_unit(self, inp: CopyInput) -> None:
        """Copy one unit when the throttle allows it."""
        self.context.serves(inp.plan)
        last: dict[str, str | int] = {}

        def on_progress(progress: Progress) -> None:
            last.update(table=progress.table, rows=progress.rows, bytes=progress.bytes)

        await beating(self._copy_unit(inp.unit, on_progress), lambda: dict(last))

    async def _copy_unit(self, unit: str, on_progress: Callable[[Progress], None]) -> None:
        async def free() -> bool:
            return await self.context.on_classic(_throttled, self.context.plan) is None

        if not await until_async(free, 600, every_s=1.0):
            raise ApplicationError("the copy is throttled", type="Throttled", next_retry_delay=timedelta(seconds=1))
        worker = f"{socket.gethostname()}:{os.getpid()}/{activity.info().activity_id}"
        try:
            await copy_unit(
                self.context.classic_dsn(),
                self.context.limitless_dsn(),
                unit,
                worker,
                on_progress,
                self.links,
            )
        except Exception as error:
            seen = error if isinstance(error, ApplicationError) else failure(error)
            if seen.non_retryable:
                await self.context.on_classic(mark_unit_failed, unit, seen.message)
            raise

    @activity.defn(name="retry_failed")
    async def retry_failed(self, inp: PlanInput) -> None:
        self.context.serves(inp.plan)
        await self.context.on_classic(retry_failed_units)


def _next_units(conn: Connection, plan: Plan, inp: UnitsInput) -> Units:
    """The plan, and both sides, may allow more or fewer copies at once than when the workflow's window was made."""
    concurrency = allowed(plan.backfill.concurrency, current_pace(conn).share)
    units = next_units(conn, plan, inp.running)
    limit = max(0, min(inp.limit, concurrency - len(inp.running)))
    return Units(units=tuple(units[:limit]), pending=len(units), concurrency=concurrency)
