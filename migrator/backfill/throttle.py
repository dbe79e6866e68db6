"""May the copy go on, and how fast? Pure; the answer always has a reason that status shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What the throttle looks at."""

    paused: bool = False
    paused_by: str = ""
    mb_per_s: float | None = None
    lag_s: float = 0.0
    active_sessions: int = 0
    journal_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    max_lag_s: float = 30.0
    max_active_sessions: int = 200
    journal_limit_mb: float = 4096.0
    mb_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """`hold` set: no new unit starts, for that reason. `mb_per_s`: the rate of all copies together, None: free."""

    hold: str | None
    mb_per_s: float | None


def pace(load: Load, limits: Limits) -> Pace:
    """Return how the copy may proceed. A pause by an operator comes first, then the gravest signal."""
    rate = load.mb_per_s if load.mb_per_s is not None else limits.mb_per_s
    if load.paused:
        return Pace(f"paused by {load.paused_by or 'an operator'}", rate)
    if load.journal_mb > limits.journal_limit_mb:
        return Pace(f"the journal holds {load.journal_mb:.0f} MB (limit {limits.journal_limit_mb:.0f})", rate)
    if load.lag_s > limits.max_lag_s:
        return Pace(f"the mirror lags {load.lag_s:.1f} s (limit {limits.max_lag_s:.0f})", rate)
    if load.active_sessions > limits.max_active_sessions:
        return Pace(
            f"classic runs {load.active_sessions} statements at once (limit {limits.max_active_sessions})", rate
        )
    return Pace(None, rate)


def pause_s(block_bytes: float, mb_per_s: float | None, copies: int) -> float:
    """Return how long one of *copies* parallel copies rests after a block, to keep the common rate."""
    if mb_per_s is None or mb_per_s <= 0:
        return 0.0
    return block_bytes * max(copies, 1) / (mb_per_s * 1_000_000)
