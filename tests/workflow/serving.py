"""A worker for tests: every queue of one plan, served by given activities, and a deadline on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from workflows import names
from workflows.failures import Failures
from workflows.worker import CONTROL_WORKFLOWS, INCIDENT_WORKFLOWS, runner


@asynccontextmanager
async def serving(client: Client, plan: str, activities: list[Callable[..., Any]]) -> AsyncIterator[None]:
    """Serve all queues of *plan* with *activities*."""
    async with AsyncExitStack() as stack:
        for queue in names.Queue:
            workflows = {names.Queue.CONTROL: CONTROL_WORKFLOWS, names.Queue.INCIDENT: INCIDENT_WORKFLOWS}
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=names.queue(plan, queue),
                    activities=activities,
                    workflows=workflows.get(queue, ()),
                    interceptors=[Failures()],
                    workflow_runner=runner(),
                )
            )
        yield


async def eventually(look: Callable[[], Awaitable[Any]], within_s: float = 20.0) -> Any:
    """Return the first true answer of *look*; fail when there is none in time."""
    async with asyncio.timeout(within_s):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.02)
