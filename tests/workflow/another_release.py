"""Workflows as a release might change them without a thought for those that run: they sleep first."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import Outcome, PlanInput


@workflow.defn(name="Breaker", sandboxed=False)  # the sandbox refuses tests/__init__.py
class AnotherBreaker:
    @workflow.run
    async def run(self, inp: PlanInput) -> None:
        await workflow.sleep(timedelta(seconds=7))


@workflow.defn(name="Audit", sandboxed=False)
class AnotherAudit:
    @workflow.run
    async def run(self, inp: PlanInput) -> Outcome:
        await workflow.sleep(timedelta(seconds=7))
        raise AssertionError
