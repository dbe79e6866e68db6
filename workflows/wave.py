"""One wave: baseline, gate, then for every percentage of the ramp promote and soak.

Its tenants are kept on classic under the wave's number. Every step is an activity that can be run again: it finds
what an earlier run did and goes on from there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.cutover import CutoverActivities
    from workflows.messages import Advanced, WaveInput, WaveProgress, WaveResult, WaveStep

ADVANCE_RETRY_S = 2.0
"""Pause between two attempts to promote: a fallback is in force, or the mirror has to catch up."""


@workflow.defn(name="Wave")
class WaveWorkflow:
    @workflow.init
    def __init__(self, inp: WaveInput) -> None:
        self.inp = inp
        self.control = names.queue(inp.plan, names.Queue.CONTROL)
        self.at = inp.progress or WaveProgress()

    @workflow.run
    async def run(self, inp: WaveInput) -> WaveResult:
        step = WaveStep(plan=inp.plan, number=inp.number, soak_s=inp.soak_s, baseline_s=inp.baseline_s, late=inp.late)
        ready = inp.progress is not None or await self._begin(step)
        held = await self._ramp(step) if ready else ""
        await workflow.execute_activity_method(CutoverActivities.finish_wave, step, **policies.QUICK.on(self.control))
        return WaveResult(
            number=inp.number,
            moved=self.at.left,
            rolled_back=self.at.rolled_back,
            deferred=self.at.deferred,
            held=held,
            blockers=self.at.blockers,
        )

    async def _begin(self, step: WaveStep) -> bool:
        """Take the baseline and ask the gate; return whether a tenant may move."""
        await workflow.execute_activity_method(
            CutoverActivities.baseline, step, **policies.WATCH.on(self.control, summary="baseline on classic")
        )
        gate = await workflow.execute_activity_method(
            CutoverActivities.gate, step, **policies.WATCH.on(self.control, summary="gate of every tenant")
        )
        self.at = replace(self.at, deferred=gate.deferred, blockers=gate.blockers)
        return gate.ready > 0

    async def _ramp(self, step: WaveStep) -> str:
        """Promote and soak for each percentage that is left; return why the cutover must stop, '' when it need not."""
        while self.at.ramped < len(self.inp.ramp_pct):
            step = step.model_copy(update={"pct": self.inp.ramp_pct[self.at.ramped]})
            if not self.at.advanced:
                advanced = await self._advance(step)
                if advanced.held:
                    self.at = replace(self.at, left=0)
                    return advanced.held
                self.at = replace(self.at, advanced=True)
            if held := await self._soak(step):
                return held
            self.at = replace(self.at, ramped=self.at.ramped + 1, advanced=False, soaked_s=0, since_s=0)
        return ""

    async def _soak(self, step: WaveStep) -> str:
        """Soak at one percentage until that is over, or no tenant is left; return as `_ramp`."""
        while True:
            step = step.model_copy(update={"soaked_s": self.at.soaked_s, "since_s": self.at.since_s})
            soak = await workflow.execute_activity_method(
                CutoverActivities.soak, step, **policies.WATCH.on(self.control, summary=f"soak at {step.pct} %")
            )
            self.at = replace(
                self.at,
                soaked_s=soak.soaked_s,
                since_s=soak.since_s,
                left=soak.left,
                rolled_back=self.at.rolled_back + soak.rolled_back,
            )
            if soak.held or soak.done or not soak.left:
                return soak.held
            self._go_on_anew()

    async def _advance(self, step: WaveStep) -> Advanced:
        while True:
            advanced = await workflow.execute_activity_method(
                CutoverActivities.advance,
                step,
                **policies.WATCH.on(self.control, summary=f"reads to Limitless, {step.pct} %"),
            )
            if advanced.done or advanced.held:
                return advanced
            workflow.set_current_details(advanced.text)
            await workflow.sleep(timedelta(seconds=ADVANCE_RETRY_S))
            self._go_on_anew()

    def _go_on_anew(self) -> None:
        """Begin a new history at this place when this one is long: a soak, or a fallback, may last for weeks."""
        if workflow.info().is_continue_as_new_suggested() and workflow.patched("wave-goes-on-2026-11"):
            workflow.continue_as_new(replace(self.inp, progress=self.at))
