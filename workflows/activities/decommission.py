"""The end of phase 5: each step can be run again, and finds what an earlier run did."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator import settings
from migrator.decommission import attempt as tries
from migrator.decommission import progress, retire, run
from migrator.decommission.prepare import make_keys as _finalize
from migrator.decommission.prepare import prepare as _prepare
from migrator.decommission.prepare import tables as _tables
from migrator.decommission.retire import Looked
from migrator.decommission.run import MARGIN_S
from migrator.decommission.run import close_positions as _close_positions
from migrator.decommission.run import close_writes as _close
from migrator.decommission.run import left_to_drain as _left
from migrator.decommission.run import move_sequences as _sequences
from migrator.decommission.run import settle as _settle
from migrator.errors import NoGo
from migrator.poll import until_async
from workflows.activities.base import Context, beating
from workflows.activities.validation import ValidationActivities
from workflows.messages import Closing, DecommissionResult, Entered, PlanInput, Standing

__all__ = [
    "MARGIN_S", "DecommissionActivities", "_close", "_close_positions", "_finalize", "_left", "_prepare", "_sequences",
    "_settle", "_tables",
]  # fmt: skip


class DecommissionActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    # -- where a run enters ------------------------------------------------------------------------------------

    @activity.defn(name="enter")
    async def enter(self, inp: PlanInput) -> Entered:
        """Return where a new run of the migration begins; writes that an ended run left closed are reopened first."""
        self.context.serves(inp.plan)
        sides = self.context.open_classic, self.context.open_limitless
        done, approver = await beating(asyncio.to_thread(run.enter, *sides))
        return Entered(done=tuple(phase.value for phase in done), approver=approver)

    @activity.defn(name="decommission_stand")
    async def stand(self, inp: Closing) -> Standing:
        """Return where a run of the decommission enters."""
        self.context.serves(inp.plan)
        entry = await asyncio.to_thread(progress.find, self.context.open_classic, self.context.open_limitless)
        return Standing(
            entry=progress.enter_at(entry).value,
            number=entry.number or 0,
            approver=entry.approver,
            max_pause_s=self.context.plan.decommission.max_pause_s,
        )

    # -- before the pause -------------------------------------------------------------------------------------

    @activity.defn(name="decommission_prepare")
    async def prepare(self, inp: Closing) -> None:
        """Do beforehand what the write pause would wait for, and try what could fail in it. Returns all blockers."""
        self.context.serves(inp.plan)
        await beating(self.context.on_both(_prepare, self.context.plan))

    @activity.defn(name="decommission_close")
    async def close(self, inp: Closing) -> Closing:
        """Close writes on classic. When that is refused it says why, and writes are open again."""
        self.context.serves(inp.plan)
        number = await self.context.on_classic(tries.begin, inp.approver)
        closing_now = inp.model_copy(update={"id": number, "max_pause_s": self.context.plan.decommission.max_pause_s})
        try:
            await beating(self.context.on_classic(run.close_writes, self.context.plan, number))
        except NoGo as no:
            reason = "; ".join(no.blockers)
            await self._reopen(number, reason)
            return closing_now.model_copy(update={"reason": reason})
        return closing_now

    # -- the pause --------------------------------------------------------------------------------------------

    @activity.defn(name="decommission_drain")
    async def drain(self, inp: Closing) -> None:
        """Wait until every mirror has the last write and every tenant follows classic."""

        async def drained() -> bool:
            behind, unmirrored = await self.context.on_both(run.left_to_drain, inp.id)
            return not (behind or unmirrored)

        if not await beating(until_async(drained, inp.max_pause_s, every_s=0.05)):
            raise NoGo("decommission", run.undrained(*await self.context.on_both(run.left_to_drain, inp.id)))

    @activity.defn(name="decommission_validate")
    async def validate(self, inp: Closing) -> None:
        """Validate what changed since its last clean validation; writes are closed."""
        await beating(self._validate(inp))

    async def _validate(self, inp: Closing) -> None:
        changed = await self.context.on_classic(run.changed, inp.id)
        report = await ValidationActivities(self.context).compare(
            changed.tenants, "decommission", rest=changed.nobodys, reference=changed.reference
        )
        if blockers := run.validation_blockers(report):
            raise NoGo("decommission", blockers)

    @activity.defn(name="decommission_sequences")
    async def sequences(self, inp: Closing) -> None:
        """Restart every sequence on Limitless above every value that classic used."""
        await beating(self.context.on_both(run.move_sequences, self.context.plan, inp.id))

    @activity.defn(name="decommission_positions")
    async def close_positions(self, inp: Closing) -> None:
        """Take the leases of all mirror partitions, so that no mirror can write late."""
        await self.context.on_both(run.close_positions, inp.id)

    @activity.defn(name="decommission_hand_over")
    async def hand_over(self, inp: Closing) -> None:
        """POINT OF NO RETURN: make Limitless authoritative."""
        await self.context.on_both(run.make_authoritative, self.context.plan, inp.id, inp.approver, inp.max_pause_s)

    @activity.defn(name="decommission_reopen")
    async def reopen(self, inp: Closing) -> DecommissionResult:
        """Open writes on classic again, unless Limitless is authoritative already."""
        return await beating(self._reopen(inp.id, inp.reason))

    async def _reopen(self, number: int, reason: str) -> DecommissionResult:
        return await self.context.on_classic(run.roll_back, self.context.open_limitless, number, reason)

    # -- past the point of no return --------------------------------------------------------------------------

    @activity.defn(name="decommission_settle")
    async def settle(self, inp: Closing) -> DecommissionResult:
        """Store the terminal route on Limitless, have it confirmed, take capture off classic."""
        try:
            return await beating(self.context.on_both(run.settle, self.context.plan, inp.id))
        except NoGo as no:
            # Only forward: tried again until a person has cleared what status names.
            raise ApplicationError(
                str(no), {"blockers": list(no.blockers)}, type="NoGo", next_retry_delay=timedelta(seconds=10)
            ) from None

    @activity.defn(name="decommission_export")
    async def export(self, inp: Closing) -> str:
        """Write the final dossier where the plan says."""
        return await beating(self.context.on_classic(run.export, inp.id, self.context.plan, settings.home()))

    @activity.defn(name="decommission_release")
    async def release(self, inp: Closing) -> str:
        """Take the last snapshot of classic and stop the cluster. Afterwards it does not answer any more."""
        sides = self.context.open_classic, self.context.open_limitless
        return await beating(asyncio.to_thread(retire.release, *sides, self.context.plan, inp.id, settings.home()))

    @activity.defn(name="decommission_fingerprint")
    async def fingerprint(self, inp: Closing) -> str:
        """Store what each table of classic holds in the end, for the drill that restores its last copy."""
        sides = self.context.open_classic, self.context.open_limitless
        return await beating(asyncio.to_thread(retire.fingerprint, *sides, self.context.plan))

    @activity.defn(name="retirement_look")
    async def look(self, inp: PlanInput) -> Looked:
        """Do what is due of classic's retirement: stop it again, delete it once approved and its days are over."""
        self.context.serves(inp.plan)
        return await beating(self.context.on_limitless(retire.look, self.context.plan))
