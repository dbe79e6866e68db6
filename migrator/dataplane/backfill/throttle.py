"""Decides whether the copy may go on, and how fast, always with a reason that status shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.throttle import copy_load, show_hold
from migrator.plan.schema import Plan


@dataclass(frozen=True, slots=True)
class Load:
    """What the throttle looks at."""

    paused: bool = False
    paused_by: str = ""
    lag_s: float = 0.0
    active_sessions: int = 0
    journal_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    max_lag_s: float = 30.0
    max_active_sessions: int = 200
    journal_limit_mb: float = 4096.0


def throttle_reason(load: Load, limits: Limits) -> str | None:
    """Return why no new unit may start, None: it may. A pause by an operator comes first, then the gravest signal."""
    if load.paused:
        return f"paused by {load.paused_by or 'an operator'}"
    if load.journal_mb > limits.journal_limit_mb:
        return f"the journal holds {load.journal_mb:.0f} MB (limit {limits.journal_limit_mb:.0f})"
    if load.lag_s > limits.max_lag_s:
        return f"the mirror lags {load.lag_s:.1f} s (limit {limits.max_lag_s:.0f})"
    if load.active_sessions > limits.max_active_sessions:
        return f"classic runs {load.active_sessions} statements at once (limit {limits.max_active_sessions})"
    return None


def pause_s(block_bytes: float, mb_per_s: float | None, copies: int) -> float:
    """Return how long one of *copies* parallel copies rests after a block, to keep the common rate."""
    if mb_per_s is None or mb_per_s <= 0:
        return 0.0
    return block_bytes * max(copies, 1) / (mb_per_s * 1_000_000)


_LONGEST_S = 5.0
"""A copy that was kept waiting by one side makes up for no more than so much at once."""


def idle_s(worked_s: float, share: float) -> float:
    """Return how long to rest after working *worked_s*, so that work is *share* of the time. Bounded: a block that took
    long must not keep the copy's snapshot open for much longer."""
    return min(max(worked_s, 0.0) * (1 / share - 1), _LONGEST_S)


def allowed(concurrency: int, share: float) -> int:
    """Return how many copies may run at once at *share* of the plan's *concurrency*: at least one."""
    return max(1, round(concurrency * share))


def throttled(conn: psycopg.Connection[Any], plan: Plan) -> str | None:
    """Return why no new copy may start now, and show it in status; None when one may."""
    now = copy_load(conn)
    if now is None:
        return None
    held = throttle_reason(
        Load(now.paused, now.paused_by, now.lag_s, now.active_sessions, now.journal_mb),
        Limits(plan.backfill.max_lag_s, plan.backfill.max_active_sessions, plan.dual_write.journal_limit_mb),
    )
    if (held or "") != now.shown and not now.paused:
        show_hold(conn, held or "")
    return held
