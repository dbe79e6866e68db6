"""Each workflow by itself: windows, waiting, and what happens when a step says no."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from migrator.stabilize.window import DAY_S
from tests.workflow.fakes import World, fakes, no_go, wave
from tests.workflow.histories import keep
from tests.workflow.serving import eventually, serving
from workflows import names
from workflows.audit import AuditWorkflow, ProvisionWorkflow
from workflows.backfill import BackfillWorkflow
from workflows.breaker import BreakerWorkflow, RollbackWorkflow
from workflows.cutover import CutoverWorkflow
from workflows.decommission import DecommissionWorkflow
from workflows.dual_write import DualWriteWorkflow
from workflows.messages import (
    Advanced,
    BackfillInput,
    CheckInput,
    CheckResult,
    CutoverInput,
    CutoverResult,
    DecommissionInput,
    DecommissionResult,
    DualWriteInput,
    DualWriteShape,
    NextWave,
    Pause,
    PlanInput,
    RollbackInput,
    Soaked,
    StabilizeInput,
    Units,
    ValidateInput,
    ValidationOutcome,
    WaveGate,
    WaveInput,
    WindowState,
)
from workflows.stabilization import StabilizeWorkflow
from workflows.validation import ValidationWorkflow
from workflows.wave import WaveWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def plan() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


async def begun(env: WorkflowEnvironment, plan: str, run: Any, argument: Any, name: str) -> WorkflowHandle[Any, Any]:
    queue = names.Queue.INCIDENT if run in (BreakerWorkflow.run, RollbackWorkflow.run) else names.Queue.CONTROL
    with env.with_time_skipping_disabled():
        return await env.client.start_workflow(run, argument, id=f"{name}/{plan}", task_queue=names.queue(plan, queue))


# -- stabilization --------------------------------------------------------------------------------------------


def ninety_days(restart_on_day: int | None = None) -> Any:
    """Answers of the check: a window of 90 days, restarted once by an incident."""

    def check(inp: CheckInput) -> CheckResult:
        window = inp.window or WindowState(started_s=inp.now_s, deadline_s=inp.now_s + 90 * DAY_S)
        day = (inp.now_s - window.started_s) / DAY_S
        if restart_on_day is not None and window.restarts == 0 and day >= restart_on_day:
            window = window.model_copy(
                update={"started_s": inp.now_s, "deadline_s": inp.now_s + 90 * DAY_S, "restarts": 1}
            )
            day = 0.0
        window = window.model_copy(update={"checks": window.checks + (inp.window is not None)})
        over = inp.now_s >= window.deadline_s
        return CheckResult(window=window, over=over, text=f"day {day:.0f} of 90", next_s=10 * DAY_S)

    return check


async def test_ninety_days_pass_in_seconds(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Nothing ends before day 90; on every tick everything is validated and priced."""
    world = World(check=[ninety_days()])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await eventually(lambda: called(world, "check"))
        assert await temporal_env.fast_forward(handle, _days(45))
        text = await handle.query(StabilizeWorkflow.progress)
        await temporal_env.fast_forward(handle)
        result = await handle.result()
        found = await handle.describe()
        await keep(handle, "stabilize-90-days")

    assert text == "day 40 of 90"
    assert found.close_time is not None
    assert found.close_time - found.start_time >= _days(90)
    assert (result.checks, world.calls.count("validate"), world.calls.count("cost")) == (9, 9, 9)


def _days(days: float) -> Any:
    from datetime import timedelta

    return timedelta(days=days)


async def called(world: World, name: str) -> bool:
    return name in world.calls


async def test_an_incident_restarts_the_ninety_days(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(check=[ninety_days(restart_on_day=40)])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await eventually(lambda: called(world, "check"))
        await temporal_env.fast_forward(handle)
        result = await handle.result()
        found = await handle.describe()
        await keep(handle, "stabilize-restarted")

    assert found.close_time is not None
    assert found.close_time - found.start_time >= _days(130)
    assert result.restarts == 1


async def test_an_incident_is_looked_at_without_waiting_for_the_day(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A look checks at once; the day's validation keeps its own time."""
    world = World(check=[ninety_days()])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, StabilizeWorkflow.run, StabilizeInput(plan=plan), "stabilize")
        await eventually(lambda: called(world, "check"))
        await handle.signal(StabilizeWorkflow.look)

        async def twice() -> bool:
            return world.calls.count("check") == 2

        await eventually(twice)
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
        await temporal_env.client.get_workflow_handle(names.cutover_id(plan)).result()

    assert world.calls.count("advance 100") == 1
    assert world.seen["next_wave"][0].late


# -- dual write and backfill ----------------------------------------------------------------------------------


async def test_one_mirror_per_partition_and_a_backfill_that_ends_with_it(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """Partitions 0 to n are mirrored; a mirror that stopped is started again; finish ends everything."""
    world = World(capture_on=[DualWriteShape(parts=2, concurrency=1)], **{"mirror 1": [no_go("history forked"), None]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, DualWriteWorkflow.run, DualWriteInput(plan=plan), "dual-write")

        async def all_there() -> bool:
            return {"mirror 0", "mirror 1", "mirror 2", "mirror_failed", "next_units"} <= set(world.calls)

        await eventually(all_there)
        await handle.signal(DualWriteWorkflow.retry)

        async def again() -> bool:
            return world.calls.count("mirror 1") >= 2

        await eventually(again)
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

        await eventually(copied)
        await handle.signal(BackfillWorkflow.set_paused, Pause(paused=True, who="ana"))
        await handle.signal(BackfillWorkflow.retry)
        await handle.signal(BackfillWorkflow.set_paused, Pause(paused=False))
        await eventually(lambda: called(world, "retry_failed"))
        await handle.signal(BackfillWorkflow.finish)
        await handle.result()
        await keep(handle, "backfill")

    assert [c for c in world.calls if c.startswith("copy")].count("copy c") == 1


# -- cutover --------------------------------------------------------------------------------------------------


async def test_waves_follow_each_other(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(next_wave=[wave(1, plan), wave(2, plan, 10, 100), None])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")
        result = await handle.result()
        await keep(handle, "cutover")
        await keep(temporal_env.client.get_workflow_handle(names.wave_id(plan, 2)), "wave-ramp")

    assert result == CutoverResult(waves=2)


async def test_a_wave_in_which_nobody_is_ready_moves_nobody(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(wave_gate=[WaveGate(deferred=2, blockers=("tenant a was never validated",))])
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


async def test_a_wave_that_was_rolled_back_holds_the_cutover(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Held, shown as blocked with the command that goes on; a look goes on."""
    held = NextWave(held="wave 1 was rolled back: 3 tenants suffered on Limitless", blockers=("tenant a: slow",))
    world = World(next_wave=[wave(1, plan), held, None], soak=[Soaked(held="wave 1: too many", left=0)])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")

        async def noted() -> bool:
            return ("cutover", "blocked") in world.notes

        await eventually(noted)
        await handle.signal(CutoverWorkflow.look)

        async def twice() -> bool:
            return world.notes.count(("cutover", "blocked")) == 2

        await eventually(twice)
        await handle.signal(CutoverWorkflow.look)
        await handle.result()
        await keep(handle, "cutover-held")

    assert world.seen["note"][-1].next_step == "migrator cutover"


async def test_a_wave_waits_for_its_approval(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(next_wave=[NextWave(approval="wave-1"), wave(1, plan), None])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, CutoverWorkflow.run, CutoverInput(plan=plan), "cutover")

        async def noted() -> bool:
            return ("cutover", "waiting") in world.notes

        await eventually(noted)
        await handle.signal(CutoverWorkflow.look)
        await handle.result()

    assert world.seen["note"][0].next_step == "migrator approve wave-1 --as NAME"


# -- decommission ---------------------------------------------------------------------------------------------


async def retired(env: WorkflowEnvironment, plan: str, world: World, name: str = "") -> DecommissionResult:
    async with serving(env.client, plan, fakes(world)):
        argument = DecommissionInput(plan=plan, approver="ana")
        handle = await begun(env, plan, DecommissionWorkflow.run, argument, "decommission")
        result: DecommissionResult = await handle.result()
        if name:
            await keep(handle, name)
        return result


AFTERWARDS = ("settle", "export", "release")


async def test_a_no_before_the_pause_closes_nothing(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(prepare=[no_go("a foreign key is broken")])

    result = await retired(temporal_env, plan, world)

    assert (result.done, result.blockers) == (False, ("a foreign key is broken",))
    assert "close" not in world.calls


@pytest.mark.parametrize("step", ["drain", "validate_changed", "sequences", "positions", "hand_over"])
async def test_a_no_in_the_pause_reopens_writes(temporal_env: WorkflowEnvironment, plan: str, step: str) -> None:
    """Whichever step says no, classic takes writes again and nothing behind the point of no return happens."""
    world = World(**{step: [no_go("3 divergent rows")]})

    result = await retired(temporal_env, plan, world, "decommission-reopened" if step == "validate_changed" else "")

    assert (result.done, result.blockers) == (False, ("3 divergent rows",))
    assert world.seen["reopen"][0].reason == "3 divergent rows"
    assert not set(AFTERWARDS) & set(world.calls)


async def test_a_pause_that_grows_too_long_reopens_writes(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A step that does not come to its end is cut off by the plan's limit."""
    from workflows.messages import Closing

    world = World(
        close=[Closing(plan=plan, id=1, max_pause_s=0.3)],
        drain=[ApplicationError("not yet", type="ClusterUnavailable")],  # retried for ever
    )

    result = await retired(temporal_env, plan, world)

    assert not result.done
    assert "reopen" in world.calls and not set(AFTERWARDS) & set(world.calls)


async def test_behind_the_point_of_no_return_it_only_goes_forward(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """The answer of the hand-over was lost: reopening finds it done, and the rest follows."""
    world = World(hand_over=[no_go("answer lost")], reopen=[DecommissionResult(done=True, text="too late")])

    result = await retired(temporal_env, plan, world, "decommission-answer-lost")

    assert result.done
    assert [c for c in world.calls if c in AFTERWARDS] == list(AFTERWARDS)


# -- the small ones -------------------------------------------------------------------------------------------


async def test_rollback_and_breaker_run_on_the_incident_queue(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World()
    async with serving(temporal_env.client, plan, fakes(world)):
        rollback = await begun(
            temporal_env,
            plan,
            RollbackWorkflow.run,
            RollbackInput(plan=plan, all=True, who="ana", reason="drill"),
            "rollback",
        )
        outcome = await rollback.result()
        await keep(rollback, "rollback")
        breaker = await begun(temporal_env, plan, BreakerWorkflow.run, PlanInput(plan=plan), "breaker")
        await eventually(lambda: called(world, "watch_breakers"))
        await breaker.signal(BreakerWorkflow.finish)
        await asyncio.wait_for(breaker.result(), 45)
        await keep(breaker, "breaker")

    assert outcome.changed == 1


async def test_audit_provision_and_validation_return_what_was_found(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A divergence is a result, not a failure."""
    world = World(validate=[ValidationOutcome(clean=False, divergent_rows=2)])
    async with serving(temporal_env.client, plan, fakes(world)):
        for run, name in ((AuditWorkflow.run, "audit"), (ProvisionWorkflow.run, "provision")):
            handle = await begun(temporal_env, plan, run, PlanInput(plan=plan), name)
            await handle.result()
            await keep(handle, name)
        handle = await begun(temporal_env, plan, ValidationWorkflow.run, ValidateInput(plan=plan), "validate")
        found = await handle.result()
        await keep(handle, "validation")

    assert found.divergent_rows == 2
