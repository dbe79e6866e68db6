"""Adapts the pace of copies and comparisons to both sides: one look every few seconds, stored on classic."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.control.pace import Classic, ask_classic, ask_limitless, current_pace, store_pace
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.model.pace import FAR, Pace, Signal, after
from migrator.plan.schema import Plan
from migrator.runway.processor import CloudWatch

Connection = psycopg.Connection[Any]

AWS_S = 60.0


@dataclass
class Pacer:
    """What one process remembers from look to look.

    Attributes:
        open_limitless: makes a connection with bounded waits; it is kept until it fails.
    """

    open_limitless: Callable[[], Connection]
    cloudwatch: Callable[..., CloudWatch] = CloudWatch
    clock: Callable[[], float] = time.monotonic
    pace: Pace | None = None
    _limitless: Connection | None = None
    _write_s: float | None = None
    _acu: float | None = None
    _acu_at: float = 0.0

    def step(self, conn: Connection, plan: Plan) -> None:
        """Look at both sides and store the pace; how long that takes is the next look's latency of classic.

        The first look goes on from what another worker left.
        """
        seen = signals(plan, ask_classic(conn), self._write_s, self._answer_s(plan), self._acu_use(plan))
        self.pace = after(self.pace or current_pace(conn), seen, plan.pace.floor)
        self._write_s = store_pace(conn, self.pace)

    def close(self) -> None:
        if self._limitless is not None:
            with suppress(psycopg.Error):
                self._limitless.close()
            self._limitless = None

    def _answer_s(self, plan: Plan) -> float:
        """Return how long Limitless takes to answer; where it does not, as long as is far too long."""
        try:
            if self._limitless is None:
                self._limitless = self.open_limitless()
            return ask_limitless(self._limitless)
        except (MigratorError, psycopg.Error):
            self.close()
            return FAR * plan.pace.limitless_ms / 1000

    def _acu_use(self, plan: Plan) -> float | None:
        group, cluster = plan.limitless.shard_group_id, plan.limitless.cluster_id
        if group is None or cluster is None:
            return None
        if self.clock() >= self._acu_at:
            self._acu_at = self.clock() + AWS_S
            try:
                self._acu = self.cloudwatch(cluster, region=plan.aws.region).acu_use(group, datetime.now(UTC))
            except ClusterUnavailable:
                self._acu = None
        return self._acu


def signals(
    plan: Plan, classic: Classic, write_s: float | None, answer_s: float | None, acu: float | None
) -> tuple[Signal, ...]:
    """Return what both sides show against the plan's targets. Pure.

    Limits that stop copies altogether are approached, not run into: their targets are part of them.
    """
    backfill = plan.backfill
    return (
        Signal("commits on classic take", _ms(write_s), plan.pace.classic_ms, "ms"),
        Signal("answers of Limitless take", _ms(answer_s), plan.pace.limitless_ms, "ms"),
        Signal(
            "statements that classic runs at once:", classic.active_sessions, backfill.max_active_sessions * 0.8, ""
        ),
        Signal("the mirror lags", classic.mirror_lag_s, backfill.max_lag_s * 0.5, "s"),
        Signal("classic's replicas lag", classic.replica_lag_s, plan.pace.replica_lag_s, "s"),
        Signal("Limitless uses of its maximum ACU", None if acu is None else acu * 100, plan.pace.acu_pct, "%"),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
