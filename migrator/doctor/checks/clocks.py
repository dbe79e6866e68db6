"""Do the clocks of this machine and of the servers agree? Measured with the round trip, which is the doubt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from migrator.doctor.check import Check
from migrator.doctor.facts import POSTGRES, Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, ok, problem, unknown, warning
from migrator.doctor.server import Connection, one
from migrator.plan.schema import Plan

ORDER = 60

TRIES = 5

WARN_S = 1.0
"""From here on, lines of logs and decisions of two machines are in the wrong order."""

WRONG_S = 60.0
"""From here on holds with an end, scheduled work and ages of validations are plainly wrong; AWS and signed alarms
refuse at 300 s."""


@dataclass(frozen=True, slots=True)
class Skew:
    """How far another clock is ahead of this machine's, in seconds (negative: behind); it is right to *doubt_s*."""

    ahead_s: float
    doubt_s: float

    def least(self) -> float:
        """Return how far they are apart at least."""
        return max(0.0, abs(self.ahead_s) - self.doubt_s)


def skew(sent_s: float, theirs_s: float, received_s: float) -> Skew:
    """Return what one question tells: the answer was given at some moment between *sent_s* and *received_s*. Pure."""
    half = (received_s - sent_s) / 2
    return Skew(theirs_s - (sent_s + half), half)


def apart(one: Skew, other: Skew) -> Skew:
    """Return how far the first clock is ahead of the other one. Pure."""
    return Skew(one.ahead_s - other.ahead_s, one.doubt_s + other.doubt_s)


def measure(ask: Callable[[], float], clock: Callable[[], float] = time.time) -> Skew:
    """Return the best of some questions: that with the shortest round trip."""
    found = []
    for _ in range(TRIES):
        sent = clock()
        theirs = ask()
        found.append(skew(sent, theirs, clock()))
    return min(found, key=lambda one: one.doubt_s)


def _measured(conn: Connection, _plan: Plan | None) -> Skew:
    return measure(lambda: float(one(conn, "clock")["theirs"]))


CLOCK: Section[Skew] = Section("its clock", POSTGRES, _measured)


def judge(facts: Facts) -> Iterable[Finding]:
    """Return one finding for each server against this machine, and for each against classic."""
    known = {server: found for server, found in facts.each(CLOCK) if not isinstance(found, Unasked)}
    for server, found in known.items():
        yield verdict(server.name, "this machine's", found)
    classic = next((found for server, found in known.items() if server.kind is Kind.CLASSIC), None)
    for server, found in known.items():
        if classic is not None and server.kind is not Kind.CLASSIC and apart(found, classic).least() > WARN_S:
            yield verdict(server.name, "classic's", apart(found, classic))


def verdict(name: str, whose: str, found: Skew) -> Finding:
    """Return what a difference means. Pure."""
    way = "ahead of" if found.ahead_s > 0 else "behind"
    text = f"its clock is {abs(found.ahead_s):.3f} s {way} {whose} (± {found.doubt_s:.3f} s)"
    do = "Start chrony or ntpd on the machine that is wrong (AWS: 169.254.169.123); AWS' engines keep time themselves."
    if found.least() > WRONG_S:
        why = "dates of holds, schedules and ages are wrong; AWS and signed alarms are refused at 300 s"
        return problem(name, f"{text}, limit {WRONG_S:g} s", why, do)
    if found.least() > WARN_S:
        why = "times in logs, in the decision log and in reports cannot be put in order"
        return warning(name, f"{text}, limit {WARN_S:g} s", why, do)
    if found.doubt_s > WARN_S:
        return unknown(name, f"{text}: the answer took too long to tell", do="Run it again.")
    return ok(name, text)


CHECKS = (Check("clocks.skew", (CLOCK,), judge),)
