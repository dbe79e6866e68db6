"""Watches classic's writer and the migration's state by the minute: one process at a time reads, adds up and stores.

It looks at its sessions every few seconds, at counters once a minute, at statements every five, at AWS once an hour.
Rates are between two readings of this process, so a worker that was restarted begins with a gap, not with a guess.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from migrator.control import history, series, writer_load
from migrator.errors import ClusterUnavailable
from migrator.plan.schema import Plan
from migrator.runway import rates
from migrator.runway.cost import UNKNOWN
from migrator.runway.counters import Counters, Reader, Session, Statements, sessions
from migrator.runway.forecast import CLOUDWATCH, LOCAL, VCPUS, forecast
from migrator.runway.processor import CloudWatch, Machine, Used, is_here, machine, used

Connection = psycopg.Connection[Any]

LOOK_S = 5.0
MINUTE_S = 60.0
STATEMENTS_S = 300.0
HOUR_S = 3600.0
KEPT_EVERY = timedelta(days=7)
"""How often the forecast is kept as a report, beside whenever its answer changes."""

REPORT = "runway"


@dataclass
class _Due:
    """What is due again after so many seconds, on the monotonic clock."""

    every_s: float
    at: float = 0.0

    def now(self, now_s: float) -> bool:
        if now_s < self.at:
            return False
        self.at = now_s + self.every_s
        return True


@dataclass
class Sampler:
    """What one process remembers from reading to reading.

    Attributes:
        cloudwatch: makes the source of the CPU for a plan's cluster; replaced in tests.
        clock: monotonic seconds.
    """

    cloudwatch: Callable[..., CloudWatch] = CloudWatch
    clock: Callable[[], float] = time.monotonic
    look_at: Callable[[], Machine | None] = machine
    _reader: Reader = field(default_factory=Reader)
    _before: Counters | None = None
    _statements: tuple[float, Statements] | None = None
    _machine: Machine | None = None
    _used: dict[Used, float] = field(default_factory=dict)
    _looks: list[tuple[Session, ...]] = field(default_factory=list)
    _minute: _Due = field(default_factory=lambda: _Due(MINUTE_S))
    _five: _Due = field(default_factory=lambda: _Due(STATEMENTS_S))
    _hour: _Due = field(default_factory=lambda: _Due(HOUR_S))

    def step(self, conn: Connection, plan: Plan) -> None:
        """Look once, and do what is due; to be called every `LOOK_S` seconds by the process that has its turn."""
        now_s = self.clock()
        self._looks.append(sessions(conn))
        if not self._minute.now(now_s):
            return
        series.add(conn)
        self.sample(conn, statements=self._five.now(now_s))
        if self._hour.now(now_s):
            self._hourly(conn, plan)

    def sample(self, conn: Connection, *, statements: bool = True) -> None:
        """Read all counters, and store what went on since the reading before."""
        now = self._reader.read(conn, self.clock(), statements=statements)
        looks, self._looks = self._looks or [sessions(conn)], []
        before, self._before = self._before, now
        here, used_now = self._this_machine(conn, looks[-1])
        machine_before, self._machine = self._machine, here
        used_before, self._used = self._used, used_now
        unknown: list[str] = []
        values: dict[str, float] = {}
        seconds: dict[str, float] = {}

        def take(found: dict[str, float], over_s: float) -> None:
            values.update(found)
            seconds.update(dict.fromkeys(found, over_s))

        if before is not None:
            found = rates.between(before, now)
            unknown += found.unknown
            take(dict(found.values), found.seconds)
            if found.seconds:
                take(rates.of_looks(looks), found.seconds)
            if here is not None and machine_before is not None and found.seconds:
                share = here.since(machine_before)
                take({VCPUS[LOCAL]: float(here.cores)} | ({} if share is None else {LOCAL: share}), found.seconds)
                take(rates.cores(used_before, used_now, found.seconds), found.seconds)
        if now.statements is not None:
            if self._statements is not None and before is not None and before.started_s == now.started_s:
                over_s = now.taken_s - self._statements[0]
                of_statements = rates.statements_between(self._statements[1], now.statements, over_s)
                unknown += of_statements.unknown
                take(dict(of_statements.values), of_statements.seconds)
            self._statements = (now.taken_s, now.statements)
        elif statements:
            unknown.append("pg_stat_statements is not installed: what statements cost is unknown")
        if not now.sees_all:
            unknown.append("this role sees its own sessions and statements alone: GRANT pg_monitor TO it")
        if here is None:
            unknown.append("the server is not on this machine: sessions' processor time is an estimate from looks")
        writer_load.add(conn, now.at, values, seconds)
        writer_load.fold(conn)
        if before is not None:
            _note(conn, unknown, keep_statements=not statements)

    def _this_machine(self, conn: Connection, seen: Sequence[Session]) -> tuple[Machine | None, dict[Used, float]]:
        """Return this machine's processors and what sessions used of them; None when the server is elsewhere."""
        row = conn.execute(
            "SELECT pid, extract(epoch FROM backend_start)::float8 FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            " /* migrator:runway */"
        ).fetchone()
        if row is None or row[1] is None or not is_here(int(row[0]), float(row[1])):
            return None, {}
        return self.look_at(), used(seen)

    def _hourly(self, conn: Connection, plan: Plan) -> None:
        """Read AWS' hours that are over, and keep the forecast."""
        if plan.classic.cluster_id is not None:
            source = self.cloudwatch(plan.classic.cluster_id, region=plan.aws.region)
            try:
                last = writer_load.last_hour(conn, CLOUDWATCH)
                hours = source.hours(last, datetime.now(UTC))
                writer_load.put_hours(conn, CLOUDWATCH, hours)
                vcpus = source.vcpus()
                if vcpus is not None:
                    writer_load.put_hours(conn, VCPUS[CLOUDWATCH], [(at, float(vcpus)) for at, _ in hours[-1:]])
            except ClusterUnavailable as error:
                _note(conn, [f"CloudWatch: {error.why}"], prefix="CloudWatch")
        keep_forecast(conn, plan)


def _note(conn: Connection, unknown: Sequence[str], *, keep_statements: bool = False, prefix: str = "") -> None:
    """Keep what could not be measured, for status: one report, replaced. Lines of what was not read now stay."""
    last = history.newest_report(conn, UNKNOWN)
    before = list(last["body"]["lines"]) if last else []
    kept = [
        line
        for line in before
        if (prefix and not line.startswith(prefix))
        or (not prefix and (line.startswith("CloudWatch") or (keep_statements and "statements" in line)))
    ]
    lines = list(dict.fromkeys([*kept, *unknown]))
    if lines != before:
        history.set_report(conn, UNKNOWN, {"lines": lines})


def keep_forecast(conn: Connection, plan: Plan) -> None:
    """Keep the forecast when a week is over since the last one, or its answer is another one."""
    answer = forecast(conn, plan)
    last = history.newest_report(conn, REPORT)
    body = {
        "closes": answer.closes,
        "weeks": answer.weeks,
        "needed_weeks": round(answer.needed_weeks, 2),
        "summary": answer.summary,
        "options": [option.text for option in answer.options],
    }
    if last is not None:
        row = conn.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        if last["body"].get("closes") == answer.closes and row[0] - last["at"] < KEPT_EVERY:
            return
    history.add_report(conn, REPORT, body)
