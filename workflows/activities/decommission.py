"""The end of phase 5: each step can be run again, and finds what an earlier try did."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator import settings
from migrator.capture.install import remove
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.tables import captured_tables
from migrator.decommission import close, drain, hand_over, sequences, stand
from migrator.decommission import closing as tries
from migrator.decommission.aws import AwsReleaser
from migrator.decommission.release import KeepClassic, LocalReleaser, Releaser
from migrator.decommission.stand import Entry
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed
from migrator.inventory.look import losses, refresh
from migrator.model.phase import Phase
from migrator.model.route import WriteMode
from migrator.model.table import Table
from migrator.plan.schema import Plan
from migrator.provision.apply import Stage, finalize, finalize_actions
from migrator.route.confirm import wait_confirmed
from migrator.route.write_mode import write_mode
from workflows.activities.base import Connection, Context, beating, until
from workflows.activities.validation import ValidationActivities
from workflows.messages import Closing, DecommissionResult, Entered, PlanInput, Standing

WHO = "decommission"
FINALIZE_TRIES = 5
"""So often the foreign keys are made while mirrors let them go again; then status says which are missing."""
MARGIN_S = 10.0
"""Moments of changes and validations closer together than this are not trusted to be in order."""


class DecommissionActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    # -- where does it stand ----------------------------------------------------------------------------------

    @activity.defn(name="enter")
    async def enter(self, inp: PlanInput) -> Entered:
        """Say where a new migration begins; writes that an ended one left closed are opened first."""
        self.context.serves(inp.plan)
        found = await asyncio.to_thread(stand.find, self.context.open_classic, self.context.open_limitless)
        if stand.enter_at(found) is Entry.REOPEN:
            reopened = await beating(self._reopen(found.number or 0, "the migration that closed writes has ended"))
            mode = WriteMode.LIMITLESS_ONLY if reopened.done else WriteMode.DUAL
        else:
            mode = found.write_mode or WriteMode.CLASSIC_ONLY
        behind = mode is WriteMode.LIMITLESS_ONLY
        done = frozenset() if behind else await self.context.on_classic(stand.done_phases)
        return Entered(
            done=tuple(phase.value for phase in stand.phases_done(mode, done)),
            approver=found.approver if behind else "",
        )

    @activity.defn(name="decommission_stand")
    async def stand(self, inp: Closing) -> Standing:
        """Say where a run of the decommission enters."""
        self.context.serves(inp.plan)
        found = await asyncio.to_thread(stand.find, self.context.open_classic, self.context.open_limitless)
        return Standing(
            entry=stand.enter_at(found).value,
            number=found.number or 0,
            approver=found.approver,
            max_pause_s=self.context.plan.decommission.max_pause_s,
        )

    # -- before the pause -------------------------------------------------------------------------------------

    @activity.defn(name="decommission_prepare")
    async def prepare(self, inp: Closing) -> None:
        """Do, while traffic goes on, whatever the pause would wait for; try what could fail in it. All blockers."""
        self.context.serves(inp.plan)
        await beating(self.context.on_both(_prepare, self.context.plan))

    @activity.defn(name="decommission_close")
    async def close(self, inp: Closing) -> Closing:
        """Close writes on classic. A no is answered with a reason, and writes are open again."""
        self.context.serves(inp.plan)
        number = await self.context.on_classic(tries.begin, inp.approver)
        closing_now = inp.model_copy(update={"id": number, "max_pause_s": self.context.plan.decommission.max_pause_s})
        try:
            await beating(self.context.on_classic(_close, self.context.plan, number))
        except NoGo as no:
            reason = "; ".join(no.blockers)
            await self._reopen(number, reason)
            return closing_now.model_copy(update={"reason": reason})
        return closing_now

    # -- the pause --------------------------------------------------------------------------------------------

    @activity.defn(name="decommission_drain")
    async def drain(self, inp: Closing) -> None:
        """Wait until every mirror has the last write and every tenant follows classic."""

        async def look() -> bool | None:
            behind, strangers = await self.context.on_both(_left, inp.id)
            return None if behind or strangers else True

        if await beating(until(look, every_s=0.05, for_s=inp.max_pause_s)) is None:
            behind, strangers = await self.context.on_both(_left, inp.id)
            raise NoGo(
                "decommission",
                [*(f"mirror partition {p} has not reached the last write" for p in behind),
                 *(f"tenant {t} is not mirrored" for t in strangers[:10])],
            )  # fmt: skip

    @activity.defn(name="decommission_validate")
    async def validate(self, inp: Closing) -> None:
        """Validate what changed since its last clean validation; nothing can change it any more."""
        await beating(self._validate(inp))

    async def _validate(self, inp: Closing) -> None:
        await self.context.on_classic(tries.require, inp.id, "closed", "handed_over")
        # Everything else was compared before the pause and has not changed since: no table is read whole.
        tenants = await self.context.on_classic(drain.changed_tenants, MARGIN_S)
        reference = await self.context.on_classic(drain.reference_changed, MARGIN_S)
        nobodys = await self.context.on_classic(drain.nobodys_changed, MARGIN_S)
        report = await ValidationActivities(self.context).compare(
            tenants, "decommission", rest=nobodys, reference=reference
        )
        blockers = []
        if report.divergent_rows:
            tables = sorted({d.table for d in report.sample})
            blockers.append(f"{report.divergent_rows} divergent rows in {', '.join(tables)}")
        blockers += [f"tenant {t} is not mirrored" for t in report.unmirrored[:10]]
        blockers += [f"nothing is known of {reason}" for reason in report.unknown[:10]]
        if report.tenantless_rows:
            blockers.append(f"{report.tenantless_rows} rows of sharded tables belong to no tenant")
        if blockers:
            raise NoGo("decommission", blockers)

    @activity.defn(name="decommission_sequences")
    async def sequences(self, inp: Closing) -> None:
        """Restart every sequence on Limitless above everything classic used."""
        await beating(self.context.on_both(_sequences, self.context.plan, inp.id))

    @activity.defn(name="decommission_positions")
    async def close_positions(self, inp: Closing) -> None:
        """Take the partitions away from all mirrors, so that none can write late."""
        await self.context.on_both(_close_positions, inp.id)

    @activity.defn(name="decommission_hand_over")
    async def hand_over(self, inp: Closing) -> None:
        """POINT OF NO RETURN: make Limitless authoritative."""
        await self.context.on_both(_hand_over, self.context.plan, inp)

    @activity.defn(name="decommission_reopen")
    async def reopen(self, inp: Closing) -> DecommissionResult:
        """Open writes on classic again, unless Limitless is authoritative already."""
        return await beating(self._reopen(inp.id, inp.reason))

    async def _reopen(self, number: int, reason: str) -> DecommissionResult:
        """Open writes that try *number* closed; 0: the newest one."""
        number = number or await self.context.on_classic(_newest)
        if not number:
            return DecommissionResult(blockers=(reason,), text="writes were never closed")
        reopened = await self.context.on_classic(_reopen_classic, number, reason)
        if not reopened:
            return DecommissionResult(done=True, text="Limitless is authoritative already")
        await self.context.on_limitless(drain.reopen_positions)
        await self.context.on_classic(_note_reopened, reason)
        found = await self.context.on_classic(tries.read, number)
        return DecommissionResult(pause_s=found.pause_s or 0.0, blockers=(reason,), text="writes are open again")

    # -- behind the point of no return ------------------------------------------------------------------------

    @activity.defn(name="decommission_settle")
    async def settle(self, inp: Closing) -> DecommissionResult:
        """Store the terminal route on Limitless, have it confirmed, take capture off classic."""
        try:
            return await beating(self.context.on_both(_settle, self.context.plan, inp.id))
        except NoGo as no:
            # Only forward: tried again until somebody has answered what status names.
            raise ApplicationError(
                str(no), {"blockers": list(no.blockers)}, type="NoGo", next_retry_delay=timedelta(seconds=10)
            ) from None

    @activity.defn(name="decommission_export")
    async def export(self, inp: Closing) -> str:
        path = settings.home() / f"decisions-{self.context.plan.name}.json"
        return await beating(self.context.on_classic(_export, inp.id, path, self.context.plan))

    @activity.defn(name="decommission_release")
    async def release(self, inp: Closing) -> str:
        """Take a last snapshot of classic and release it. Afterwards it may not answer any more."""
        return await beating(asyncio.to_thread(self._release, inp.id))

    def _release(self, number: int) -> str:
        """Nothing happens to classic before Limitless says that it is retired, and the last copy was read back."""
        found = stand.find(self.context.open_classic, self.context.open_limitless)
        if stand.enter_at(found) is not Entry.RELEASE:
            raise PreconditionFailed(f"classic must not be released: the decommission is at {stand.enter_at(found)}")
        with closing(self.context.open_limitless()) as limitless:
            handed_over_at = hand_over.mark_retiring(limitless, found.number or number)
        releaser = releaser_for(self.context.plan, handed_over_at)
        kept = releaser.snapshot()
        try:
            with closing(self.context.open_classic()) as conn:
                tries.note(conn, found.number or number, snapshot_kept=kept)
        except ClusterUnavailable:
            activity.logger.info("classic does not answer any more; an earlier try released it")
        return releaser.release()


def releaser_for(plan: Plan, not_before: datetime | None = None) -> Releaser:
    """Return who retires classic where this plan runs; a last copy from before *not_before* is none."""
    if not plan.decommission.release_classic:
        return KeepClassic("the plan says release_classic = false")
    if plan.classic.writer.startswith("local:"):
        return LocalReleaser(settings.home())
    if plan.classic.cluster_id is None:
        return KeepClassic("the plan names no classic.cluster_id")
    return AwsReleaser(plan.classic.cluster_id, not_before)


def _tables(classic: Connection) -> list[Table]:
    return list(captured_tables(classic).values())


def _finalize(classic: Connection, limitless: Connection, plan: Plan, stage: str) -> None:
    differences = losses(classic, limitless)
    if differences:
        raise NoGo("decommission", differences)
    stage_now: Stage = "final" if stage == "final" else "mirrored"
    for left in reversed(range(FINALIZE_TRIES)):
        result = finalize(classic, limitless, _tables(classic), plan, stage=stage_now)
        if result.verdict.go:
            return
        # What was made and is to be made again, a mirror or a copy had to let go of meanwhile: that is nobody's fault.
        todo = finalize_actions(classic, limitless, _tables(classic), plan, stage=stage_now)
        if not left or not {a.id for a in result.made} & {a.id for a in todo}:
            raise NoGo("decommission", result.verdict.blockers)


def _newest(classic: Connection) -> int:
    return tries.latest(classic) or 0


def _prepare(classic: Connection, limitless: Connection, plan: Plan) -> None:
    """Raises NoGo with every blocker of every part."""
    refresh(classic, limitless)  # the pause asks classic alone what is there
    blockers: list[str] = []
    try:
        _finalize(classic, limitless, plan, "final")
    except NoGo as no:
        blockers += no.blockers
    blockers += _sequences_ahead(classic, limitless, plan)
    blockers += close.rehearse(classic, _tables(classic), plan.decommission.max_pause_s / 2)
    blockers += hand_over.rehearse(limitless)
    if blockers:
        raise NoGo("decommission", blockers)


def _sequences_ahead(classic: Connection, limitless: Connection, plan: Plan) -> list[str]:
    """Restart every sequence on Limitless while nobody uses it there, and remember what was read; return blockers."""
    blockers: list[str] = []
    prepared = tries.Prepared(tries.now(classic), {}, {})
    for facts in sequences.read(classic, limitless, list(plan.tables.schemas)):
        try:
            prepared.first[facts.qualified] = sequences.restart(limitless, facts, plan.decommission.sequence_headroom)
            prepared.column_max[facts.qualified] = facts.column_max
        except NoGo as no:
            blockers += no.blockers
    if not blockers:
        tries.keep_sequences(classic, prepared)
    return blockers


def _close(conn: Connection, plan: Plan, number: int) -> None:
    def set_closed() -> int:
        return write_mode(conn, WriteMode.CLOSED, who=WHO, reason="hand-over to Limitless", expected=WriteMode.DUAL)

    def confirm(epoch: int) -> None:
        found = wait_confirmed(conn, epoch, timeout_s=plan.shim.staleness_s * 2 + 1)
        if not found.complete:
            raise NoGo(
                "decommission", [f"process {name} did not confirm that writes are closed" for name in found.pending]
            )

    differences = losses(conn)
    if differences:
        raise NoGo("decommission", differences)
    set_phase(conn, Phase.DECOMMISSION.value, "running", "writes are closed")
    close.close_writes(conn, number, _tables(conn), set_closed, confirm, patience_s=plan.decommission.max_pause_s / 2)


def _left(classic: Connection, limitless: Connection, number: int) -> tuple[list[int], list[str]]:
    found = tries.require(classic, number, "closed", "handed_over")
    assert found.snapshot is not None  # closed means that it was taken
    return drain.behind(limitless, found.snapshot), [str(t) for t in drain.unknown_tenants(classic)]


def _sequences(classic: Connection, limitless: Connection, plan: Plan, number: int) -> None:
    """Move the sequences whose headroom was used up since they were prepared, for the price of what changed."""
    tries.require(classic, number, "closed")
    prepared = tries.kept_sequences(classic)
    schemas, headroom = list(plan.tables.schemas), plan.decommission.sequence_headroom
    if prepared is None:
        found, first = sequences.read(classic, limitless, schemas), {}
    else:
        tenants, reference = drain.changed_since(classic, prepared.at, MARGIN_S)
        first = prepared.first
        found = sequences.read_again(
            classic, limitless, schemas, prepared.column_max, _tables(classic), tenants, reference
        )
    started = {}
    for facts in found:
        started[facts.qualified] = known = first.get(facts.qualified)
        if known is None or sequences.must_move(facts, known, headroom):
            started[facts.qualified] = sequences.restart(limitless, facts, headroom)
    decide(classic, WHO, "sequences.restarted", f"decommission/{number}", "beyond classic", after=started)


def _close_positions(classic: Connection, limitless: Connection, number: int) -> None:
    found = tries.require(classic, number, "closed", "handed_over")
    assert found.snapshot is not None
    drain.close_positions(limitless, found.snapshot)


def _hand_over(classic: Connection, limitless: Connection, plan: Plan, inp: Closing) -> None:
    # Positions are closed, so no mirror takes a key away any more.
    if tries.read(classic, inp.id).state != "handed_over":
        left = finalize_actions(classic, limitless, _tables(classic), plan, stage="final")
        if left:
            raise NoGo("decommission", [f"not there any more, a mirror had to let it go: {a.summary}" for a in left])

    def set_limitless_only() -> int:
        return write_mode(
            classic,
            WriteMode.LIMITLESS_ONLY,
            who=inp.approver,
            reason=f"decommission approved by {inp.approver}",
            expected=WriteMode.CLOSED,
        )

    hand_over.hand_over(classic, limitless, inp.id, _tables(classic), inp.max_pause_s, set_limitless_only)


def _reopen_classic(conn: Connection, number: int, reason: str) -> bool:
    def set_dual() -> int:
        return write_mode(conn, WriteMode.DUAL, who=WHO, reason=reason)

    return hand_over.reopen(conn, number, _tables(conn), reason, set_dual)


def _note_reopened(conn: Connection, reason: str) -> None:
    set_phase(
        conn,
        Phase.DECOMMISSION.value,
        "blocked",
        "writes are open on classic again",
        [reason],
        "mend it, then: migrator resume",
    )


def _settle(classic: Connection, limitless: Connection, plan: Plan, number: int) -> DecommissionResult:
    digest = hand_over.settle(classic, limitless, number)
    row = classic.execute("SELECT epoch FROM migrator.switch").fetchone()
    confirmation = wait_confirmed(classic, int(row[0]) if row else 0, timeout_s=plan.shim.staleness_s * 2 + 1)
    # The inventory was equal when Limitless became authoritative; what came since stays, and classic stays with it.
    differences = losses(classic, limitless)
    if differences:
        raise NoGo("decommission", differences)
    remove(classic)
    found = tries.read(classic, number)
    decide(
        classic,
        WHO,
        "capture.removed",
        f"decommission/{number}",
        "Limitless is authoritative",
        after={"processes": confirmation.processes, "confirmed": confirmation.confirmed, "decisions": digest},
    )
    tries.mark_time(classic, number, "settled_at")
    return DecommissionResult(
        done=True,
        pause_s=found.pause_s or 0.0,
        text=f"{confirmation.confirmed} of {confirmation.processes} processes confirmed",
    )


def _export(conn: Connection, number: int, path: Path, plan: Plan) -> str:
    found = tries.read(conn, number)
    release = "classic is being released" if plan.decommission.release_classic else "classic is kept, closed for writes"
    detail = f"handed over in {found.pause_s or 0:.2f} s; {release}; decisions in {path.name}"
    set_phase(conn, Phase.DECOMMISSION.value, "done", detail)
    written = hand_over.export(conn, number, path)
    tries.mark_time(conn, number, "exported_at")
    return str(written)
