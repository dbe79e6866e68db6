"""What `migrator status` shows, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from migrator.model.blocker import Blocker


@dataclass(frozen=True, slots=True)
class PhaseLine:
    phase: str
    state: str
    since: datetime | None
    detail: str = ""
    blockers: tuple[str, ...] = ()
    next_step: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaveLine:
    """A wave's tenants by effective level. `rolled_back` were cut over once and have classic as their route again."""

    wave: int
    tenants: int
    limitless: int
    joining: int
    classic: int
    rolled_back: int
    hot: int


@dataclass(frozen=True, slots=True)
class PartLine:
    """A mirror partition. `lag_s` is what the mirror measured, or the age of its position when that is more: a stalled
    mirror measures nothing."""

    part: int
    lag_s: float
    depth: int
    rows_per_s: float
    applied: int
    state: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class FallbackLine:
    scope: str
    key: str
    level: str
    reason: str
    raised_by: str
    raised_at: datetime
    held: bool


@dataclass(frozen=True, slots=True)
class HeldLine:
    """A tenant that a person keeps on classic. `wave`: by the rollback of which; None: by its name."""

    tenant: str
    reason: str
    held_by: str
    held_at: datetime
    wave: int | None


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process that runs the shim. `live`: its heartbeat is within its staleness limit."""

    process_id: str
    name: str
    seen_s: float
    live: bool
    applied_epoch: int
    behind: int


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """What is copied. `eta_s` follows from the rate of the last minutes; None while nothing moves."""

    units: int
    done: int
    copying: int
    failed: int
    rows: int
    copied_rows: int
    copied_bytes: int
    rows_per_s: float
    eta_s: float | None
    paused: bool
    mb_per_s: float | None
    reason: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValidationLine:
    """The last validation that finished, and how old knowledge about tenants is."""

    kind: str | None
    finished_at: datetime | None
    age_s: float | None
    rows: int
    divergent: int
    fence_pause_ms: float
    never: int
    divergent_tenants: int
    oldest_clean_s: float | None
    unrepaired: int


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the decision log, or an incident."""

    at: datetime
    who: str
    kind: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class LimitlessLine:
    """What Limitless answered when it was asked what it can do (`migrator provision --probe`).

    Attributes:
        lacking: capabilities that it does not have, or not on all kinds of tables.
        blockers: those among them that nothing stands in for, in the operator's words.
    """

    version: str
    at: datetime
    lacking: tuple[str, ...]
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """Everything `migrator status` shows.

    Attributes:
        installed: the control schema is there; without it only `next_steps` says something.
        schema_version: of the control schema on classic; of another one than this migrator's nothing else is read.
        phase: the first phase that is not done.
        wave: the highest wave with a tenant that was moved.
        limitless: what it can do; None when it was never asked.
        workers: that live, whatever they run; `outdated_workers` are those that run something else.
        stopped: workflows beside the phases that have ended.
        by_level: tenants by effective level: route, switch and fallbacks taken together.
        capture: reasons why the journal cannot be trusted.
        blockers: what blocks it now, in the operator's words.
    """

    installed: bool
    at: datetime
    schema_version: int | None = None
    plan: str | None = None
    started_at: datetime | None = None
    phase: str | None = None
    phase_state: str | None = None
    phases: tuple[PhaseLine, ...] = ()
    write_mode: str = "classic_only"
    switch: str = "limitless"
    switch_by: str = ""
    switch_reason: str = ""
    switch_at: datetime | None = None
    epoch: int = 0
    wave: int | None = None
    waves: tuple[WaveLine, ...] = ()
    tenants: int = 0
    by_state: tuple[tuple[str, int], ...] = ()
    by_level: tuple[tuple[str, int], ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()
    capture: tuple[Blocker, ...] = ()
    held: tuple[HeldLine, ...] = ()
    lag_s: float | None = None
    parts: tuple[PartLine, ...] = ()
    journal_mb: float = 0.0
    backfill: BackfillLine | None = None
    validation: ValidationLine | None = None
    fallbacks: tuple[FallbackLine, ...] = ()
    breaker_trips: tuple[tuple[str, str, int, str], ...] = ()
    processes: tuple[ProcessLine, ...] = ()
    limitless: LimitlessLine | None = None
    workers: int = 0
    outdated_workers: tuple[Blocker, ...] = ()
    stopped: tuple[Blocker, ...] = ()
    incidents: int = 0
    events: tuple[Event, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    next_steps: tuple[str, ...] = ()
