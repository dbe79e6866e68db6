"""Phase 3: capture, mirrors, copies."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator.backfill.copy import Progress, copy_unit
from migrator.backfill.links import LinkPool
from migrator.backfill.plan import plan_units, take_inventory
from migrator.backfill.throttle import Limits, Load, why_hold
from migrator.capture.install import install
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.throttle import start_rate
from migrator.db.connect import connect_async
from migrator.mirror import position
from migrator.mirror.options import CycleStats, MirrorOptions
from migrator.mirror.run import run_partition
from migrator.model.phase import Phase
from migrator.model.route import FallbackScope
from migrator.plan.schema import Plan
from migrator.provision.tables import tables_in_force
from migrator.route.confirm import wait_confirmed
from migrator.route.fallback import raise_fallback
from workflows.activities.base import APP, Connection, Context, beating, until
from workflows.failures import failure
from workflows.messages import CopyInput, DualWriteShape, MirrorInput, MirrorTrouble, PlanInput, Units, UnitsInput


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
        """Capture on, first positions, inventory of tenants, copy units. Every step finds what is there already."""
        self.context.serves(inp.plan)
        await beating(self._capture_on())
        return await self.shape(inp)

    async def _capture_on(self) -> None:
        plan = self.context.plan
        await asyncio.to_thread(self._install)
        async with (
            await connect_async(self.context.classic_dsn(), APP) as classic,
            await connect_async(self.context.limitless_dsn(), APP) as limitless,
        ):
            await position.initialise(classic, limitless, plan.dual_write.parts)
        await self.context.on_classic(take_inventory, plan.dual_write.parts, plan.waves.hot_ratio)
        await self.context.on_classic(_plan_units, plan)

    def _install(self) -> None:
        plan = self.context.plan
        with closing(self.context.open_classic()) as classic:
            tables = tables_in_force(classic, plan.tables)
            install(classic, tables, plan.dual_write.parts, plan.dual_write.ring_slots)
            start_rate(classic, plan.backfill.mb_per_s)

    @activity.defn(name="mirror")
    async def mirror(self, inp: MirrorInput) -> None:
        """Mirror one partition until cancelled. The heartbeat carries the position, for whoever looks at it."""
        self.context.serves(inp.plan)
        last: dict[str, str | float] = {}

        def on_cycle(stats: CycleStats) -> None:
            last.update(snapshot=stats.snapshot, lag_s=round(stats.lag_s, 3), rows=stats.rows)

        async def fall_back(_: str, reason: str) -> None:
            await self.context.on_classic(_fall_back, FallbackScope.PART, str(inp.part), reason, self.context.plan)

        async def for_tenant(tenant: str, reason: str) -> None:
            await self.context.on_classic(_fall_back, FallbackScope.TENANT, tenant, reason, self.context.plan)

        options = replace(_options(self.context.plan), fall_back=fall_back, for_tenant=for_tenant, on_cycle=on_cycle)
        await beating(
            run_partition(self.context.classic_dsn(), self.context.limitless_dsn(), inp.part, options),
            lambda: dict(last),
        )

    @activity.defn(name="mirror_failed")
    async def mirror_failed(self, trouble: MirrorTrouble) -> None:
        """Show a mirror that no retry heals; it is started again anyway, and when somebody says resume."""
        await self.context.on_classic(_mirror_failed, trouble)

    @activity.defn(name="next_units")
    async def next_units(self, inp: UnitsInput) -> Units:
        """Return units to copy, waiting for sign-ups when there are none."""
        self.context.serves(inp.plan)

        async def look() -> Units | None:
            found = await self.context.on_classic(_next_units, self.context.plan, inp)
            return found if found.units else None

        return await beating(until(look, every_s=1.0, for_s=inp.wait_s)) or Units()

    @activity.defn(name="copy_unit")
    async def copy_unit(self, inp: CopyInput) -> None:
        """Copy one unit when the throttle allows it."""
        self.context.serves(inp.plan)
        last: dict[str, str | int] = {}

        def on_progress(progress: Progress) -> None:
            last.update(table=progress.table, rows=progress.rows, bytes=progress.bytes)

        await beating(self._copy_unit(inp.unit, on_progress), lambda: dict(last))

    async def _copy_unit(self, unit: str, on_progress: Callable[[Progress], None]) -> None:
        async def free() -> bool | None:
            return True if await self.context.on_classic(_throttled, self.context.plan) is None else None

        if await until(free, every_s=1.0, for_s=600) is None:
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
                await self.context.on_classic(_copy_failed, unit, seen.message)
            raise

    @activity.defn(name="retry_failed")
    async def retry_failed(self, inp: PlanInput) -> None:
        self.context.serves(inp.plan)
        await self.context.on_classic(_retry_failed)


def _options(plan: Plan) -> MirrorOptions:
    section = plan.dual_write
    return MirrorOptions(
        batch_rows=section.batch_rows,
        poll_min_s=section.poll_min_ms / 1000,
        poll_max_s=section.poll_max_ms / 1000,
        fence_wait_s=plan.validation.fence_wait_ms / 1000,
        ring_turn_s=section.ring_turn_s,
        journal_limit_mb=section.journal_limit_mb,
    )


def _fall_back(conn: Connection, scope: FallbackScope, key: str, reason: str, plan: Plan) -> None:
    epoch = raise_fallback(conn, scope, key, by="mirror", reason=reason)
    wait_confirmed(conn, epoch, timeout_s=plan.shim.staleness_s * 2 + 1)


def _mirror_failed(conn: Connection, trouble: MirrorTrouble) -> None:
    with conn.transaction():
        decide(conn, "mirror", "mirror.failed", f"partition {trouble.part}", f"{trouble.error}: {trouble.message}")
        conn.execute(
            "UPDATE migrator.position SET state = 'failed', problem = %s WHERE part = %s",
            (trouble.message, trouble.part),
        )
        row = conn.execute("SELECT state FROM migrator.phase WHERE phase = %s", (Phase.DUAL_WRITE.value,)).fetchone()
        if row and row[0] == "running":
            set_phase(
                conn,
                Phase.DUAL_WRITE.value,
                "blocked",
                f"mirror partition {trouble.part} stopped",
                [trouble.message],
                "mend it; it is started again by itself, or at once with: migrator resume",
            )


def _plan_units(conn: Connection, plan: Plan) -> list[str]:
    section = plan.backfill
    return plan_units(conn, section.unit_rows, section.unit_tenants, section.split_rows, section.concurrency)


def _next_units(conn: Connection, plan: Plan, inp: UnitsInput) -> Units:
    if _throttled(conn, plan) is not None:
        return Units()
    running = set(inp.running)
    failed = {str(u) for (u,) in conn.execute("SELECT unit_id FROM migrator.copy_unit WHERE state = 'failed'")}
    units = [u for u in _plan_units(conn, plan) if u not in running and u not in failed]
    return Units(units=tuple(units[: inp.limit]), pending=len(units))


def _throttled(conn: Connection, plan: Plan) -> str | None:
    """Return why no new copy may start now, and show it in status."""
    row = conn.execute("SELECT paused, changed_by, reason FROM migrator.throttle").fetchone()
    load = conn.execute(
        "SELECT coalesce((SELECT max(lag_s) FROM migrator.partition_status), 0),"
        " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'),"
        " (SELECT mb FROM migrator.journal_status)"
    ).fetchone()
    if row is None or load is None:
        return None
    held = why_hold(
        Load(row[0], row[1], float(load[0]), int(load[1]), float(load[2])),
        Limits(plan.backfill.max_lag_s, plan.backfill.max_active_sessions, plan.dual_write.journal_limit_mb),
    )
    if (held or "") != row[2] and not row[0]:
        conn.execute("UPDATE migrator.throttle SET reason = %s WHERE NOT paused", (held or "",))
    return held


def _copy_failed(conn: Connection, unit: str, problem: str) -> None:
    conn.execute(
        "UPDATE migrator.copy_unit SET state = 'failed', problem = %s WHERE unit_id = %s AND state <> 'joined'",
        (problem, unit),
    )


def _retry_failed(conn: Connection) -> None:
    conn.execute("UPDATE migrator.copy_unit SET state = 'pending' WHERE state = 'failed'")
