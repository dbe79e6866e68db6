"""Histories are bounded, however long something lasts and however many tenants there are: they continue as new.

The server says when, after 4,096 events or 4 MB by default, and ends a workflow at 51,200 events or 50 MB. Here it says
so after some dozens of events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.fixtures.temporal import skipping
from tests.fixtures.waiting import until
from tests.workflow.fakes import World, blocked, fakes, no_go
from tests.workflow.serving import begun, serving
from workflows.dual_write import DualWriteWorkflow
from workflows.messages import Advanced, DualWriteInput, DualWriteShape, Soaked, WaveGate, WaveInput
from workflows.wave import WaveWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="module")]

MANY = 60
"""Events after which this server suggests to continue as new."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_env() -> AsyncIterator[WorkflowEnvironment]:
    async with skipping(f"limit.historyCount.suggestContinueAsNew={MANY}") as env:
        yield env


async def lengths(env: WorkflowEnvironment, workflow_id: str) -> list[int]:
    """Return how many events each run has, the oldest run first."""
    found = []
    async for run in env.client.list_workflows(f"WorkflowId = '{workflow_id}'"):
        handle: WorkflowHandle[Any, Any] = env.client.get_workflow_handle(workflow_id, run_id=run.run_id)
        found.append((run.start_time, len((await handle.fetch_history()).events)))
    return [events for _, events in sorted(found)]


async def test_a_wave_that_soaks_for_weeks(strict_env: WorkflowEnvironment, plan: str) -> None:
    """It goes on where it was: one baseline, one gate, each percentage once, and everything is counted."""
    looks = [Soaked(soaked_s=float(n), since_s=5, left=9, rolled_back=1 if n == 3 else 0) for n in range(1, 31)]
    world = World(
        soak=[*looks, Soaked(done=True, soaked_s=31, left=8), *looks, Soaked(done=True, left=8)],
        wave_gate=[WaveGate(ready=9, deferred=1, blockers=blocked("tenant a was never validated"))],
    )
    async with serving(strict_env.client, plan, fakes(world)):
        asked = WaveInput(plan=plan, number=1, ramp_pct=(10, 100), soak_s=60)
        handle = await begun(strict_env, plan, WaveWorkflow.run, asked, "wave")
        result = await handle.result()
        runs = await lengths(strict_env, handle.id)

    assert (result.moved, result.rolled_back, result.deferred) == (8, 2, 1)
    assert result.blockers == ("tenant a was never validated",)
    assert [world.calls.count(name) for name in ("baseline", "wave_gate", "advance 10", "advance 100")] == [1, 1, 1, 1]
    assert [s.soaked_s for s in world.seen["soak"]] == [*range(31), *range(31)], "each look knows what was soaked"
    assert len(runs) > 3 and max(runs) < 2 * MANY


@pytest.mark.slow
async def test_a_wave_that_waits_for_weeks_for_a_fallback_to_end(strict_env: WorkflowEnvironment, plan: str) -> None:
    world = World(**{"advance 100": [*[Advanced(text="it has fallen back")] * 40, Advanced(done=True)]})
    async with serving(strict_env.client, plan, fakes(world)):
        handle = await begun(strict_env, plan, WaveWorkflow.run, WaveInput(plan=plan, number=1), "wave")
        result = await handle.result()
        runs = await lengths(strict_env, handle.id)

    assert (result.moved, world.calls.count("baseline"), world.calls.count("soak")) == (1, 1, 1)
    assert len(runs) > 2 and max(runs) < 2 * MANY


async def test_mirrors_that_fail_again_and_again(strict_env: WorkflowEnvironment, plan: str) -> None:
    """Capture is installed once, the other partition's mirror goes on, and finish still ends everything."""
    world = World(
        capture_on=[DualWriteShape(parts=1, concurrency=1)],
        shape=[DualWriteShape(parts=1, concurrency=1)],
        **{"mirror 1": [no_go("history forked")]},
    )
    async with serving(strict_env.client, plan, fakes(world)):
        handle = await begun(strict_env, plan, DualWriteWorkflow.run, DualWriteInput(plan=plan), "dual-write")

        async def often() -> bool:
            await handle.signal(DualWriteWorkflow.retry)
            return world.calls.count("mirror 1") > 30

        await until(often)
        runs = await lengths(strict_env, handle.id)
        await strict_env.client.get_workflow_handle(handle.id).signal(DualWriteWorkflow.finish)
        await strict_env.client.get_workflow_handle(handle.id).result()

    assert world.calls.count("capture_on") == 1
    assert world.calls.count("mirror 0") >= len(runs) - 1
    assert len(runs) > 2 and max(runs) < 3 * MANY
