"""What of the tool's own tables may go?

Everything that grows with time has its bound here, in the samples (samples.py) or where it is written: incidents are
joined by a trigger, processes and workers are forgotten by those who count them, route epochs keep 10,000 marks.
Decisions of people, steps of the migration and incidents are evidence and stay; of what the tool decides at every look,
one a day is evidence enough. What describes tenants, copies or changes of the schema grows with
them, not with time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import samples

Connection = psycopg.Connection[Any]

BATCH = 5_000
"""Rows that one statement deletes."""
REPORTS = 400
"""Reports kept of each kind: more than a year of daily ones."""

KEPT_DAYS = 100
"""What is kept by its age: the 90 days of the stabilization and some more."""


_LOOKS = (
    "x.kind IN ('fallback.raised', 'fallback.eased', 'fallback.cleared', 'divergence.found', 'mirror.failed',"
    " 'workflow.stopped', 'wave.chosen', 'wave.watched', 'wave.deferred')"
    " AND x.who ~ '^(breaker monitor|slo monitor|guard|mirror|migration|cutover)$|^shim |^validation [(]'"
    # behind the hand-over its digest is on Limitless
    " AND NOT EXISTS (SELECT FROM migrator.switch WHERE write_mode = 'limitless_only')"
)
"""Decisions that come again as long as their cause stays; never a person's, of whatever kind."""

_LATER = (
    "SELECT FROM migrator.decision y WHERE y.kind = x.kind AND y.subject = x.subject AND y.who = x.who AND y.at > x.at"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of a table of the tool that may go; `gone` speaks of the row as x."""

    table: str
    gone: str


RULES = (
    Rule("read_hour", "x.at < clock_timestamp() - make_interval(days => %(days)s)"),
    Rule("shadow_hour", "x.at < clock_timestamp() - make_interval(days => %(days)s)"),
    # Gates and scheduled validation look at the newest that finished, that looked at everything, that saw a schema.
    Rule(
        "validation",
        "x.started_at < clock_timestamp() - make_interval(days => %(days)s) AND x.run_id NOT IN ("
        " (SELECT run_id FROM migrator.validation WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1)"
        " UNION ALL (SELECT run_id FROM migrator.validation WHERE whole ORDER BY finished_at DESC NULLS LAST LIMIT 1)"
        " UNION ALL (SELECT run_id FROM migrator.validation WHERE schema_fingerprint IS NOT NULL"
        "             ORDER BY started_at DESC LIMIT 1))",
    ),
    Rule("divergence", "x.found_at < clock_timestamp() - make_interval(days => %(days)s)"),
    # A row that differs for weeks is found by every validation: the newest finding stands for all of them.
    Rule(
        "divergence",
        "x.found_at < clock_timestamp() - interval '2 days' AND EXISTS ("
        " SELECT FROM migrator.divergence y WHERE y.table_name = x.table_name AND y.id > x.id AND y.kind = x.kind"
        " AND y.key IS NOT DISTINCT FROM x.key AND y.tenant_id IS NOT DISTINCT FROM x.tenant_id)",
    ),
    Rule(
        "decision",
        f"{_LOOKS} AND x.at < clock_timestamp() - interval '2 days' AND EXISTS ("
        f" {_LATER} AND y.at < date_trunc('day', x.at, 'UTC') + interval '1 day')",
    ),
    Rule("decision", f"{_LOOKS} AND x.at < clock_timestamp() - make_interval(days => %(days)s) AND EXISTS ({_LATER})"),
    Rule(
        "tenant_verdict",
        "x.last_at < clock_timestamp() - make_interval(days => %(days)s) AND x.id NOT IN ("
        " SELECT DISTINCT ON (tenant_id) id FROM migrator.tenant_verdict ORDER BY tenant_id, last_at DESC)",
    ),
    Rule(
        "report",
        "x.id NOT IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS n"
        " FROM migrator.report) r WHERE r.n <= %(reports)s)",
    ),
    # Whoever asked for a fence or lent a snapshot is gone; mirrors remove fences of the dead only while they serve one.
    Rule(
        "fence",
        "x.requested_at < clock_timestamp() - interval '1 hour' AND NOT EXISTS ("
        " SELECT FROM pg_stat_activity a WHERE a.pid = x.pid AND coalesce(a.backend_start <= x.requested_at, true))",
    ),
    Rule(
        "copy_snapshot",
        "x.at < clock_timestamp() - interval '1 hour' AND NOT EXISTS ("
        " SELECT FROM pg_stat_activity a WHERE a.pid = x.pid AND coalesce(a.backend_start = x.backend_start, true))",
    ),
)


def add_up(conn: Connection) -> bool:
    """Add up samples, once; return whether there is more. To be called every few seconds."""
    return samples.fold(conn) >= samples.BATCH


def prune(conn: Connection, limit: int = BATCH) -> bool:
    """Delete what no rule keeps, at most *limit* rows of each table; return whether there is more.

    Each statement commits by itself, so it may be killed at any instant, and several may run at once.
    """
    return max([_delete(conn, rule, limit) for rule in RULES]) >= limit


def _delete(conn: Connection, rule: Rule, limit: int) -> int:
    table = sql.Identifier("migrator", rule.table)
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        "SELECT x.ctid FROM {table} x WHERE {gone} LIMIT {limit} FOR UPDATE OF x SKIP LOCKED))"
    ).format(table=table, gone=sql.SQL(rule.gone), limit=limit)  # constants of this module
    return conn.execute(statement, {"days": KEPT_DAYS, "reports": REPORTS}).rowcount
