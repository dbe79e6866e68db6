"""Lines over time, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Series:
    """Lines over the same moments.

    Attributes:
        since, until: what was asked for, cut to what is stored and to now.
        step_s: seconds that a point stands for.
        at: where each point's time begins, UTC, evenly apart.
        values: by name (migrator.control.series.VALUES); as many as `at`, None where nothing is known.
    """

    since: datetime
    until: datetime
    step_s: int
    at: tuple[datetime, ...]
    values: Mapping[str, tuple[float | None, ...]]
