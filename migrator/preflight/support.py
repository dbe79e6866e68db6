"""How long the major versions of both sides are supported. Pure.

Sources: Amazon Aurora User Guide, "Release calendars for Aurora PostgreSQL" (end of Aurora standard support), and the
PostgreSQL versioning policy (final release). After Aurora's date a cluster is enrolled in Extended Support, which costs
by the vCPU and hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

AURORA: Mapping[int, date] = {
    11: date(2024, 2, 29),
    12: date(2025, 2, 28),
    13: date(2026, 2, 28),
    14: date(2027, 2, 28),
    15: date(2028, 2, 29),
    16: date(2029, 2, 28),
    17: date(2030, 2, 28),
}
COMMUNITY: Mapping[int, date] = {
    12: date(2024, 11, 21),
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}


def ends(version_num: int, aurora: bool) -> date | None:
    """Return when the standard support of a major version ends; None: this release does not know."""
    return (AURORA if aurora else COMMUNITY).get(version_num // 10_000)
