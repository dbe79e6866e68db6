"""Inputs and outputs of workflows and activities, their signals, updates and queries.

Every payload is one frozen value: a model of this module, or a dataclass of the domain where that suffices. Readers
are tolerant (unknown fields are ignored, new fields have defaults), so that a history written by an older version can
still be read. Nothing here holds a secret, a connection string or a row: activities resolve connection strings
themselves, and tenants are kept on classic, known by their wave.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from migrator.decommission.window import CheckResult
from migrator.decommission.window import Window as WindowState
from migrator.model.decommission import DecommissionResult
from migrator.model.gate import GateAnswer
from migrator.model.incident import RollbackResult as RollbackOutcome
from migrator.model.wave import Advanced, NextWave, Outcome, WaveGate, WaveInput, WaveProgress

__all__ = [
    "Advanced",
    "CheckResult",
    "DecommissionResult",
    "GateAnswer",
    "NextWave",
    "Outcome",
    "RollbackOutcome",
    "WaveGate",
    "WaveInput",
    "WaveProgress",
    "WindowState",
]
"""The domain's own values that cross as they are; what is made here needs no list."""


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


# -- what operators send --------------------------------------------------------------------------------------


class Approve(Message):
    """gate: audit, provision, dual_write, cutover, decommission, or wave-N. again: a wave's, which may have expired."""

    gate: str
    approver: str
    again: bool = False


class Approval(Message):
    gate: str
    approver: str
    at: str = ""


class Order(Message):
    """A command by a person: who and why."""

    who: str
    reason: str = ""


class Pause(Message):
    """Sent to child workflows: whether they may start new work."""

    paused: bool
    who: str = ""
    reason: str = ""


class Report(Message):
    """An incident reported by a person."""

    reason: str
    reported_by: str


class Answer(Message):
    """The result of a command, as the operator sees it."""

    text: str
    changed: bool = True


# -- inputs of workflows --------------------------------------------------------------------------------------


class PlanInput(Message):
    """Input of workflows and activities that need only the plan's name."""

    plan: str


class MigrationInput(Message):
    """The state that a migration carries from one run to the next."""

    plan: str
    digest: str
    done: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    pause: Pause | None = None


class MigrationStatus(Message):
    """Answer of the status query. state: running, waiting (for an approval), blocked, paused, aborted or done."""

    plan: str
    phase: str = ""
    state: str = "running"
    done: tuple[str, ...] = ()
    waiting_for: str = ""
    blockers: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()


class MigrationResult(Message):
    plan: str
    text: str = ""


class DualWriteInput(Message):
    """begun: an earlier run has installed capture."""

    plan: str
    paused: bool = False
    begun: bool = False


class BackfillInput(Message):
    plan: str
    paused: bool = False
    copied: int = 0
    failed: int = 0


class ValidateInput(Message):
    """kind: scheduled, manual, gate, stabilize. tenants: empty means all, stalest first."""

    plan: str
    kind: str = "scheduled"
    tenants: tuple[str, ...] = ()
    repair: bool = False
    who: str = "validation"


class CutoverInput(Message):
    """late: only late sign-ups; return as soon as none waits."""

    plan: str
    paused: bool = False
    late: bool = False
    approvals: tuple[str, ...] = ()


class CutoverResult(Message):
    waves: int = 0


class WaveResult(Message):
    """held: why the cutover must stop after this wave; empty when it may go on."""

    number: int
    moved: int = 0
    rolled_back: int = 0
    deferred: int = 0
    held: str = ""
    blockers: tuple[str, ...] = ()


class RollbackInput(Message):
    plan: str
    all: bool = False
    wave: int | None = None
    tenants: tuple[str, ...] = ()
    who: str = ""
    reason: str = ""


class StabilizeInput(Message):
    plan: str
    window: WindowState | None = None
    paused: bool = False


class StabilizeResult(Message):
    text: str = ""
    restarts: int = 0
    checks: int = 0


class DecommissionInput(Message):
    plan: str
    approver: str


# -- activities -----------------------------------------------------------------------------------------------


class Entered(Message):
    """Where a new run of the migration begins: phases that need not be done again, and who approved the end.

    approver: set past the point of no return, where that approval was used.
    """

    done: tuple[str, ...] = ()
    approver: str = ""


class Standing(Message):
    """Where a run of the decommission enters: migrator.decommission.progress. number: newest attempt, 0 if none."""

    entry: str = "prepare"
    number: int = 0
    approver: str = ""
    max_pause_s: float = 60


class WatchInput(Message):
    """Workflows beside the phases that have to run, as status calls them: dual-write, backfill, breaker."""

    plan: str
    workflows: tuple[str, ...]


class Ended(Message):
    """Lines about watched workflows that have ended."""

    lines: tuple[str, ...] = ()


class PhaseNote(Message):
    """A line for `status`, which reads it on classic."""

    plan: str
    phase: str
    state: str
    detail: str = ""
    blockers: tuple[str, ...] = ()
    next_step: str = ""


class PhaseInput(Message):
    plan: str
    phase: str
    digest: str = ""
    approver: str = ""


class MirrorInput(Message):
    plan: str
    part: int


class MirrorTrouble(Message):
    plan: str
    part: int
    error: str
    message: str


class DualWriteShape(Message):
    """parts: number of mirror partitions for tenants. concurrency: copies at once."""

    parts: int = 1
    concurrency: int = 1


class UnitsInput(Message):
    """running: units that this workflow copies already."""

    plan: str
    limit: int
    running: tuple[str, ...] = ()
    wait_s: float = 0


class Units(Message):
    """concurrency: how many copies the plan allows at once by now; None from workers that did not say."""

    units: tuple[str, ...] = ()
    pending: int = 0
    concurrency: int | None = None


class CopyInput(Message):
    plan: str
    unit: str


class ValidationOutcome(Message):
    clean: bool = True
    tenants: int = 0
    rows: int = 0
    divergent_rows: int = 0
    repaired: int = 0
    unmirrored: int = 0
    tenantless_rows: int = 0
    left: int = 0
    unknown: int = 0
    seconds: float = 0
    fence_pause_ms: float = 0


class NextWaveInput(Message):
    plan: str
    late: bool = False


class WaveStep(Message):
    """One step of a wave.

    soaked_s: how much of its soak has passed. since_s: samples count from then, on classic's clock.
    """

    plan: str
    number: int
    pct: int = 100
    soaked_s: float = 0
    since_s: float = 0
    soak_s: float = 0
    baseline_s: float = 0
    late: bool = False


class Soaked(Message):
    """soaked_s: so far, without the time it was stalled. held: stop the cutover, with the reason."""

    done: bool = False
    soaked_s: float = 0
    since_s: float = 0
    rolled_back: int = 0
    left: int = 0
    held: str = ""


class Forward(Message):
    """An operator's order to go forward again after a rollback."""

    plan: str
    who: str
    reason: str = ""


class CheckInput(Message):
    plan: str
    now_s: float
    window: WindowState | None = None


class ContinueWindow(Message):
    plan: str
    now_s: float
    window: WindowState


class Closing(Message):
    """One attempt to retire classic. id: its row in migrator.report; only it may pass the point of no return."""

    plan: str
    id: int = 0
    approver: str = ""
    max_pause_s: float = 60
    reason: str = ""
