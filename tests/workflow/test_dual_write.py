"""Dual write and backfill by themselves: mirrors that stop, windows of units, and what failed."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.fixtures.waiting import until
from tests.workflow.fakes import World, called, fakes, no_go
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows import names
from workflows.backfill import BackfillWorkflow
from workflows.dual_write import DualWriteWorkflow
from workflows.messages import BackfillInput, DualWriteInput, DualWriteShape, Pause, Units

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


async def test_one_mirror_per_partition_and_a_backfill_that_ends_with_it(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """Partitions 0 to n are mirrored; a mirror that stopped is started again; finish ends everything."""
    world = World(capture_on=[DualWriteShape(parts=2, concurrency=1)], **{"mirror 1": [no_go("history forked"), None]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, DualWriteWorkflow.run, DualWriteInput(plan=plan), "dual-write")

        async def all_there() -> bool:
            return {"mirror 0", "mirror 1", "mirror 2", "mirror_failed", "next_units"} <= set(world.calls)

        await until(all_there)
        await handle.signal(DualWriteWorkflow.retry)

        async def again() -> bool:
            return world.calls.count("mirror 1") >= 2

        await until(again)
        await handle.signal(DualWriteWorkflow.finish)
        await handle.result()
        backfill = temporal_env.client.get_workflow_handle(names.backfill_id(plan))
        await backfill.result()
        await keep(handle, "dual-write")

    assert world.seen["mirror_failed"][0].message == "no-go"


async def test_a_backfill_keeps_its_window_and_counts_what_failed(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Each unit is copied once; one that fails does not stop the others; paused means nothing new."""
    world = World(
        shape=[DualWriteShape(concurrency=2)],
        next_units=[Units(units=("a", "b")), Units(units=("c",)), Units()],
        **{"copy b": [no_go("a row was refused")]},
    )
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, BackfillWorkflow.run, BackfillInput(plan=plan), "backfill")

        async def copied() -> bool:
            return await handle.query(BackfillWorkflow.progress) == {"copied": 2, "failed": 1, "running": 0}

        await until(copied)
        await handle.signal(BackfillWorkflow.set_paused, Pause(paused=True, who="ana"))
        await handle.signal(BackfillWorkflow.retry)
        await handle.signal(BackfillWorkflow.set_paused, Pause(paused=False))
        await until(lambda: called(world, "retry_failed"))
        await handle.signal(BackfillWorkflow.finish)
        await handle.result()
        await keep(handle, "backfill")

    assert [c for c in world.calls if c.startswith("copy")].count("copy c") == 1
