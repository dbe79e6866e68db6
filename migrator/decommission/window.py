"""Counts the days of the stabilization window, and what an incident does to them.

Pure. Time is counted in seconds of the caller's clock; `scale` says how many planned seconds pass in one of them
(1 outside a rehearsal). Incidents are known by their number on classic, never by comparing two clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from migrator.model.counted import counted

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class WindowRules:
    """The plan's [stabilization] and its clock."""

    days: float
    check_every_days: float
    on_incident: Literal["restart", "pause"]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """A stabilization window.

    Attributes:
        started_s: when the days began to count.
        deadline_s: when they are over; moves when an incident restarts or a pause ends.
        paused_s: since when it is paused, None while it runs.
        last_incident: number of the newest incident that was taken into account.
        days: the plan's number when the deadline was set; 0 in windows that were kept before it could change.

    Fields have defaults, because workflow histories hold it.
    """

    started_s: float = 0
    deadline_s: float = 0
    restarts: int = 0
    pauses: int = 0
    checks: int = 0
    paused_s: float | None = None
    last_incident: int = 0
    reason: str = ""
    days: float = 0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The window after a check, whether its days are over, and when to check again. late_tenants: sign-ups that wait
    for a wave of their own."""

    window: Window
    over: bool = False
    text: str = ""
    next_s: float = 0
    late_tenants: int = 0


def open_window(now_s: float, last_incident: int, rules: WindowRules) -> Window:
    """Return a new window that begins now and ignores incidents up to number *last_incident*."""
    return Window(now_s, now_s + rules.days * DAY_S / rules.scale, last_incident=last_incident, days=rules.days)


def resized(window: Window, rules: WindowRules) -> Window:
    """Return the window with the plan's number of days: what has passed counts, its end moves."""
    more = rules.days - window.days if window.days else 0.0
    return replace(window, deadline_s=window.deadline_s + more * DAY_S / rules.scale, days=rules.days)


def checked(window: Window, now_s: float, incidents: Sequence[tuple[int, str]], rules: WindowRules) -> Window:
    """Return the window after one more check that found *incidents*, as (number, reason)."""
    fresh = [(number, reason) for number, reason in incidents if number > window.last_incident]
    window = replace(resized(window, rules), checks=window.checks + 1)
    if not fresh:
        return window
    number, reason = max(fresh)
    window = replace(window, last_incident=number, reason=reason)
    if rules.on_incident == "restart":
        length_s = rules.days * DAY_S / rules.scale
        return replace(
            window, started_s=now_s, deadline_s=now_s + length_s, restarts=window.restarts + 1, paused_s=None
        )
    if window.paused_s is not None:
        return window
    return replace(window, paused_s=now_s, pauses=window.pauses + 1)


def continued(window: Window, now_s: float) -> Window:
    """Return the window after a person resumed it: the days it was paused are added at the end."""
    if window.paused_s is None:
        return window
    return replace(window, deadline_s=window.deadline_s + (now_s - window.paused_s), paused_s=None)


def over(window: Window, now_s: float) -> bool:
    return window.paused_s is None and now_s >= window.deadline_s


def day_of(window: Window, now_s: float, rules: WindowRules) -> float:
    """Return how many days count, between 0 and the plan's number."""
    end = now_s if window.paused_s is None else window.paused_s
    left = (window.deadline_s - end) * rules.scale / DAY_S
    return min(max(rules.days - left, 0.0), rules.days)


def next_check_in_s(window: Window, now_s: float, rules: WindowRules) -> float:
    """Return how long to wait before the next check: never past the deadline."""
    tick = rules.check_every_days * DAY_S / rules.scale
    if window.paused_s is not None:
        return tick
    return max(0.0, min(tick, window.deadline_s - now_s))


def describe(window: Window, now_s: float, rules: WindowRules) -> str:
    """Return the window in the operator's words: "day 37 of 90, restarted 1 time"."""
    text = f"day {day_of(window, now_s, rules):.0f} of {rules.days:g}"
    if window.restarts:
        text += f", restarted {counted(window.restarts, 'time')}"
    if window.paused_s is not None:
        text += f", paused: {window.reason}"
    elif window.restarts:
        text += f" (last: {window.reason})"
    return text
