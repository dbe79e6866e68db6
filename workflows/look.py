"""Asks Temporal what `migrator doctor` wants to know. It reads, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from migrator.doctor.checks.temporal import Found, Polled, Running
from migrator.errors import ClusterUnavailable, UsageError
from migrator.plan.schema import Plan
from workflows import names
from workflows.connection import connect

T = TypeVar("T")

RPC_S = 3.0

POLLED_S = 120.0
"""A poller waits for a minute in one request, and the server remembers pollers for five."""

WITH_WORKFLOWS = frozenset({names.Queue.CONTROL, names.Queue.INCIDENT})

IDS = (
    names.migration_id, names.audit_id, names.provision_id, names.dual_write_id, names.backfill_id, names.cutover_id,
    names.breaker_id, names.stabilize_id, names.decommission_id,
)  # fmt: skip


class TemporalLook:
    """One server, asked from one thread: with a loop of its own, which `close` ends."""

    def __init__(self, plan: Plan | None) -> None:
        if plan is None:
            raise UsageError("without a plan it is not known where Temporal is")
        self.plan = plan
        self.loop = asyncio.new_event_loop()
        began = time.monotonic()
        try:
            self.client: Client = self._run(connect(plan))
        except BaseException:
            self.loop.close()
            raise
        self.seconds = time.monotonic() - began

    def close(self) -> None:
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self.loop.run_until_complete(work)
        except RPCError as error:
            raise ClusterUnavailable("temporal", f"it answered {error.status.name.lower()}") from None

    def found(self) -> Found:
        return self._run(self._found())

    async def _found(self) -> Found:
        service, bound = self.client.workflow_service, timedelta(seconds=RPC_S)
        system = await service.get_system_info(GetSystemInfoRequest(), timeout=bound)
        described = await service.describe_namespace(
            DescribeNamespaceRequest(namespace=self.client.namespace), timeout=bound
        )
        kept = described.config.workflow_execution_retention_ttl
        return Found(
            self.client.service_client.config.target_host,
            system.server_version,
            self.client.namespace,
            float(kept.seconds) if described.config.HasField("workflow_execution_retention_ttl") else None,
            self.seconds,
        )

    def polled(self) -> tuple[Polled, ...]:
        return self._run(self._polled())

    async def _polled(self) -> tuple[Polled, ...]:
        return tuple(await asyncio.gather(*(self._queue(queue) for queue in names.Queue)))

    async def _queue(self, queue: names.Queue) -> Polled:
        name = names.queue(self.plan.name, queue)
        activities = await self._pollers(name, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        if queue not in WITH_WORKFLOWS:
            return Polled(name, activities, None)
        return Polled(name, activities, await self._pollers(name, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW))

    async def _pollers(self, name: str, kind: TaskQueueType.ValueType) -> int:
        answer = await self.client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self.client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind
            ),
            timeout=timedelta(seconds=RPC_S),
        )
        now = datetime.now(UTC)
        ages = ((now - poller.last_access_time.ToDatetime(UTC)).total_seconds() for poller in answer.pollers)
        return sum(age < POLLED_S for age in ages)

    def running(self) -> tuple[Running, ...]:
        return self._run(self._running())

    async def _running(self) -> tuple[Running, ...]:
        found = await asyncio.gather(*(self._workflow(made(self.plan.name)) for made in IDS))
        return tuple(one for one in found if one is not None)

    async def _workflow(self, workflow_id: str) -> Running | None:
        handle = self.client.get_workflow_handle(workflow_id)
        try:
            described = await handle.describe(rpc_timeout=timedelta(seconds=RPC_S))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        if described.status is not WorkflowExecutionStatus.RUNNING:
            return None
        raw = described.raw_description
        worst = max(raw.pending_activities, key=lambda one: one.attempt, default=None)
        failed = worst is not None and worst.HasField("last_failure")
        return Running(
            workflow_id,
            described.history_length,
            raw.workflow_execution_info.history_size_bytes,
            worst.activity_type.name if worst else "",
            worst.attempt if worst and failed else 0,
            await self._words(worst.last_failure) if worst and failed else "",
        )

    async def _words(self, failure: Failure) -> str:
        """Return what an activity failed of; with keys, its text is encrypted."""
        return str(await self.client.data_converter.decode_failure(failure))
