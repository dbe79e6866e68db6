"""Phase 4: waves."""

from __future__ import annotations

import asyncio

from temporalio import activity

from migrator.plan.schema import Plan
from migrator.poll import until_async
from migrator.rights.check import check
from migrator.traffic.cutover import facts, soak, wave
from migrator.traffic.cutover.guard import Watch
from migrator.traffic.cutover.wave import LOOK_S, limits
from migrator.traffic.cutover.wave import defer as _defer
from migrator.traffic.cutover.wave import next_wave as _next_wave
from workflows import policies
from workflows.activities.base import Connection, Context, beating, first_detail
from workflows.activities.validation import ValidationActivities
from workflows.messages import (
    Advanced,
    Forward,
    NextWave,
    NextWaveInput,
    Outcome,
    Soaked,
    WaveGate,
    WaveStep,
)

__all__ = ["CutoverActivities", "_advance", "_defer", "_finish", "_forward", "_next_wave"]

GATE_PATIENCE_S = 30.0
"""A gate waits this long for lags and fallbacks to clear before it leaves tenants to a later wave."""
ADVANCE_AGAIN_S = 2.0


class CutoverActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="next_wave")
    async def next_wave(self, inp: NextWaveInput) -> NextWave:
        """Choose the next wave and keep it on classic, or say why nothing may move."""
        self.context.serves(inp.plan)
        plan = self.context.plan
        rights = await self.context.on_both(check, plan.tables.schemas, plan.gates.acknowledged)
        return await self.context.on_classic(wave.next_wave, plan, inp.late, rights)

    @activity.defn(name="baseline")
    async def baseline(self, step: WaveStep) -> None:
        """Sample the wave's tenants, and take their baseline on classic."""
        self.context.serves(step.plan)
        await beating(self._baseline(step))

    async def _baseline(self, step: WaveStep) -> None:
        while True:
            left_s = await self.context.on_classic(wave.watch_from, step.number, self.context.plan.waves.baseline_s)
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, 5.0))

    @activity.defn(name="wave_gate")
    async def gate(self, step: WaveStep) -> WaveGate:
        """Ask every tenant's gate; validate tenants whose verdict is stale; leave the blocked ones to a later wave."""
        self.context.serves(step.plan)
        return await beating(self._gate(step))

    async def _gate(self, step: WaveStep) -> WaveGate:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GATE_PATIENCE_S
        validated = False
        while True:
            asked = await self.context.on_classic(wave.ask, self.context.plan, step.number)
            if asked.to_validate and not validated:
                await ValidationActivities(self.context).compare(asked.stale, "gate", reference=asked.shared)
                validated = True
                continue
            if asked.answer.verdict.go or loop.time() >= deadline:
                return await self.context.on_classic(wave.settle_gate, step.number, asked.answer)
            await asyncio.sleep(LOOK_S)

    @activity.defn(name="advance")
    async def advance(self, step: WaveStep) -> Advanced:
        """Bring the wave's reads to Limitless, by this step's percentage."""
        self.context.serves(step.plan)
        return await beating(self._advance(step))

    async def _advance(self, step: WaveStep) -> Advanced:
        """Try until it succeeds, for a while: a fallback may last for days, and each activity stays in the history."""

        async def once() -> Advanced:
            return await self.context.on_classic(_advance, self.context.plan, step)

        return await until_async(
            once, policies.LONG_POLL_S, ADVANCE_AGAIN_S, done=lambda advanced: advanced.done or advanced.held
        )

    @activity.defn(name="soak")
    async def soak(self, step: WaveStep) -> Soaked:
        """Observe the wave until its soak is over, or for a while; time that cannot be judged does not count.

        How long it soaks is what the plan says by then, not when the wave was chosen.
        """
        self.context.serves(step.plan)
        progress = dict(first_detail({"soaked_s": step.soaked_s, "since_s": step.since_s}))
        return await beating(self._soak(step, progress), lambda: dict(progress))

    async def _soak(self, step: WaveStep, progress: dict[str, float]) -> Soaked:
        loop = asyncio.get_running_loop()
        until = loop.time() + policies.LONG_POLL_S
        guard, rolled_back, still = Watch(), 0, ""
        on_classic = await self.context.on_classic(wave.baseline_samples, step.number)
        if not progress["since_s"]:
            progress["since_s"] = await self.context.on_classic(facts.now_s)
        last = loop.time()
        while True:
            soak_s = self.context.plan.waves.soak_s
            answers = await asyncio.to_thread(wave.limitless_answers, self.context.limitless_dsn())
            look = await self.context.on_classic(
                soak.watch_wave, step.number, guard, on_classic, progress["since_s"], answers, limits(self.context.plan)
            )
            now = loop.time()
            guard, rolled_back = look.watch, rolled_back + look.rolled_back
            if look.stalled is None:
                progress["soaked_s"] += now - last
            else:
                # Samples from an outage say nothing about the tenants, so the observation begins anew.
                progress["since_s"] = await self.context.on_classic(facts.now_s)
            last = now
            if ((look.stalled or "") != still or look.rolled_back) and not step.late:
                await self.context.on_classic(
                    wave.note_soak, step.number, step.pct, soak_s, progress["soaked_s"], look.stalled or ""
                )
            still = look.stalled or ""
            done = progress["soaked_s"] >= soak_s and look.stalled is None
            if look.held or not look.left or done or now >= until:
                return Soaked(
                    done=done,
                    soaked_s=progress["soaked_s"],
                    since_s=progress["since_s"],
                    rolled_back=rolled_back,
                    left=look.left,
                    held=look.held,
                )
            await asyncio.sleep(min(LOOK_S, max(0.05, soak_s - progress["soaked_s"])))

    @activity.defn(name="finish_wave")
    async def finish_wave(self, step: WaveStep) -> None:
        self.context.serves(step.plan)
        await self.context.on_classic(wave.finish, step.number)

    @activity.defn(name="forward")
    async def forward(self, inp: Forward) -> Outcome:
        """Undo rollbacks: the global switch goes up in two steps, tenants wait for a wave again."""
        self.context.serves(inp.plan)
        return await beating(self.context.on_classic(wave.forward, inp.who, inp.reason))


def _advance(conn: Connection, plan: Plan, step: WaveStep) -> Advanced:
    return wave.advance(conn, plan, step.number, step.pct, step.late)


def _finish(conn: Connection, step: WaveStep) -> None:
    wave.finish(conn, step.number)


def _forward(conn: Connection, inp: Forward) -> Outcome:
    return wave.forward(conn, inp.who, inp.reason)
