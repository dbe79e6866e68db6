"""How many shards does a statement visit? Limitless is asked for its plan, with the values of calls; nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from migrator.audit.explain.answer import Answer, read, worst
from migrator.audit.explain.ask import NotAskedError, plan
from migrator.model.traffic_test import Shards
from migrator.shadow.prepare import Repeated

ROUNDS = 3
"""Calls of a statement whose plans are asked for, of different tenants where there are any."""


def shards(conn: psycopg.Connection[Any], path: Sequence[str], calls: Sequence[Repeated]) -> Shards:
    """Return how many shards a statement visits: the most that one of its *calls* does. No plan is kept: it has values.

    Args:
        conn: to Limitless, in autocommit; no other use while this runs.
    """
    plans = []
    for repeated in _different(calls):
        call = repeated.call
        if any(isinstance(value, bytes) for value in call.values):
            continue
        values = {n: value for n, value in enumerate(call.values, 1) if not isinstance(value, bytes)}
        try:
            plans.append(plan(conn, call.sql, repeated.statement.parsed, values, path))
        except (psycopg.Error, NotAskedError):
            if conn.closed:
                break
    answers = [answer for answer in map(read, plans) if answer is not Answer.NONE]
    if not answers:
        return Shards.UNKNOWN
    return Shards.MANY if worst(answers) is Answer.SEVERAL else Shards.ONE


def _different(calls: Sequence[Repeated]) -> Iterable[Repeated]:
    """Return up to `ROUNDS` calls, of as many tenants."""
    chosen = {repeated.tenants: repeated for repeated in calls}
    return list(chosen.values())[:ROUNDS]
