"""Incidents, which restart or pause the stabilization window, and what a rollback did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IncidentKind(StrEnum):
    FALLBACK = "fallback"
    ROLLBACK = "rollback"
    DIVERGENCE = "divergence"
    SLO_BREACH = "slo_breach"
    CAPTURE = "capture"  # writes may have passed the journal
    REPORTED = "reported"  # reported by a person


@dataclass(frozen=True, slots=True)
class Incident:
    """An event that restarts or pauses the stabilization window."""

    id: int
    kind: IncidentKind
    at: datetime
    reason: str
    reported_by: str


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did: the same value for the command, the webhook and the activity. Fields have defaults, because
    workflow histories hold it.

    Attributes:
        epoch: of the change that put (or had put) reads on classic.
        changed: tenants whose reads it moved.
        processes, confirmed: live processes, and how many have applied it.
        seconds: from the call until the last confirmation.
        already: whether reads were on classic before.
        expired: silent processes, which read classic by themselves.
        pending: names of processes that did not confirm in time.
        held: tenants that are held on classic from now on.
        unchecked: tenants whose existence could not be determined in time; they are held all the same.
    """

    epoch: int = 0
    changed: int = 0
    processes: int = 0
    confirmed: int = 0
    seconds: float = 0.0
    already: bool = False
    expired: int = 0
    pending: tuple[str, ...] = ()
    held: int = 0
    unchecked: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.pending
