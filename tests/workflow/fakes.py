"""Activities for tests of sequence: they carry the real names, remember that they were called, and answer as told.

Where an outcome matters, tests use the real ones on real servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migrator.control.stopped import describe
from migrator.decommission.retire import Looked
from migrator.model.blocker import Blocker
from workflows import names
from workflows.activities.control import how_it_ended
from workflows.messages import (
    Advanced,
    Approval,
    CheckInput,
    CheckResult,
    Closing,
    ContinueWindow,
    CopyInput,
    DecommissionResult,
    DualWriteShape,
    Ended,
    Entered,
    Forward,
    GateAnswer,
    MirrorInput,
    MirrorTrouble,
    NextWave,
    NextWaveInput,
    Outcome,
    PhaseInput,
    PhaseNote,
    PlanInput,
    Report,
    RollbackInput,
    RollbackOutcome,
    Soaked,
    Standing,
    Units,
    UnitsInput,
    ValidateInput,
    ValidationOutcome,
    WatchInput,
    WaveGate,
    WaveInput,
    WaveStep,
    WindowState,
)

MAX_PAUSE_S = 3600.0
"""No test's write pause gets so long by itself, however slow the machine is."""


class World:
    """What the fakes know. `answers` holds, per activity, a list of answers; the last one repeats. An answer that can
    be called is asked with the activity's argument."""

    def __init__(self, answers: Mapping[str, list[Any]] | None = None, /, **more: list[Any]) -> None:
        self.answers = {**(answers or {}), **more}
        self.calls: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.seen: dict[str, list[Any]] = {}
        self.given: dict[tuple[str | None, str], Any] = {}

    def did(self, name: str, argument: Any) -> Any:
        """Remember the call and answer it; an error is raised.

        One that answered is called again only when its answer came after the heartbeat's timeout, on a machine that
        stood still for some seconds: then it is the same call, with the same answer.
        """
        call = (activity.info().workflow_run_id, activity.info().activity_id)
        if call not in self.given:
            self.given[call] = self._did(name, argument)
        return self.given[call]

    def _did(self, name: str, argument: Any) -> Any:
        if isinstance(argument, PhaseNote):
            self.notes.append((argument.phase, argument.state))
        self.calls.append(name)
        self.seen.setdefault(name, []).append(argument)
        prepared = self.answers.get(name)
        if not prepared:
            return None
        answer = prepared[0] if len(prepared) == 1 else prepared.pop(0)
        if callable(answer):
            answer = answer(argument)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def called(world: World, name: str) -> bool:
    """Whether the activity *name* was called."""
    return name in world.calls


def no_go(*blockers: str) -> ApplicationError:
    return ApplicationError("no-go", {"blockers": list(blockers)}, type="NoGo", non_retryable=True)


def blocked(*texts: str) -> tuple[Blocker, ...]:
    return tuple(Blocker.read(text) for text in texts)


def fakes(world: World) -> list[Callable[..., Any]]:
    """Return one activity per real one."""

    @activity.defn(name="begin")
    async def begin(inp: PhaseInput) -> None:
        world.did(f"begin {inp.phase}", inp)

    @activity.defn(name="note")
    async def note(inp: PhaseNote) -> None:
        world.did("note", inp)

    @activity.defn(name="gate")
    async def gate(inp: PhaseInput) -> GateAnswer:
        return world.did(f"gate {inp.phase}", inp) or GateAnswer(go=True)

    @activity.defn(name="record_approval")
    async def record_approval(inp: Approval) -> None:
        world.did("record_approval", inp)

    @activity.defn(name="void_approval")
    async def void_approval(inp: Approval) -> None:
        world.did("void_approval", inp)

    @activity.defn(name="watch")
    async def watch(inp: WatchInput) -> Ended:
        world.did("watch", inp)
        while True:  # as the real one, without classic
            for name in inp.workflows:
                ended = await how_it_ended(activity.client(), names.WATCHED[name](inp.plan))
                if ended is not None:
                    return Ended(lines=(describe(name, *ended),))
            activity.heartbeat()
            await asyncio.sleep(0.25)

    @activity.defn(name="enter")
    async def enter(inp: PlanInput) -> Entered:
        return world.did("enter", inp) or Entered()

    @activity.defn(name="decommission_stand")
    async def stand(inp: Closing) -> Standing:
        return world.did("stand", inp) or Standing(max_pause_s=MAX_PAUSE_S)

    @activity.defn(name="record_incident")
    async def record_incident(inp: Report) -> None:
        world.did("record_incident", inp)

    @activity.defn(name="audit")
    async def audit(inp: PlanInput) -> Outcome:
        return world.did("audit", inp) or Outcome()

    @activity.defn(name="provision")
    async def provision(inp: PlanInput) -> Outcome:
        return world.did("provision", inp) or Outcome()

    @activity.defn(name="shape")
    async def shape(inp: PlanInput) -> DualWriteShape:
        return world.did("shape", inp) or DualWriteShape(parts=1, concurrency=2)

    @activity.defn(name="capture_on")
    async def capture_on(inp: PlanInput) -> DualWriteShape:
        return world.did("capture_on", inp) or DualWriteShape(parts=1, concurrency=2)

    @activity.defn(name="mirror")
    async def mirror(inp: MirrorInput) -> None:
        world.did(f"mirror {inp.part}", inp)

    @activity.defn(name="mirror_failed")
    async def mirror_failed(inp: MirrorTrouble) -> None:
        world.did("mirror_failed", inp)

    @activity.defn(name="next_units")
    async def next_units(inp: UnitsInput) -> Units:
        found = world.did("next_units", inp)
        if not found:
            await asyncio.sleep(min(inp.wait_s, 0.5))  # the real one waits for sign-ups
        return found or Units()

    @activity.defn(name="copy_unit")
    async def copy_unit(inp: CopyInput) -> None:
        world.did(f"copy {inp.unit}", inp)

    @activity.defn(name="retry_failed")
    async def retry_failed(inp: PlanInput) -> None:
        world.did("retry_failed", inp)

    @activity.defn(name="validate")
    async def validate(inp: ValidateInput) -> ValidationOutcome:
        return world.did("validate", inp) or ValidationOutcome()

    @activity.defn(name="ensure_schedule")
    async def ensure_schedule(inp: PlanInput) -> None:
        world.did("ensure_schedule", inp)

    @activity.defn(name="remove_schedule")
    async def remove_schedule(inp: PlanInput) -> None:
        world.did("remove_schedule", inp)

    @activity.defn(name="next_wave")
    async def next_wave(inp: NextWaveInput) -> NextWave:
        return world.did("next_wave", inp) or NextWave(done=True)

    @activity.defn(name="baseline")
    async def baseline(inp: WaveStep) -> None:
        world.did("baseline", inp)

    @activity.defn(name="wave_gate")
    async def wave_gate(inp: WaveStep) -> WaveGate:
        return world.did("wave_gate", inp) or WaveGate(ready=1)

    @activity.defn(name="advance")
    async def advance(inp: WaveStep) -> Advanced:
        return world.did(f"advance {inp.pct}", inp) or Advanced(done=True)

    @activity.defn(name="soak")
    async def soak(inp: WaveStep) -> Soaked:
        return world.did("soak", inp) or Soaked(done=True, left=1)

    @activity.defn(name="finish_wave")
    async def finish_wave(inp: WaveStep) -> None:
        world.did("finish_wave", inp)

    @activity.defn(name="forward")
    async def forward(inp: Forward) -> Outcome:
        return world.did("forward", inp) or Outcome(text="forward")

    @activity.defn(name="check")
    async def check(inp: CheckInput) -> CheckResult:
        return world.did("check", inp) or CheckResult(window=WindowState(), over=True)

    @activity.defn(name="go_on")
    async def go_on(inp: ContinueWindow) -> WindowState:
        return world.did("go_on", inp) or inp.window

    @activity.defn(name="cost")
    async def cost(inp: PlanInput) -> None:
        world.did("cost", inp)

    def step(name: str, real: str) -> Callable[..., Any]:
        @activity.defn(name=real)
        async def one(inp: Closing) -> None:
            world.did(name, inp)

        return one

    @activity.defn(name="decommission_close")
    async def close(inp: Closing) -> Closing:
        return world.did("close", inp) or inp.model_copy(update={"id": 1, "max_pause_s": MAX_PAUSE_S})

    @activity.defn(name="decommission_reopen")
    async def reopen(inp: Closing) -> DecommissionResult:
        return world.did("reopen", inp) or DecommissionResult(blockers=(inp.reason,), text="open")

    @activity.defn(name="decommission_settle")
    async def settle(inp: Closing) -> DecommissionResult:
        return world.did("settle", inp) or DecommissionResult(done=True, pause_s=1.5)

    @activity.defn(name="decommission_export")
    async def export(inp: Closing) -> str:
        return world.did("export", inp) or "file"

    @activity.defn(name="decommission_release")
    async def release(inp: Closing) -> str:
        return world.did("release", inp) or "stopped"

    @activity.defn(name="decommission_fingerprint")
    async def fingerprint(inp: Closing) -> str:
        return world.did("fingerprint", inp) or "5 tables read"

    @activity.defn(name="retirement_look")
    async def retirement_look(inp: PlanInput) -> Looked:
        return world.did("retirement_look", inp) or Looked("nothing is left to do", True, 0.0)

    @activity.defn(name="roll_back")
    async def roll_back(inp: RollbackInput) -> RollbackOutcome:
        return world.did("roll_back", inp) or RollbackOutcome(changed=1)

    @activity.defn(name="watch_breakers")
    async def watch_breakers(inp: PlanInput) -> None:
        world.did("watch_breakers", inp)

    @activity.defn(name="finish_limitless")
    async def finish_limitless(inp: PlanInput) -> Outcome:
        return world.did("finish_limitless", inp) or Outcome()

    return [
        finish_limitless, watch, enter, stand,
        begin, note, gate, record_approval, void_approval, record_incident, audit, provision, shape, capture_on, mirror,
        mirror_failed, next_units, copy_unit, retry_failed, validate, ensure_schedule, remove_schedule, next_wave,
        baseline, wave_gate, advance, soak, finish_wave, forward, check, go_on, cost, close, reopen, settle, export,
        release, fingerprint, retirement_look, roll_back, watch_breakers,
        step("prepare", "decommission_prepare"), step("drain", "decommission_drain"),
        step("validate_changed", "decommission_validate"), step("sequences", "decommission_sequences"),
        step("positions", "decommission_positions"), step("hand_over", "decommission_hand_over"),
    ]  # fmt: skip


def wave(number: int, plan: str, *ramp: int) -> NextWave:
    return NextWave(wave=WaveInput(plan=plan, number=number, ramp_pct=ramp or (100,)))
