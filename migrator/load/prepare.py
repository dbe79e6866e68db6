"""Brings a test together before any load is offered: tenants, values, and every reason why it may not run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control import route, tenant
from migrator.control.install import active_plan
from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.load import checks, skew, trial
from migrator.load.draw import FIRST_UNIQUE, Deck
from migrator.load.run import Load, Settings
from migrator.load.session import look
from migrator.load.workload import Workload
from migrator.login.refusal import refused_connection
from migrator.model.tenant import TenantSize

Connection = psycopg.Connection[Any]

CONNECT_S = 10.0
_MINUTE_2026 = 29_454_240
"""Minutes from 1970 to 2026: committed rows of two tests have no number in common."""


@dataclass(frozen=True, slots=True)
class Side:
    """A target as it was asked for. dsn: resolved from *reference*; given: not the plan's own; up_to: its bound."""

    name: str
    reference: str
    dsn: str
    given: bool
    up_to: float | None
    highest: float
    pooled: bool = False
    watched: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is offered, what has to be said of it, and why it may not be; empty: it may."""

    load: Load
    notes: tuple[str, ...]
    blockers: tuple[str, ...]
    tenants: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tool knows on classic. reading: tenants that read from Limitless."""

    sizes: Sequence[TenantSize]
    unmirrored: frozenset[str]
    reading: int
    installed: bool


def facts(classic: Connection) -> Facts:
    """Return what the tool knows; nothing where it is not installed."""
    try:
        active_plan(classic)
    except NotInstalled:
        return Facts((), frozenset(), 0, False)
    reading = len(route.off_classic(classic))
    return Facts(tenant.sizes(classic), frozenset(map(str, tenant.unmirrored(classic))), reading, True)


def prepare(workload: Workload, known: Facts, sides: Sequence[Side], settings: Settings, hot_ratio: float) -> Prepared:
    """Return what is offered to *sides*, Limitless the first of them: pools are read there.

    Raises:
        UsageError: the workload does not fit these tenants or servers.
        ClusterUnavailable: a side cannot be reached.
    """
    blockers = [blocker for side in sides for blocker in _judged(workload, known, side, settings)]
    first = sides[0]
    pools = _reached(first, lambda: trial.read_pools(first.dsn, first.name, workload))
    dealt = skew.deal(workload, known.sizes, known.unmirrored, hot_ratio, pools)
    turns = workload.sessions.transactions
    unique_from = FIRST_UNIQUE
    if settings.commit:
        unique_from += (int(time.time() // 60) - _MINUTE_2026) << 38
    load = Load(workload.transactions, dealt.tenants, pools, unique_from)
    deck = Deck.of(settings.seed, load.transactions, load.tenants, load.pools, turns, unique_from)
    for side in sides:
        blockers += _reached(side, lambda side=side: trial.try_each(side.dsn, side.name, deck))
    names = {name for weights in load.tenants if weights is not None for name in weights}
    return Prepared(load, (*dealt.notes, *_said(workload, settings)), tuple(blockers), len(names))


def _judged(workload: Workload, known: Facts, side: Side, settings: Settings) -> list[str]:
    with look(side.dsn, CONNECT_S) as conn:
        found = checks.read(conn, pooled=side.pooled)
    wanted = checks.Wanted(
        side=side.name,
        given=side.given,
        connections=settings.connections,
        processes=settings.processes,
        up_to=side.up_to,
        highest=side.highest,
        commits=settings.commit and workload.writes,
        writes=workload.writes,
        reading=known.reading if side.name == "Limitless" else 0,
        watched=side.watched,
    )
    return checks.judge(found, wanted, checks.files_limit())


def _reached(side: Side, ask: Any) -> Any:
    try:
        return ask()
    except psycopg.Error as error:
        why, hint = refused_connection(str(error), error.sqlstate)
        raise ClusterUnavailable(side.name, why, hint) from None


def _said(workload: Workload, settings: Settings) -> list[str]:
    said = []
    if workload.writes:
        said.append(
            "writes are committed"
            if settings.commit
            else "writes are rolled back: what a commit costs (its flush, two phases across shards) is not in latencies"
        )
    if settings.storm and workload.sessions.transactions > 1:
        said.append("in a connection storm each client does one transaction: [sessions] is not used")
    return said
