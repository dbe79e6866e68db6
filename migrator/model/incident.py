"""What restarts the stabilization window?"""

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
    REPORTED = "reported"  # a human said so


@dataclass(frozen=True, slots=True)
class Incident:
    """An event that restarts or pauses the stabilization window."""

    id: int
    kind: IncidentKind
    at: datetime
    reason: str
    reported_by: str
