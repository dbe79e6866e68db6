"""Phases 1 and 2: audit and provision."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from functools import partial

from temporalio import activity

from migrator import settings
from migrator.control.history import keep_audit
from migrator.db.connect import connect
from migrator.errors import NoGo, PlanMismatch
from migrator.model.blocker import blockers
from migrator.model.counted import counted
from migrator.plan.load import digest
from migrator.provision.apply import analyze, finalize
from migrator.provision.kept import provision_and_keep
from migrator.provision.tables import tables_in_force
from workflows.activities.base import APP, Context, beating
from workflows.messages import Outcome, PlanInput

SHOWN = 20
"""Blockers that travel through Temporal; all of them are in the report on classic."""


class PrepareActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="audit")
    async def audit(self, inp: PlanInput) -> Outcome:
        """Audit classic and keep the report; blockers are judged by the gate."""
        self.context.serves(inp.plan)
        return await beating(asyncio.to_thread(self._audit))

    def _audit(self) -> Outcome:
        from migrator.audit.report.accepted import verdict_of
        from migrator.audit.run import audit_live  # loads PostgreSQL's parser; other queues do without

        plan = self.context.plan
        with ExitStack() as stack:
            classic = stack.enter_context(closing(self.context.open_classic()))
            reader = None
            if plan.classic.readers:  # as the command does: its statements are the application's too
                reader = stack.enter_context(
                    connect(settings.resolve(plan.classic.readers[0]), APP, side="classic's reader")
                )
            report = audit_live(classic, plan, reader)
            kept = keep_audit(classic, report.to_json(), partial(verdict_of, report), digest=digest(plan))
            if kept is None or kept.blockers is None:
                raise PlanMismatch(
                    f"the audit does not count for this migration: {kept.why if kept else 'not installed'}"
                )
            shown = blockers("audit.reported", "", kept.blockers[:SHOWN])
            return Outcome(text=counted(len(report.findings), "finding"), blockers=shown)

    @activity.defn(name="provision")
    async def provision(self, inp: PlanInput) -> Outcome:
        """Build the schema on Limitless; running it again finds what exists.

        Secondary indexes that enforce nothing wait for `finish_limitless`: maintained during the copy they would double
        its cost.
        """
        self.context.serves(inp.plan)
        return await beating(asyncio.to_thread(self._provision))

    def _provision(self) -> Outcome:
        plan = self.context.plan
        with closing(self.context.open_classic()) as classic, closing(self.context.open_limitless()) as limitless:
            result = provision_and_keep(classic, limitless, plan)
            return Outcome(text=f"{counted(len(result.made), 'object')} made", blockers=result.verdict.blockers)

    @activity.defn(name="finish_limitless")
    async def finish_limitless(self, inp: PlanInput) -> Outcome:
        """Build indexes and foreign keys that waited for the copy, while no reads go to Limitless yet.

        Both lock the mirror out for as long as a table takes; with reads on Limitless that would raise a fallback.
        """
        self.context.serves(inp.plan)
        return await beating(asyncio.to_thread(self._finish_limitless))

    def _finish_limitless(self) -> Outcome:
        plan = self.context.plan
        with closing(self.context.open_classic()) as classic, closing(self.context.open_limitless()) as limitless:
            tables = tables_in_force(classic, plan.tables)
            result = finalize(classic, limitless, tables, plan, stage="mirrored")
            if not result.verdict.go:
                raise NoGo("finish limitless", result.verdict.blockers)
            analyze(limitless, tables)
            return Outcome(text=f"{counted(len(result.made), 'index or foreign key', 'indexes and foreign keys')} made")
