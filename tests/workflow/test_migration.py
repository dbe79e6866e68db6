"""The sequence of a migration: phases in order, gates, approvals, pause, abort, and what it carries along."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from migrator.model.phase import ORDER
from migrator.plan.load import from_body
from tests.fixtures.waiting import until
from tests.workflow.fakes import World, blocked, fakes, no_go, wave
from tests.workflow.histories import keep
from tests.workflow.serving import serving
from workflows import client, names
from workflows.messages import (
    Answer,
    Approve,
    GateAnswer,
    MigrationInput,
    MigrationStatus,
    NextWave,
    Order,
    PhaseNote,
    Report,
)
from workflows.migration import MigrationWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]

ALWAYS = GateAnswer(go=True, needs_approval=True)


async def begun(env: WorkflowEnvironment, plan: str) -> WorkflowHandle[Any, Any]:
    with env.with_time_skipping_disabled():
        return await env.client.start_workflow(
            MigrationWorkflow.run,
            MigrationInput(plan=plan, digest="d"),
            id=names.migration_id(plan),
            task_queue=names.queue(plan, names.Queue.CONTROL),
        )


def cause_of(failed: WorkflowUpdateFailedError | WorkflowFailureError) -> str | None:
    """Return the type of the error that an update or a workflow ended with."""
    assert isinstance(failed.cause, ApplicationError)
    return failed.cause.type


async def status(handle: WorkflowHandle[Any, Any]) -> MigrationStatus:
    return await handle.query(MigrationWorkflow.status)


async def waits_for(handle: WorkflowHandle[Any, Any], gate: str) -> None:
    async def look() -> bool:
        return (await status(handle)).waiting_for == gate

    await until(look)


async def test_phases_follow_each_other_and_decommission_waits_for_a_name(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """Every phase is begun once, in order; nothing is retired before somebody approves it by name."""
    world = World({"gate stabilize": [ALWAYS], "next_wave": [wave(1, plan, 10, 100), wave(2, plan), None]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "decommission")
        assert "close" not in world.calls

        answer = await handle.execute_update(MigrationWorkflow.approve, Approve(gate="decommission", approver="ana"))
        await handle.result()
        first = temporal_env.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
        await keep(first, "migration-first-run")
        await keep(temporal_env.client.get_workflow_handle(handle.id), "migration-last-run")

    begins = [c for c in world.calls if c.startswith("begin")]
    assert begins == [f"begin {phase.value}" for phase in ORDER]
    assert answer == Answer(text="decommission approved by ana")
    steps = [c for c in world.calls if c in ("close", "drain", "validate_changed", "sequences", "positions",
                                             "hand_over", "settle", "export", "release")]  # fmt: skip
    assert steps == ["close", "drain", "validate_changed", "sequences", "positions", "hand_over", "settle", "export",
                     "release"]  # fmt: skip
    assert [c for c in world.calls if c.startswith("advance")] == ["advance 10", "advance 100", "advance 100"]


async def test_an_approval_is_refused_before_its_gate_waits(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Nobody approves evidence that does not exist yet; a second name for the same gate is refused too."""
    world = World({"gate audit": [ALWAYS], "gate provision": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "audit")
        refused = {}
        for gate, who in (("decommission", "ana"), ("nonsense", "ana"), ("audit", " ")):
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await handle.execute_update(MigrationWorkflow.approve, Approve(gate=gate, approver=who))
            refused[gate] = cause_of(failed.value)
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="ana"))
        await waits_for(handle, "provision")
        again = await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="ana"))
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="bob"))
        await handle.terminate()

    assert refused == {"decommission": "NotWaiting", "nonsense": "UsageError", "audit": "UsageError"}
    assert again == Answer(text="audit is approved by ana", changed=False)
    assert cause_of(failed.value) == "AlreadyApproved"
    assert world.calls.count("record_approval") == 1


async def test_an_approval_that_does_not_count_when_the_gate_is_passed_is_asked_for_again(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """It has expired, or is of other evidence: the activity says so, and the phase is not left."""
    answers = iter([ALWAYS, GateAnswer(go=True, needs_approval=True, approval_void="expired"), ALWAYS, ALWAYS, ALWAYS])
    world = World({"gate audit": [lambda inp: next(answers)], "gate provision": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "audit")
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="ana"))

        async def is_asked_again() -> bool:
            seen = await status(handle)
            return len(world.seen.get("gate audit", [])) >= 2 and seen.waiting_for == "audit" and not seen.approvals

        await until(is_asked_again)
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="bob"))
        await waits_for(handle, "provision")
        await handle.terminate()

    assert [a.approver for a in world.seen["record_approval"]] == ["ana", "bob"]


async def test_the_approval_of_a_wave_may_be_given_again(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """Only classic knows whether it has expired: there it is recorded again."""
    go = [GateAnswer(go=True)]
    waves = [NextWave(approval="wave-1", waiting=3)]
    world = World({"gate audit": go, "gate provision": go, "gate dual_write": go, "next_wave": waves})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)

        async def in_cutover() -> bool:
            return (await status(handle)).phase == "cutover"

        await until(in_cutover)
        for again in (False, False, True):
            asked = Approve(gate="wave-1", approver="ana", again=again)
            await handle.execute_update(MigrationWorkflow.approve, asked)
        await handle.terminate()

    assert world.calls.count("record_approval") == 2


async def test_a_blocked_gate_is_looked_at_again_when_somebody_says_resume(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A no-go stops the phase with its blockers; resume does the audit again and goes on."""
    no = GateAnswer(blockers=blocked("table x has no key"), recheck_s=3600)
    world = World({"gate audit": [no, GateAnswer(go=True)], "gate provision": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)

        async def is_blocked() -> bool:
            return (await status(handle)).state == "blocked"

        await until(is_blocked)
        seen = await status(handle)
        await handle.execute_update(MigrationWorkflow.resume, Order(who="ana"))
        await waits_for(handle, "provision")
        await handle.terminate()

    assert seen.blockers == ("table x has no key",)
    assert world.calls.count("audit") == 2


async def test_a_phase_that_fails_is_blocked_with_the_reason(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """An error that no retry heals becomes a blocker, not a dead migration."""
    world = World(audit=[no_go("the plan names unknown tables"), None], **{"gate audit": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)

        async def is_blocked() -> bool:
            return (await status(handle)).state == "blocked"

        await until(is_blocked)
        seen = await status(handle)
        await handle.execute_update(MigrationWorkflow.retry, Order(who="ana"))
        await waits_for(handle, "audit")
        await handle.terminate()

    assert seen.blockers == ("the plan names unknown tables",)
    assert ("audit", "blocked") in world.notes


async def test_pause_holds_the_next_step_and_resume_lets_it_go(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A pause given while a gate waits survives the approval: nothing new begins before resume."""
    world = World({"gate audit": [ALWAYS], "gate provision": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "audit")
        first = await handle.execute_update(MigrationWorkflow.pause, Order(who="ana", reason="deploy"))
        second = await handle.execute_update(MigrationWorkflow.pause, Order(who="bob", reason="deploy"))
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="audit", approver="ana"))
        while_paused = list(world.calls)
        await handle.execute_update(MigrationWorkflow.resume, Order(who="ana"))
        await waits_for(handle, "provision")
        await handle.terminate()

    assert (first.changed, second.changed) == (True, False)
    assert "provision" not in while_paused


async def test_an_abort_rolls_reads_back_before_anything_stops(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """After dual write has begun an abort first puts reads on classic, then stops what runs; it needs a reason."""
    world = World({"gate dual_write": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "dual_write")
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(MigrationWorkflow.abort, Order(who="ana"))
        await handle.execute_update(MigrationWorkflow.abort, Order(who="ana", reason="wrong week"))
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        await keep(temporal_env.client.get_workflow_handle(handle.id), "migration-aborted")
        dual = temporal_env.client.get_workflow_handle(names.dual_write_id(plan))
        await dual.result()

    assert cause_of(failed.value) == "Aborted"
    assert world.calls.index("gate dual_write") < world.calls.index("roll_back") < world.calls.index("remove_schedule")
    assert world.notes[-1] == ("dual_write", "failed")


async def test_a_rollback_stops_the_cutover_until_somebody_goes_forward(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """After an operator's rollback no wave begins; cut_over undoes it and the cutover goes on at once."""

    def next_wave(_: object) -> NextWave | None:
        if "forward" not in world.calls:
            return NextWave(held="all reads were rolled back by ana: drill")
        return None if "finish_wave" in world.calls else wave(1, plan)

    world = World({"next_wave": [next_wave], "gate cutover": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)

        async def is_held() -> bool:
            return ("cutover", "blocked") in world.notes

        await until(is_held)
        before = world.calls.count("advance 100")
        answer = await handle.execute_update(MigrationWorkflow.cut_over, Order(who="ana", reason="drill is over"))
        await waits_for(handle, "cutover")
        await keep(temporal_env.client.get_workflow_handle(handle.id), "migration-forward-again")
        await keep(temporal_env.client.get_workflow_handle(handle.id), "migration-finishes-limitless")
        await handle.terminate()

    assert (before, world.calls.count("advance 100")) == (0, 1)
    assert answer.changed


async def test_an_incident_is_recorded_and_needs_a_name(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """A reported incident is a fact on classic; one without a name is refused."""
    world = World({"gate audit": [ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "audit")
        await handle.execute_update(MigrationWorkflow.report_incident, Report(reason="slow", reported_by="ana"))
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(MigrationWorkflow.report_incident, Report(reason="slow", reported_by=""))
        await handle.terminate()

    assert world.calls.count("record_incident") == 1


async def test_an_incident_after_the_days_voids_the_approval_and_begins_them_again(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """What was approved was 90 days without incident; afterwards a new approval is needed."""
    again = GateAnswer(blockers=blocked("since then: rollback"), needs_approval=True, again=True)
    world = World({"gate stabilize": [ALWAYS, again, ALWAYS]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "decommission")
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="decommission", approver="ana"))

        async def voided() -> bool:
            return "void_approval" in world.calls and (await status(handle)).waiting_for == "decommission"

        await until(voided)
        assert "close" not in world.calls
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="decommission", approver="bob"))
        await handle.result()

    assert world.calls.count("check") == 2
    assert [c.approver for c in world.seen["close"]] == ["bob"]


async def test_the_same_person_approves_again_what_was_voided(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """With the command, both times: Temporal must not answer the second one with what it answered the first."""
    again = GateAnswer(blockers=blocked("since then: a breaker opened"), needs_approval=True, again=True)
    world = World({"gate stabilize": [ALWAYS, again, ALWAYS]})
    address = temporal_env.client.service_client.config.target_host
    servers = {"classic": {"writer": "env:C"}, "limitless": {"dsn": "env:L"}, "temporal": {"address": address}}
    the_plan = from_body({"name": plan, **servers})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)
        await waits_for(handle, "decommission")
        await asyncio.to_thread(client.approve, the_plan, "decommission", "ana")

        async def voided() -> bool:
            return "void_approval" in world.calls and (await status(handle)).waiting_for == "decommission"

        await until(voided)
        answer = await asyncio.to_thread(client.approve, the_plan, "decommission", "ana")

        async def handed_over() -> bool:
            return "hand_over" in world.calls

        await until(handed_over)
        await handle.result()

    assert answer.changed
    assert world.calls.count("record_approval") == 2


async def test_an_incident_is_not_missed_while_the_gates_answer_is_noted(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """It is reported after the gate said yes and before the wait for an approval begins: the gate is asked again."""
    world = World({"gate stabilize": [ALWAYS]})

    @activity.defn(name="note")
    async def note(inp: PhaseNote) -> None:
        if "record_incident" not in world.calls and (inp.phase, inp.state) == ("stabilize", "waiting"):
            report = Report(reason="slow", reported_by="ana")
            await temporal_env.client.get_workflow_handle(names.migration_id(plan)).execute_update(
                MigrationWorkflow.report_incident, report
            )

    others = [f for f in fakes(world) if f.__name__ != "note"]
    async with serving(temporal_env.client, plan, [*others, note]):
        handle = await begun(temporal_env, plan)

        async def asked_again() -> bool:
            return world.calls.count("gate stabilize") >= 2

        await until(asked_again)
        await handle.terminate()


async def test_late_sign_ups_whose_waves_are_held_are_not_asked_for_without_end(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A wave that cannot begin ends at once; the gate is asked again after a while, not at once and for ever."""
    late = GateAnswer(
        blockers=blocked("tenants that do not read from Limitless: 7"), needs_approval=True, late_tenants=2
    )
    world = World({"gate stabilize": [late], "next_wave": [None, NextWave(held="tenant 7 was rolled back")]})
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan)

        async def until_it_rests() -> list[str]:
            """Which steps this phase began before its first timer; nothing while there is none."""
            begun: list[str] = []
            async for event in temporal_env.client.get_workflow_handle(handle.id).fetch_history_events():
                if event.HasField("timer_started_event_attributes"):
                    return begun
                if event.HasField("activity_task_scheduled_event_attributes"):
                    begun.append(event.activity_task_scheduled_event_attributes.activity_type.name)
            return []

        steps = await until(until_it_rests)
        await handle.terminate()

    assert steps.count("gate") == 1, "after the pause it is asked again; how soon this test sees that does not matter"
