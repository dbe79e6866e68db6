"""Drills, as values: what was practised, how it went, and whether that was recently enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from migrator.model.blocker import Blocker

STALE = "drill.stale"
"""Code of the blocker that keeps a wave from beginning."""

DAY_S = 86_400.0


class DrillKind(StrEnum):
    ROLLBACK = "rollback"  # tenants back to classic and forward again, in production
    RESTORE = "restore"  # classic's last copy, restored and compared
    TEMPORAL = "temporal"  # rollback and reads while Temporal cannot be reached


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. seconds: from its beginning to its end; body: what was measured, and why it did not pass."""

    kind: DrillKind
    at: datetime
    who: str
    subject: str
    passed: bool
    seconds: float
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrillLine:
    """The newest drill of a kind. passed_s: since one of that kind passed; None: none ever did."""

    newest: Drill
    passed_s: float | None


def stale(lines: tuple[DrillLine, ...], max_age_days: float | None, scale: float = 1.0) -> Blocker | None:
    """Return why no wave may begin: the last rollback drill that passed is too old, or there is none. Pure.

    Args:
        max_age_days: of the plan; None: none is asked for.
        scale: planned seconds per real second.
    """
    if max_age_days is None:
        return None
    passed_s = next((line.passed_s for line in lines if line.newest.kind is DrillKind.ROLLBACK), None)
    if passed_s is not None and passed_s * scale <= max_age_days * DAY_S:
        return None
    age = (
        "no rollback drill has passed"
        if passed_s is None
        else (f"the last rollback drill that passed is {passed_s * scale / DAY_S:.0f} days old")
    )
    text = f"{age} (limit {max_age_days:g} days): migrator drill rollback --wave N"
    return Blocker(STALE, "", text)
