"""Evaluates gates: whether a phase may be left, who approved it, and what was known then.

Facts come from both sides, verdicts from the phase's own package. The workflow asks here, and so do commands that say
what the gate would say, which store nothing (`keep`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any

import psycopg

from migrator import settings, traffic_test
from migrator.control import history, votes, watch
from migrator.control import phase as approvals
from migrator.control.copy_unit import failed_units, reference_units_left
from migrator.control.history import evidence
from migrator.control.install import earlier_digests
from migrator.control.known import have_rows
from migrator.control.log import decide
from migrator.control.partition import partition_lags
from migrator.control.phase import set_phase
from migrator.control.stopped import ENDED, stopped
from migrator.control.tenant import quarantined_tenants, tenants_by_state, unvalidated_tenants
from migrator.control.workers import outdated, stored
from migrator.db.connect import unpinned
from migrator.decommission import dossier, record
from migrator.decommission.facts import gather
from migrator.decommission.gate import decommission_verdict
from migrator.errors import ClusterUnavailable, PlanMismatch, UsageError
from migrator.governance import check as governance
from migrator.inventory.look import look, losses, refresh
from migrator.model.blocker import Blocker, blockers
from migrator.model.counted import counted
from migrator.model.gate import GateAnswer
from migrator.model.phase import Phase, TenantState
from migrator.model.route import Level
from migrator.model.shell import argument
from migrator.model.side import Side
from migrator.plan.schema import Plan
from migrator.preflight import look as preflight
from migrator.privileges import require as privileges
from migrator.rights.check import check
from migrator.runway import forecast
from migrator.traffic.cutover import facts as cutover_facts
from migrator.traffic.cutover.choice import may_move
from migrator.traffic.cutover.gate import reference_unclean
from migrator.traffic.cutover.wave import gate_limits
from migrator.traffic.route import tenant_hold as holds

Connection = psycopg.Connection[Any]

SHOWN = 10
COPY_FAILED = "copy.failed"
MIRROR_FAILED = "mirror.failed"


# -- what a gate says ------------------------------------------------------------------------------------------------


_RETRY = "migrator mirror retry"


def ask(
    classic: Connection,
    open_limitless: Callable[[], AbstractContextManager[Connection]],
    phase: Phase,
    plan: Plan,
    *,
    keep: bool = True,
) -> GateAnswer:
    """Return what the gate of *phase* says now.

    Args:
        keep: what Limitless holds is stored on classic, and a window that an incident interrupts goes on;
            otherwise nothing changes.
    """
    blocking: tuple[Blocker, ...] = ()
    with ExitStack() as stack:
        limitless: Connection | None = None
        if phase not in (Phase.AUDIT, Phase.PROVISION):
            try:
                limitless = stack.enter_context(open_limitless())
                blocking = _differences(classic, limitless, phase, plan, keep)
            except ClusterUnavailable as error:
                limitless = None
                blocking = (Blocker("limitless.unknown", "", f"what Limitless holds is not known: {error}", True),)
        # What was stored just now is current; only where nothing is stored has Limitless to be read again.
        answer = _everywhere(classic, phase, plan, keep, None if keep else limitless)
        beforehand = _beforehand(classic, limitless, open_limitless, phase, plan)
    if beforehand:  # what has to be waited for, or ended, holds nothing else up
        answer = replace(answer, go=False, blockers=answer.blockers + beforehand)
    if not blocking:
        return answer
    # What was found holds late sign-ups up as well, so a wave of theirs would clear nothing.
    more = tuple(blocker for blocker in blocking if blocker not in answer.blockers)
    return replace(answer, go=False, blockers=answer.blockers + more, late_tenants=0)


def _beforehand(
    classic: Connection,
    limitless: Connection | None,
    open_limitless: Callable[[], AbstractContextManager[Connection]],
    phase: Phase,
    plan: Plan,
) -> tuple[Blocker, ...]:
    """Return what preflight has against what is behind *phase*."""
    if limitless is not None or not preflight.asks(phase, plan):
        return preflight.gate(classic, limitless, phase, plan)
    try:
        with open_limitless() as other:
            return preflight.gate(classic, other, phase, plan)
    except ClusterUnavailable:
        return preflight.gate(classic, None, phase, plan)


def _differences(
    classic: Connection, limitless: Connection, phase: Phase, plan: Plan, keep: bool = True
) -> tuple[Blocker, ...]:
    """Compare both sides as they are now."""
    if keep:
        refresh(classic, limitless)
    blocking = (*unpinned(classic, "classic"), *unpinned(limitless, "Limitless"))
    blocking += tuple(d.blocker for d in look(classic, limitless) if d.loses_rows or phase is Phase.STABILIZE)
    if phase in (Phase.DUAL_WRITE, Phase.STABILIZE):
        blocking += check(classic, limitless, plan.tables.schemas, plan.gates.acknowledged, keep=keep)
    return blocking


def _everywhere(conn: Connection, phase: Phase, plan: Plan, keep: bool, limitless: Connection | None) -> GateAnswer:
    """Ask one gate, and what stands in the way of each: workers of another plan, workflows that have ended."""
    match phase:
        case Phase.AUDIT:
            answer = _audit(conn, plan)
        case Phase.PROVISION:
            answer = _provision(conn, plan)
        case Phase.DUAL_WRITE:
            answer = _dual_write(conn, plan)
        case Phase.CUTOVER:
            answer = _cutover(conn, plan)
        case Phase.STABILIZE:
            answer = _stabilize(conn, plan, keep, limitless)
        case Phase.DECOMMISSION:
            raise UsageError("the decommission has no gate of its own: it is the one behind stabilize")
    ended = () if phase in (Phase.AUDIT, Phase.PROVISION) else stopped(conn)
    again = "; start it again with: migrator resume"
    shared = (*outdated(conn), *(Blocker(line.code, line.subject, f"{line}{again}") for line in ended))
    if not shared:
        return answer
    return replace(answer, go=False, blockers=(*shared, *answer.blockers), validate_now=False, late_tenants=0)


def _audit(conn: Connection, plan: Plan) -> GateAnswer:
    return _from_report(conn, "audit", plan.gates.audit == "approval")


def _provision(conn: Connection, plan: Plan) -> GateAnswer:
    """Behind it dual write begins: classic's writer has to carry it to the end, the tool's role has to be let, and
    nothing that was tried on Limitless may speak against it."""
    answer = _from_report(conn, "provision", plan.gates.provision == "approval")
    tried = traffic_test.look(conn, plan)
    answer = replace(answer, notes=traffic_test.notes_of(tried))
    short = (
        *privileges.blockers(conn, Side.CLASSIC, plan.tables),
        *forecast.blockers(conn, plan),
        *traffic_test.blockers_of(tried),
    )
    return replace(answer, go=False, blockers=(*answer.blockers, *short)) if short else answer


def _from_report(conn: Connection, kind: str, needs_approval: bool) -> GateAnswer:
    """The phase's work has written its verdict; a person who corrects the cause has it done again (resume)."""
    report = history.newest_report(conn, f"{kind}.verdict")
    if report is None:
        return GateAnswer(
            blockers=(Blocker("report.missing", kind, f"there is no {kind} report yet", True),), again=True
        )
    blocking = blockers(f"{kind}.reported", "", map(str, report["body"].get("blockers") or ()))
    return GateAnswer(go=not blocking, blockers=blocking, needs_approval=needs_approval, recheck_s=3600)


def _dual_write(conn: Connection, plan: Plan) -> GateAnswer:
    """All tenants mirrored, all of them validated clean, the mirror not behind."""
    states = tenants_by_state(conn)
    blocking: list[Blocker] = []
    if not history.has_report(conn, "inventory"):
        blocking.append(Blocker("tenants.not_counted", "", "the tenants have not been counted yet", True))
    for state in (TenantState.PENDING, TenantState.COPYING):
        if states.get(state):
            text = f"{counted(states[state], 'tenant is', 'tenants are')} {state} (of {sum(states.values())})"
            blocking.append(Blocker("tenants.not_mirrored", state, text, True))
    blocking += [
        Blocker(COPY_FAILED, unit, f"copy {unit} failed: {problem}") for unit, problem in failed_units(conn)[:SHOWN]
    ]
    if reference_units_left(conn):
        blocking.append(Blocker("reference.not_copied", "", "the reference tables are not copied yet", True))
    blocking += [*watch.problems(conn), *losses(conn), *_quarantined(conn), *_positions(conn, plan.shim.max_lag_s)]
    blocking += forecast.blockers(conn, plan)
    return _then_validated(conn, plan, blocking, plan.gates.dual_write == "approval")


def _then_validated(conn: Connection, plan: Plan, blocking: list[Blocker], needs_approval: bool) -> GateAnswer:
    """Add what validation says; a validation now helps when nothing else stands in the way."""
    divergent, stale = unvalidated_tenants(conn, plan.validation.max_age_s)
    reference = cutover_facts.reference_facts(conn)
    ready = not blocking
    # Not the lag of their partition: it is among all partitions' in *found*, and no validation clears it.
    blocking = [*blocking, *reference_unclean(reference, gate_limits(plan))]
    if divergent:
        text = f"{counted(divergent, 'tenant has', 'tenants have')} divergent rows: migrator validate --repair"
        blocking.append(Blocker("rows.divergent", "", text))
    if stale:
        text = (
            f"{counted(stale, 'tenant has', 'tenants have')} no clean "
            f"validation in the last {plan.validation.max_age_s:g} s"
        )
        blocking.append(Blocker("validation.stale", "", text, True))
    return GateAnswer(
        go=not blocking,
        blockers=tuple(blocking),
        needs_approval=needs_approval,
        validate_now=ready and bool(blocking) and not divergent and not (reference and reference.divergent),
    )


def _quarantined(conn: Connection) -> list[Blocker]:
    found = quarantined_tenants(conn)[:SHOWN]
    there = have_rows(conn, [tenant for tenant, _ in found]) if found else {}
    return [
        Blocker(
            "tenant.quarantined",
            tenant,
            f"tenant {tenant} is quarantined: {reason or 'a row was refused'}"
            + (f"; it has no rows any more: {_RETRY} {argument(tenant)}" if there[tenant] is False else ""),
        )
        for tenant, reason in found
    ]


def _positions(conn: Connection, max_lag_s: float) -> list[Blocker]:
    lags = partition_lags(conn)
    if not lags:
        return [Blocker("mirror.no_position", "", "no mirror partition has published a position yet", True)]
    blocking = []
    for part, lag_s, problem, failed in lags:
        if failed:
            # However large the lag is by now: only a person can clear this.
            after = "correct the cause, then: migrator resume"
            text = f"mirror partition {part} failed: {problem}; {after}"
            blocking.append(Blocker(MIRROR_FAILED, str(part), text))
        elif lag_s > max_lag_s:
            text = f"mirror partition {part} lags {lag_s:.1f} s (limit {max_lag_s:g} s)"
            blocking.append(Blocker("mirror.lags", str(part), f"{text}: {problem}" if problem else text, True))
    return blocking


def _cutover(conn: Connection, plan: Plan) -> GateAnswer:
    """All tenants that existed when the cutover began read from Limitless, fully. Later sign-ups follow in waves of
    their own, also while the window runs: waiting for the last of them would never end."""
    needs_approval = plan.gates.cutover == "approval"
    blocking: list[Blocker] = [*watch.problems(conn), *losses(conn), *_quarantined(conn)]
    switch = cutover_facts.switch(conn)
    if switch.level is not Level.LIMITLESS:
        text = f"all reads were rolled back by {switch.changed_by}: {switch.reason}; migrator cutover"
        blocking.append(Blocker("reads.rolled_back", "", text))
        return GateAnswer(blockers=tuple(blocking), needs_approval=needs_approval, again=True)
    back = cutover_facts.rolled_back(conn)
    for one in back[:SHOWN]:
        text = f"tenant {one.tenant_id} was rolled back by {one.who}: {one.reason}; migrator cutover"
        blocking.append(Blocker("tenant.rolled_back", one.tenant_id, text))
    left = cutover_facts.left_behind(conn)
    if left:
        text = (
            f"{counted(left, 'tenant of the waves does', 'tenants of the waves do')} "
            f"not read everything from Limitless yet"
        )
        blocking.append(Blocker("tenants.left_behind", "", text, True))
    blocking += blockers("tenants.held", "", filter(None, [holds.describe(holds.held(conn, with_rows=True))]))
    for reason in cutover_facts.fallbacks(conn)[:SHOWN]:
        blocking.append(Blocker("reads.fallen_back", "", f"reads have fallen back to classic: {reason}", True))
    return GateAnswer(
        go=not blocking,
        blockers=tuple(blocking),
        needs_approval=needs_approval,
        # Another round of waves helps only where a tenant waits for one.
        again=bool(left) and not back and bool(cutover_facts.waiting(conn) & cutover_facts.first_tenants(conn)),
        recheck_s=30,
    )


def _stabilize(conn: Connection, plan: Plan, keep: bool = True, limitless: Connection | None = None) -> GateAnswer:
    """The decommission gate. It always needs an approval by name."""
    stored_window = record.stored_window(conn)
    over, text, fresh = False, "it has not begun", []
    if stored_window is not None:
        window, over, text = stored_window
        if 0 < window.days < plan.stabilization.days:  # the plan wants more by now: the next check moves the end
            over, text = False, f"{text}; the plan says {plan.stabilization.days:g} days by now"
        fresh = record.incidents_after(conn, window.last_incident) if over else []
    if fresh and keep:
        # Days without incident are what is promised, also while the approval is awaited.
        record.resume_window(conn)
    facts = gather(conn, over, text, plan.shim.max_lag_s, plan.validation.max_age_s, limitless)
    verdict = decommission_verdict(facts)
    unwritable = dossier.blockers(conn, plan, settings.home(), keep=keep)
    since = tuple(Blocker("incident.since", str(number), f"since then: {what}") for number, what in fresh[-1:])
    others = facts.fallbacks or facts.divergent or facts.worst_lag_s is None or facts.switch is not Level.LIMITLESS
    again = not over or bool(fresh)
    return GateAnswer(
        go=verdict.go and not since and not unwritable,
        blockers=(*since, *verdict.blockers, *unwritable),
        needs_approval=True,
        validate_now=bool(facts.stale) and not others,
        late_tenants=len(may_move(conn, plan, late=True)),
        again=again,
        recheck_s=30,
    )


# -- what becomes of the answer --------------------------------------------------------------------------------------


def begin(conn: Connection, plan: str, phase: str, digest: str) -> None:
    """Open *phase* of plan *plan*, which was started from values with *digest* ('': whichever).

    Raises:
        PlanMismatch: classic belongs to another plan by now, or to other values of this one.
    """
    owner = stored(conn)
    if owner is None or owner.plan_id != plan:
        raise PlanMismatch(f"classic belongs to plan {owner.plan_id if owner else '(none)'}, not {plan}")
    if digest and digest not in (owner.digest, *earlier_digests(conn)):
        raise PlanMismatch(
            f"the plan {plan} changed since this migration started",
            hint="Abort it and run the changed plan, or run the plan as it was.",
        )
    with conn.transaction():
        set_phase(conn, phase, "running")
        decide(conn, "migration", "phase.begun", phase, "its turn")


def note_blockers(conn: Connection, phase: Phase, answer: GateAnswer) -> None:
    """Show what stands in the way; a phase whose work goes on by itself is running, not blocked."""
    stands = any(blocker.code in (COPY_FAILED, MIRROR_FAILED, ENDED) for blocker in answer.blockers)
    state = "running" if phase is Phase.DUAL_WRITE and not stands else "blocked"
    step = "wait, or see the blockers" if state == "running" else "correct the cause; it is rechecked by itself"
    if phase in (Phase.AUDIT, Phase.PROVISION):
        step = "correct the cause, then: migrator resume"
    set_phase(conn, phase.value, state, f"the gate of {phase.value} says no", answer.blockers, step)


def note_passed(conn: Connection, phase: Phase, approver: str, notes: tuple[str, ...] = ()) -> None:
    """Say that *phase* is done, who approved it ('' where no approval is needed), and what was not asked for."""
    with conn.transaction():
        set_phase(conn, phase.value, "done", f"approved by {approver}" if approver else "")
        decide(conn, approver or "migration", "gate.passed", phase.value, "; ".join(("no blockers", *notes)))


def approve(conn: Connection, gate: str, approver: str, plan: Plan | None = None) -> None:
    """Keep an approval where it survives Temporal, with a digest of what was known when it was given.

    Args:
        plan: says what an approval takes; None: a name.

    Raises:
        UsageError: it is for a wave that does not come next, so that there is nothing to approve.
        PreconditionFailed: the plan asks for more than what was said by approvers.
    """
    with conn.transaction():
        if gate.startswith("wave-"):
            following = f"wave-{cutover_facts.last_wave(conn) + 1}"
            if gate != following:
                raise UsageError(f"{gate} does not wait for an approval; the next wave is {following}")
        if plan is not None and plan.governance.binding:
            told = governance.require(conn, plan, gate, approver)
        else:
            told = {"evidence": evidence(conn)}
        if approvals.approve(conn, gate, approver, told["evidence"]):
            decide(conn, approver, "gate.approved", gate, "approved", after=told)


def recheck_approval(conn: Connection, gate: str, plan: Plan) -> str:
    """Return why the approval of *gate* does not count at this moment, '' while it does."""
    return governance.problem(conn, plan, gate)


def void(conn: Connection, gate: str, approver: str, why: str = "the gate says no again") -> None:
    """Take back an approval whose evidence is no longer true; the gate has to be approved again."""
    with conn.transaction():
        votes.void(conn, gate, why)
        if approvals.void_approval(conn, gate):
            why = f"approved by {approver}; {why}"
            decide(conn, "migration", "gate.approval_voided", gate, why)
