"""Shows, pauses and resumes the schedule of continuous validation, for commands.

Synchronous and bounded, like workflows.client. A pause lives in the schedule itself: it survives restarts, and the
migration leaves it as an operator set it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio.client import ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.plan.schema import Plan
from workflows import names
from workflows.connection import connect
from workflows.policies import RPC_S

T = TypeVar("T")


@dataclass(frozen=True)
class ScheduleView:
    """The schedule as Temporal knows it."""

    paused: bool
    note: str
    every_s: float
    running: int
    last_at: datetime | None
    next_at: datetime | None


def show(plan: Plan) -> ScheduleView:
    return _with(plan, _view)


def pause(plan: Plan, who: str, reason: str) -> ScheduleView:
    """Begin no further run; one that is under way ends by itself. Safe to repeat."""

    async def act(handle: ScheduleHandle) -> ScheduleView:
        await handle.pause(note=f"{who}: {reason}", rpc_timeout=timedelta(seconds=RPC_S))
        return await _view(handle)

    return _with(plan, act)


def resume(plan: Plan, who: str, reason: str) -> ScheduleView:
    async def act(handle: ScheduleHandle) -> ScheduleView:
        await handle.unpause(note=f"{who}: {reason}", rpc_timeout=timedelta(seconds=RPC_S))
        return await _view(handle)

    return _with(plan, act)


async def _view(handle: ScheduleHandle) -> ScheduleView:
    described = await handle.describe(rpc_timeout=timedelta(seconds=RPC_S))
    intervals = described.schedule.spec.intervals
    return ScheduleView(
        paused=described.schedule.state.paused,
        note=described.schedule.state.note or "",
        every_s=intervals[0].every.total_seconds() if intervals else 0.0,
        running=len(described.info.running_actions),
        last_at=described.info.recent_actions[-1].started_at if described.info.recent_actions else None,
        next_at=described.info.next_action_times[0] if described.info.next_action_times else None,
    )


def _with(plan: Plan, act: Callable[[ScheduleHandle], Awaitable[T]]) -> T:
    async def run() -> T:
        client = await connect(plan)
        try:
            async with asyncio.timeout(3 * RPC_S):
                return await act(client.get_schedule_handle(names.validate_id(plan.name)))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise PreconditionFailed(
                    "validation has no schedule: it is created when dual write begins, and removed when it ends"
                ) from None
            raise ClusterUnavailable("temporal", f"it answered {error.status.name}") from None
        except TimeoutError:
            raise ClusterUnavailable("temporal", "it did not answer in time") from None

    return asyncio.run(run())
