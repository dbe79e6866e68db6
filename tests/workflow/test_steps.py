"""Workers log each step and each workflow once, however often a history is replayed, and a failing step seldom."""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.fixtures.waiting import TIMEOUT_S, until
from tests.workflow.serving import begun
from workflows import names
from workflows.breaker import BreakerWorkflow
from workflows.failures import Failures
from workflows.messages import CopyInput, MirrorInput, PhaseInput, PlanInput
from workflows.steps import Steps, is_told, subject
from workflows.worker import INCIDENT_WORKFLOWS, runner

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


class Monitor:
    """Fails with errors that are tried again, then for good; then it runs until it is cancelled."""

    def __init__(self) -> None:
        self.calls = 0

    @activity.defn(name="watch_breakers")
    async def watch_breakers(self, inp: PlanInput) -> None:
        self.calls += 1
        if self.calls <= 5:
            raise ConnectionRefusedError
        if self.calls == 6:
            raise ValueError("a row's value")
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)  # until it is cancelled


async def test_each_is_logged_once(
    temporal_env: WorkflowEnvironment, plan: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a cache every task of the workflow replays its whole history."""
    caplog.set_level(logging.DEBUG, "migrator")
    monitor = Monitor()
    queue = names.queue(plan, names.Queue.INCIDENT)
    async with Worker(
        temporal_env.client,
        task_queue=queue,
        activities=[monitor.watch_breakers],
        workflows=INCIDENT_WORKFLOWS,
        interceptors=[Steps(), Failures()],
        workflow_runner=runner(),
        max_cached_workflows=0,
    ):
        handle = await begun(temporal_env, plan, BreakerWorkflow.run, PlanInput(plan=plan), "breaker")

        async def runs() -> bool:
            return monitor.calls > 6

        await until(runs, "the monitor runs after it failed for good")
        await handle.signal(BreakerWorkflow.finish)
        await asyncio.wait_for(handle.result(), TIMEOUT_S)
    told = [(record.message, vars(record)) for record in caplog.records if record.name == "migrator"]
    of = {name: [keys for told_name, keys in told if told_name == name] for name, _ in told}

    # A worker that stood still does the task again that it did not report in time, and says again what it said in it.
    assert [name for name, _ in groupby(name for name, _ in told) if name.startswith(("workflow.", "breaker."))] == [
        "workflow.begun", "breaker.monitor_failed", "workflow.ordered", "workflow.finished",
    ]  # fmt: skip
    assert [keys["tries"] for keys in of["step.failed"]] == [1, 2, 4], "of tries 1 to 5; 6 is none of 1, 2, 4, 8"
    assert len(of["step.begun"]) == monitor.calls and len(of["step.cancelled"]) == monitor.calls - 6
    assert of["workflow.begun"][0]["workflow"] == f"breaker/{plan}" and of["workflow.ordered"][0]["order"] == "finish"
    assert "a row's value" not in f"{told}"


@pytest.mark.parametrize(
    ("tries", "said"), [(1, True), (2, True), (3, False), (4, True), (7, False), (1024, True), (1025, False)]
)
async def test_a_step_that_fails_for_days_is_logged_seldom(tries: int, said: bool) -> None:
    assert is_told(tries) is said


@pytest.mark.parametrize(
    ("message", "about"),
    [
        (PhaseInput(plan="p", phase="audit", digest="d", approver="Ada"), {"phase": "audit"}),
        (MirrorInput(plan="p", part=0), {"partition": 0}),
        (CopyInput(plan="p", unit="u7"), {"unit": "u7"}),
        (PlanInput(plan="p"), {}),
    ],
)
async def test_what_a_step_is_about(message: Any, about: dict[str, Any]) -> None:
    assert subject([message]) == about


async def test_refusals_and_hand_overs_are_no_failures(caplog: pytest.LogCaptureFixture) -> None:
    from workflows.steps import _ended

    caplog.set_level(logging.DEBUG, "migrator")
    for kind in ("NoGo", "WorkerOutdated", "WorkerDraining", "Throttled", "LeaseLost", "pg.23505"):
        _ended(ApplicationError("said", type=kind), 1, {"step": "gate", "partition": 2})

    assert [(record.message, record.levelname) for record in caplog.records] == [
        ("step.refused", "INFO"), ("step.refused", "INFO"), ("step.handed_over", "INFO"), ("step.polled", "DEBUG"),
        ("lease.lost", "INFO"), ("step.failed", "WARNING"),
    ]  # fmt: skip
