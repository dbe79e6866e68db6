"""A worker that was told to stop ends, even when the SDK's core waits for a result that it lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import workflows.worker
from tests.fixtures.waiting import TIMEOUT_S, until
from workflows.breaker import RollbackWorkflow
from workflows.worker import runner, served

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


class Stuck(Worker):
    """Never says that it has ended, as the core did."""

    async def shutdown(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def pair(temporal_env: WorkflowEnvironment) -> AsyncIterator[tuple[Worker, Stuck]]:
    def worker(kind: type[Worker], queue: str) -> Worker:
        return kind(temporal_env.client, task_queue=queue, workflows=[RollbackWorkflow], workflow_runner=runner())

    good, stuck = worker(Worker, "ends"), worker(Stuck, "does-not-end")
    assert isinstance(stuck, Stuck)
    yield good, stuck
    await Worker.shutdown(stuck)


async def running(workers: Sequence[Worker]) -> bool:
    return all(worker.is_running for worker in workers)


async def test_what_does_not_end_is_left_behind_and_named(
    pair: tuple[Worker, Stuck], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(endings: Collection[asyncio.Task[None]], timeout: float) -> tuple[set[Any], set[Any]]:
        """The time is over as soon as the one that can end has ended."""
        assert timeout == workflows.worker.END.total_seconds()
        return await asyncio.wait(endings, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)

    monkeypatch.setattr(workflows.worker, "asyncio", SimpleNamespace(**{**vars(asyncio), "wait": wait}))

    with capture_logs() as told:
        async with asyncio.timeout(2 * TIMEOUT_S), served(pair):
            await until(lambda: running(pair))

    assert not pair[0].is_running
    assert [(e["event"], e["queue"]) for e in told] == [("worker.left_behind", "does-not-end")]


async def test_an_error_inside_is_not_swallowed_and_all_workers_end(temporal_env: WorkflowEnvironment) -> None:
    both = [
        Worker(temporal_env.client, task_queue=queue, workflows=[RollbackWorkflow], workflow_runner=runner())
        for queue in ("first", "second")
    ]

    with pytest.raises(ZeroDivisionError):
        async with served(both):
            await until(lambda: running(both))
            raise ZeroDivisionError

    assert not any(worker.is_running for worker in both)
