"""Is a table written rarely enough for a copy on every shard? By rate, not by count. Pure.

Every write to a reference table goes to all shards in one transaction; what counts is how often that happens. Counters
begin when the statistics do, so they are divided by the time since.
"""

from __future__ import annotations

from dataclasses import dataclass

RARE_PER_S = 0.2
"""Row writes a second up to which a table counts as rarely written: one in five seconds. The tool's own bound."""

LOADED_WITHIN_S = 86_400.0
"""In statistics younger than this, as many inserts as there are rows count as the load, not as writes of a day."""

SHORTEST_S = 3_600.0
"""Statistics younger than this are divided by as much: a few writes in a minute are no rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a table is written; `per_s` is None where nothing says so."""

    per_s: float | None
    seconds: float = 0.0

    @property
    def rare(self) -> bool:
        return self.per_s is not None and self.per_s <= RARE_PER_S

    def __str__(self) -> str:
        if self.per_s is None:
            return "its write rate is not known"
        hours = self.seconds / 3600
        seen = f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:,.1f} hours"
        return f"{self.per_s * 3600:,.1f} row writes an hour in {seen} of statistics"


def rate(*, inserts: int, updates: int, deletes: int, rows: int | None, seconds: float | None) -> Rate:
    """Return how often a table is written. *seconds*: age of the statistics; None or 0 when not known."""
    if not seconds:
        return Rate(None)
    if seconds < LOADED_WITHIN_S:
        inserts = max(0, inserts - (rows or 0))
    return Rate((inserts + updates + deletes) / max(seconds, SHORTEST_S), seconds)
