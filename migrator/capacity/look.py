"""Looks at Limitless once an hour: what it used, how full its shards are, which tenants fill them.

One worker at a time, with what the last look left on classic, so that it goes on whichever worker comes next. AWS and
Limitless may each be unreachable: what is not known is said, and what the other one says is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg

from migrator.capacity import nodes
from migrator.capacity.bill import standby_share
from migrator.capacity.cloudwatch import CloudWatch, NodeUse
from migrator.control import cost
from migrator.control.cost import Hour
from migrator.control.tables import captured_tables
from migrator.db.hang_up import hang_up
from migrator.errors import ClusterUnavailable
from migrator.model.cost import Basis, Capacity, Node, SingleShard, TenantShare
from migrator.model.table import Table
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]
MakeCloudWatch = Callable[..., CloudWatch]
"""From the ids of a cluster and of its shard group."""

EVERY_S = 3600.0
RETRY_S = 300.0
"""How long after a look that Limitless did not answer the next one is; AWS is asked once an hour all the same."""

ANSWER_S = 90.0
"""All questions to Limitless together take no longer; each statement has its own, shorter bound."""

TENANTS = 20
"""The largest tenants, which are looked for on the shards: one plan each."""

AUDITED = "by the audit's verdicts on the statements of classic, weighted by their calls"
_AWS = "CloudWatch"

LATE = timedelta(hours=4)
"""An hour that CloudWatch has not after so long is modelled."""


@dataclass
class _Answer:
    """What Limitless said. calls: of statements by node, since its statistics began; None: not counted."""

    nodes: list[Node] = field(default_factory=list)
    calls: dict[str, float] | None = None
    single: SingleShard | None = None
    places: dict[str, str] = field(default_factory=dict)


def is_due(conn: Connection) -> bool:
    """Return whether the last look is an hour ago, or some minutes where Limitless did not answer; classic's clock."""
    last = cost.last_look(conn)
    if last is None:
        return True
    age_s = (cost.seen(conn).now - last[0]).total_seconds()
    return not 0 <= age_s < (EVERY_S if last[1]["answered"] else RETRY_S)


def look(
    conn: Connection, limitless: Callable[[], Connection], plan: Plan, cloudwatch: MakeCloudWatch = CloudWatch
) -> Capacity:
    """Look once, and keep what was found on classic.

    Args:
        limitless: opens a connection, which is closed again.
        cloudwatch: replaced in tests.
    """
    now = cost.seen(conn).now
    last = cost.last_look(conn)
    before: Mapping[str, Any] = last[1] if last else {}
    unknown: list[str] = []
    tenants = cost.large_tenants(conn, TENANTS)
    sharded = next((table for table in captured_tables(conn).values() if table.sharded), None)
    answer = _ask_limitless(limitless, sharded, [t.tenant for t in tenants], unknown)
    _rate(answer, before, now)
    asked_at, uses = _ask_aws(conn, plan, cloudwatch, before, now, unknown)
    if answer.nodes and not _is_measured(conn, now):
        cost.put(conn, [_modelled(plan, now, nodes.bytes_of(answer.nodes))], Basis.MODEL)
    single = answer.single or _audited(conn)
    if single is None:
        unknown.append("single-shard share: Limitless counts no statements, and no audit saw any")
    found = Capacity(
        now,
        tuple(_with_use(node, uses) for node in answer.nodes),
        tuple(_share(tenant, answer.places.get(tenant.tenant)) for tenant in tenants),
        int(tenants[0].all_rows) if tenants else 0,
        single,
        tuple(unknown),
    )
    answered = bool(answer.nodes)
    if not answered and (earlier := last_found(conn)) is not None:
        found = replace(earlier, unknown=found.unknown)  # as of then, which is said
    memory = {
        "answered": answered,
        "aws_asked_at": asked_at,
        "uses": [asdict(use) for use in uses],
        "calls": answer.calls if answered else before.get("calls"),
    }
    cost.keep_look(conn, {**asdict(found), "at": found.at.isoformat(), **memory})
    return found


def last_found(conn: Connection) -> Capacity | None:
    """Return what the last look found; None before the first one."""
    found = cost.last_look(conn)
    if found is None:
        return None
    body = found[1]
    single = body["single_shard"]
    return Capacity(
        datetime.fromisoformat(body["at"]),
        tuple(Node(**node) for node in body["nodes"]),
        tuple(TenantShare(**tenant) for tenant in body["tenants"]),
        body["total_rows"],
        SingleShard(**single) if single else None,
        tuple(body["unknown"]),
    )


# -- Limitless -------------------------------------------------------------------------------------------------------


@dataclass
class _Asked:
    """A question to Limitless under way. problems: what it did not answer, and why."""

    conn: Connection | None = None
    answer: _Answer = field(default_factory=_Answer)
    problems: list[str] = field(default_factory=list)


def _ask_limitless(
    limitless: Callable[[], Connection], table: Table | None, tenants: list[str], unknown: list[str]
) -> _Answer:
    """Return what Limitless says; what it does not say is noted in *unknown*.

    In a thread, as a server that is frozen ends no statement, and its connection no wait: it is hung up on.
    """
    asked = _Asked()
    thread = threading.Thread(target=_ask, args=(asked, limitless, table, tenants), name="migrator-look", daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if thread.is_alive():
        hang_up(asked.conn)
        unknown.append(f"Limitless: no answer within {ANSWER_S:g} s")
        return _Answer()  # what the thread still finds is its own
    unknown += asked.problems
    return asked.answer


def _ask(asked: _Asked, limitless: Callable[[], Connection], table: Table | None, tenants: list[str]) -> None:
    """Ask one thing after the other: what cannot be answered takes nothing from the rest."""
    answer = asked.answer

    def size(there: Connection) -> None:
        answer.nodes = nodes.nodes(there)

    def count(there: Connection) -> None:
        answer.calls = nodes.statements(there)
        answer.single = nodes.single_shard(there)
        if answer.calls is None:
            asked.problems.append("statements by shard: Limitless has no rds_aurora.limitless_stat_statements")

    def place(there: Connection) -> None:
        if table is not None:
            answer.places = nodes.places(there, table, tenants)

    try:
        asked.conn = limitless()
        for what, ask in (("Limitless", size), ("statements by shard", count), ("shards of tenants", place)):
            try:
                ask(asked.conn)
            except psycopg.Error as error:
                asked.problems.append(f"{what}: {type(error).__name__} ({error.sqlstate or 'no SQLSTATE'})")
                if asked.conn.closed or not answer.nodes:
                    return
    except ClusterUnavailable as error:
        asked.problems.append(f"Limitless: {error.why}")
    except Exception as error:  # a thread has no caller
        asked.problems.append(f"Limitless: {type(error).__name__}")
    finally:
        if asked.conn is not None:
            asked.conn.close()


def _rate(answer: _Answer, before: Mapping[str, Any], now: datetime) -> None:
    """Say how many statements a second each node ran since the look before."""
    if answer.calls is None:
        return
    since = before.get("at")
    seconds = (now - datetime.fromisoformat(since)).total_seconds() if since else 0.0
    rates = nodes.rates(before.get("calls") or {}, answer.calls, seconds)
    answer.nodes = [replace(node, statements_per_s=rates.get(node.node)) for node in answer.nodes]


def _is_measured(conn: Connection, now: datetime) -> bool:
    """Return whether CloudWatch will have this hour: it has one of the last hours."""
    last = cost.last_measured(conn)
    return last is not None and timedelta(0) <= now - last < LATE


def _modelled(plan: Plan, now: datetime, size: int) -> Hour:
    """Return this hour by the model: the least capacity that the plan reserves, and the real storage."""
    there = plan.limitless
    standby = there.min_acu * standby_share(there.max_acu) * there.compute_redundancy
    return Hour(now.replace(minute=0, second=0, microsecond=0), there.min_acu, None, standby, float(size))


def _share(tenant: cost.LargeTenant, shard: str | None) -> TenantShare:
    if tenant.bytes is not None and tenant.all_bytes:
        return TenantShare(
            tenant.tenant, tenant.rows, round(tenant.bytes), min(tenant.bytes / tenant.all_bytes, 1.0), shard
        )
    share = tenant.rows / tenant.all_rows if tenant.all_rows else 0.0
    return TenantShare(tenant.tenant, tenant.rows, None, share, shard)


def _audited(conn: Connection) -> SingleShard | None:
    share = cost.audited_share(conn)
    return None if share is None else SingleShard(share, AUDITED)


# -- AWS -------------------------------------------------------------------------------------------------------------


def _ask_aws(
    conn: Connection,
    plan: Plan,
    cloudwatch: MakeCloudWatch,
    before: Mapping[str, Any],
    now: datetime,
    unknown: list[str],
) -> tuple[str | None, list[NodeUse]]:
    """Store the hours that AWS measured; return when it was asked last, and how busy its nodes are."""
    cluster, group = plan.limitless.cluster_id, plan.limitless.shard_group_id
    if cluster is None or group is None:
        unknown.append(f"{_AWS} is not asked: the plan names no limitless.cluster_id and limitless.shard_group_id")
        return None, []
    kept = [NodeUse(**use) for use in before.get("uses", ())]
    asked_at = before.get("aws_asked_at")
    if asked_at is not None and timedelta(0) <= now - datetime.fromisoformat(asked_at) < timedelta(seconds=EVERY_S / 2):
        unknown += [line for line in before.get("unknown", ()) if str(line).startswith(_AWS)]
        return asked_at, kept
    source = cloudwatch(cluster, group, region=plan.aws.region)
    try:
        hours = source.hours(cost.last_measured(conn), now)
        cost.put(conn, hours, Basis.CLOUDWATCH)
        unknown += _lacking(hours, plan)
        kept = source.nodes(now)
    except ClusterUnavailable as error:
        unknown.append(f"{_AWS}: {error.why}")
    return now.isoformat(), kept


def _lacking(hours: list[Hour], plan: Plan) -> list[str]:
    """Return what AWS has no values of. Pure."""
    there = plan.limitless
    if not hours:
        return [
            f"{_AWS} has no DBShardGroupCapacity of shard group {there.shard_group_id}: is limitless.shard_group_id "
            "right, and does the worker look in its Region?"
        ]
    found = []
    if there.compute_redundancy and hours[-1].standby_acu is None:
        found.append(f"{_AWS} has no DBShardGroupComputeRedundancyCapacity: the bill lacks the standbys")
    if hours[-1].bytes is None:
        found.append(f"{_AWS} has no VolumeBytesUsed of cluster {there.cluster_id}: is limitless.cluster_id right?")
    return found


def _with_use(node: Node, uses: list[NodeUse]) -> Node:
    use = next((u for u in uses if (u.kind, u.node) == (node.kind, node.node)), None)
    return node if use is None else replace(node, cpu=use.cpu, acu_use=use.acu)
