"""Carries out one wave: chooses its tenants, asks their gate, and moves their reads. Used by workflow and commands.

Shell: each step can be run again and finds what an earlier run did.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from migrator.control import drill, shadow_reads, votes
from migrator.control import watch as capture
from migrator.control.log import decide
from migrator.control.phase import is_approved, set_phase, void_approval
from migrator.control.rehearsal import clock_scale
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.governance import check as governance
from migrator.inventory.look import losses
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.drill import STALE, stale
from migrator.model.phase import Phase
from migrator.model.route import Level
from migrator.model.shadow_read import blockers
from migrator.model.tenant import TenantId
from migrator.model.wave import Advanced, NextWave, Outcome, WaveGate, WaveInput
from migrator.plan.schema import Plan
from migrator.runway import forecast
from migrator.traffic.cutover import choice, facts
from migrator.traffic.cutover.gate import GateLimits, WaveVerdict, needs_validation, wave_verdict
from migrator.traffic.cutover.guard import GuardLimits, Sample
from migrator.traffic.cutover.stop import details, hold
from migrator.traffic.route import tenant_hold as holds
from migrator.traffic.route.move import watch
from migrator.traffic.route.promote import Outcome as Step
from migrator.traffic.route.promote import promote_reads

Connection = psycopg.Connection[Any]

LOOK_S = 1.0
"""A soak is observed this often; the guard's patience counts these passes."""
ADVANCE_S = 30.0
SHOWN = 20


# -- what the plan says ----------------------------------------------------------------------------------------------


def gate_limits(plan: Plan) -> GateLimits:
    return GateLimits(plan.shim.max_lag_s, plan.validation.max_age_s)


def limits(plan: Plan) -> GuardLimits:
    section = plan.waves
    return GuardLimits(
        p99_factor=section.p99_factor,
        p99_floor_ms=section.p99_floor_ms,
        error_ratio=section.error_ratio,
        min_reads=plan.breaker.min_reads,
        # The breaker handles an outage: give processes the time to open theirs before a tenant is blamed.
        patience=(patience := max(2, round(plan.breaker.window_s / LOOK_S) + 1)),
        max_failed=section.max_failed,
        window_s=section.window_s,
        # Half as long as the guard's patience: a bad second is out of it before a tenant is blamed.
        tail_s=min(section.window_s, patience * LOOK_S / 2),
    )


def slo_limits(plan: Plan) -> GuardLimits:
    """Return the guard's limits for the time after the waves: the service level takes the place of the baseline."""
    return replace(limits(plan), p99_limit_ms=plan.breaker.p99_ms)


# -- choice and gate -------------------------------------------------------------------------------------------------


def next_wave(conn: Connection, plan: Plan, late: bool, rights: Sequence[Blocker] = ()) -> NextWave:
    """Choose the next wave and keep it on classic, or say why nothing may move.

    Args:
        late: late sign-ups may move too.
        rights: rights that a role has on classic and lacks on Limitless.
    """
    facts.remember_tenants(conn)
    switch = facts.switch(conn)
    back = facts.rolled_back(conn)
    held, lines = hold(switch.level, switch.changed_by, switch.reason, back, facts.GUARD, plan.waves.max_failed)
    if held:
        return NextWave(held=held, blockers=lines or details(back))
    facts.release_interrupted(conn)
    holds.end_past(conn, "cutover")
    wave, waiting = choice.choose(conn, plan, late)
    if wave is None:
        return NextWave(done=True)
    if unknown := choice.unknown_canaries(conn, plan):
        return NextWave(held="canaries of the plan are no tenants", blockers=unknown[:SHOWN])
    if rights:
        return NextWave(held="roles lack rights on Limitless that they have on classic", blockers=tuple(rights[:SHOWN]))
    if short := forecast.wave_blockers(conn, plan):
        return NextWave(held="classic's writer is nearly full", blockers=short)
    if wave.number > 1 and (old := _unpractised(conn, plan)):
        return NextWave(held="the rollback drill is too old", blockers=(old,))
    if differ := _reads_differ(conn, plan):
        return NextWave(held="shadow reads speak against it", blockers=differ[:SHOWN])
    gate = f"wave-{wave.number}"
    if plan.waves.approve_each and not late and not _approved(conn, gate, plan):
        return NextWave(approval=gate, waiting=len(waiting))
    with conn.transaction():
        facts.assign(conn, wave.number, wave.tenants, wave.hot)
        what = f"{counted(len(wave.tenants), 'tenant')}, {len(waiting)} waiting"
        decide(conn, "cutover", "wave.chosen", gate, what, after={"tenants": list(wave.tenants), "hot": wave.hot})
        if not late:
            set_phase(conn, Phase.CUTOVER.value, "running", f"wave {wave.number}: {what}")
    asked = WaveInput(plan.name, wave.number, wave.ramp_pct, wave.hot, plan.waves.soak_s, plan.waves.baseline_s, late)
    return NextWave(wave=asked, waiting=len(waiting))


def _unpractised(conn: Connection, plan: Plan) -> Blocker | None:
    """Return why no wave but the first may begin: the last rollback drill is too old."""
    if STALE in plan.gates.acknowledged:
        return None
    return stale(drill.newest(conn), plan.drill.max_age_days, clock_scale(conn, plan))


def _reads_differ(conn: Connection, plan: Plan) -> tuple[Blocker, ...]:
    """Return what shadow reads of the last days have against moving reads."""
    days = plan.traffic_test.reads_days
    found = shadow_reads.summary(conn, days * 86_400)
    totals = shadow_reads.totals(conn, days * 86_400)
    return blockers(found, totals, plan.shim.shadow_ratio > 0, plan.gates.acknowledged, days)


def _approved(conn: Connection, gate: str, plan: Plan) -> bool:
    """Whether a wave is approved; an approval that expired, or is of other evidence, is taken back."""
    if not is_approved(conn, gate):
        return False
    why = governance.problem(conn, plan, gate)
    if not why:
        return True
    with conn.transaction():
        votes.void(conn, gate, why)
        if void_approval(conn, gate):
            decide(conn, "cutover", "gate.approval_voided", gate, why)
    return False


def everywhere(conn: Connection) -> tuple[Blocker, ...]:
    """Return what blocks every tenant: writes that capture may have missed, rows that no mirror follows."""
    return (*capture.problems(conn), *losses(conn))


@dataclass(frozen=True, slots=True)
class Asked:
    """The gate's answer for a wave. stale, shared: what a validation could clear."""

    answer: WaveVerdict
    stale: tuple[TenantId, ...]
    shared: bool

    @property
    def to_validate(self) -> bool:
        return bool(self.stale) or self.shared


def ask(conn: Connection, plan: Plan, number: int) -> Asked:
    """Ask the gate of every tenant of wave *number*."""
    allowed = gate_limits(plan)
    tenants = facts.tenant_facts(conn, facts.wave_tenants(conn, number))
    reference = facts.reference_facts(conn)
    return Asked(
        wave_verdict(tenants, allowed, reference, everywhere(conn)),
        tuple(f.tenant_id for f in tenants if needs_validation(f, allowed)),
        reference is not None and needs_validation(reference, allowed),
    )


def settle_gate(conn: Connection, number: int, answer: WaveVerdict) -> WaveGate:
    """Leave the blocked tenants to a later wave; return those that move now."""
    if answer.blocked:
        defer(conn, number, answer.blocked, answer.verdict.blockers)
    return WaveGate(len(answer.ready), len(answer.blocked), answer.verdict.blockers[:SHOWN])


def defer(conn: Connection, number: int, tenants: Sequence[TenantId], blockers: Sequence[str]) -> None:
    """Take *tenants* out of wave *number*: they wait for another one."""
    with conn.transaction():
        facts.release(conn, tenants)
        decide(
            conn,
            "cutover",
            "wave.deferred",
            f"wave-{number}",
            f"{counted(len(tenants), 'tenant is', 'tenants are')} not ready",
            after={"tenants": list(tenants), "blockers": list(blockers[:SHOWN])},
        )
    watch(conn, tenants, False)


def late_tenants(conn: Connection, plan: Plan) -> int:
    """Return how many tenants wait for a wave that could move them now."""
    return len(choice.may_move(conn, plan, late=True)) if facts.is_forward(conn) else 0


# -- baseline, steps, soak, end --------------------------------------------------------------------------------------


def watch_from(conn: Connection, number: int, baseline_s: float) -> float:
    """Sample the tenants if needed; return how many seconds of baseline are missing, and keep a complete one."""
    tenants = facts.wave_tenants(conn, number)
    since = facts.watched_since_s(conn, number)
    if tenants and (since is None or facts.unwatched(conn, tenants)):
        watch(conn, tenants, True)
        decide(conn, "cutover", "wave.watched", f"wave-{number}", f"baseline of {baseline_s:g} s on classic")
        since = facts.watched_since_s(conn, number)
    left_s = 0.0
    if tenants:
        left_s = baseline_s - (facts.now_s(conn) - since) if since is not None else baseline_s
    if left_s <= 0 and since is not None:
        facts.keep_baseline(conn, number, since)
    return left_s


def baseline_samples(conn: Connection, number: int) -> dict[TenantId, Sample]:
    """Return the baseline on classic of each tenant of wave *number*."""
    kept = facts.baselines(conn, facts.wave_tenants(conn, number))
    return {tenant: sample for tenant, sample in kept.items() if tenant is not None}


def advance(conn: Connection, plan: Plan, number: int, pct: int, late: bool = False) -> Advanced:
    """Bring *pct* percent of the reads of wave *number* to Limitless; what is there already stays."""
    tenants = facts.wave_tenants(conn, number)
    back = [b for b in facts.rolled_back(conn) if b.wave == number]
    switch = facts.switch(conn)
    held, _ = hold(switch.level, switch.changed_by, switch.reason, back, facts.GUARD, plan.waves.max_failed)
    if held:
        return Advanced(held=held)
    gone = {b.tenant_id for b in back}
    going = [t for t in tenants if t not in gone]
    if not going:
        return Advanced(done=True, text="no tenant is left in this wave")
    where = facts.standings(conn, going)
    already = {t for t in going if t in where and where[t].level is Level.LIMITLESS and where[t].reads_pct >= pct}
    todo = [t for t in going if t not in already]
    if not todo:
        return Advanced(done=True, text="already done")
    try:
        promotion = promote_reads(
            conn,
            tenants=todo,
            pct=pct,
            who="cutover",
            reason=f"wave {number}, {pct} %",
            wave=number,
            timeout_s=ADVANCE_S,
            expected={t: where[t].version if t in where else 0 for t in todo},
        )
    except MigratorError as error:
        if error.retryable:
            raise
        return Advanced(text=str(error))
    if not promotion.done:
        why = {
            Step.UNCONFIRMED: f"waiting for processes: {', '.join(promotion.confirmation.pending[:5])}",
            Step.BEHIND: f"waiting for mirror partitions {', '.join(map(str, promotion.behind))}",
        }.get(promotion.outcome, promotion.detail or "these tenants were moved by another command meanwhile")
        return Advanced(text=why)
    if not late:
        set_phase(conn, Phase.CUTOVER.value, "running", f"wave {number}: {counted(len(todo), 'tenant')} at {pct} %")
    return Advanced(done=True, text=f"{counted(len(todo), 'tenant')} at {pct} %")


def limitless_answers(dsn: str) -> bool:
    """Return whether Limitless answers a statement within some seconds."""
    try:
        with closing(
            connect(dsn, "migrator soak", statement_timeout_s=2, connect_timeout_s=2, side="Limitless")
        ) as conn:
            conn.execute("SELECT 1")
    except (ClusterUnavailable, psycopg.Error):
        return False
    return True


def note_soak(conn: Connection, number: int, pct: int, soak_s: float, soaked_s: float, still: str) -> None:
    """Have status show how far a soak is, and why it is stalled ('' when it is not)."""
    text = f"wave {number} at {pct} %: soaked {soaked_s:.0f} of {soak_s:g} s"
    set_phase(conn, Phase.CUTOVER.value, "running", f"{text}; stalled: {still}" if still else text)


def finish(conn: Connection, number: int) -> None:
    """End wave *number*: shims stop reporting its tenants one by one."""
    tenants = facts.wave_tenants(conn, number, with_held=True)
    where = facts.standings(conn, tenants)
    there = [t for t in tenants if t in where and where[t].level is Level.LIMITLESS and where[t].reads_pct == 100]
    # Hot ones are few: shims go on reporting them always. The SLO monitor samples the others in turns.
    stay = facts.hot(conn, there)
    watch(conn, [t for t in tenants if t not in stay], False)
    choice.withdraw_orders(conn, there)
    what = f"{len(there)} of {counted(len(tenants), 'tenant reads', 'tenants read')} from Limitless"
    decide(conn, "cutover", "wave.finished", f"wave-{number}", what)


def forward(conn: Connection, who: str, reason: str) -> Outcome:
    """Undo rollbacks: the global switch goes up in two steps, tenants wait for a wave again."""
    done = []
    reason = reason or "go forward again"
    if facts.switch(conn).level is not Level.LIMITLESS:
        promotion = promote_reads(conn, switch=True, who=who, reason=reason, timeout_s=ADVANCE_S)
        if not promotion.done:
            why = promotion.detail or f"{promotion.outcome}: {', '.join(promotion.confirmation.pending[:5])}"
            return Outcome("reads stay on classic", (Blocker("switch.not_moved", "switch", why, True),))
        done.append("reads go where their routes say again")
    back = facts.rolled_back(conn)
    if back:
        with conn.transaction():
            facts.release(conn, [b.tenant_id for b in back])
            decide(conn, who, "cutover.continued", "cutover", reason, after={"tenants": [b.tenant_id for b in back]})
        kept = holds.held(conn, [b.tenant_id for b in back])
        if len(back) > len(kept):
            done.append(f"{counted(len(back) - len(kept), 'tenant waits', 'tenants wait')} for a wave again")
    done += filter(None, [holds.describe(holds.held(conn))])
    return Outcome("; ".join(done) or "nothing was rolled back")
