"""Reads from classic what the cutover decides by.

Rows come from `migrator.control`; this module turns them into the facts of gate, guard and waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.control import samples as stored
from migrator.control.breaker import fallback_reasons as fallbacks
from migrator.control.breaker import open_breakers
from migrator.control.history import decided_at_s
from migrator.control.route import Standing, Switch, standings, switch, unwatched
from migrator.control.samples import Sum, baselines, sums
from migrator.control.samples import merge as merge_samples
from migrator.control.tenant import (
    assign,
    first_tenants,
    hot,
    last_wave,
    left_behind,
    reference_facts,
    release,
    release_interrupted,
    remember_tenants,
    rolled_back,
    sizes,
    tenant_facts,
    waiting,
    wave_tenants,
)
from migrator.control.watch_turn import watched_after_their_wave
from migrator.model.latency import Sample
from migrator.model.route import Level
from migrator.model.tenant import TenantId

__all__ = [
    "GUARD",
    "Standing",
    "Switch",
    "assign",
    "baselines",
    "everybody",
    "fallbacks",
    "first_tenants",
    "hot",
    "is_forward",
    "keep_baseline",
    "last_wave",
    "left_behind",
    "merge_samples",
    "now_s",
    "reference_facts",
    "release",
    "release_interrupted",
    "remember_tenants",
    "rolled_back",
    "samples",
    "sizes",
    "standings",
    "switch",
    "tenant_facts",
    "trips",
    "unwatched",
    "waiting",
    "watched_after_their_wave",
    "watched_since_s",
    "wave_tenants",
]

Connection = psycopg.Connection[Any]

GUARD = "guard"
"""The actor of the guard's decisions in the decision log."""


def trips(conn: Connection) -> list[str]:
    """Return the reasons of breakers that live processes have open, each once."""
    return sorted({trip.reason for trip in open_breakers(conn)})


def now_s(conn: Connection) -> float:
    """Return classic's clock in seconds since 1970."""
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return float(row[0]) if row else 0.0


def samples(
    conn: Connection, tenants: Sequence[TenantId], side: str, since_s: float, until_s: float | None = None
) -> dict[TenantId, Sample]:
    """Return the samples of each tenant on *side* since a time by classic's clock."""
    totals = sums(conn, tenants, side, since_s, until_s)
    return {tenant: _sample(totals.get(tenant, Sum())) for tenant in tenants}


def everybody(conn: Connection, side: str, since_s: float) -> Sample:
    """Return the samples of all tenants together."""
    return _sample(sums(conn, None, side, since_s).get(None, Sum()))


def _sample(totals: Sum) -> Sample:
    return Sample(totals.reads, totals.errors, totals.p99_ms)


def keep_baseline(conn: Connection, number: int, since_s: float) -> None:
    """Keep the baseline of the tenants of wave *number*: their samples on classic since a time by its clock. Only the
    first call after the wave was chosen counts.

    The first of all waves also keeps the baseline of all tenants together, while all read from classic.
    """
    if not stored.has_baseline(conn, number):
        measured: dict[TenantId | None, Sample] = {None: everybody(conn, "classic", since_s)}
        measured.update(samples(conn, wave_tenants(conn, number), "classic", since_s).items())
        stored.keep_baseline(conn, number, measured)


def watched_since_s(conn: Connection, number: int) -> float | None:
    """Return when sampling of wave *number* began by classic's clock; None: not since the wave was chosen."""
    chosen_s = decided_at_s(conn, "wave.chosen", f"wave-{number}")
    since_s = decided_at_s(conn, "wave.watched", f"wave-{number}")
    # A wave whose tenants were all deferred leaves its number, and its decisions, to the next one.
    return None if since_s is None or since_s < (chosen_s or 0.0) else since_s


def is_forward(conn: Connection) -> bool:
    """Return whether reads may move at all: no rollback of everything is in force."""
    return switch(conn).level is Level.LIMITLESS
