"""One wave: baseline, gate, then for every percentage of the ramp promote and soak.

Its tenants are kept on classic under the wave's number. Every step is an activity that can be run again: it finds
what an earlier run did and goes on from there.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.cutover import CutoverActivities
    from workflows.messages import Advanced, WaveInput, WaveResult, WaveStep

ADVANCE_RETRY_S = 2.0
"""Pause between two attempts to promote: a fallback is in force, or the mirror has to catch up."""


@workflow.defn(name="Wave")
class WaveWorkflow:
    @workflow.init
    def __init__(self, inp: WaveInput) -> None:
        self.inp = inp
        self.control = names.queue(inp.plan, names.Queue.CONTROL)
        self.rolled_back = 0

    @workflow.run
    async def run(self, inp: WaveInput) -> WaveResult:
        step = WaveStep(plan=inp.plan, number=inp.number, soak_s=inp.soak_s, baseline_s=inp.baseline_s, late=inp.late)
        await workflow.execute_activity_method(
            CutoverActivities.baseline, step, **policies.WATCH.on(self.control, summary="baseline on classic")
        )
        gate = await workflow.execute_activity_method(
            CutoverActivities.gate, step, **policies.WATCH.on(self.control, summary="gate of every tenant")
        )
        result = WaveResult(number=inp.number, deferred=gate.deferred, blockers=gate.blockers)
        if gate.ready:
            result = await self._ramp(step, result)
        await workflow.execute_activity_method(CutoverActivities.finish_wave, step, **policies.QUICK.on(self.control))
        return result

    async def _ramp(self, step: WaveStep, result: WaveResult) -> WaveResult:
        left = 0
        for pct in self.inp.ramp_pct:
            step = step.model_copy(update={"pct": pct, "soaked_s": 0.0, "since_s": 0.0})
            advanced = await self._advance(step)
            if advanced.held:
                return result.model_copy(update={"held": advanced.held, "rolled_back": self.rolled_back})
            while True:
                soak = await workflow.execute_activity_method(
                    CutoverActivities.soak,
                    step,
                    **policies.WATCH.on(self.control, summary=f"soak at {pct} %"),
                )
                self.rolled_back += soak.rolled_back
                left = soak.left
                if soak.held:
                    return result.model_copy(update={"held": soak.held, "rolled_back": self.rolled_back, "moved": left})
                if soak.done or not left:
                    break
                step = step.model_copy(update={"soaked_s": soak.soaked_s, "since_s": soak.since_s})
        return result.model_copy(update={"moved": left, "rolled_back": self.rolled_back})

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
