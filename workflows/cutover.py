"""Phase 4: waves of tenants, one after the other, until all tenants read from Limitless.

Which tenants form a wave is decided and kept on classic. An operator's rollback is seen there too, with or without
a message: the next step finds it, and the cutover stops until a person runs `migrator cutover`.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from migrator.model.phase import Phase
    from workflows import names, policies
    from workflows.activities.control import ControlActivities
    from workflows.activities.cutover import CutoverActivities
    from workflows.failures import blockers_of
    from workflows.messages import (
        CutoverInput,
        CutoverResult,
        NextWave,
        NextWaveInput,
        Pause,
        PhaseNote,
        WaveInput,
        WaveResult,
    )
    from workflows.wave import WaveWorkflow

HELD_RECHECK_S = 30.0
"""A stopped cutover rechecks this often whether an operator went forward again without Temporal."""

BLOCKED_RECHECK_S = 5.0
"""A wave in which no tenant is ready is rechecked this often: usually a mirror is catching up."""


@workflow.defn(name="Cutover")
class CutoverWorkflow:
    @workflow.init
    def __init__(self, inp: CutoverInput) -> None:
        self.plan = inp.plan
        self.late = inp.late
        self.paused = inp.paused
        self.looks = 0
        self.waves = 0

    @workflow.run
    async def run(self, inp: CutoverInput) -> CutoverResult:
        control = names.queue(self.plan, names.Queue.CONTROL)
        while True:
            await workflow.wait_condition(lambda: not self.paused)
            seen = self.looks
            todo = await workflow.execute_activity_method(
                CutoverActivities.next_wave,
                NextWaveInput(plan=self.plan, late=self.late),
                **policies.QUICK.on(control),
            )
            if todo.done or (todo.held and self.late):
                return CutoverResult(waves=self.waves)
            if todo.held or todo.approval:
                await self._hold(todo, seen)
            elif todo.wave is not None:
                result = await self._wave(todo.wave)
                self.waves += 1
                if self.late:
                    return CutoverResult(waves=self.waves)  # one wave; the next check takes the next
                # A wave in which no tenant moved is not followed at once by the next: that would be the same again.
                if result.held or (not result.moved and (result.blockers or workflow.patched("empty-wave-2026-11"))):
                    await self._held_wave(result, seen)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(inp.model_copy(update={"paused": self.paused}))

    async def _wave(self, wave: WaveInput) -> WaveResult:
        try:
            return await workflow.execute_child_workflow(
                WaveWorkflow.run,
                wave,
                id=names.wave_id(self.plan, wave.number),
                task_queue=names.queue(self.plan, names.Queue.CONTROL),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise
            why = blockers_of(error)
            return WaveResult(number=wave.number, held=f"wave {wave.number} failed", blockers=why)

    async def _hold(self, todo: NextWave, seen: int) -> None:
        if todo.approval:
            await self._note(
                "waiting",
                f"waiting for an approval of {todo.approval}",
                (),
                f"migrator approve {todo.approval} --as NAME",
            )
        else:
            await self._note("blocked", todo.held, todo.blockers, "migrator cutover")
        await self._wait(seen, HELD_RECHECK_S)

    async def _held_wave(self, result: WaveResult, seen: int) -> None:
        if result.held:
            await self._note("blocked", result.held, result.blockers, "migrator cutover")
            await self._wait(seen, HELD_RECHECK_S)
        else:
            detail = f"no tenant of wave {result.number} may move yet"
            await self._note("blocked", detail, result.blockers, "see the blockers; rechecked automatically")
            await self._wait(seen, BLOCKED_RECHECK_S)

    async def _wait(self, seen: int, recheck_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.looks > seen, timeout=timedelta(seconds=recheck_s))

    async def _note(self, state: str, detail: str, blockers: tuple[str, ...], next_step: str) -> None:
        phase = Phase.STABILIZE if self.late else Phase.CUTOVER
        workflow.set_current_details("\n".join([f"{state}: {detail}", *(f"- {b}" for b in blockers)]))
        await workflow.execute_activity_method(
            ControlActivities.note,
            PhaseNote(
                plan=self.plan,
                phase=phase.value,
                state=state,
                detail=detail,
                blockers=blockers,
                next_step=next_step,
            ),
            **policies.QUICK.on(names.queue(self.plan, names.Queue.CONTROL)),
        )

    @workflow.signal
    async def set_paused(self, order: Pause) -> None:
        self.paused = order.paused

    @workflow.signal
    def look(self) -> None:
        """Something changed: an approval came, or an operator went forward again."""
        self.looks += 1
