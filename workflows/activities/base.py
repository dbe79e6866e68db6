"""The base of all activities: the plan, connections, a heartbeat, and a way to stop in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator import settings
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, PlanMismatch, UsageError
from migrator.log_events import tell
from migrator.plan.schema import Plan

P = ParamSpec("P")
T = TypeVar("T")
Connection = psycopg.Connection[Any]

BEAT_S = 1.0
APP = "migrator worker"

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Context:
    """What a worker serves. Connection strings are resolved each time they are needed and kept nowhere.

    `plan` is replaced by another version of it while activities run (fit.py): one that goes on for long reads it anew.
    """

    plan: Plan

    def serves(self, plan: str) -> None:
        """Refuse work for another plan: queues are named after plans, so this is a mix-up of workers."""
        if plan != self.plan.name:
            raise PlanMismatch(f"this worker serves plan {self.plan.name}, not {plan}")

    def classic_dsn(self) -> str:
        return settings.resolve(self.plan.classic.writer)

    def limitless_dsn(self) -> str:
        return settings.resolve(self.plan.limitless.dsn)

    def replica_dsn(self) -> str | None:
        """Return where validation reads classic's rows in the writer's place; None: on the writer."""
        if not self.plan.validation.replica_reads:
            return None
        try:
            return settings.resolve_last(self.plan.classic.readers)
        except (UsageError, ClusterUnavailable) as error:  # of this worker: the writer can do what the replica would
            log.warning("replica.unknown", reader=self.plan.classic.readers[-1], reason=str(error))
            return None

    def open_classic(self, lock_timeout_s: float | None = 10) -> Connection:
        """Return a new connection to classic; waiting for a lock is bounded, so that no queue forms behind it."""
        return connect(self.classic_dsn(), APP, lock_timeout_s=lock_timeout_s, side="classic")

    def open_limitless(self, lock_timeout_s: float | None = 10) -> Connection:
        return connect(self.limitless_dsn(), APP, lock_timeout_s=lock_timeout_s, side="Limitless")

    async def on_classic(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run *fn* with a connection to classic in a thread; for statements that end in seconds."""

        def run() -> T:
            with closing(self.open_classic()) as conn:
                return fn(conn, *args, **kw)

        return await asyncio.to_thread(run)

    async def on_limitless(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run *fn* with a connection to limitless in a thread."""

        def run() -> T:
            with closing(self.open_limitless()) as conn:
                return fn(conn, *args, **kw)

        return await asyncio.to_thread(run)

    async def on_both(
        self, fn: Callable[Concatenate[Connection, Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run *fn* with connections to classic and limitless in a thread."""

        def run() -> T:
            with closing(self.open_classic()) as classic, closing(self.open_limitless()) as limitless:
                return fn(classic, limitless, *args, **kw)

        return await asyncio.to_thread(run)


async def beating(work: Coroutine[Any, Any, T], detail: Callable[[], Any] | None = None) -> T:
    """Run *work* with a heartbeat every second; hand over at once when this worker is told to stop.

    A worker that stops cancels the work and reports a failure that is retried after a millisecond, so another
    worker goes on without waiting for a timeout.
    """
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
    try:
        while not task.done():
            activity.heartbeat(*([detail()] if detail else []))
            await asyncio.wait({task, stopping}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not task.done():
                await _cancelled(task)
                raise ApplicationError(
                    "this worker is stopping", type="WorkerDraining", next_retry_delay=timedelta(milliseconds=1)
                )
        return task.result()
    finally:
        stopping.cancel()
        if not task.done():
            await _cancelled(task)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and task.exception() is not None:
        tell("work.cancelled", error=type(task.exception()).__name__)


def first_detail(default: T) -> T:
    """Return what the last attempt of this activity left in its heartbeat, else *default*."""
    details = activity.info().heartbeat_details
    return details[0] if details else default
