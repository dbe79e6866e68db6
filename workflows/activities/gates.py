"""May a phase be left? One question per phase; facts from classic, verdicts from the phase's own package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from migrator.capture import watch
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.stopped import stopped
from migrator.control.workers import outdated
from migrator.cutover import facts as cutover_facts
from migrator.cutover.gate import GateLimits, reference_verdict
from migrator.db.connect import unpinned
from migrator.decommission.facts import gather
from migrator.decommission.gate import decommission_verdict
from migrator.errors import ClusterUnavailable
from migrator.inventory.look import look, losses, refresh
from migrator.model.phase import Phase
from migrator.plan.schema import Plan
from migrator.rights.check import check
from migrator.route import hold as holds
from migrator.stabilize import record
from workflows.activities.base import Connection, Context
from workflows.messages import GateAnswer

SHOWN = 10


async def ask(context: Context, phase: Phase, approver: str) -> GateAnswer:
    """Return what the gate of *phase* says now."""
    asked: dict[Phase, Callable[[Connection, Plan], GateAnswer]] = {
        Phase.AUDIT: _audit,
        Phase.PROVISION: _provision,
        Phase.DUAL_WRITE: _dual_write,
        Phase.CUTOVER: _cutover,
        Phase.STABILIZE: _stabilize,
    }
    answer = await context.on_classic(_everywhere, phase, asked[phase], context.plan)
    if phase in (Phase.AUDIT, Phase.PROVISION):
        return answer
    try:
        found = await context.on_both(_differences, phase, context.plan)
    except ClusterUnavailable as error:
        found = (f"what Limitless holds is not known: {error}",)
    blockers = (*answer.blockers, *(line for line in found if line not in answer.blockers))
    # What was found holds late sign-ups up as well, so a wave of theirs mends nothing.
    late = 0 if found else answer.late_tenants
    return answer.model_copy(update={"go": answer.go and not found, "blockers": blockers, "late_tenants": late})


def _differences(classic: Connection, limitless: Connection, phase: Phase, plan: Plan) -> tuple[str, ...]:
    """Compare both sides as they are now."""
    refresh(classic, limitless)
    found = (*unpinned(classic, "classic"), *unpinned(limitless, "Limitless"))
    found += tuple(d.line for d in look(classic) if d.loses_rows or phase is Phase.STABILIZE)
    if phase in (Phase.DUAL_WRITE, Phase.STABILIZE):
        found += check(classic, limitless, plan.tables.schemas, plan.gates.acknowledged)
    return found


def _everywhere(
    conn: Connection, phase: Phase, asked: Callable[[Connection, Plan], GateAnswer], plan: Plan
) -> GateAnswer:
    """Ask one gate, and what stands in the way of each: workers of another plan, workflows that have ended."""
    ended = () if phase in (Phase.AUDIT, Phase.PROVISION) else stopped(conn)
    shared = (*outdated(conn), *(f"{line}; start it again with: migrator resume" for line in ended))
    answer = asked(conn, plan)
    if not shared:
        return answer
    return answer.model_copy(
        update={"go": False, "blockers": (*shared, *answer.blockers), "validate_now": False, "late_tenants": 0}
    )


def _audit(conn: Connection, plan: Plan) -> GateAnswer:
    return _from_report(conn, "audit", plan.gates.audit == "approval")


def _provision(conn: Connection, plan: Plan) -> GateAnswer:
    return _from_report(conn, "provision", plan.gates.provision == "approval")


def _from_report(conn: Connection, kind: str, needs_approval: bool) -> GateAnswer:
    """The phase's work has written its verdict; a person who mends something has it done again (resume)."""
    row = conn.execute(
        "SELECT body->'blockers' FROM migrator.report WHERE kind = %s ORDER BY id DESC LIMIT 1", (f"{kind}.verdict",)
    ).fetchone()
    if row is None:
        return GateAnswer(blockers=(f"there is no {kind} report yet",), again=True)
    blockers = tuple(str(b) for b in row[0] or ())
    return GateAnswer(go=not blockers, blockers=blockers, needs_approval=needs_approval, recheck_s=3600)


def _dual_write(conn: Connection, plan: Plan) -> GateAnswer:
    """All tenants mirrored, all of them validated clean, the mirror not behind."""
    states = dict(conn.execute("SELECT state, count(*) FROM migrator.tenant GROUP BY state").fetchall())
    blockers = []
    inventory = conn.execute("SELECT count(*) FROM migrator.report WHERE kind = 'inventory'").fetchone()
    if not inventory or not inventory[0]:
        blockers.append("the tenants have not been counted yet")
    for state in ("pending", "copying"):
        if states.get(state):
            blockers.append(f"{states[state]} tenants are {state} (of {sum(states.values())})")
    units = conn.execute(
        "SELECT unit_id, problem FROM migrator.copy_unit WHERE state = 'failed' ORDER BY unit_id"
    ).fetchall()
    blockers += [f"copy {unit} failed: {problem}" for unit, problem in units[:SHOWN]]
    reference = conn.execute("SELECT count(*) FROM migrator.copy_unit WHERE part = 0 AND state <> 'joined'").fetchone()
    if reference and reference[0]:
        blockers.append("the reference tables are not copied yet")
    blockers += [*watch.problems(conn), *losses(conn), *_quarantined(conn), *_positions(conn, plan.shim.max_lag_s)]
    return _then_validated(conn, plan, blockers, plan.gates.dual_write == "approval")


def _then_validated(conn: Connection, plan: Plan, blockers: list[str], needs_approval: bool) -> GateAnswer:
    """Add what validation says; a validation now helps when nothing else stands in the way."""
    row = conn.execute(
        "SELECT count(*) FILTER (WHERE divergent > 0),"
        " count(*) FILTER (WHERE clean_at IS NULL OR clean_at < clock_timestamp() - make_interval(secs => %s))"
        " FROM migrator.gate_fact WHERE state = 'mirrored'",
        (plan.validation.max_age_s,),
    ).fetchone()
    divergent, stale = (int(row[0]), int(row[1])) if row else (0, 0)
    reference = cutover_facts.reference_facts(conn)
    ready = not blockers
    verdict = reference_verdict(reference, GateLimits(plan.shim.max_lag_s, plan.validation.max_age_s))
    blockers += [line for line in verdict.blockers if line not in blockers]  # their partition is one of all
    if divergent:
        blockers.append(f"{divergent} tenants have divergent rows: migrator validate --repair")
    if stale:
        blockers.append(f"{stale} tenants have no clean validation in the last {plan.validation.max_age_s:g} s")
    return GateAnswer(
        go=not blockers,
        blockers=tuple(blockers),
        needs_approval=needs_approval,
        validate_now=ready and bool(blockers) and not divergent and not (reference and reference.divergent),
    )


def _quarantined(conn: Connection) -> list[str]:
    rows = conn.execute(
        "SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY tenant_id"
    ).fetchall()
    return [f"tenant {tenant} is quarantined: {reason or 'a row was refused'}" for tenant, reason in rows[:SHOWN]]


def _positions(conn: Connection, max_lag_s: float) -> list[str]:
    rows = conn.execute("SELECT part, lag_s, problem FROM migrator.partition_status ORDER BY part").fetchall()
    if not rows:
        return ["no mirror partition has published a position yet"]
    return [
        f"mirror partition {part} lags {lag:.1f} s (limit {max_lag_s:g} s)" + (f": {problem}" if problem else "")
        for part, lag, problem in rows
        if lag > max_lag_s
    ]


def _cutover(conn: Connection, plan: Plan) -> GateAnswer:
    """Everybody who was there when the cutover began reads from Limitless, fully. Later sign-ups follow in waves of
    their own, also while the window runs: waiting for the last of them would never end."""
    blockers = [*watch.problems(conn), *losses(conn), *_quarantined(conn)]
    switch = cutover_facts.switch(conn)
    if switch.level.value != "limitless":
        blockers.append(f"all reads were rolled back by {switch.changed_by}: {switch.reason}; migrator cutover")
        return GateAnswer(blockers=tuple(blockers), needs_approval=plan.gates.cutover == "approval", again=True)
    back = cutover_facts.rolled_back(conn)
    blockers += [f"tenant {b.tenant_id} was rolled back by {b.who}: {b.reason}; migrator cutover" for b in back[:SHOWN]]
    left = cutover_facts.left_behind(conn)
    if left:
        blockers.append(f"{left} tenants of the waves do not read everything from Limitless yet")
    blockers += filter(None, [holds.describe(holds.held(conn))])
    blockers += [f"reads have fallen back to classic: {reason}" for reason in cutover_facts.fallbacks(conn)[:SHOWN]]
    return GateAnswer(
        go=not blockers,
        blockers=tuple(blockers),
        needs_approval=plan.gates.cutover == "approval",
        # Another round of waves helps only where somebody waits for one.
        again=bool(left) and not back and bool(cutover_facts.waiting(conn) & cutover_facts.first_tenants(conn)),
        recheck_s=30,
    )


def _stabilize(conn: Connection, plan: Plan) -> GateAnswer:
    """The decommission gate. It always needs an approval by name."""
    stored = record.stored_window(conn)
    if stored is None:
        return GateAnswer(blockers=("the stabilization window has not begun",), needs_approval=True, again=True)
    window, over, text = stored
    fresh = record.incidents_after(conn, window.last_incident)
    if over and fresh:
        # Days without incident are what is promised, also while the approval is awaited.
        record.resume_window(conn)
        return GateAnswer(blockers=(f"since then: {fresh[-1][1]}",), needs_approval=True, again=True)
    facts = gather(conn, over, text, plan.shim.max_lag_s, plan.validation.max_age_s)
    verdict = decommission_verdict(facts)
    late = len(cutover_facts.waiting(conn))
    others = facts.fallbacks or facts.divergent or facts.worst_lag_s is None or facts.switch.value != "limitless"
    return GateAnswer(
        go=verdict.go,
        blockers=verdict.blockers,
        needs_approval=True,
        validate_now=bool(facts.stale) and not others,
        late_tenants=late,
        again=not over,
        recheck_s=30,
    )


def evidence(conn: Connection) -> str:
    """Return a digest of what is known at this moment: reports, validation and tenants' states."""
    rows = conn.execute(
        "SELECT 'report', kind, count(*), max(id) FROM migrator.report GROUP BY kind"
        " UNION ALL SELECT 'tenant', state, count(*), coalesce(sum(divergent), 0)::bigint FROM migrator.tenant"
        " GROUP BY state ORDER BY 1, 2"
    ).fetchall()
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()


def note_blockers(conn: Connection, phase: Phase, answer: GateAnswer) -> None:
    """Show what stands in the way; a phase whose work goes on by itself is running, not blocked."""
    state = "running" if phase is Phase.DUAL_WRITE and not any("failed" in b for b in answer.blockers) else "blocked"
    step = "wait, or see the blockers" if state == "running" else "mend it; it is looked at again by itself"
    if phase in (Phase.AUDIT, Phase.PROVISION):
        step = "mend it, then: migrator resume"
    set_phase(conn, phase.value, state, f"the gate of {phase.value} says no", answer.blockers, step)


def note_passed(conn: Connection, phase: Phase, approver: str) -> None:
    with conn.transaction():
        set_phase(conn, phase.value, "done", f"approved by {approver}" if approver else "")
        decide(conn, approver or "migration", "gate.passed", phase.value, "no blockers")
