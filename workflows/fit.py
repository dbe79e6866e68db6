"""Refuses activities when this worker's plan or version is not the one on classic.

It loaded its plan when it began. An activity of a worker whose plan is not the one on classic would act on tables,
waves or limits that are not in force, so it is refused and tried again elsewhere: by a worker that was restarted. The
same goes for the tool's own tables: on those of another version it does nothing until they are upgraded, or it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from migrator import __version__
from migrator.control import workers
from migrator.control.install import installed_version, version_problem
from migrator.control.workers import Loaded
from migrator.errors import MigratorError
from migrator.plan.load import digest, shim_settings
from migrator.plan.schema import Plan
from workflows.activities.base import Connection, Context

ALWAYS = frozenset({"roll_back", "decommission_reopen", "note", "record_incident", "mirror_failed"})
"""Activities that use no value of the plan, and must never wait for a worker to be restarted."""

ASKED_AGAIN_S = 1.0
"""Classic's answer is kept for so many seconds: activities may follow each other closely."""

ELSEWHERE = timedelta(seconds=3)

log = structlog.get_logger(__name__)


def loaded(plan: Plan) -> Loaded:
    """Return a worker's knowledge of *plan*."""
    return Loaded(plan.name, digest(plan), __version__, shim_settings(plan))


def _on_classic(conn: Connection) -> tuple[Loaded | None, int | None]:
    """Return the plan that should run, and the version of the tool's own tables."""
    return workers.stored(conn), installed_version(conn)


class Fit(Interceptor):
    """Refuses activities of a worker that runs another plan than classic holds."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.digest = digest(context.plan)
        self.asked_at = -ASKED_AGAIN_S
        self.wanted: str | None = None
        self.schema: int | None = None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Fit(super().intercept_activity(next), self)

    async def check(self) -> None:
        """Raise when classic holds another plan or version.

        An unreachable classic is left to the activity.
        """
        if time.monotonic() - self.asked_at >= ASKED_AGAIN_S:
            with suppress(MigratorError, psycopg.Error):
                found, self.schema = await self.context.on_classic(_on_classic)
                self.wanted = found.digest if found and found.plan_id == self.context.plan.name else None
                self.asked_at = time.monotonic()
        if problem := version_problem(self.schema, "classic"):
            raise ApplicationError(f"{problem}. {problem.hint}", type="WorkerOutdated", next_retry_delay=ELSEWHERE)
        if self.wanted is not None and self.wanted != self.digest:
            raise ApplicationError(
                f"this worker runs plan digest {self.digest[:12]}, classic has {self.wanted[:12]}: restart it with the "
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


async def keep_known(context: Context, queues: list[str]) -> None:
    """Record on classic every few seconds what this worker runs, until cancelled; then remove the row."""
    name, knows = worker_name(), loaded(context.plan)
    try:
        while True:
            try:
                await context.on_classic(workers.beat, name, knows, queues)
            except (MigratorError, psycopg.Error) as error:  # the next heartbeat may reach it
                log.debug("worker.not_noted", error=type(error).__name__)
            await asyncio.sleep(workers.HEARTBEAT_S)
    finally:
        with suppress(MigratorError, psycopg.Error):
            _leave(context, name)


def _leave(context: Context, name: str) -> None:
    """Short and in this thread: the process is about to end."""
    with closing(context.open_classic(lock_timeout_s=2)) as conn:
        workers.leave(conn, name)
