"""When does a test end by itself? Pure: the last seconds in, the reason out.

A test must never be what brings production down: it looks every second, and what it cannot see is a reason to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.model.counted import counted

FEWEST = 20
"""Answers that a share of errors, or a percentile, needs to mean anything."""


@dataclass(frozen=True, slots=True)
class Second:
    """What was seen in a second of the test.

    Attributes:
        answered: with or without error. errors: of these. slow: of these, those over the limit of latency.
        waiting: arrivals that wait for an answer, or for their turn.
        oldest_s: since the oldest of them was planned.
    """

    answered: int = 0
    errors: int = 0
    slow: int = 0
    waiting: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Classic, as its own watch sees it. None: unknown.

    Attributes:
        cpu: use of the writer's processors, 0 to 1.
        active: sessions of others that run a statement; `before`: the most before the test began.
        age_s: since this was seen.
    """

    cpu: float | None
    active: int | None
    before: int
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When a test ends.

    Attributes:
        error_share: of the answers of the last *seconds*, 0 to 1.
        p99_ms: more than 1 % of these took longer.
        silent_s: nothing was answered for so long while something waited.
        cpu: of classic's writer, 0 to 1.
        more_active: so many more sessions of others active on classic than before, and more than twice as many.
        unseen_s: classic was not seen for so long.
    """

    seconds: int = 5
    error_share: float = 0.05
    p99_ms: float = 5000.0
    silent_s: float = 10.0
    cpu: float = 0.8
    more_active: int = 10
    unseen_s: float = 5.0


def reason(last: Sequence[Second], watched: Watched | None, limits: Limits) -> str:
    """Return why the test has to end now; '' when it may go on.

    Args:
        last: the seconds so far, the newest last.
        watched: None on Limitless, where only the test's own answers are watched.
    """
    if watched is not None and (why := _of_classic(watched, limits)):
        return why
    recent = last[-limits.seconds :]
    answered = sum(s.answered for s in recent)
    errors, slow = sum(s.errors for s in recent), sum(s.slow for s in recent)
    span = f"in {counted(len(recent), 'second')}"
    if answered >= FEWEST and errors > limits.error_share * answered:
        return f"{errors / answered:.0%} of the answers {span} were errors (limit {limits.error_share:.0%})"
    if answered >= FEWEST and slow > 0.01 * answered:
        return f"{slow / answered:.0%} of the answers {span} took longer than {limits.p99_ms:,.0f} ms (limit 1%)"
    silent = 0
    for second in reversed(last):
        if second.answered or not second.waiting:
            break
        silent += 1
    if silent >= limits.silent_s:
        return f"no answer for {silent} s, while {counted(last[-1].waiting, 'arrival')} waited"
    return ""


def _of_classic(watched: Watched, limits: Limits) -> str:
    if watched.age_s > limits.unseen_s:
        return f"classic has not answered the test's watch for {watched.age_s:.0f} s (limit {limits.unseen_s:.0f} s)"
    if watched.cpu is not None and watched.cpu > limits.cpu:
        return f"classic's writer uses {watched.cpu:.0%} of its processors (limit {limits.cpu:.0%})"
    most = max(2 * watched.before, watched.before + limits.more_active)
    if watched.active is not None and watched.active > most:
        now = counted(watched.active, "session of others is", "sessions of others are")
        return f"{now} active on classic (limit {most}; {watched.before} before the test)"
    if watched.cpu is None and watched.active is None:
        return "neither the processors nor the sessions of classic can be seen"
    return ""
