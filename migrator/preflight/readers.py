"""Lists who still uses classic, with its share of what runs there: shims, BI, reports, jobs, people.

From looks over days (watch.py). Behind each look is a moment: shares are of statements that were seen running, so they
say who keeps classic busy, never how many statements there were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from migrator.control.sighting import Seen
from migrator.model.own_session import is_own_application, is_shim_of
from migrator.preflight.known import UserKind, kind_of

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Reader:
    """Sessions of one role and application in one database of one server.

    Attributes:
        share: of all running statements that looks saw, this tool's own left out, 0 to 1; None while none were seen.
        left: it keeps the decommission waiting: no shim that is known, and seen within the plan's quiet days.
    """

    kind: UserKind
    role: str
    application: str
    database: str
    server: str
    addresses: tuple[str, ...]
    clients: int
    first_at: datetime
    last_at: datetime
    age_s: float
    share: float | None
    left: bool


def readers(seen: Iterable[Seen], processes: Collection[str], quiet_days: float) -> tuple[Reader, ...]:
    """Return who uses classic beside this tool, who keeps the decommission waiting first, then by share. Pure."""
    others = [one for one in seen if one.kind == "session" and not is_own_application(one.application)]
    active = sum(one.active for one in others)
    found = [
        Reader(
            kind=kind_of(one.application, one.role),
            role=one.role,
            application=one.application,
            database=one.database,
            server=one.server,
            addresses=one.addresses,
            clients=one.clients,
            first_at=one.first_at,
            last_at=one.last_at,
            age_s=one.age_s,
            share=one.active / active if active else None,
            left=one.age_s <= quiet_days * DAY_S and not is_shim_of(one.application, processes),
        )
        for one in others
    ]
    return tuple(sorted(found, key=lambda r: (not r.left, -(r.share or 0.0), r.age_s, r.role, r.application, r.server)))


def left(found: Iterable[Reader]) -> int:
    """Return how many roles and applications keep the decommission waiting."""
    return len({(one.role, one.application) for one in found if one.left})
