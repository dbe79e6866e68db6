"""The end: close, drain, hand over, retire classic.

Three stretches. Before the write pause: everything slow. The pause: writes are closed, steps follow each other at once,
and when the plan's limit is over or a step refuses, writes open again. Past the point of no return: only forward. One
row on classic says which side of that point it is, never this workflow: each run asks first, so a run that ended
anywhere is followed by one that enters at the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from migrator.decommission.progress import Entry
    from workflows import background, names, policies, retirement
    from workflows.activities.decommission import DecommissionActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.failures import blockers_of
    from workflows.messages import (
        Closing,
        DecommissionInput,
        DecommissionResult,
        PlanInput,
        ValidateInput,
        ValidationOutcome,
    )


SIGN_UP_LOOKS, SIGN_UP_S = 20, 3.0
"""How often, and how many seconds apart, a validation waits for new tenants to be mirrored: a minute in all."""


@workflow.defn(name="Decommission")
class DecommissionWorkflow:
    def __init__(self) -> None:
        self.step = "preparing"

    @workflow.run
    async def run(self, inp: DecommissionInput) -> DecommissionResult:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        if not workflow.patched("enter-2026-11"):  # runs begun before always entered at the start
            return await self._before_entries(inp, control)
        closing = Closing(plan=inp.plan, approver=inp.approver)
        stand = await workflow.execute_activity_method(
            DecommissionActivities.stand, closing, **policies.AFTER.on(control, summary="where to enter")
        )
        closing = closing.model_copy(
            update={"id": stand.number, "approver": stand.approver, "max_pause_s": stand.max_pause_s}
        )
        entry = Entry(stand.entry)
        if entry is Entry.REOPEN:
            reopened = await self._reopen(closing, "the run that closed writes has ended", control)
            # It may have handed over just before it ended: then there is only forward.
            entry = Entry.SETTLE if reopened.done else Entry.PREPARE
        if entry is not Entry.PREPARE:
            return await self._behind(closing, control, entry)
        await background.start(inp.plan)  # mirrors have to follow classic to its last write
        return await self._from_the_front(closing.model_copy(update={"approver": inp.approver}), control)

    async def _from_the_front(self, closing: Closing, control: str) -> DecommissionResult:
        try:
            blockers = await self._ready(closing, control)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            blockers = blockers_of(error)
        if blockers:
            return DecommissionResult(blockers=blockers, text="nothing was closed")
        closing, trouble = await self._close(closing, control)
        if not trouble and closing.reason:
            return DecommissionResult(blockers=(closing.reason,), text="nothing was closed")
        trouble = trouble or await self._pause(closing, control)
        if trouble:
            reopened = await self._reopen(closing, trouble[0], control)
            if not reopened.done:
                return replace(reopened, blockers=trouble)
        return await self._behind(closing, control, Entry.SETTLE)

    async def _reopen(self, closing: Closing, reason: str, control: str) -> DecommissionResult:
        return await workflow.execute_activity_method(
            DecommissionActivities.reopen,
            closing.model_copy(update={"reason": reason}),
            **policies.AFTER.on(control, summary="open writes on classic again"),
        )

    async def _ready(self, closing: Closing, control: str) -> tuple[str, ...]:
        """Do everything that can be done, or can fail, before the pause; return the blockers."""
        await workflow.execute_activity_method(
            DecommissionActivities.prepare, closing, **policies.WORK.on(control, summary="everything before the pause")
        )
        for looks_left in reversed(range(SIGN_UP_LOOKS)):
            # What is clean before the pause need not be compared inside it, unless it changes again.
            outcome = await workflow.execute_activity_method(
                ValidationActivities.validate,
                ValidateInput(plan=closing.plan, kind="decommission"),
                **policies.WORK.on(control, summary="validation before the pause"),
            )
            # A tenant that signed up just now is mirrored within seconds; that needs no person.
            if not looks_left or len(troubles(outcome)) > 1 or not outcome.unmirrored:
                break
            await workflow.sleep(SIGN_UP_S)
        return troubles(outcome)

    async def _close(self, closing: Closing, control: str) -> tuple[Closing, tuple[str, ...]]:
        """Close writes; return the attempt, and why it has to be undone: the worker may have ended half-way.

        Then the attempt's number is not known here; 0 stands for the newest.
        """
        self.step, newest = "closing writes", closing.model_copy(update={"id": 0})
        try:
            async with asyncio.timeout(closing.max_pause_s):
                return await workflow.execute_activity_method(
                    DecommissionActivities.close,
                    closing,
                    **policies.PAUSED_STEP.on(control, summary="close writes on classic"),
                ), ()
        except TimeoutError:
            return newest, (f"writes could not be closed within {closing.max_pause_s:g} s",)
        except asyncio.CancelledError:
            return newest, ("it was cancelled while writes were being closed",)
        except ActivityError as error:
            if is_cancelled_exception(error):
                return newest, (f"writes could not be closed within {closing.max_pause_s:g} s",)
            return newest, blockers_of(error)

    async def _before_entries(self, inp: DecommissionInput, control: str) -> DecommissionResult:
        """As runs did that were begun before they asked where to enter."""
        try:
            closing = await self._prepare(inp, control)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return DecommissionResult(blockers=blockers_of(error), text="nothing was closed")
        if closing.reason:
            return DecommissionResult(blockers=(closing.reason,), text="nothing was closed")
        trouble = await self._pause(closing, control)
        if trouble:
            reopened = await self._reopen(closing, trouble[0], control)
            if not reopened.done:
                return replace(reopened, blockers=trouble)
        return await self._behind(closing, control, Entry.SETTLE)

    async def _behind(self, closing: Closing, control: str, entry: Entry) -> DecommissionResult:
        """Go forward from *entry*, past the point of no return."""
        plan = PlanInput(plan=closing.plan)
        settled = DecommissionResult(done=True, text="settled by an earlier run")
        if entry is Entry.SETTLE:
            self.step = "settling"
            settled = await workflow.execute_activity_method(
                DecommissionActivities.settle, closing, **policies.AFTER.on(control, summary="settle on Limitless")
            )
        for workflow_id in (names.dual_write_id(plan.plan), names.breaker_id(plan.plan)):
            with contextlib.suppress(FailureError):  # it ended already
                await workflow.get_external_workflow_handle(workflow_id).signal("finish")
        await workflow.execute_activity_method(ValidationActivities.remove_schedule, plan, **policies.QUICK.on(control))
        self.step = "retiring classic"
        if entry is not Entry.RELEASE:
            await workflow.execute_activity_method(
                DecommissionActivities.export, closing, **policies.AFTER.on(control, summary="write the dossier")
            )
        kept = workflow.patched("keep-classic-2026-11")
        if kept:  # runs begun before retired classic without
            await workflow.execute_activity_method(
                DecommissionActivities.fingerprint, closing, **policies.WATCH.on(control, summary="what classic holds")
            )
        # The last step: on this machine and on AWS, classic does not answer any more afterwards.
        await workflow.execute_activity_method(
            DecommissionActivities.release, closing, **policies.AFTER.on(control, summary="release classic")
        )
        if kept:  # for weeks: it outlives this run, and the migration
            await retirement.start(closing.plan)
        self.step = "done"
        return settled

    async def _prepare(self, inp: DecommissionInput, control: str) -> Closing:
        closing = Closing(plan=inp.plan, approver=inp.approver)
        await workflow.execute_activity_method(
            DecommissionActivities.prepare, closing, **policies.WORK.on(control, summary="indexes and foreign keys")
        )
        # What is clean before the pause need not be compared inside it, unless it changes again.
        await workflow.execute_activity_method(
            ValidationActivities.validate,
            ValidateInput(plan=inp.plan, kind="decommission"),
            **policies.WATCH.on(control, summary="validation before the pause"),
        )
        self.step = "closing"
        return await workflow.execute_activity_method(
            DecommissionActivities.close, closing, **policies.PAUSED_STEP.on(control, summary="close writes on classic")
        )

    async def _pause(self, closing: Closing, control: str) -> tuple[str, ...]:
        """Run the steps of the pause; return what failed, nothing when the hand-over is done."""
        deadline = workflow.time() + closing.max_pause_s
        try:
            async with asyncio.timeout(closing.max_pause_s):
                for step, name in (
                    (DecommissionActivities.drain, "draining the mirrors"),
                    (DecommissionActivities.validate, "validating what changed"),
                    (DecommissionActivities.sequences, "restarting sequences"),
                    (DecommissionActivities.close_positions, "fencing off late mirrors"),
                    (DecommissionActivities.hand_over, "POINT OF NO RETURN"),
                ):
                    self.step = name
                    if workflow.time() >= deadline:
                        raise TimeoutError  # the step before swallowed the cancellation by succeeding
                    await workflow.execute_activity_method(
                        step, closing, **policies.PAUSED_STEP.on(control, summary=name)
                    )
        except TimeoutError:
            return (f"the write pause would have been longer than {closing.max_pause_s:g} s (while {self.step})",)
        except asyncio.CancelledError:
            return (f"it was cancelled while {self.step}",)  # writes must not stay closed
        except ActivityError as error:
            if is_cancelled_exception(error):
                return (f"the write pause ended after {closing.max_pause_s:g} s (while {self.step})",)
            return blockers_of(error)
        return ()

    @workflow.query
    def progress(self) -> str:
        return self.step


def troubles(outcome: ValidationOutcome) -> tuple[str, ...]:
    """Return the blockers that a validation of everything raises against closing writes."""
    blockers = (
        (outcome.divergent_rows, "rows differ: migrator validate --full, then --repair"),
        (outcome.unmirrored, "tenants are not mirrored"),
        (outcome.tenantless_rows, "orphan rows of sharded tables: give them a tenant, or delete them"),
        (outcome.unknown, "groups of tenants could not be compared: see migrator validate"),
        (outcome.left, "tenants were not reached"),
    )
    return tuple(f"{count} {words}" for count, words in blockers if count)
