"""Looks at both sides and at AWS, and says what preflight finds. Reads only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from migrator.control import sighting
from migrator.db.named import load
from migrator.model.blocker import Blocker
from migrator.model.phase import Phase
from migrator.plan.schema import Plan
from migrator.preflight import aws as asked
from migrator.preflight import judge
from migrator.preflight.facts import Aws, ForeignServer, Limits, PreflightFacts, Server, Slot, Stage
from migrator.preflight.judge import PreflightFinding

Connection = psycopg.Connection[Any]
T = TypeVar("T")

_SQL = load("migrator.preflight", "preflight.sql")

AWS_S = 300.0
"""What AWS said counts for so long: a gate is asked every second."""

STAGES = {Phase.PROVISION: Stage.DUAL_WRITE, Phase.STABILIZE: Stage.END}
"""The gates that ask, and what is behind them."""

_said: dict[str, tuple[float, Aws]] = {}
_lock = threading.Lock()


def servers(plan: Plan) -> tuple[str, ...]:
    """Return the servers of classic that have to be watched, by the names that sightings give them."""
    return (sighting.WRITER, *(f"reader {number}" for number in range(1, len(plan.classic.readers) + 1)))


def limits(plan: Plan) -> Limits:
    section = plan.preflight
    return Limits(
        watched_days=section.watched_days,
        quiet_days=section.quiet_days,
        needed_days=plan.runway.weeks * 7,
        redundancy=plan.limitless.compute_redundancy,
        readers=len(plan.classic.readers),
        classic_cluster=plan.classic.cluster_id,
        limitless_cluster=plan.limitless.cluster_id,
        releases=plan.decommission.release_classic,
    )


def look(
    classic: Connection,
    limitless: Connection | None,
    plan: Plan,
    ask_aws: Callable[[Plan], Aws] | None = None,
) -> tuple[PreflightFinding, ...]:
    """Return everything that preflight says now; *limitless*: None where it does not answer."""
    facts = read(classic, limitless, plan, with_control=True)
    facts = replace(facts, aws=(ask_aws or said)(plan))
    return judge.findings(facts, limits(plan), plan.gates.acknowledged)


def asks(phase: Phase, plan: Plan) -> bool:
    """Return whether the gate of *phase* asks what preflight says."""
    return phase in STAGES and plan.asks_preflight


def gate(classic: Connection, limitless: Connection | None, phase: Phase, plan: Plan) -> tuple[Blocker, ...]:
    """Return what preflight has against leaving *phase*."""
    if not asks(phase, plan):
        return ()
    return judge.blockers(look(classic, limitless, plan), STAGES[phase])


def said(plan: Plan) -> Aws:
    """Return what AWS says, or said within the last minutes."""
    key = f"{plan.classic.cluster_id}/{plan.limitless.cluster_id}/{plan.limitless.shard_group_id}"
    with _lock:
        known = _said.get(key)
        if known is None or time.monotonic() - known[0] > (AWS_S if not known[1].unknown else AWS_S / 10):
            known = (time.monotonic(), asked.ask(plan))
            _said[key] = known
    return known[1]


def read(classic: Connection, limitless: Connection | None, plan: Plan, *, with_control: bool) -> PreflightFacts:
    """Return what both sides say. with_control: the tool's own tables are on classic."""
    server = _server(classic)
    hours_s = plan.preflight.watched_days * 86_400
    return PreflightFacts(
        classic=server,
        limitless=_server(limitless) if limitless is not None else None,
        classic_host=(classic.info.host, classic.info.port),
        sees_all=sighting.sees_all(classic),
        servers=servers(plan),
        seen=tuple(sighting.seen(classic)) if with_control else (),
        watched=tuple(sighting.watched(classic, hours_s)) if with_control else (),
        processes=sighting.process_names(classic) if with_control else frozenset(),
        slots=_rows(classic, "slots", Slot),
        subscriptions=_names(classic, "subscriptions"),
        publications=_names(classic, "publications"),
        foreign_servers=(
            *_rows(classic, "foreign_servers", ForeignServer),
            *(replace(one, side="Limitless") for one in _rows(limitless, "foreign_servers", ForeignServer)),
        ),
        databases=_names(classic, "databases"),
        replication_roles=_names(classic, "replication_roles"),
        dms=_names(classic, "dms"),
    )


def _server(conn: Connection) -> Server:
    return _rows(conn, "server", Server)[0]


def _rows(conn: Connection | None, name: str, kind: Callable[..., T]) -> tuple[T, ...]:
    if conn is None:
        return ()
    with conn.cursor(row_factory=dict_row) as cursor:
        return tuple(kind(**row) for row in cursor.execute(_SQL[name]))


def _names(conn: Connection, name: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in conn.execute(_SQL[name]))
