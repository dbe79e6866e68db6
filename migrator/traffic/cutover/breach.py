"""Records an incident when reads on Limitless exceed their limits for long enough after the waves.

Judged like a wave, by sliding windows: the reads of all tenants together, and those of sampled tenants one by one, or a
small tenant with slow reads would vanish in the average. Hot tenants are always sampled; the others too while they are
few, else in turns, and a tenant over a limit stays sampled. A breach that lasts is one incident; it is over when no
limit was exceeded for ten windows. State between two passes is in classic's tables, so any worker may run the next one.
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
Subject = TenantId | None
"""A tenant, or None: all tenants together."""

WHO = "slo monitor"
CALM_WINDOWS = 10
TURN_WINDOWS = 2
"""A tenant's turn to be sampled: one window to fill, and one to be judged in."""
SHOWN = 5


def judge(
    known: Mapping[Subject, Breach], found: Mapping[Subject, str], now_s: float, timeout_s: float, calm_s: float
) -> tuple[dict[Subject, Breach], dict[Subject, str]]:
    """Return the current breaches, and those that become an incident now, with their reasons.

    Args:
        found: tenants over a limit now, and why.
        timeout_s: a breach is recorded once every pass has seen it for so long.
        calm_s: a recorded breach is over once no pass has seen it for so long.
    """
    standing: dict[Subject, Breach] = {}
    incidents: dict[Subject, str] = {}
    for subject, reason in found.items():
        before = known.get(subject)
        breach = Breach(now_s, now_s, reason) if before is None else replace(before, last_s=now_s, reason=reason)
        if not breach.recorded and now_s - breach.first_s >= timeout_s:
            breach = replace(breach, recorded=True)
            incidents[subject] = reason
        standing[subject] = breach
    for subject, before in known.items():
        if subject not in found and before.recorded and now_s - before.last_s < calm_s:
            standing[subject] = before
    return standing, incidents


def describe(incidents: Mapping[Subject, str]) -> str:
    """Return the incident's reason; one for all that begin in the same pass."""
    order = sorted(incidents, key=lambda subject: (subject is not None, subject or ""))
    shown = [
        f"{'all tenants' if subject is None else f'tenant {subject}'}: {incidents[subject]}"
        for subject in order[:SHOWN]
    ]
    return "; ".join(shown) + (f"; … ({len(order)} in all)" if len(order) > SHOWN else "")


def pass_once(conn: Connection, limits: GuardLimits, timeout_s: float) -> dict[Subject, str]:
    """Run one pass; return the breaches that became an incident in it. Owns its transactions."""
    # A change of the sampled tenants locks the switch row until its commit, and a fallback waits for that lock 3 s
    # at most: summing samples up may take longer.
    with conn.transaction():
        if lock_sampling(conn):
            keep = [t for t in breaches(conn) if t is not None]
            _take_turns(conn, int(facts.now_s(conn) // (TURN_WINDOWS * limits.window_s)), keep)
    facts.merge_samples(conn)
    with conn.transaction():
        # One pass at a time: two of them would record the same breach twice.
        lock_breaches(conn)
        now_s = facts.now_s(conn)
        known = breaches(conn)
        exceeded = _found(conn, now_s, limits)
        if not exceeded and not known:
            return {}
        standing, incidents = judge(known, exceeded, now_s, timeout_s, CALM_WINDOWS * limits.window_s)
        keep_breaches(conn, standing)
        if incidents:
            add_incident(conn, IncidentKind.SLO_BREACH, describe(incidents), WHO)
        return incidents


def _take_turns(conn: Connection, turn: int, keep: Sequence[TenantId]) -> None:
    begin, end = changes(conn, turn, keep)
    for tenants, on in ((begin, True), (end, False)):
        if tenants:
            watch(conn, tenants, on, who=WHO)


def _found(conn: Connection, now_s: float, limits: GuardLimits) -> dict[Subject, str]:
    tenants = facts.watched_after_their_wave(conn)
    before = facts.baselines(conn, tenants)

    def seen(seconds: float) -> dict[Subject, Sample]:
        found: list[tuple[Subject, Sample]] = [(None, facts.everybody(conn, "limitless", now_s - seconds))]
        if tenants:
            found += facts.samples(conn, tenants, "limitless", now_s - seconds).items()
        return dict(found)

    tails, found = seen(limits.tail_s), {}
    for subject, window in seen(limits.window_s).items():
        reason = lasting(before.get(subject, Sample()), window, tails[subject], limits)
        if reason is not None:
            found[subject] = reason
    return found
