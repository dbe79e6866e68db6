"""Phase 4: waves."""

from __future__ import annotations

import asyncio
from contextlib import closing

import psycopg
from temporalio import activity

from migrator.capture.watch import problems as capture_problems
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.cutover import facts, soak
from migrator.cutover.gate import GateLimits, needs_validation, wave_verdict
from migrator.cutover.guard import GuardLimits, Sample, Watch
from migrator.cutover.hold import details, hold
from migrator.cutover.waves import WaveRules, next_wave
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.inventory.look import losses
from migrator.model.phase import Phase
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.rights.check import check
from migrator.route import hold as holds
from migrator.route.advance import Outcome as Step
from migrator.route.advance import rejoin
from migrator.route.move import watch
from workflows import policies
from workflows.activities.base import Connection, Context, beating, first_detail, until
from workflows.activities.validation import ValidationActivities
from workflows.messages import (
    Advanced,
    Forward,
    NextWave,
    NextWaveInput,
    Outcome,
    Soaked,
    WaveGate,
    WaveInput,
    WaveStep,
)

LOOK_S = 1.0
GATE_PATIENCE_S = 30.0
"""A gate waits this long for lags and fallbacks to pass before it leaves tenants to a later wave."""
ADVANCE_S = 30.0
ADVANCE_AGAIN_S = 2.0
SHOWN = 20


class CutoverActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="next_wave")
    async def next_wave(self, inp: NextWaveInput) -> NextWave:
        """Choose the next wave and keep it on classic, or say why nothing may move."""
        self.context.serves(inp.plan)
        plan = self.context.plan
        rights = await self.context.on_both(check, plan.tables.schemas, plan.gates.acknowledged)
        return await self.context.on_classic(_next_wave, plan, inp.late, rights)

    @activity.defn(name="baseline")
    async def baseline(self, step: WaveStep) -> None:
        """Have shims report the wave's tenants one by one, and watch them on classic for a while."""
        self.context.serves(step.plan)
        await beating(self._baseline(step))

    async def _baseline(self, step: WaveStep) -> None:
        while True:
            left_s = await self.context.on_classic(_watch_from, step.number, step.baseline_s)
            if left_s <= 0:
                await self.context.on_classic(_keep_baseline, step.number)
                return
            await asyncio.sleep(min(left_s, 5.0))

    @activity.defn(name="wave_gate")
    async def gate(self, step: WaveStep) -> WaveGate:
        """Ask every tenant's gate; validate who was not lately; leave the blocked ones to a later wave."""
        self.context.serves(step.plan)
        return await beating(self._gate(step))

    async def _gate(self, step: WaveStep) -> WaveGate:
        plan = self.context.plan
        limits = GateLimits(plan.shim.max_lag_s, plan.validation.max_age_s)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GATE_PATIENCE_S
        validated = False
        while True:
            tenants = await self.context.on_classic(facts.wave_tenants, step.number)
            found = await self.context.on_classic(facts.tenant_facts, tenants)
            reference = await self.context.on_classic(facts.reference_facts)
            stale = [f.tenant_id for f in found if needs_validation(f, limits)]
            shared = reference is not None and needs_validation(reference, limits)
            if (stale or shared) and not validated:
                await ValidationActivities(self.context).compare(stale, "gate", reference=shared)
                validated = True
                continue
            everywhere = [*await self.context.on_classic(capture_problems), *await self.context.on_classic(losses)]
            answer = wave_verdict(found, limits, reference, everywhere)
            if answer.verdict.go or loop.time() >= deadline:
                break
            await asyncio.sleep(LOOK_S)
        if answer.blocked:
            await self.context.on_classic(_defer, step.number, answer.blocked, answer.verdict.blockers)
        return WaveGate(ready=len(answer.ready), deferred=len(answer.blocked), blockers=answer.verdict.blockers[:SHOWN])

    @activity.defn(name="advance")
    async def advance(self, step: WaveStep) -> Advanced:
        """Bring the wave's reads to Limitless, by this step's percentage."""
        self.context.serves(step.plan)
        return await beating(self._advance(step))

    async def _advance(self, step: WaveStep) -> Advanced:
        """Try until it succeeds, for a while: a fallback may stand for days, and each activity stays in the history."""

        last = Advanced()

        async def once() -> Advanced | None:
            nonlocal last
            last = await self.context.on_classic(_advance, self.context.plan, step)
            return last if last.done or last.held else None

        return await until(once, ADVANCE_AGAIN_S, policies.LONG_POLL_S) or last

    @activity.defn(name="soak")
    async def soak(self, step: WaveStep) -> Soaked:
        """Watch the wave until its soak is over, or for a while; time in which nothing can be judged does not count."""
        self.context.serves(step.plan)
        progress = dict(first_detail({"soaked_s": step.soaked_s, "since_s": step.since_s}))
        return await beating(self._soak(step, progress), lambda: dict(progress))

    async def _soak(self, step: WaveStep, progress: dict[str, float]) -> Soaked:
        loop = asyncio.get_running_loop()
        until = loop.time() + policies.LONG_POLL_S
        guard, rolled_back, still = Watch(), 0, ""
        on_classic = await self.context.on_classic(_baseline_samples, step.number)
        if not progress["since_s"]:
            progress["since_s"] = await self.context.on_classic(facts.now_s)
        last = loop.time()
        while True:
            answers = await asyncio.to_thread(self._limitless_answers)
            found = await self.context.on_classic(
                _look, self.context.plan, step, guard, on_classic, progress["since_s"], answers
            )
            now = loop.time()
            guard, rolled_back = found.watch, rolled_back + found.rolled_back
            if found.stands_still is None:
                progress["soaked_s"] += now - last
            else:
                # What was measured during an outage is not the tenants' fault, so the watch begins anew.
                progress["since_s"] = await self.context.on_classic(facts.now_s)
            last = now
            if (found.stands_still or "") != still or found.rolled_back:
                still = found.stands_still or ""
                await self.context.on_classic(_note_soak, step, still, progress["soaked_s"])
            done = progress["soaked_s"] >= step.soak_s and found.stands_still is None
            if found.held or not found.left or done or now >= until:
                return Soaked(
                    done=done,
                    soaked_s=progress["soaked_s"],
                    since_s=progress["since_s"],
                    rolled_back=rolled_back,
                    left=found.left,
                    held=found.held,
                )
            await asyncio.sleep(min(LOOK_S, max(0.05, step.soak_s - progress["soaked_s"])))

    def _limitless_answers(self) -> bool:
        try:
            with closing(
                connect(self.context.limitless_dsn(), "migrator soak", statement_timeout_s=2, connect_timeout_s=2)
            ) as conn:
                conn.execute("SELECT 1")
        except (ClusterUnavailable, psycopg.Error):
            return False
        return True

    @activity.defn(name="finish_wave")
    async def finish_wave(self, step: WaveStep) -> None:
        self.context.serves(step.plan)
        await self.context.on_classic(_finish, step)

    @activity.defn(name="forward")
    async def forward(self, inp: Forward) -> Outcome:
        """Undo rollbacks: the global switch goes up in two steps, tenants wait for a wave again."""
        self.context.serves(inp.plan)
        return await beating(self.context.on_classic(_forward, inp))


def rules(plan: Plan) -> WaveRules:
    section = plan.waves
    return WaveRules(tuple(section.sizes), section.hot_ratio, tuple(section.ramp_pct), tuple(section.hot_ramp_pct))


def limits(plan: Plan) -> GuardLimits:
    section = plan.waves
    return GuardLimits(
        p99_factor=section.p99_factor,
        p99_floor_ms=section.p99_floor_ms,
        error_ratio=section.error_ratio,
        min_reads=plan.breaker.min_reads,
        # An outage is the breaker's business: give processes the time to open theirs before a tenant is blamed.
        patience=(patience := max(2, round(plan.breaker.window_s / LOOK_S) + 1)),
        max_failed=section.max_failed,
        window_s=section.window_s,
        # Half as long as the guard is patient: a bad second is out of it before anybody is blamed.
        tail_s=min(section.window_s, patience * LOOK_S / 2),
    )


def _next_wave(conn: Connection, plan: Plan, late: bool, rights: tuple[str, ...] = ()) -> NextWave:
    facts.remember_tenants(conn)
    switch = facts.switch(conn)
    back = facts.rolled_back(conn)
    held, lines = hold(switch.level, switch.changed_by, switch.reason, back, facts.GUARD, plan.waves.max_failed)
    if held:
        return NextWave(held=held, blockers=lines or details(back))
    facts.release_interrupted(conn)
    waiting = facts.waiting(conn)
    if not late:
        waiting &= facts.first_tenants(conn)
    wave = next_wave(facts.last_wave(conn) + 1, facts.sizes(conn), waiting, rules(plan))
    if wave is None:
        return NextWave(done=True)
    if rights:
        return NextWave(held="Limitless does not let every role do what classic lets it", blockers=rights[:SHOWN])
    gate = f"wave-{wave.number}"
    if plan.waves.approve_each and not late:
        row = conn.execute("SELECT 1 FROM migrator.approval WHERE gate = %s", (gate,)).fetchone()
        if row is None:
            return NextWave(approval=gate, waiting=len(waiting))
    with conn.transaction():
        facts.assign(conn, wave.number, wave.tenants, wave.hot)
        what = f"{len(wave.tenants)} tenants, {len(waiting)} waiting"
        decide(conn, "cutover", "wave.chosen", gate, what, after={"tenants": list(wave.tenants), "hot": wave.hot})
        if not late:
            set_phase(conn, Phase.CUTOVER.value, "running", f"wave {wave.number}: {what}")
    return NextWave(
        wave=WaveInput(
            plan=plan.name,
            number=wave.number,
            ramp_pct=wave.ramp_pct,
            hot=wave.hot,
            soak_s=plan.waves.soak_s,
            baseline_s=plan.waves.baseline_s,
            late=late,
        ),
        waiting=len(waiting),
    )


def _watch_from(conn: Connection, number: int, baseline_s: float) -> float:
    """Switch the watch on if it is off; return how many seconds of baseline are missing."""
    tenants = facts.wave_tenants(conn, number)
    if not tenants:
        return 0.0
    if facts.unwatched(conn, tenants):
        watch(conn, tenants, True)
        decide(conn, "cutover", "wave.watched", f"wave-{number}", f"baseline of {baseline_s:g} s on classic")
    since = facts.watched_since_s(conn, number)
    return baseline_s - (facts.now_s(conn) - since) if since is not None else baseline_s


def _keep_baseline(conn: Connection, number: int) -> None:
    since = facts.watched_since_s(conn, number)
    if since is not None:
        facts.keep_baseline(conn, number, since)


def _baseline_samples(conn: Connection, number: int) -> dict[TenantId, Sample]:
    kept = facts.baselines(conn, facts.wave_tenants(conn, number))
    return {tenant: sample for tenant, sample in kept.items() if tenant is not None}


def _defer(conn: Connection, number: int, tenants: tuple[TenantId, ...], blockers: tuple[str, ...]) -> None:
    with conn.transaction():
        facts.release(conn, tenants)
        decide(
            conn,
            "cutover",
            "wave.deferred",
            f"wave-{number}",
            f"{len(tenants)} tenants are not ready",
            after={"tenants": list(tenants), "blockers": list(blockers[:SHOWN])},
        )
    watch(conn, tenants, False)


def _advance(conn: Connection, plan: Plan, step: WaveStep) -> Advanced:
    tenants = facts.wave_tenants(conn, step.number)
    back = [b for b in facts.rolled_back(conn) if b.wave == step.number]
    switch = facts.switch(conn)
    held, _ = hold(switch.level, switch.changed_by, switch.reason, back, facts.GUARD, plan.waves.max_failed)
    if held:
        return Advanced(held=held)
    gone = {b.tenant_id for b in back}
    going = [t for t in tenants if t not in gone]
    if not going:
        return Advanced(done=True, text="nobody is left in this wave")
    where = facts.standings(conn, going)
    already = [t for t in going if t in where and where[t].level is Level.LIMITLESS and where[t].reads_pct >= step.pct]
    todo = [t for t in going if t not in already]
    if not todo:
        return Advanced(done=True, text="already there")
    reason = f"wave {step.number}, {step.pct} %"
    try:
        found = rejoin(
            conn,
            tenants=todo,
            pct=step.pct,
            who="cutover",
            reason=reason,
            wave=step.number,
            timeout_s=ADVANCE_S,
            expected={t: where[t].epoch if t in where else 0 for t in todo},
        )
    except MigratorError as error:
        if error.retryable:
            raise
        return Advanced(text=str(error))
    if not found.done:
        why = {
            Step.UNCONFIRMED: f"waiting for processes: {', '.join(found.confirmation.pending[:5])}",
            Step.BEHIND: f"waiting for mirror partitions {', '.join(map(str, found.behind))}",
        }.get(found.outcome, found.detail or "somebody moved these tenants meanwhile")
        return Advanced(text=why)
    if not step.late:
        set_phase(conn, Phase.CUTOVER.value, "running", f"wave {step.number}: {len(todo)} tenants at {step.pct} %")
    return Advanced(done=True, text=f"{len(todo)} tenants at {step.pct} %")


def _look(
    conn: Connection,
    plan: Plan,
    step: WaveStep,
    guard: Watch,
    on_classic: dict[TenantId, Sample],
    since_s: float,
    answers: bool,
) -> soak.Look:
    return soak.watch_wave(conn, step.number, guard, on_classic, since_s, answers, limits(plan))


def _note_soak(conn: Connection, step: WaveStep, still: str, soaked_s: float) -> None:
    if step.late:
        return
    text = f"wave {step.number} at {step.pct} %: soaked {soaked_s:.0f} of {step.soak_s:g} s"
    set_phase(conn, Phase.CUTOVER.value, "running", f"{text}; stands still: {still}" if still else text)


def _finish(conn: Connection, step: WaveStep) -> None:
    tenants = facts.wave_tenants(conn, step.number, with_held=True)
    where = facts.standings(conn, tenants)
    there = [t for t in tenants if t in where and where[t].level is Level.LIMITLESS and where[t].reads_pct == 100]
    # Hot ones are few: shims go on reporting them always. The others take turns, by the SLO monitor's word.
    stay = facts.hot(conn, there)
    watch(conn, [t for t in tenants if t not in stay], False)
    decide(
        conn,
        "cutover",
        "wave.finished",
        f"wave-{step.number}",
        f"{len(there)} of {len(tenants)} tenants read from Limitless",
    )


def _forward(conn: Connection, inp: Forward) -> Outcome:
    done = []
    reason = inp.reason or "go forward again"
    if facts.switch(conn).level is not Level.LIMITLESS:
        found = rejoin(conn, switch=True, who=inp.who, reason=reason, timeout_s=ADVANCE_S)
        if not found.done:
            why = found.detail or f"{found.outcome}: {', '.join(found.confirmation.pending[:5])}"
            return Outcome(text="reads stay on classic", blockers=(why,))
        done.append("reads go where their routes say again")
    back = facts.rolled_back(conn)
    if back:
        with conn.transaction():
            facts.release(conn, [b.tenant_id for b in back])
            decide(
                conn, inp.who, "cutover.continued", "cutover", reason, after={"tenants": [b.tenant_id for b in back]}
            )
        kept = holds.held(conn, [b.tenant_id for b in back])
        if len(back) > len(kept):
            done.append(f"{len(back) - len(kept)} tenants wait for a wave again")
    done += filter(None, [holds.describe(holds.held(conn))])
    return Outcome(text="; ".join(done) or "nothing was rolled back")
