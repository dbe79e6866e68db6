"""What is known of a migration beside its status, as values: its calendar, what was decided and when, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from migrator.model.condition import Condition
from migrator.model.cost import Day
from migrator.model.series import Series
from migrator.model.status import Status

SHOWN = 100
"""Acts, incidents and rollbacks are known up to so many, the newest."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the plan says about time.

    Attributes:
        weeks: from the beginning until classic is retired.
        scale: planned seconds that pass in a real one, more than 1 in a rehearsal; of the stabilization alone.
        sizes: tenants of the first waves; the last one repeats.
        steps, hot_steps: that a wave goes through, each of `soak_s`.
        max_age_s: a gate accepts a clean validation up to this age.
        full: use of the writer's processors that counts as full, 0 to 1.
    """

    weeks: float
    stabilization_days: float
    scale: float
    sizes: tuple[int, ...]
    steps: int
    hot_steps: int
    soak_s: float
    max_age_s: float
    full: float


@dataclass(frozen=True, slots=True)
class Counting:
    """The days of the stabilization, as they were last counted.

    Attributes:
        deadline_s: when they are over, in seconds since 1970.
        paused: an incident has stopped them until a person resumes them.
    """

    deadline_s: float
    restarts: int
    pauses: int
    paused: bool
    over: bool
    text: str


@dataclass(frozen=True, slots=True)
class WaveTime:
    """When a wave was first chosen, and when it was finished; None: not yet."""

    wave: int
    chosen_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Approval:
    gate: str
    approver: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Act:
    """A decision, or the same one for many subjects at once: then *subject* says how many."""

    at: datetime
    who: str
    kind: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """An incident; the same again within an hour is counted in `times`, and `at` is its last one."""

    at: datetime
    first_at: datetime
    kind: str
    reason: str
    reported_by: str
    times: int


@dataclass(frozen=True, slots=True)
class MigrationFacts:
    """Everything that a report of a migration rests on, from one snapshot of classic.

    Attributes:
        conditions: what stands that a person should know, the most urgent first.
        calendar: None without a plan, or where the stored one cannot be read.
        waiting, waiting_hot: tenants whose reads are still to move, small and hot ones; held ones are in neither.
        incidents, rollbacks, acts: the newest, newest first. acts: what people and the tool decided, but for routes.
        incident_count: all of them, each as often as it happened.
        costs: of the days that have figures, the oldest first.
        series: None before the tool is installed.
    """

    status: Status
    conditions: tuple[Condition, ...] = ()
    calendar: Calendar | None = None
    counting: Counting | None = None
    waves: tuple[WaveTime, ...] = ()
    waiting: int = 0
    waiting_hot: int = 0
    approvals: tuple[Approval, ...] = ()
    incidents: tuple[IncidentLine, ...] = ()
    incident_count: int = 0
    rollbacks: tuple[Act, ...] = ()
    acts: tuple[Act, ...] = ()
    costs: tuple[Day, ...] = ()
    series: Series | None = None
