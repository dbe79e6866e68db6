"""Refuses activities when this worker's plan or version is not the one on classic.

It loaded its plan when it began, and takes another version of it up when classic says so (`migrator plan apply`). An
activity of a worker whose plan is neither the one on classic nor an earlier version of it would act on tables, waves or
limits that are not in force, so it is refused and tried again elsewhere: by a worker that was restarted. The same goes
for the tool's own tables: on those of another version it does nothing until they are upgraded, or it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from migrator import __version__
from migrator.control import workers
from migrator.control.install import installed_version, version_problem
from migrator.control.plan import Following, following
from migrator.control.workers import Loaded
from migrator.errors import MigratorError
from migrator.plan.load import digest, dump, from_body, shim_settings
from migrator.plan.schema import Plan
from workflows.activities.base import Connection, Context

ALWAYS = frozenset({"roll_back", "decommission_reopen", "note", "record_incident", "mirror_failed"})
"""Activities that use no value of the plan, and must never wait for a worker to be restarted."""

ASKED_AGAIN_S = 1.0
"""Classic's answer is kept for so many seconds: activities may follow each other closely."""

FOLLOWED_S = 2.0
"""A worker looks this often whether the plan has another version, for the sake of activities that go on for long."""

ELSEWHERE = timedelta(seconds=3)

log = structlog.get_logger(__name__)


def loaded(plan: Plan) -> Loaded:
    """Return a worker's knowledge of *plan*."""
    return Loaded(plan.name, digest(plan), __version__, shim_settings(plan))


def taken_up(own: Plan, found: Following) -> Plan | None:
    """Return the other version of its plan that a worker with *own* goes on with; None when there is none. Pure.

    Raises:
        PlanInvalid: the stored plan follows rules of another version of the tool.
    """
    if found.plan_id != own.name or found.body == dump(own) or digest(own) not in (found.digest, *found.earlier):
        return None
    return from_body(found.body)


def _on_classic(conn: Connection) -> tuple[Following | None, int | None]:
    """Return the plan that should run, and the version of the tool's own tables."""
    version = installed_version(conn)
    return None if version is None or version_problem(version, "classic") else following(conn), version


class Fit(Interceptor):
    """Has a worker take up what classic holds, and refuses its activities when it runs another plan."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.asked_at = -ASKED_AGAIN_S
        self.wanted: str | None = None
        self.schema: int | None = None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Fit(super().intercept_activity(next), self)

    async def look(self) -> None:
        """Ask classic, and take another version of the plan up.

        An unreachable classic is left to the activity.
        """
        if time.monotonic() - self.asked_at < ASKED_AGAIN_S:
            return
        with suppress(MigratorError, psycopg.Error):
            found, self.schema = await self.context.on_classic(_on_classic)
            own = self.context.plan
            self.wanted = found.digest if found and found.plan_id == own.name else None
            self.asked_at = time.monotonic()
            if found and (new := taken_up(own, found)):
                self.context.plan = new
                log.info("worker.plan_taken_up", plan=new.name, before=digest(own)[:12], digest=digest(new)[:12])

    async def check(self) -> None:
        """Raise when classic holds another plan or version."""
        await self.look()
        if problem := version_problem(self.schema, "classic"):
            raise ApplicationError(f"{problem}. {problem.hint}", type="WorkerOutdated", next_retry_delay=ELSEWHERE)
        own = digest(self.context.plan)
        if self.wanted is not None and self.wanted != own:
            raise ApplicationError(
                f"this worker runs plan digest {own[:12]}, classic has {self.wanted[:12]}: restart it with the "
                "plan that was started",
                type="WorkerOutdated",
                next_retry_delay=ELSEWHERE,
            )


class _Fit(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fit: Fit) -> None:
        super().__init__(next)
        self.fit = fit

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if activity.info().activity_type not in ALWAYS:
            await self.fit.check()
        return await super().execute_activity(input)


def worker_name() -> str:
    """Return a name that no other process has, nor a later one with the same process id."""
    return f"{socket.gethostname()}:{os.getpid()}/{uuid.uuid4().hex[:6]}"


async def keep_known(
    context: Context, queues: list[str], on_plan: Callable[[Plan], Awaitable[None]] | None = None
) -> None:
    """Follow the plan on classic and say there what this worker runs, until cancelled; then take it off the list.

    Args:
        on_plan: makes true outside classic what the plan says; called with the first one and with each that is taken
            up, again until it succeeds.
    """
    name, fit = worker_name(), Fit(context)
    told: Plan | None = None
    made: Plan | None = None
    beat_at = time.monotonic()
    try:
        while True:
            await fit.look()
            plan = context.plan
            if plan != told or time.monotonic() >= beat_at:
                try:
                    await context.on_classic(workers.beat, name, loaded(plan), queues)
                    told, beat_at = plan, time.monotonic() + workers.HEARTBEAT_S
                except (MigratorError, psycopg.Error) as error:  # the next heartbeat may find it
                    log.debug("worker.not_noted", error=type(error).__name__)
            if on_plan is not None and plan != made:
                try:
                    await on_plan(plan)
                    made = plan
                except (MigratorError, RPCError) as error:
                    log.warning("worker.plan_not_in_force", error=type(error).__name__)
            await asyncio.sleep(FOLLOWED_S)
    finally:
        with suppress(MigratorError, psycopg.Error):
            _leave(context, name)


def _leave(context: Context, name: str) -> None:
    """Short and in this thread: the process is about to end."""
    with closing(context.open_classic(lock_timeout_s=2)) as conn:
        workers.leave(conn, name)
