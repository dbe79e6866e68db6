"""The steps of a decommission from the pause on, in order. Each can be run again and detects what is done.

Used by the workflow, which brings sequence and time limits, and by `migrator decommission reopen`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing as closing_
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from migrator.control import history, retirement
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.route import switch
from migrator.dataplane.capture.install import remove
from migrator.decommission import attempt, dossier, drain, fingerprint, hand_over, progress, sequences, write_stop
from migrator.decommission.prepare import tables
from migrator.decommission.progress import Entry
from migrator.decommission.retire import releaser_for
from migrator.errors import NoGo
from migrator.inventory.look import losses
from migrator.model.action import Action
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.decommission import DecommissionResult
from migrator.model.divergence import ValidationReport
from migrator.model.phase import Phase
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.provision.apply import finalize_actions
from migrator.rights.owners import give_owners
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.write_mode import write_mode

Connection = psycopg.Connection[Any]

WHO = "decommission"
MARGIN_S = 10.0
"""Moments of changes and validations closer together than this are not trusted to be in order."""
SHOWN = 10
FINAL_TABLES = "decommission.final_tables"
"""Kind of the report that says what each table of classic held in the end, by count and digest."""


# -- where does it begin ---------------------------------------------------------------------------------------------


def enter(open_classic: Callable[[], Connection], open_limitless: Callable[[], Connection]) -> tuple[list[Phase], str]:
    """Return the phases that a new migration need not do again, and who approved the end.

    Writes that an ended migration left closed are opened first. The approver is given behind the point of no return,
    where the approval was used; else ''.
    """
    reached = progress.find(open_classic, open_limitless)
    mode = reached.write_mode or WriteMode.CLASSIC_ONLY
    if progress.enter_at(reached) is Entry.REOPEN:
        with closing_(open_classic()) as classic:
            why = "the migration that closed writes has ended"
            reopened = roll_back(classic, open_limitless, reached.number or 0, why)
        mode = WriteMode.LIMITLESS_ONLY if reopened.done else WriteMode.DUAL
    if mode is WriteMode.LIMITLESS_ONLY:
        return list(progress.phases_done(mode, frozenset())), reached.approver
    with closing_(open_classic()) as classic:
        return list(progress.phases_done(mode, progress.done_phases(classic))), ""


# -- the pause -------------------------------------------------------------------------------------------------------


def close_writes(conn: Connection, plan: Plan, number: int) -> None:
    """Close writes on classic for attempt *number*, and have every process confirm it.

    Raises:
        NoGo: rows would be lost, a process did not confirm, or a writer did not end; the caller reopens.
    """

    def set_closed() -> int:
        return write_mode(conn, WriteMode.CLOSED, who=WHO, reason="hand-over to Limitless", expected=WriteMode.DUAL)

    def confirm(epoch: int) -> None:
        confirmation = wait_confirmed(conn, epoch, timeout_s=plan.shim.staleness_s * 2 + 1)
        if not confirmation.complete:
            raise NoGo("decommission", [_unconfirmed(name) for name in confirmation.pending])

    differences = losses(conn)
    if differences:
        raise NoGo("decommission", differences)
    set_phase(conn, Phase.DECOMMISSION.value, "running", "writes are closed")
    write_stop.close_writes(
        conn, number, tables(conn), set_closed, confirm, timeout_s=plan.decommission.max_pause_s / 2
    )


def _unconfirmed(process: str) -> Blocker:
    return Blocker("process.unconfirmed", process, f"process {process} did not confirm that writes are closed")


def left_to_drain(classic: Connection, limitless: Connection, number: int) -> tuple[list[int], list[str]]:
    """Return the partitions that have not reached the last write, and the tenants that are not mirrored."""
    current = attempt.require(classic, number, "closed", "handed_over")
    assert current.snapshot is not None  # closed means that it was taken
    return drain.behind(limitless, current.snapshot), [str(t) for t in drain.unknown_tenants(classic)]


def undrained(behind: list[int], unmirrored: list[str]) -> tuple[Blocker, ...]:
    """Return what `left_to_drain` found as blockers."""
    return (
        *(Blocker("mirror.behind", str(p), f"mirror partition {p} has not reached the last write") for p in behind),
        *(_unmirrored(tenant) for tenant in unmirrored[:SHOWN]),
    )


def _unmirrored(tenant: str) -> Blocker:
    return Blocker("tenant.not_mirrored", tenant, f"tenant {tenant} is not mirrored")


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed since its last clean validation. nobodys: orphan rows."""

    tenants: list[TenantId]
    reference: bool
    nobodys: bool


def changed(conn: Connection, number: int) -> Changed:
    """Return what has to be compared while writes are closed: everything else was, and has not changed since."""
    attempt.require(conn, number, "closed", "handed_over")
    return Changed(
        drain.changed_tenants(conn, MARGIN_S),
        drain.reference_changed(conn, MARGIN_S),
        drain.nobodys_changed(conn, MARGIN_S),
    )


def validation_blockers(report: ValidationReport) -> tuple[Blocker, ...]:
    """Return what a validation inside the pause has against the hand-over. Pure."""
    problems: list[Blocker] = []
    if report.divergent_rows:
        names = ", ".join(sorted({d.table for d in report.sample}))
        problems.append(
            Blocker("rows.divergent", names, f"{counted(report.divergent_rows, 'divergent row')} in {names}")
        )
    problems += [_unmirrored(tenant) for tenant in report.unmirrored[:SHOWN]]
    problems += [
        Blocker("tenants.not_compared", reason, f"nothing is known of {reason}") for reason in report.unknown[:SHOWN]
    ]
    if report.tenantless_rows:
        text = f"{counted(report.tenantless_rows, 'orphan row')}: rows of sharded tables whose tenant cannot be found"
        problems.append(Blocker("rows.tenantless", "", text))
    return tuple(problems)


def move_sequences(classic: Connection, limitless: Connection, plan: Plan, number: int) -> None:
    """Move the sequences whose headroom was used up since they were prepared, for the price of what changed."""
    attempt.require(classic, number, "closed")
    prepared = attempt.kept_sequences(classic)
    schemas, headroom = list(plan.tables.schemas), plan.decommission.sequence_headroom
    if prepared is None:
        found, first = sequences.read(classic, limitless, schemas), {}
    else:
        tenants, reference = drain.changed_since(classic, prepared.at, MARGIN_S)
        first = prepared.first
        found = sequences.read_again(
            classic, limitless, schemas, prepared.column_max, tables(classic), tenants, reference
        )
    started = {}
    for facts in found:
        started[facts.qualified] = known = first.get(facts.qualified)
        if known is None or sequences.must_move(facts, known, headroom):
            started[facts.qualified] = sequences.restart(limitless, facts, headroom)
    decide(classic, WHO, "sequences.restarted", f"decommission/{number}", "beyond classic", after=started)


def close_positions(classic: Connection, limitless: Connection, number: int) -> None:
    """Close the checkpoints of all mirrors, so that none can write late."""
    current = attempt.require(classic, number, "closed", "handed_over")
    assert current.snapshot is not None
    drain.close_positions(limitless, current.snapshot)


def make_authoritative(
    classic: Connection, limitless: Connection, plan: Plan, number: int, approver: str, max_pause_s: float
) -> None:
    """POINT OF NO RETURN: make Limitless authoritative.

    Raises:
        NoGo: something is not as it must be; nothing has changed, and the caller reopens.
    """
    # Checkpoints are closed, so no mirror drops a key any more.
    if attempt.read(classic, number).state != "handed_over":
        left = finalize_actions(classic, limitless, tables(classic), plan, stage="final")
        if left:
            raise NoGo("decommission", [_gone(action.summary) for action in left])

    def set_limitless_only() -> int:
        reason = f"decommission approved by {approver}"
        return write_mode(classic, WriteMode.LIMITLESS_ONLY, who=approver, reason=reason, expected=WriteMode.CLOSED)

    hand_over.hand_over(classic, limitless, number, tables(classic), max_pause_s, set_limitless_only)


def _gone(summary: str) -> Blocker:
    return Blocker("key.missing", summary, f"missing on Limitless, because a mirror had to drop it: {summary}")


# -- the way back ----------------------------------------------------------------------------------------------------


def reopen(classic: Connection, number: int, reason: str, who: str = WHO) -> bool:
    """Open writes on classic that attempt *number* closed, and record it; False when Limitless is authoritative
    already.

    The mirrors then need their partitions again: `drain.reopen_positions` on Limitless, which may not answer now.
    """

    def set_dual() -> int:
        return write_mode(classic, WriteMode.DUAL, who=who, reason=reason)

    if not hand_over.reopen(classic, number, tables(classic), reason, set_dual):
        return False
    set_phase(
        classic,
        Phase.DECOMMISSION.value,
        "blocked",
        "writes are open on classic again",
        [Blocker("writes.reopened", "", reason)],
        "correct the cause, then: migrator resume",
    )
    return True


REOPEN = (
    Action("reopen/classic", "Take the refusing triggers off classic; write mode dual", "decommission run"),
    Action("reopen/positions", "Let the mirrors have their partitions again", "decommission run"),
)
"""What `reopen` does on classic, and `drain.reopen_positions` after it on Limitless, which may not answer now."""


def roll_back(
    classic: Connection, open_limitless: Callable[[], Connection], number: int, reason: str
) -> DecommissionResult:
    """Open writes that attempt *number* (0: the newest one) closed, and reopen the checkpoints for the mirrors."""
    number = number or attempt.latest(classic) or 0
    if not number:
        return DecommissionResult(blockers=(reason,), text="writes were never closed")
    if not reopen(classic, number, reason):
        return DecommissionResult(done=True, text="Limitless is authoritative already")
    with closing_(open_limitless()) as limitless:
        drain.reopen_positions(limitless)
    current = attempt.read(classic, number)
    return DecommissionResult(pause_s=current.pause_s or 0.0, blockers=(reason,), text="writes are open again")


# -- behind the point of no return -----------------------------------------------------------------------------------


def settle(classic: Connection, limitless: Connection, plan: Plan, number: int) -> DecommissionResult:
    """Store the terminal route on Limitless, have it confirmed, take capture off classic, give objects their owners.

    Raises:
        NoGo: a person has to decide about what was created on classic since; there is no way back.
    """
    digest = hand_over.settle(classic, limitless, number)
    confirmation = wait_confirmed(classic, switch(classic).epoch, timeout_s=plan.shim.staleness_s * 2 + 1)
    # The inventory was equal when Limitless became authoritative; what came since stays, and classic stays with it.
    differences = losses(classic, limitless)
    if differences:
        raise NoGo("decommission", differences)
    fingerprint.remember_tables(classic)
    remove(classic)
    owners = give_owners(classic, limitless, plan.tables.schemas, who=WHO)
    current = attempt.read(classic, number)
    decide(
        classic,
        WHO,
        "capture.removed",
        f"decommission/{number}",
        "Limitless is authoritative",
        after={"processes": confirmation.processes, "confirmed": confirmation.confirmed, "decisions": digest},
    )
    attempt.mark_time(classic, number, "settled_at")
    text = f"{confirmation.confirmed} of {counted(confirmation.processes, 'process')} confirmed"
    if owners.refused:
        text += (
            f"; {counted(len(owners.refused), 'object')} on Limitless "
            f"not given to their owners: migrator report decisions"
        )
    return DecommissionResult(done=True, pause_s=current.pause_s or 0.0, text=text)


BEING_WRITTEN = "the dossier is being written"
"""In the phase's detail from the hand-over on, until the dossier lies at its place."""


def export(conn: Connection, limitless: Connection, number: int, plan: Plan, home: Path) -> str:
    """Take the last snapshot of classic, which the dossier names, and write the dossier; returns where it lies.

    What each table of classic held in the end is on Limitless, and goes into the dossier too.

    Nothing is done to classic before it lies there.

    Args:
        home: where servers of this machine live, and where the dossier goes when the plan names no place.
    """
    current = attempt.read(conn, number)
    release = "classic is being retired" if plan.decommission.release_classic else "classic is kept, closed for writes"
    detail = f"handed over in {current.pause_s or 0:.2f} s; {release}"
    _is_over(conn, f"{detail}; {BEING_WRITTEN}: keep classic, and a worker that runs")
    kept = releaser_for(plan, home, current.handed_over_at).snapshot()
    attempt.note(conn, number, snapshot_kept=kept)
    final = [asdict(table) for table in retirement.tables(limitless).values()]
    history.set_report(conn, FINAL_TABLES, {"tables": final})
    place = dossier.final(conn, plan, number, home).place
    _is_over(conn, f"{detail}; the dossier is {place}")
    return place


def _is_over(conn: Connection, detail: str) -> None:
    """Have status say how far the end is. The phase is done before the dossier, which holds that it is."""
    set_phase(conn, Phase.DECOMMISSION.value, "done", detail)
