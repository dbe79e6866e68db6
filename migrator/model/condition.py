"""Conditions: the one list of what wakes somebody, as values.

A condition is true for a while ("reads come from classic") or has happened once ("wave 3 is done"). Which ones a state
of the migration holds is judged in standing.py; who is told, and how, is migrator/notify/. Metrics, board and reports
show the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How urgent, in PagerDuty's words. `rank` grows with urgency."""

    INFO = "info"  # to know
    WARNING = "warning"  # within a working day
    ERROR = "error"  # within the hour: something does not go on, or customers may notice
    CRITICAL = "critical"  # now, at any hour

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    """What a condition is about. The names are those of `[notify]` in the plan; they stay."""

    CLASSIC_UNREACHABLE = "classic_unreachable"
    CAPTURE_BROKEN = "capture_broken"
    DIVERGENCE = "divergence"
    READS_DIFFER = "reads_differ"
    ROLLBACK = "rollback"
    FALLBACK = "fallback"
    SLO_BREACH = "slo_breach"
    QUARANTINE = "quarantine"
    MIRROR_STALLED = "mirror_stalled"
    JOURNAL_OVER_LIMIT = "journal_over_limit"
    WRITES_CLOSED = "writes_closed"
    WORKER_GONE = "worker_gone"
    WORKER_OUTDATED = "worker_outdated"
    WORKFLOW_ENDED = "workflow_ended"
    MIGRATION_FAILED = "migration_failed"
    GATE_WAITS = "gate_waits"
    GATE_SHUT = "gate_shut"
    COPY_FAILED = "copy_failed"
    COPY_PAUSED = "copy_paused"
    VALIDATION_STALE = "validation_stale"
    RUNWAY_SHORT = "runway_short"
    REPLICAS_OUT = "replicas_out"
    PROCESS_SILENT = "process_silent"
    RIGHTS_DIFFER = "rights_differ"
    COST_OVER_PROJECTION = "cost_over_projection"
    DRILL_STALE = "drill_stale"
    SCHEMA_VERSION = "schema_version"
    BLOCKED = "blocked"
    RECEIVER_FAILING = "receiver_failing"
    INCIDENT = "incident"
    WINDOW_RESTARTED = "window_restarted"
    PHASE_DONE = "phase_done"
    WAVE_BEGUN = "wave_begun"
    WAVE_DONE = "wave_done"
    HANDED_OVER = "handed_over"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class About:
    """What is the same for all conditions of a kind.

    Attributes:
        title: a few words, for a subject line or a dashboard.
        severity: the usual one; a condition may be less or more urgent.
        patient: it often clears by itself, so it is told only once it has lasted `notify.tell_after_s`.
        happens: it is an event of the decision log, which does not last; both when it may also be found standing.
    """

    title: str
    severity: Severity
    patient: bool = False
    happens: bool = False


_I, _W, _E, _C = Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.CRITICAL

ABOUT: Mapping[Kind, About] = MappingProxyType(
    {
        Kind.CLASSIC_UNREACHABLE: About("classic is unreachable", _C),
        Kind.CAPTURE_BROKEN: About("writes may pass the journal", _C),
        Kind.DIVERGENCE: About("rows differ between the sides", _E, happens=True),
        Kind.READS_DIFFER: About("reads differ between the sides", _E),
        Kind.ROLLBACK: About("reads were rolled back to classic", _C, happens=True),
        Kind.FALLBACK: About("reads have fallen back to classic", _E, patient=True, happens=True),
        Kind.SLO_BREACH: About("reads on Limitless are over a limit", _E, happens=True),
        Kind.QUARANTINE: About("tenants are quarantined", _E),
        Kind.MIRROR_STALLED: About("Limitless does not follow classic", _E, patient=True),
        Kind.JOURNAL_OVER_LIMIT: About("the journal is over its limit", _E, patient=True),
        Kind.WRITES_CLOSED: About("writes are closed", _E, patient=True, happens=True),
        Kind.WORKER_GONE: About("workers are missing", _C, patient=True),
        Kind.WORKER_OUTDATED: About("workers run something else than classic holds", _W, patient=True),
        Kind.WORKFLOW_ENDED: About("a workflow beside the phases has ended", _C),
        Kind.MIGRATION_FAILED: About("the migration has failed", _E),
        Kind.GATE_WAITS: About("a gate waits for an approval", _W),
        Kind.GATE_SHUT: About("a gate says no", _W, patient=True),
        Kind.COPY_FAILED: About("copy units failed", _E),
        Kind.COPY_PAUSED: About("the backfill is paused", _I, patient=True),
        Kind.VALIDATION_STALE: About("no validation finished for too long", _W, patient=True),
        Kind.RUNWAY_SHORT: About("classic's writer does not last", _W, patient=True),
        Kind.REPLICAS_OUT: About("replicas of classic are out of service", _W, patient=True),
        Kind.PROCESS_SILENT: About("application processes are silent", _W, patient=True),
        Kind.RIGHTS_DIFFER: About("rights differ between the sides", _W, patient=True),
        Kind.COST_OVER_PROJECTION: About("cost is over the projection", _W, patient=True),
        Kind.DRILL_STALE: About("the rollback drill is too old", _W, patient=True),
        Kind.SCHEMA_VERSION: About("the control schema is of another version", _E, patient=True),
        Kind.BLOCKED: About("something blocks the migration", _W, patient=True),
        Kind.RECEIVER_FAILING: About("a receiver of notifications refuses them", _W),
        Kind.INCIDENT: About("an incident was reported", _E, happens=True),
        Kind.WINDOW_RESTARTED: About("the stabilization window began again", _W, happens=True),
        Kind.PHASE_DONE: About("a phase is done", _I, happens=True),
        Kind.WAVE_BEGUN: About("a wave begins", _I, happens=True),
        Kind.WAVE_DONE: About("a wave is done", _I, happens=True),
        Kind.HANDED_OVER: About("Limitless is authoritative", _W, happens=True),
        Kind.FINISHED: About("the migration is finished", _I, happens=True),
    }
)
"""What each kind means; every kind has an entry."""

NAMED = 5
"""Of what a condition is about, so many are named; `count` says how many there are."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so, or that has happened, and that a person should know.

    Attributes:
        key: tells conditions of one kind apart: a phase, a scope, a code. Made of the tool's own words, never of a
            tenant's name; '' where there is one alone.
        text: what is true, in one sentence, with units and limits. It may quote a reason that a person or a process
            gave: to be escaped where it is shown, as names are.
        hint: what to do next, a command where there is one.
        since: when it began, as classic stored it; None where only its presence is known.
        count: of what it is about: tenants, partitions, blockers.
        subjects: at most `NAMED` of them, by name and as they are: anybody's text, to be escaped where it is shown.
        instant: it has happened; it does not last and is never over.
    """

    kind: Kind
    text: str
    hint: str
    severity: Severity
    key: str = ""
    since: datetime | None = None
    count: int = 1
    subjects: tuple[str, ...] = ()
    instant: bool = False

    @property
    def name(self) -> str:
        """The same for the same condition, in any process and at any time: what repeats are recognised by."""
        return f"{self.kind.value}/{self.key}" if self.key else self.kind.value

    @property
    def title(self) -> str:
        return ABOUT[self.kind].title

    @property
    def patient(self) -> bool:
        return ABOUT[self.kind].patient
