"""A worker replays what is open before it takes work, and names what its release would have led elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from migrator.errors import ClusterUnavailable, NoGo
from tests.fixtures.operator import Operator
from tests.fixtures.waiting import until
from tests.workflow.another_release import AnotherAudit, AnotherBreaker
from tests.workflow.fakes import World, called, fakes
from tests.workflow.serving import begun, serving
from workflows import replay
from workflows.audit import AuditWorkflow
from workflows.breaker import BreakerWorkflow
from workflows.messages import PlanInput
from workflows.worker import CONTROL_WORKFLOWS, INCIDENT_WORKFLOWS, runner

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]

OURS = (*CONTROL_WORKFLOWS, *INCIDENT_WORKFLOWS)


async def test_what_is_open_is_replayed_and_named_where_it_would_go_elsewhere(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    client, world = temporal_env.client, World()
    nothing = await replay.replay(client, plan, OURS, runner())
    async with serving(client, plan, fakes(world)):
        breaker = await begun(temporal_env, plan, BreakerWorkflow.run, PlanInput(plan=plan), "breaker")
        ended = await begun(temporal_env, plan, AuditWorkflow.run, PlanInput(plan=plan), "audit")
        await ended.result()
        await until(lambda: called(world, "watch_breakers"))
        await until(lambda: listed(temporal_env, plan))
        ours = await replay.replay(client, plan, OURS, runner())
        others = [w for w in OURS if w not in (BreakerWorkflow, AuditWorkflow)]
        changed = await replay.replay(client, plan, [*others, AnotherBreaker, AnotherAudit], runner())
        unknown = await replay.replay(client, plan, others, runner())
        first = await first_step(breaker)
        await breaker.signal(BreakerWorkflow.finish)
        await breaker.result()

    assert nothing == replay.Replayed((), ())
    assert ours == replay.Replayed((f"breaker/{plan}",), ()), "what has ended needs nobody to go on with it"
    [refused] = changed.refused
    assert (refused.workflow_id, refused.event) == (f"breaker/{plan}", first), refused
    assert [r.workflow_id for r in unknown.refused] == [f"breaker/{plan}"], "a type that this release does not have"
    with pytest.raises(NoGo) as said:
        replay.require(changed, "9.9")
    assert f"workflow breaker/{plan} (run " in said.value.blockers[0] and f"at event {first}" in said.value.blockers[0]
    assert "9.9" in said.value.hint
    replay.require(ours, "9.9")


async def first_step(handle: WorkflowHandle[Any, Any]) -> int:
    """The number of the event that began an activity: 5, unless its worker stood still and was asked again."""
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            return event.event_id
    raise AssertionError("no activity was begun")


async def listed(env: WorkflowEnvironment, plan: str) -> bool:
    """Temporal's list follows within some milliseconds."""
    found = [w.id async for w in env.client.list_workflows(f"TaskQueue = '{plan}.incident'")]
    closed = [w.id async for w in env.client.list_workflows(f"TaskQueue = '{plan}.control' AND CloseTime IS NOT NULL")]
    return bool(found and closed)


async def test_the_command_says_so_and_takes_no_work(temporal_address: str, plan: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        f'name = "{plan}"\n[classic]\nwriter = "env:A"\n[limitless]\ndsn = "env:B"\n[tables]\nschemas = ["app"]\n'
        f'[temporal]\naddress = "{temporal_address}"\n'
    )
    operator = Operator(tmp_path, {"MIGRATOR_PLAN": str(file)})
    done, text, both, alone = [
        await asyncio.to_thread(operator, "worker", *words)
        for words in (("--check", "--json"), ("--check",), ("--check", "--unchecked"), ("--json",))
    ]

    assert done.code == 0 and done.json["workflows"] == [] and done.json["plan"] == plan, done.err
    assert "can go on with 0 open workflows" in text.out
    assert both.code == alone.code == 2


async def test_where_workflows_cannot_be_listed_nothing_is_known(temporal_env: WorkflowEnvironment) -> None:
    """A name that no plan may have breaks the question; Temporal refuses it, and so does the worker."""
    with pytest.raises(ClusterUnavailable, match="did not show the open workflows"):
        await replay.replay(temporal_env.client, "it's", OURS, runner())
