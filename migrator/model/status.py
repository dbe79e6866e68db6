"""What `migrator status` shows, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from migrator.model.blocker import Blocker
from migrator.model.cost import CapacityLine, CostLine
from migrator.model.drill import DrillLine


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
    """A tenant that a person keeps on classic. `wave`: by the rollback of which; None: by its name. `until`: it ends
    then by itself; None: when it is released."""

    tenant: str
    reason: str
    held_by: str
    held_at: datetime
    wave: int | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process that runs the shim. `live`: its heartbeat is within its staleness limit."""

    process_id: str
    name: str
    seen_s: float
    live: bool
    applied_epoch: int
    behind: int
    replicas: int | None = None  # of classic that it reaches; None: it was given none


@dataclass(frozen=True, slots=True)
class ReplicaLine:
    """A read replica of classic.

    Attributes:
        level: serving, joining or out; for the newest start of its server.
        reason: why, in the words of the process that changed it.
        missing: live processes that could not wait for it; while there are any it is not in service.
    """

    name: str
    level: str
    since_s: float
    reason: str
    missing: int


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """Reads of classic in the last ten minutes, by the server that answered: writer, or a replica's host:port."""

    endpoint: str
    reads: int
    errors: int


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """What is copied. `eta_s` follows from the rate of the last minutes; None while nothing moves.

    `tenants_left` counts tenants that are neither mirrored nor quarantined: also those that are to be copied again and
    have no unit yet, while all units there are were copied.
    """

    tenants_left: int
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
class PartCost:
    """What one part of this tool takes of classic, by the last minutes.

    Attributes:
        active: sessions that run a statement, on average.
        cores: of processor; None: unknown. `basis`: measured, estimate or modelled, and by what.
    """

    part: str
    sessions: float
    active: float
    cores: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class WriterCost:
    """What classic's writer carries, and what this tool costs it, by the last minutes. None: unknown.

    Attributes:
        age_s: since the last minute that was sampled.
        cpu: use of its processors, 0 to 1, of `vcpus`.
        own_statements_per_s, own_ms_per_s, own_wal_bytes_per_s: of this tool's statements, shims' included; ms of
            execution, waits included.
        own_cores: all parts together, at most.
        journal_bytes_per_s: net, since slots of the ring are emptied.
        unknown: what could not be measured, and why.
    """

    age_s: float
    cpu: float | None
    vcpus: int | None
    transactions_per_s: float | None
    row_writes_per_s: float | None
    wal_bytes_per_s: float | None
    parts: tuple[PartCost, ...]
    own_cores: float | None
    own_statements_per_s: float | None
    own_ms_per_s: float | None
    own_wal_bytes_per_s: float | None
    journal_bytes: float | None
    journal_bytes_per_s: float | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PaceLine:
    """How fast copies and scheduled validation go: a share of what the plan allows, and why it is less than all."""

    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class BreachLine:
    """Reads on Limitless that are over a limit after the waves, for long enough to be an incident. tenant: None stands
    for the reads of all tenants together."""

    tenant: str | None
    first_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class RunwayLine:
    """How long classic's writer lasts. weeks: until it is full; None: never, or unknown (then `closes` is None).

    Attributes:
        spared: it is a server of this machine or of a rehearsal, so no gate asks.
        options: what would close it.
    """

    closes: bool | None
    weeks: float | None
    needed_weeks: float
    summary: str
    options: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    spared: bool = False


@dataclass(frozen=True, slots=True)
class OthersLine:
    """Who uses classic beside this tool and its shims. names: the first few, role/application; since: when every server
    of classic is watched; days: within which they were seen."""

    count: int
    names: tuple[str, ...]
    since: datetime
    days: float


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
        lost_workers: silent for less than an hour, and not taken off the list: they were killed.
        unserved_queues: task queues that no living worker serves.
        stopped: workflows beside the phases that have ended.
        by_level: tenants by effective level: route, switch and fallbacks taken together.
        breaches: reads on Limitless over a limit, for long enough to be an incident.
        quarantined, held, fallbacks: the first hundred of each; by_state, held_count and fallback_count say how many.
        capture: reasons why the journal cannot be trusted.
        cost: what this tool costs classic's writer; None while nothing was sampled in the last minutes.
        pace: how fast copies and scheduled validation go.
        runway: how long that writer lasts; None where the stored plan cannot be read.
        bill: what Limitless costs this month, against the projection; None where the stored plan cannot be read.
        capacity: how full its shards are, and which tenants fill them; None as for `bill`.
        others: who uses classic beside this tool; None where no look was stored.
        drills: the newest of each kind.
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
    held_count: int = 0
    lag_s: float | None = None
    parts: tuple[PartLine, ...] = ()
    journal_mb: float = 0.0
    backfill: BackfillLine | None = None
    validation: ValidationLine | None = None
    fallbacks: tuple[FallbackLine, ...] = ()
    fallback_count: int = 0
    breaker_trips: tuple[tuple[str, str, int, str], ...] = ()
    processes: tuple[ProcessLine, ...] = ()
    replicas: tuple[ReplicaLine, ...] = ()
    classic_reads: tuple[EndpointLine, ...] = ()  # empty while no process has been given replicas
    limitless: LimitlessLine | None = None
    workers: int = 0
    outdated_workers: tuple[Blocker, ...] = ()
    lost_workers: tuple[str, ...] = ()
    unserved_queues: tuple[str, ...] = ()
    stopped: tuple[Blocker, ...] = ()
    incidents: int = 0
    pace: PaceLine = PaceLine(1.0, "")
    cost: WriterCost | None = None
    runway: RunwayLine | None = None
    bill: CostLine | None = None
    capacity: CapacityLine | None = None
    breaches: tuple[BreachLine, ...] = ()
    others: OthersLine | None = None
    drills: tuple[DrillLine, ...] = ()
    events: tuple[Event, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    next_steps: tuple[str, ...] = ()
