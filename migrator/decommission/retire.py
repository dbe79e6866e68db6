"""Retires classic after the hand-over, step by step over weeks: last copy, stopped, kept, deleted, copy deleted.

What is to be done next is judged in migrator/model/retirement.py, by what Limitless holds and what AWS says of the
cluster. Each step may be killed and done again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing as closing_
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from migrator.control import retirement, route
from migrator.decommission import attempt, hand_over, progress
from migrator.decommission import fingerprint as final
from migrator.decommission.aws import AwsReleaser
from migrator.decommission.progress import Entry
from migrator.decommission.release import KeepClassic, LocalReleaser, Releaser
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed
from migrator.governance import deletion
from migrator.model.counted import counted
from migrator.model.retirement import Act, Retirement, Rules, Step, missing, next_step
from migrator.model.route import WriteMode
from migrator.plan.schema import Plan
from migrator.provision.wanted import ownership

Connection = psycopg.Connection[Any]

WHO = "decommission"


def rules(plan: Plan) -> Rules:
    section = plan.decommission
    days = section.keep_snapshot_days
    return Rules(
        timedelta(days=section.keep_classic_days),
        timedelta(days=days) if days is not None else None,
        section.restore_drill,
    )


def fingerprint(open_classic: Callable[[], Connection], open_limitless: Callable[[], Connection], plan: Plan) -> str:
    """Store what each migrated table of classic holds, which takes no writes any more; returns what was done.

    Nothing to do where the plan wants no restore drill, or classic was retired by an earlier run.
    """
    if not plan.decommission.restore_drill:
        return "the plan wants no restore drill"
    with closing_(open_limitless()) as limitless:
        try:
            classic = open_classic()
        except ClusterUnavailable:
            if progress.retiring(limitless) is None:
                raise
            return "classic does not answer: an earlier run retired it"
        with closing_(classic):
            if route.switch(classic).write_mode is not WriteMode.LIMITLESS_ONLY:
                raise PreconditionFailed("classic takes writes: what it holds in the end is not known yet")
            done = final.keep(classic, limitless, final.migrated_tables(classic, plan.tables))
    return f"{counted(done, 'table')} read"


def release(
    open_classic: Callable[[], Connection],
    open_limitless: Callable[[], Connection],
    plan: Plan,
    number: int,
    home: Path,
) -> str:
    """Take a last copy of classic and stop it; returns what was done. Afterwards it may be unreachable.

    Args:
        home: where servers of this machine live.

    Nothing happens to classic before Limitless holds that it is being retired, and the last copy was read back. It is
    not deleted here: see retire.py.
    """
    reached = progress.find(open_classic, open_limitless)
    if progress.enter_at(reached) is not Entry.RELEASE:
        raise PreconditionFailed(f"classic must not be retired: the decommission is at {progress.enter_at(reached)}")
    number = reached.number or number
    with closing_(open_limitless()) as limitless:
        handed_over_at = hand_over.mark_retiring(limitless, number)
        releaser = releaser_for(plan, home, handed_over_at)
        why = releaser.why if isinstance(releaser, KeepClassic) else ""
        retirement.begin(limitless, releaser.kind, plan.classic.cluster_id or "", why)
        before = retirement.read(limitless)
    if before is not None and before.deleted_at:
        return f"classic was deleted on {before.deleted_at:%Y-%m-%d}"
    shape = releaser.shape() if isinstance(releaser, AwsReleaser) else {}
    kept = releaser.snapshot()
    try:
        with closing_(open_classic()) as conn:
            attempt.note(conn, number, snapshot_kept=kept)
    except ClusterUnavailable:
        pass  # unreachable: an earlier run retired it
    if kept:
        with closing_(open_limitless()) as limitless:
            retirement.extend(limitless, WHO, f"last copy {kept}", copy=kept, **({"shape": shape} if shape else {}))
            retirement.stamp(limitless, "copied_at")
    with closing_(open_limitless()) as limitless:
        return stop(limitless, releaser)


def stop(limitless: Connection, releaser: Releaser) -> str:
    """Stop classic and store it; what cannot be stopped stays as it is, closed for writes."""
    try:
        text = releaser.stop()
    except PreconditionFailed as error:
        text = f"classic was not stopped: {error}"
        retirement.extend(limitless, WHO, text, stop_problem=str(error))
        return text
    retirement.extend(limitless, WHO, text)
    if releaser.kind == "local" or (isinstance(releaser, AwsReleaser) and releaser.state() in ("stopping", "stopped")):
        retirement.stamp(limitless, "stopped_at")
    return text


def releaser_for(plan: Plan, home: Path, not_before: datetime | None = None) -> Releaser:
    """Return what retires classic where this plan runs: a server of this machine lives under *home*.

    A last copy from before *not_before* is none.
    """
    if not plan.decommission.release_classic:
        return KeepClassic("the plan says release_classic = false")
    if plan.classic.writer.startswith("local:"):
        return LocalReleaser(home)
    if plan.classic.cluster_id is None:
        return KeepClassic("the plan names no classic.cluster_id")
    return AwsReleaser(plan.classic.cluster_id, not_before, tags=ownership(plan), region=plan.aws.region)


# -- the weeks after -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at classic's retirement did. done: nothing is left to do; again_s: when it is due next."""

    text: str
    done: bool
    again_s: float


def look(limitless: Connection, plan: Plan, releaser: AwsReleaser | None = None) -> Looked:
    """Do what is due of classic's retirement. releaser: replaced in tests."""
    known = retirement.read(limitless)
    if known is None or known.kind != "aws":
        return Looked("classic is not for this tool to delete", True, 0.0)
    cluster = releaser or AwsReleaser(known.cluster, _handed_over_at(limitless), region=plan.aws.region)
    # Signatures are checked again, against the plan that this worker runs: what is stored alone deletes nothing.
    names = deletion.approvers(plan, known.approvals, known.evidence)
    known = replace(known, approved_by=" and ".join(names) if deletion.enough(plan, names) else "")
    state = cluster.state() if known.deleted_at is None else None
    # Asked elsewhere, by a worker with another region or account, AWS knows no such cluster either.
    copy_seen = state is not None or known.deleted_at is not None or cluster.has(known.copy)
    step = next_step(known, rules(plan), state, copy_seen)
    text = _do(limitless, cluster, known, step, state)
    return Looked(text, step.act is Act.NOTHING, step.again.total_seconds())


def _handed_over_at(limitless: Connection) -> datetime | None:
    settled = route.settled(limitless)
    return settled.at if settled is not None else None


def _do(limitless: Connection, cluster: AwsReleaser, known: Retirement, step: Step, state: str | None) -> str:
    match step.act:
        case Act.STOP:
            # It was stopped before: AWS has started it, after seven days.
            if known.stopped_at:
                retirement.extend(limitless, WHO, "classic was found running", starts=known.starts + 1)
            return stop(limitless, cluster)
        case Act.START:
            text = cluster.start()
            retirement.extend(limitless, WHO, text)
            return text
        case Act.DELETE:
            text = cluster.delete()
            retirement.extend(limitless, known.approved_by, text)
            return text
        case Act.NOTE_DELETED:
            who = known.approved_by or "somebody else"
            retirement.extend(limitless, who, f"cluster {known.cluster} is deleted; snapshot {known.copy} is kept")
            retirement.stamp(limitless, "deleted_at")
        case Act.DELETE_COPY:
            text = cluster.delete_copy(known.copy)
            retirement.extend(limitless, WHO, text)
            retirement.stamp(limitless, "copy_deleted_at")
            return text
        case Act.WAIT:
            if state == "stopped" and not known.stopped_at:
                retirement.stamp(limitless, "stopped_at")
        case Act.NOTHING:
            pass
    return step.text


def approve(limitless: Connection, plan: Plan, who: str, token: str | None = None) -> Retirement:
    """Approve the deletion of classic, for the last copy as it is now. Safe to repeat.

    Raises:
        NoGo: classic runs, or its last copy is missing or was not restored.
        NotAuthenticated: the plan asks for approvers, and it is not known that *who* is one.
    """
    with limitless.transaction():
        retirement.lock(limitless)
        known = retirement.read(limitless)
        lacking = missing(known, rules(plan))
        if lacking or known is None:
            raise NoGo("decommission delete", lacking)
        if who not in deletion.approvers(plan, known.approvals, known.evidence):
            given = deletion.approval(plan, who, token, known.evidence, known.now)
            kept = [*(one for one in known.approvals if one.get("approver") != who), given]
            names = deletion.approvers(plan, kept, known.evidence)
            done = " and ".join(names) if deletion.enough(plan, names) else ""
            what = f"deletion of classic approved ({given['how']}); last copy {known.copy}"
            values = {"approvals": kept, "approved_by": done, "approved_copy": known.copy}
            retirement.extend(limitless, who, what, **values)
            retirement.forget(limitless, ["approved_at"])
            retirement.stamp(limitless, "approved_at")
    return _read(limitless)


def withdraw(limitless: Connection, who: str) -> Retirement:
    """Take the approval back; classic stays. Safe to repeat.

    Raises:
        NoGo: classic is deleted, or its retirement has not begun.
    """
    with limitless.transaction():
        retirement.lock(limitless)
        known = retirement.read(limitless)
        if known is None or known.deleted_at:
            raise NoGo("decommission delete", ["classic is deleted" if known else "classic is not retired yet"])
        if known.approvals:
            names = " and ".join(str(one.get("approver")) for one in known.approvals)
            retirement.extend(limitless, who, f"approval by {names} withdrawn")
            retirement.forget(limitless, ["approvals", "approved_by", "approved_at", "approved_copy"])
    return _read(limitless)


def _read(limitless: Connection) -> Retirement:
    known = retirement.read(limitless)
    assert known is not None  # it was there a moment ago, and is never deleted
    return known
