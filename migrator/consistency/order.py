"""Orders tenants for validation, and groups them by fence. Pure.

The stalest and the riskiest first: the age of the last verdict counts, many times over for tenants where something
happened or where it matters more. No tenant starves, because every tenant's age grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrator.control.validation import Candidate as Candidate
from migrator.model.tenant import TenantId


def weight(candidate: Candidate) -> float:
    """Return how many times its age counts."""
    return (16 if candidate.troubled else 1) * (4 if candidate.on_limitless else 1) * (2 if candidate.changed else 1)


def urgency(candidate: Candidate) -> float:
    return float("inf") if candidate.age_s is None else candidate.age_s * weight(candidate)


def ordered(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the most urgent first; among equals the cheap ones, so that much is known soon."""
    return sorted(candidates, key=lambda c: (-urgency(c), c.rows, c.tenant_id))


def fences(candidates: Sequence[Candidate], tenants: int, rows: int) -> Iterator[tuple[int, list[TenantId]]]:
    """Yield (partition, tenants) groups in the order of *candidates*: at most *tenants* each, and *rows* rows.

    A fence's snapshots live as long as its comparison, so a large tenant has one of its own.
    """
    open_groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        group = open_groups.setdefault(candidate.part, [])
        if group and (len(group) >= tenants or sum(c.rows for c in group) + candidate.rows > rows):
            yield candidate.part, [c.tenant_id for c in group]
            open_groups[candidate.part] = group = []
        group.append(candidate)
    for part, group in open_groups.items():
        if group:
            yield part, [c.tenant_id for c in group]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may cost.

    Attributes:
        seconds: it begins no fence after this long.
        share: of the time it works; in the rest of it, it rests.
        max_active_sessions: while classic runs more statements than this, it rests too.
    """

    seconds: float
    share: float = 1.0
    max_active_sessions: int | None = None


def rest_s(worked_s: float, share: float) -> float:
    """Return how long to rest after working *worked_s* so that work is *share* of the time."""
    return worked_s * (1 / share - 1)
