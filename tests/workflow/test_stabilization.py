"""Stabilization by itself: ninety days, incidents, and late sign-ups."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from migrator.decommission.window import DAY_S
from tests.fixtures.waiting import until
from tests.workflow.fakes import World, called, fakes, wave
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows import names
from workflows.messages import CheckInput, CheckResult, StabilizeInput, WindowState
from workflows.stabilization import StabilizeWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


def ninety_days(restart_on_day: int | None = None) -> Any:
    """Answers of the check: a window of 90 days, restarted once by an incident."""

    def check(inp: CheckInput) -> CheckResult:
        window = inp.window or WindowState(started_s=inp.now_s, deadline_s=inp.now_s + 90 * DAY_S)
        day = (inp.now_s - window.started_s) / DAY_S
        if restart_on_day is not None and window.restarts == 0 and day >= restart_on_day:
            window = replace(window, started_s=inp.now_s, deadline_s=inp.now_s + 90 * DAY_S, restarts=1)
            day = 0.0
        window = replace(window, checks=window.checks + (inp.window is not None))
        over = inp.now_s >= window.deadline_s
        return CheckResult(window=window, over=over, text=f"day {day:.0f} of 90", next_s=10 * DAY_S)

    return check


async def test_ninety_days_pass_in_seconds(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Nothing ends before day 90; on every tick everything is validated and priced."""
    world = World(check=[ninety_days()])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await until(lambda: called(world, "check"))
        assert await temporal_env.fast_forward(handle, timedelta(days=45))
        text = await handle.query(StabilizeWorkflow.progress)
        await temporal_env.fast_forward(handle)
        result = await handle.result()
        found = await handle.describe()
        await keep(handle, "stabilize-90-days")

    assert text == "day 40 of 90"
    assert found.close_time is not None
    assert found.close_time - found.start_time >= timedelta(days=90)
    assert (result.checks, world.calls.count("validate"), world.calls.count("cost")) == (9, 9, 9)


async def test_an_incident_restarts_the_ninety_days(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(check=[ninety_days(restart_on_day=40)])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await until(lambda: called(world, "check"))
        await temporal_env.fast_forward(handle)
        result = await handle.result()
        found = await handle.describe()
        await keep(handle, "stabilize-restarted")

    assert found.close_time is not None
    assert found.close_time - found.start_time >= timedelta(days=130)
    assert result.restarts == 1


async def test_an_incident_is_looked_at_without_waiting_for_the_day(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A look checks at once; the day's validation keeps its own time."""
    world = World(check=[ninety_days()])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await until(lambda: called(world, "check"))
        await handle.signal(StabilizeWorkflow.look)

        async def twice() -> bool:
            return world.calls.count("check") == 2

        await until(twice)
        await handle.terminate()

    assert "validate" not in world.calls


async def test_late_sign_ups_are_cut_over_beside_the_days(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A wave of their own, and the days go on meanwhile."""
    window = WindowState(deadline_s=1.0)
    checks = [
        CheckResult(window=window, next_s=0.05, late_tenants=3),
        CheckResult(window=window, over=True, text="day 90 of 90"),
    ]
    world = World(check=checks, next_wave=[wave(7, plan), None])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await handle.result()
        await until(lambda: called(world, "finish_wave"))  # it may not have been started yet when the days are over
        await temporal_env.client.get_workflow_handle(names.cutover_id(plan)).result()

    assert world.calls.count("advance 100") == 1
    assert world.seen["next_wave"][0].late
