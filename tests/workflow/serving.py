"""A worker for tests: every queue of one plan, served by given activities; a way to start, and bounded waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Worker

from workflows import names
from workflows.breaker import BreakerWorkflow, RollbackWorkflow
from workflows.failures import Failures
from workflows.worker import CONTROL_WORKFLOWS, INCIDENT_WORKFLOWS, runner, served


@asynccontextmanager
async def serving(
    client: Client, plan: str, activities: list[Callable[..., Any]], *more: Interceptor
) -> AsyncIterator[None]:
    """Serve all queues of *plan* with *activities*, behind *more* interceptors."""
    workflows = {names.Queue.CONTROL: CONTROL_WORKFLOWS, names.Queue.INCIDENT: INCIDENT_WORKFLOWS}
    started = [
        Worker(
            client,
            task_queue=names.queue(plan, queue),
            activities=activities,
            workflows=workflows.get(queue, ()),
            interceptors=[Failures(), *more],
            workflow_runner=runner(),
        )
        for queue in names.Queue
    ]
    async with served(started):
        yield


async def begun(env: WorkflowEnvironment, plan: str, run: Any, argument: Any, name: str) -> WorkflowHandle[Any, Any]:
    """Start a workflow of *plan* on the queue where it belongs; time passes as on any clock meanwhile."""
    queue = names.Queue.INCIDENT if run in (BreakerWorkflow.run, RollbackWorkflow.run) else names.Queue.CONTROL
    with env.with_time_skipping_disabled():
        return await env.client.start_workflow(run, argument, id=f"{name}/{plan}", task_queue=names.queue(plan, queue))
