"""Every step of every workflow fails once, in one way or another; a person says resume; the migration ends right.

Which steps there are is taken from what a worker serves, so that a new one is covered, or this test fails.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from migrator.model.phase import ORDER
from tests.fixtures.plans import small_plan
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.workflow.fakes import MAX_PAUSE_S, World, blocked, fakes, no_go, wave
from tests.workflow.serving import begun, serving
from workflows import names
from workflows.activities.base import Context
from workflows.breaker import RollbackWorkflow
from workflows.messages import (
    Approve,
    CheckInput,
    CheckResult,
    GateAnswer,
    MigrationInput,
    MigrationStatus,
    NextWave,
    Order,
    PhaseInput,
    Report,
    RollbackInput,
    Standing,
    Units,
    WindowState,
)
from workflows.migration import MigrationWorkflow
from workflows.worker import activities

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]

ALWAYS = GateAnswer(go=True, needs_approval=True)
AGAIN = GateAnswer(blockers=blocked("since then: rollback"), needs_approval=True, again=True)


def every_step() -> set[str]:
    """The names of all activities that workers serve."""
    served = activities(Context(small_plan())).values()
    return {getattr(one, "__temporal_activity_definition").name for some in served for one in some}


class FailsOnce(Interceptor):
    """Has the first call of every activity fail: before it acted, or after (then its answer is lost)."""

    def __init__(self, retryable: bool, after: bool, only: Collection[str] | None = None) -> None:
        self.retryable, self.after, self.only = retryable, after, only
        self.failed: Counter[str] = Counter()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(super().intercept_activity(next), self)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, plan: FailsOnce) -> None:
        super().__init__(next)
        self.plan = plan

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        name = activity.info().activity_type
        if self.plan.failed[name] or (self.plan.only is not None and name not in self.plan.only):
            return await super().execute_activity(input)
        self.plan.failed[name] += 1
        if self.plan.after and name != "watch":  # that one returns when something has ended
            await super().execute_activity(input)
        raise ApplicationError(f"{name} failed", type="Planned", non_retryable=not self.plan.retryable)


def eventful(plan: str) -> World:
    """A migration in which everything is called: a copy, a mirror that stops, a rollback, an incident that voids an
    approval, days that go on, a pause that is too long. What it answers follows from what was done."""
    world = World()

    def did(*steps: str) -> bool:
        return set(steps) <= set(world.calls)

    def next_wave(_: object) -> NextWave | None:
        if not did("forward"):
            return NextWave(held="rolled back by ana")
        return None if did("finish_wave") else wave(world.calls.count("next_wave"), plan, 10, 100)

    def check(inp: CheckInput) -> CheckResult:
        window = inp.window or WindowState(deadline_s=1)
        return CheckResult(window=window, over=did("validate", "cost", "go_on"), next_s=0.05)

    def stabilized(inp: PhaseInput) -> GateAnswer:
        return AGAIN if inp.approver and not did("void_approval") else ALWAYS

    def stand(_: object) -> Standing:
        if world.calls.count("hand_over") < 2:
            return Standing(max_pause_s=MAX_PAUSE_S)
        entry = "release" if did("export") else "export" if did("settle") else "settle"
        return Standing(entry=entry, number=1, approver="ana", max_pause_s=MAX_PAUSE_S)

    world.answers = {
        "next_units": [lambda _: Units() if did("copy a") else Units(units=("a",))],
        "next_wave": [next_wave],
        "check": [check],
        "gate stabilize": [stabilized],
        "gate cutover": [ALWAYS],
        "mirror 1": [no_go("forked"), None],
        "hand_over": [no_go("a pause that was too long"), None],
        "stand": [stand],
    }
    return world


class Operator:
    """Approves what waits, resumes what is blocked, reports an incident once, goes forward once; nothing else."""

    def __init__(self, env: WorkflowEnvironment, plan: str, world: World) -> None:
        self.env, self.plan, self.world = env, plan, world
        self.seen: MigrationStatus | None = None

    async def drive(self) -> WorkflowExecutionStatus | None:
        with self.env.with_time_skipping_disabled():
            handle = await self.env.client.start_workflow(
                MigrationWorkflow.run,
                MigrationInput(plan=self.plan, digest="d"),
                id=names.migration_id(self.plan),
                task_queue=names.queue(self.plan, names.Queue.CONTROL),
            )
        incident = forward = False
        quiet, before = 0, ""
        while True:
            found = await self.env.client.get_workflow_handle(handle.id).describe()
            if found.status is not WorkflowExecutionStatus.RUNNING:
                return found.status
            self.seen = seen = await handle.query(MigrationWorkflow.status)
            now = f"{seen} {[c for c in self.world.calls if c != 'next_units']}"  # the backfill asks all the time
            quiet, before = (quiet + 1 if now == before else 0), now
            if seen.waiting_for and seen.phase == "cutover" and not incident:
                incident = await self.does(handle, "report_incident", Report(reason="slow", reported_by="ana"))
            elif seen.waiting_for:
                await self.does(handle, "approve", Approve(gate=seen.waiting_for, approver="ana"))
            elif seen.phase == "cutover" and not forward:
                forward = await self.does(handle, "cut_over", Order(who="ana", reason="drill is over"))
            elif seen.state == "blocked" or quiet > 5 or seen.phase == "stabilize":  # an incident paused the days
                await self.does(handle, "resume", Order(who="ana"))
            await asyncio.sleep(0.1)

    async def does(self, handle: WorkflowHandle[Any, Any], update: str, argument: object) -> bool:
        try:
            await handle.execute_update(update, argument)
        except WorkflowUpdateFailedError:
            return False  # a person tries again
        return True


async def rolled_back(env: WorkflowEnvironment, plan: str) -> None:
    """A rollback through Temporal; the person who asked asks again when it failed."""
    for number in range(2):
        handle = await begun(
            env, plan, RollbackWorkflow.run, RollbackInput(plan=plan, all=True, who="ana", reason="x"), f"back-{number}"
        )
        try:
            await handle.result()
        except WorkflowFailureError:
            continue
        return


async def test_every_step_fails_once_and_resume_ends_it_right(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """In a way that is retried, for good, and with its answer lost; three migrations beside each other."""
    ways = ((True, False), (False, False), (False, True))
    await asyncio.gather(
        *(goes_on(temporal_env, f"{plan}{n}", FailsOnce(retry, after)) for n, (retry, after) in enumerate(ways))
    )


async def goes_on(env: WorkflowEnvironment, plan: str, failing: FailsOnce) -> None:
    """Phases in their order, each begun; the end handed over, settled, exported, released, in this order."""
    world = eventful(plan)
    operator = Operator(env, plan, world)
    async with serving(env.client, plan, fakes(world), failing):
        await rolled_back(env, plan)
        try:
            status = await asyncio.wait_for(operator.drive(), 3 * TIMEOUT_S)
        except TimeoutError:
            rest = [c for c in world.calls if c != "next_units"][-25:]
            raise AssertionError(f"{operator.seen}; {rest}; missing {every_step() - set(failing.failed)}") from None

    assert status is WorkflowExecutionStatus.COMPLETED
    assert set(failing.failed) == every_step()
    begins = list(dict.fromkeys(c for c in world.calls if c.startswith("begin")))
    assert begins == [f"begin {phase.value}" for phase in ORDER]
    end = [c for c in world.calls if c in ("close", "reopen", "hand_over", "settle", "export", "release")]
    last = len(end) - 1 - end[::-1].index("hand_over")
    assert list(dict.fromkeys(end[last:])) == ["hand_over", "settle", "export", "release"]
    assert "close" not in end[last:], "behind the point of no return writes are never closed again"


# No failure of a step ends the breaker monitor: it goes on by itself.
ENDS = [(w, h) for w in ("dual-write", "breaker", "backfill") for h in ("terminated", "canceled", "failed")]
ENDS.remove(("breaker", "failed"))


@pytest.mark.parametrize(("which", "how"), ENDS)
async def test_what_ends_beside_the_phases_is_seen_and_resume_starts_it_again(
    temporal_env: WorkflowEnvironment, plan: str, which: str, how: str
) -> None:
    """Status names it and is blocked; resume has it running again."""
    world = World({"gate dual_write": [GateAnswer(blockers=blocked("1 tenant is pending"), recheck_s=3600)]})
    if how == "failed":
        world.answers[{"dual-write": "capture_on", "backfill": "shape"}[which]] = [
            no_go("the plan names unknown tables"),
            None,
        ]
    client = temporal_env.client
    async with serving(client, plan, fakes(world)):
        with temporal_env.with_time_skipping_disabled():
            handle = await client.start_workflow(
                MigrationWorkflow.run,
                MigrationInput(plan=plan, digest="d"),
                id=names.migration_id(plan),
                task_queue=names.queue(plan, names.Queue.CONTROL),
            )

        async def runs() -> bool:
            return await is_running(temporal_env, names.WATCHED[which](plan))

        async def said() -> bool:
            if which == "backfill":  # dual write watches it, and says so on classic
                return not await runs() and world.calls.count("watch") >= 2
            seen = await handle.query(MigrationWorkflow.status)
            return seen.state == "blocked" and any(f"has ended ({how})" in line for line in seen.blockers)

        if how != "failed":
            await until(runs)
            child = client.get_workflow_handle(names.WATCHED[which](plan))
            await (child.terminate() if how == "terminated" else child.cancel())
        await until(said)
        await handle.execute_update(MigrationWorkflow.resume, Order(who="ana"))
        await until(runs)
        await handle.terminate()
        for workflow_id in names.WATCHED.values():
            if await is_running(temporal_env, workflow_id(plan)):
                await client.get_workflow_handle(workflow_id(plan)).terminate()


async def is_running(env: WorkflowEnvironment, workflow_id: str) -> bool:
    from temporalio.service import RPCError

    try:
        found = await env.client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return found.status is WorkflowExecutionStatus.RUNNING
