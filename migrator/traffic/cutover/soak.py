"""Observes a wave once: reads the samples, asks the guard, and rolls back the tenants it names.

Shell around the guard: one call is one pass. What an operator did meanwhile always wins. A pass reads the samples of
the last minute; windows that reach further back are read once a minute, in sums by the minute and the hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from migrator.model.counted import counted
from migrator.model.latency import Sample
from migrator.model.phase import TenantState
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.guard import GuardLimits, Watch, longer_complaint, longer_windows, look, outage
from migrator.traffic.cutover.stop import hold
from migrator.traffic.route.move import move

Connection = psycopg.Connection[Any]

LONGER_EVERY_S = 60.0
"""Longer windows hardly change within a minute."""


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one pass.

    Attributes:
        stalled: why this time does not count towards the soak; None when it does.
        held: why the cutover must stop; empty when it goes on.
        left: tenants of the wave that read from Limitless.
        rolled_back: tenants rolled back by this look.
    """

    watch: Watch
    stalled: str | None
    held: str
    left: int
    rolled_back: int = 0


def baseline(conn: Connection, tenants: Sequence[TenantId], since_s: float) -> dict[TenantId, Sample]:
    """Return the baseline of the tenants: their samples on classic up to now."""
    return facts.samples(conn, tenants, "classic", since_s)


def watch_wave(
    conn: Connection,
    number: int,
    watch: Watch,
    on_classic: dict[TenantId, Sample],
    since_s: float,
    limitless_answers: bool,
    limits: GuardLimits,
) -> Look:
    """Observe wave *number* once and act on the result.

    Args:
        on_classic: the baseline of every tenant.
        since_s: samples from this time of classic's clock on count.
    """
    tenants = facts.wave_tenants(conn, number)
    where = facts.standings(conn, tenants)
    back = [b for b in facts.rolled_back(conn) if b.wave == number]
    switch = facts.switch(conn)
    there = [t for t in tenants if t in where and where[t].level is Level.LIMITLESS]
    held, _ = hold(switch.level, switch.changed_by, switch.reason, back, facts.GUARD, limits.max_failed)
    if held or not there:
        return Look(watch, None, held, len(there))
    known = facts.tenant_facts(conn, there)
    aside = [t for t in known if t.state is TenantState.QUARANTINED]
    if aside:
        # Its fallback stays until a person has corrected the row; the others of the wave need not wait for that.
        _move_back(conn, {one.tenant_id: f"quarantined: {one.quarantine}" for one in aside})
        return Look(watch, None, "", len(there) - len(aside), len(aside))
    troubles = [reason for tenant in known for reason in tenant.fallbacks]
    troubles += [f"tenant {t.tenant_id} has {counted(t.divergent, 'divergent row')}" for t in known if t.divergent]
    reference = facts.reference_facts(conn)
    if reference is not None and reference.divergent:
        troubles.append(f"the reference tables have {counted(reference.divergent, 'divergent row')}")
    still = outage(facts.trips(conn), troubles, limitless_answers)
    if still is not None:
        return Look(Watch(), still, "", len(there))
    facts.merge_samples(conn)
    now_s = facts.now_s(conn)
    window = facts.samples(conn, there, "limitless", max(since_s, now_s - limits.window_s))
    tails = facts.samples(conn, there, "limitless", max(since_s, now_s - limits.tail_s))
    if watch.longer_at_s is None or now_s - watch.longer_at_s >= LONGER_EVERY_S:
        longer = _longer(conn, {t: (on_classic.get(t, Sample()), window[t]) for t in there}, now_s, since_s, limits)
        watch = replace(watch, longer=longer, longer_at_s=now_s)
    decision = look(watch, {t: (on_classic.get(t, Sample()), window[t]) for t in there}, len(back), limits, tails)
    if decision.whole_wave is not None:
        move(conn, there, Level.CLASSIC, who=facts.GUARD, reason=decision.whole_wave)
        return Look(decision.watch, None, f"wave {number}: {decision.whole_wave}", 0, len(there))
    _move_back(conn, dict(decision.roll_back))
    return Look(decision.watch, None, "", len(there) - len(decision.roll_back), len(decision.roll_back))


def _move_back(conn: Connection, reasons: Mapping[TenantId, str]) -> None:
    """Bring tenants back to classic, those with the same reason together."""
    together: dict[str, list[TenantId]] = {}
    for tenant, reason in reasons.items():
        together.setdefault(reason, []).append(tenant)
    for reason, tenants in together.items():
        move(conn, tenants, Level.CLASSIC, who=facts.GUARD, reason=reason)


def _longer(
    conn: Connection,
    seen: Mapping[TenantId, tuple[Sample, Sample]],
    now_s: float,
    since_s: float,
    limits: GuardLimits,
) -> dict[TenantId, str]:
    """Return the breaches of windows longer than the sliding one."""
    longer = {
        length_s: facts.samples(conn, list(seen), "limitless", now_s - length_s)
        for length_s in longer_windows(now_s - since_s, limits)
    }
    complaints = {}
    for tenant, (before, window) in seen.items():
        reason = longer_complaint(before, window, {length_s: of[tenant] for length_s, of in longer.items()}, limits)
        if reason is not None:
            complaints[tenant] = reason
    return complaints
