"""Compares both sides: started by a Temporal Schedule, by gates, and by hand.

A divergence that was found is a result, not a failure; only a validation that could not run fails.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.validation import ValidationActivities
    from workflows.messages import ValidateInput, ValidationOutcome


@workflow.defn(name="Validation")
class ValidationWorkflow:
    @workflow.run
    async def run(self, inp: ValidateInput) -> ValidationOutcome:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        return await workflow.execute_activity_method(
            ValidationActivities.validate, inp, **policies.WATCH.on(control, summary=f"{inp.kind} validation")
        )
