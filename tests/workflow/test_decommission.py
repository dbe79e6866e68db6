"""Decommission by itself: what a no does before, in and after the pause."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from migrator.decommission.actions import actions
from tests.workflow.fakes import World, fakes, no_go
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows.decommission import DecommissionWorkflow
from workflows.messages import Closing, DecommissionInput, DecommissionResult, ValidationOutcome

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


async def retired(env: WorkflowEnvironment, plan: str, world: World, name: str = "") -> DecommissionResult:
    async with serving(env.client, plan, fakes(world)):
        argument = DecommissionInput(plan=plan, approver="ana")
        handle = await begun(env, plan, DecommissionWorkflow.run, argument, "decommission")
        result: DecommissionResult = await handle.result()
        if name:
            await keep(handle, name)
        return result


AFTERWARDS = ("settle", "export", "fingerprint", "release")


async def test_a_run_does_what_a_dry_run_shows_in_that_order(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """`settle` takes capture off too, which a dry run shows as a step of its own; `export` writes the dossier."""
    world = World()

    await retired(temporal_env, plan, world)

    steps = {"dossier": "export"}
    shown = [steps.get(a.id, a.id.replace("-", "_")) for a in actions(release_classic=True) if a.id != "capture"]
    assert [call for call in world.calls if call in shown] == shown


async def test_a_no_before_the_pause_closes_nothing(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World(prepare=[no_go("a foreign key is broken")])

    result = await retired(temporal_env, plan, world)

    assert (result.done, result.blockers) == (False, ("a foreign key is broken",))
    assert "close" not in world.calls


async def test_somebody_who_signs_up_just_then_is_waited_for(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A new tenant is mirrored a moment later, and nobody has to say so; rows that differ are a no at once."""
    new = ValidationOutcome(unmirrored=1)
    world = World(validate=[new, new, ValidationOutcome()])
    result = await retired(temporal_env, plan, world)
    assert result.done and world.calls.count("validate") == 3

    world = World(validate=[ValidationOutcome(unmirrored=1, divergent_rows=2)])
    result = await retired(temporal_env, f"{plan}-2", world)
    assert not result.done and len(result.blockers) == 2 and world.calls.count("validate") == 1


@pytest.mark.parametrize("step", ["drain", "validate_changed", "sequences", "positions", "hand_over"])
async def test_a_no_in_the_pause_reopens_writes(temporal_env: WorkflowEnvironment, plan: str, step: str) -> None:
    """Whichever step says no, classic takes writes again and nothing behind the point of no return happens."""
    world = World({step: [no_go("3 divergent rows")]})

    result = await retired(temporal_env, plan, world, "decommission-reopened" if step == "validate_changed" else "")

    assert (result.done, result.blockers) == (False, ("3 divergent rows",))
    assert world.seen["reopen"][0].reason == "3 divergent rows"
    assert not set(AFTERWARDS) & set(world.calls)


async def test_a_pause_that_grows_too_long_reopens_writes(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A step that does not come to its end is cut off by the plan's limit."""
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
