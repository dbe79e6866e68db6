"""Cutover and waves by themselves: their order, waiting, soaks, and what holds them."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.fixtures.waiting import until
from tests.workflow.fakes import World, blocked, fakes, wave
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows import names
from workflows.cutover import CutoverWorkflow
from workflows.messages import Advanced, CutoverInput, CutoverResult, NextWave, Soaked, WaveGate, WaveInput
from workflows.wave import WaveWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


async def test_waves_follow_each_other(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(next_wave=[wave(1, plan), wave(2, plan, 10, 100), None])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")
        result = await handle.result()
        await keep(handle, "cutover")
        await keep(temporal_env.client.get_workflow_handle(names.wave_id(plan, 2)), "wave-ramp")

    assert result == CutoverResult(waves=2)


async def test_a_wave_in_which_nobody_is_ready_moves_nobody(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(wave_gate=[WaveGate(deferred=2, blockers=blocked("tenant a was never validated"))])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, WaveWorkflow.run, WaveInput(plan=plan, number=1), "wave")
        result = await handle.result()
        await keep(handle, "wave-nobody-ready")

    assert result.blockers == ("tenant a was never validated",)
    assert not [c for c in world.calls if c.startswith("advance")]


async def test_an_advance_waits_and_a_soak_carries_on_where_it_was(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """Not caught up is tried again; a soak that returned early is continued with the time it had soaked."""
    world = World(
        soak=[Soaked(soaked_s=30, since_s=5, left=4), Soaked(done=True, soaked_s=60, left=3, rolled_back=1)],
        **{"advance 100": [Advanced(text="waiting for mirror partitions 1"), Advanced(done=True)]},
    )
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, WaveWorkflow.run, WaveInput(plan=plan, number=1, soak_s=60), "wave")
        result = await handle.result()

    assert [s.soaked_s for s in world.seen["soak"]] == [0, 30]
    assert (result.moved, result.rolled_back, result.held) == (3, 1, "")


async def test_a_wave_that_was_rolled_back_holds_the_cutover(
    temporal_env: WorkflowEnvironment, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held, shown as blocked with the command that goes on; a look goes on."""
    why = "wave 1 was rolled back: 3 tenants exceeded limits on Limitless"
    held = NextWave(held=why, blockers=blocked("tenant a: slow"))
    monkeypatch.setattr("workflows.cutover.HELD_RECHECK_S", 3600.0)  # it goes on when this test says so
    world = World(next_wave=[wave(1, plan), held, None], soak=[Soaked(held="wave 1: too many", left=0)])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")

        async def noted() -> bool:
            return ("cutover", "blocked") in world.notes

        await until(noted)
        await handle.signal(CutoverWorkflow.look)

        async def twice() -> bool:
            return world.notes.count(("cutover", "blocked")) == 2

        await until(twice)
        await handle.signal(CutoverWorkflow.look)
        await handle.result()
        await keep(handle, "cutover-held")

    assert world.seen["note"][-1].next_step == "migrator cutover"


async def test_a_wave_waits_for_its_approval(
    temporal_env: WorkflowEnvironment, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.cutover.HELD_RECHECK_S", 3600.0)
    world = World(next_wave=[NextWave(approval="wave-1"), wave(1, plan), None])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")

        async def noted() -> bool:
            return ("cutover", "waiting") in world.notes

        await until(noted)
        await handle.signal(CutoverWorkflow.look)
        await handle.result()

    assert world.seen["note"][0].next_step == "migrator approve wave-1 --as NAME"
