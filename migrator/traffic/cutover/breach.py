"""Do reads on Limitless keep their limits after the waves?

Judged like a wave, by sliding windows: everybody's reads together, and those of tenants that shims report one by one,
or a small tenant that suffers would be averaged away. Hot tenants are always among them; the others too while they are
few, else they take turns, and who was found over a limit stays. A breach that lasts is an incident, once: it is over
when nothing was found for ten windows. What a look keeps for the next one is in classic's tables, so any worker may do
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from migrator.control.breaker import Breach, breaches, keep_breaches, lock_breaches
from migrator.control.incident import add_incident
from migrator.control.watch_turn import changes, lock_sampling
from migrator.model.incident import IncidentKind
from migrator.model.latency import Sample
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.guard import GuardLimits, lasting
from migrator.traffic.route.move import watch

Connection = psycopg.Connection[Any]
Whose = TenantId | None
"""A tenant, or None: everybody."""

WHO = "slo monitor"
CALM_WINDOWS = 10
TURN_WINDOWS = 2
"""A turn of being reported one by one: one window to fill, and as long to be found in."""
SHOWN = 5


def judge(
    known: Mapping[Whose, Breach], found: Mapping[Whose, str], now_s: float, timeout_s: float, calm_s: float
) -> tuple[dict[Whose, Breach], dict[Whose, str]]:
    """Return the breaches as they stand, and those that become an incident now, with their reasons.

    Args:
        found: who is over a limit now, and why.
        timeout_s: a breach is recorded once it was found at every look for so long.
        calm_s: a recorded breach is over once it was not found for so long.
    """
    standing: dict[Whose, Breach] = {}
    incidents: dict[Whose, str] = {}
    for whose, reason in found.items():
        before = known.get(whose)
        breach = Breach(now_s, now_s, reason) if before is None else replace(before, last_s=now_s, reason=reason)
        if not breach.recorded and now_s - breach.first_s >= timeout_s:
            breach = replace(breach, recorded=True)
            incidents[whose] = reason
        standing[whose] = breach
    for whose, before in known.items():
        if whose not in found and before.recorded and now_s - before.last_s < calm_s:
            standing[whose] = before
    return standing, incidents


def describe(incidents: Mapping[Whose, str]) -> str:
    """Return the incident's reason; one for all that begin at the same look."""
    order = sorted(incidents, key=lambda whose: (whose is not None, whose or ""))
    shown = [f"{'all tenants' if whose is None else f'tenant {whose}'}: {incidents[whose]}" for whose in order[:SHOWN]]
    return "; ".join(shown) + (f"; … ({len(order)} in all)" if len(order) > SHOWN else "")


def pass_once(conn: Connection, limits: GuardLimits, timeout_s: float) -> dict[Whose, str]:
    """Look once; return the breaches that became an incident by this look. Owns its transactions."""
    # Whoever changes who is watched holds the switch until the commit, and a process that falls back waits for it 3 s
    # at most: summing samples up may take longer.
    with conn.transaction():
        if lock_sampling(conn):
            keep = [t for t in breaches(conn) if t is not None]
            _take_turns(conn, int(facts.now_s(conn) // (TURN_WINDOWS * limits.window_s)), keep)
    with conn.transaction():
        # One look at a time: two of them would record the same breach twice.
        lock_breaches(conn)
        now_s = facts.now_s(conn)
        known = breaches(conn)
        found = _found(conn, now_s, limits)
        if not found and not known:
            return {}
        standing, incidents = judge(known, found, now_s, timeout_s, CALM_WINDOWS * limits.window_s)
        keep_breaches(conn, standing)
        if incidents:
            add_incident(conn, IncidentKind.SLO_BREACH, describe(incidents), WHO)
        return incidents


def _take_turns(conn: Connection, turn: int, keep: Sequence[TenantId]) -> None:
    begin, end = changes(conn, turn, keep)
    for tenants, on in ((begin, True), (end, False)):
        if tenants:
            watch(conn, tenants, on, who=WHO)


def _found(conn: Connection, now_s: float, limits: GuardLimits) -> dict[Whose, str]:
    tenants = facts.watched_after_their_wave(conn)
    before = facts.baselines(conn, tenants)

    def seen(seconds: float) -> dict[Whose, Sample]:
        found: list[tuple[Whose, Sample]] = [(None, facts.everybody(conn, "limitless", now_s - seconds))]
        if tenants:
            found += facts.samples(conn, tenants, "limitless", now_s - seconds).items()
        return dict(found)

    tails, found = seen(limits.tail_s), {}
    for whose, window in seen(limits.window_s).items():
        reason = lasting(before.get(whose, Sample()), window, tails[whose], limits)
        if reason is not None:
            found[whose] = reason
    return found
