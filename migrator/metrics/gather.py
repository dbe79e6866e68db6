"""Makes samples of what classic says. Pure: the status and what was measured go in, samples come out.

What is unknown has no sample: a 0 would be a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from migrator.metrics import catalogue as c
from migrator.metrics.metric import Histogram, Metric, Sample, added
from migrator.model import latency
from migrator.model.ack import Ack
from migrator.model.condition import ABOUT, Condition, Kind
from migrator.model.cost import Basis, CapacityLine, CostLine
from migrator.model.measured import ACK, ERROR, FELL_BACK, SHADOW, SHADOW_UNDECIDED, Measured, Total, WindowTime
from migrator.model.phase import Phase
from migrator.model.route import FallbackScope, Level, WriteMode
from migrator.model.side import Side
from migrator.model.standing import Limits, conditions
from migrator.model.status import BackfillLine, Status, ValidationLine, WriterCost

WEEK_S = 604_800.0

FIRST, LAST = 8, 72
"""Buckets of migrator.model.latency that Prometheus gets, every fourth: 0.25 ms to 16 s, each twice the one before."""
BOUNDS = tuple(latency.upper_ms(bucket) / 1000 for bucket in range(FIRST, LAST + 1, latency.STEPS))


@dataclass(frozen=True, slots=True)
class Reading:
    """What classic said at one moment. limits: of the plan stored there."""

    status: Status
    measured: Measured = field(default_factory=Measured)
    limits: Limits = field(default_factory=Limits)


def gather(reading: Reading) -> list[Sample]:
    """Return the samples of the migration."""
    status, measured = reading.status, reading.measured
    found = [c.INSTALLED.sample(status.installed)]
    if not status.installed:
        return found
    found.append(c.SCHEMA_MATCHES.sample(status.phase is not None))
    found += _conditions(conditions(status, reading.limits))
    if status.phase is None:  # of another version: nothing else was read
        return added(found)
    found += _progress(status)
    found += _tenants(status)
    found += _processes(status)
    found += _mirror(status, measured)
    found += _copy(status.backfill)
    found += _validation(status.validation, status.tenants)
    found += _traffic(measured)
    found.append(c.BREACHES.sample(len(status.breaches)))
    found += _writer(status)
    found += _money(status.bill)
    found += _capacity(status.capacity, status.bill)
    found += _window(measured.window)
    found.append(c.INCIDENTS.sample(status.incidents))
    for line in status.drills:
        found += _only(c.DRILL_AGE, line.passed_s, kind=line.newest.kind)
    return added(found)


def _only(metric: Metric, value: float | None, **labels: str) -> Iterator[Sample]:
    if value is not None:
        yield metric.sample(value, **labels)


def _one_of(metric: Metric, label: str, all_values: Iterable[str], current: str, **labels: str) -> Iterator[Sample]:
    """Yield 1 for the value that holds, 0 for every other."""
    for value in all_values:
        yield metric.sample(value == current, **labels, **{label: value})


def _unix(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _progress(status: Status) -> Iterator[Sample]:
    for line in status.phases:
        yield from _one_of(c.PHASE_STATE, "state", c.PHASE_STATES, line.state, phase=line.phase)
        yield from _only(c.PHASE_SINCE, _unix(line.since), phase=line.phase)
    yield from _one_of(c.CURRENT_PHASE, "phase", Phase, status.phase or "")
    yield from _only(c.STARTED, _unix(status.started_at))
    yield c.BLOCKERS.sample(len(status.blockers))
    yield from _one_of(c.WRITE_MODE, "mode", WriteMode, status.write_mode)
    yield from _one_of(c.SWITCH, "level", Level, status.switch)
    yield c.EPOCH.sample(status.epoch)
    yield from _only(c.WAVE, status.wave)
    yield c.STOPPED.sample(len(status.stopped))


def _conditions(open_now: Sequence[Condition]) -> Iterator[Sample]:
    """Yield how many there are of each kind and severity; 0 for a kind of which there is none."""
    for kind in Kind:
        yield c.CONDITIONS.sample(0, kind=kind, severity=ABOUT[kind].severity)
    for condition in open_now:
        yield c.CONDITIONS.sample(1, kind=condition.kind, severity=condition.severity)


def _tenants(status: Status) -> Iterator[Sample]:
    levels, states = dict(status.by_level), dict(status.by_state)
    for level in Level:
        yield c.TENANTS.sample(levels.get(level, 0), level=level)
    for state in c.TENANTS_STATE.labels[0].values:
        yield c.TENANTS_STATE.sample(states.get(state, 0), state=state)
    yield c.TENANTS_HELD.sample(status.held_count)
    # Those of everybody and of partitions come first, and are fewer than are listed.
    wide = [f.scope for f in status.fallbacks if f.scope != FallbackScope.TENANT]
    for scope in FallbackScope:
        of_tenants = max(status.fallback_count - len(wide), 0)
        yield c.FALLBACKS.sample(of_tenants if scope is FallbackScope.TENANT else wide.count(scope), scope=scope)
        yield c.BREAKERS.sample(sum(n for s, _, n, _ in status.breaker_trips if s == scope), scope=scope)


def _processes(status: Status) -> Iterator[Sample]:
    live = [process for process in status.processes if process.live]
    yield c.PROCESSES.sample(len(live), state="live")
    yield c.PROCESSES.sample(len(status.processes) - len(live), state="silent")
    yield c.PROCESSES_BEHIND.sample(sum(process.behind > 0 for process in live))
    for level in c.REPLICAS.labels[0].values:
        yield c.REPLICAS.sample(sum(replica.level == level for replica in status.replicas), level=level)
    outdated = min(len({blocker.subject for blocker in status.outdated_workers}), status.workers)
    yield c.WORKERS.sample(status.workers - outdated, runs="current")
    yield c.WORKERS.sample(outdated, runs="outdated")


def _mirror(status: Status, measured: Measured) -> Iterator[Sample]:
    for line in status.parts:
        part = str(line.part)
        yield c.LAG.sample(line.lag_s, part=part)
        yield c.DEPTH.sample(line.depth, part=part)
        yield c.RATE.sample(line.rows_per_s, part=part)
        yield c.APPLIED.sample(line.applied, part=part)
        yield c.MIRROR_PROBLEM.sample(line.state != "running" or bool(line.problem), part=part)
    yield c.JOURNAL.sample(status.journal_mb * 1e6)
    yield from _only(c.JOURNAL_LIMIT, measured.journal_limit_bytes)
    yield c.CAPTURE_PROBLEMS.sample(len(status.capture))
    yield c.FENCES.sample(measured.fences)


def _copy(line: BackfillLine | None) -> Iterator[Sample]:
    if line is None:
        return
    waiting = max(line.units - line.done - line.copying - line.failed, 0)
    for state, number in (
        ("waiting", waiting),
        ("copying", line.copying),
        ("done", line.done),
        ("failed", line.failed),
    ):
        yield c.UNITS_STATE.sample(number, state=state)
    yield c.COPY_ROWS.sample(line.rows)
    yield c.COPIED_ROWS.sample(line.copied_rows)
    yield c.COPIED_BYTES.sample(line.copied_bytes)
    yield c.COPY_RATE.sample(line.rows_per_s)
    yield from _only(c.COPY_ETA, line.eta_s)
    yield c.COPY_PAUSED.sample(line.paused)


def _validation(line: ValidationLine | None, tenants: int) -> Iterator[Sample]:
    if line is None:
        return
    yield from _only(c.VALIDATION_AGE, line.age_s)
    if line.finished_at is not None:
        yield c.VALIDATION_ROWS.sample(line.rows)
        yield c.DIVERGENT.sample(line.divergent)
        yield c.UNREPAIRED.sample(line.unrepaired)
        yield c.FENCE_PAUSE.sample(line.fence_pause_ms / 1000)
    yield from _only(c.OLDEST_CLEAN, line.oldest_clean_s)
    yield c.TENANTS_VERDICT.sample(line.never, verdict="never")
    yield c.TENANTS_VERDICT.sample(line.divergent_tenants, verdict="divergent")
    yield c.TENANTS_VERDICT.sample(max(tenants - line.never - line.divergent_tenants, 0), verdict="clean")


def _traffic(measured: Measured) -> Iterator[Sample]:
    totals = measured.totals
    for side in Side:
        total = totals.get(side, Total())
        yield c.READS.sample(total.count, side=side)
        yield c.READ_ERRORS.sample(total.errors, side=side)
        yield c.READ_TIME.distribution(histogram(total.buckets), side=side)
    for key, total in totals.items():
        if key.startswith(ERROR):
            side_name, _, state_class = key.removeprefix(ERROR).partition("/")
            yield c.READ_STATES.sample(total.count, side=side_name, sqlstate_class=state_class)
    yield c.FELL_BACK.sample(totals.get(FELL_BACK, Total()).count)
    for ack in Ack:
        total = totals.get(ACK + ack, Total())
        yield c.WRITES.sample(total.count, ack=ack)
        yield c.UNCONFIRMED.sample(total.errors, ack=ack)
        yield c.ACK_TIME.distribution(histogram(total.buckets), ack=ack)
    shadow = totals.get(SHADOW, Total())
    yield c.SHADOWS.sample(shadow.count)
    yield c.SHADOWS_DIFFER.sample(shadow.errors)
    yield c.SHADOWS_UNDECIDED.sample(totals.get(SHADOW_UNDECIDED, Total()).count)


def histogram(buckets: Sequence[int]) -> Histogram:
    """Return counts in seconds of latencies counted in *buckets*; their sum is that of the buckets' middles."""
    edges = [*range(FIRST, LAST + 1, latency.STEPS)]
    counts = [sum(buckets[: edge + 1]) for edge in edges]
    middle = 2 ** (-1 / (2 * latency.STEPS))
    total_ms = sum(number * latency.upper_ms(bucket) * middle for bucket, number in enumerate(buckets))
    return Histogram(BOUNDS, (*counts, sum(buckets)), total_ms / 1000)


def _writer(status: Status) -> Iterator[Sample]:
    yield c.PACE.sample(status.pace.share)
    if status.cost is not None:
        yield from _cost_of_the_tool(status.cost)
    runway = status.runway
    if runway is None:
        return
    verdict = "unknown" if runway.closes is None else "lasts" if runway.closes else "short"
    yield from _one_of(c.RUNWAY_CLOSES, "verdict", c.RUNWAY_CLOSES.labels[0].values, verdict)
    yield c.RUNWAY_NEEDED.sample(runway.needed_weeks * WEEK_S)
    if runway.weeks is not None:
        yield c.RUNWAY.sample(runway.weeks * WEEK_S)
    elif runway.closes is not None:
        yield c.RUNWAY.sample(math.inf)


def _cost_of_the_tool(cost: WriterCost) -> Iterator[Sample]:
    yield from _only(c.WRITER_CPU, cost.cpu)
    yield from _only(c.WRITER_TPS, cost.transactions_per_s)
    yield from _only(c.OWN_STATEMENTS, cost.own_statements_per_s)
    yield from _only(c.OWN_WAL, cost.own_wal_bytes_per_s)
    for part in cost.parts:
        yield from _only(c.OWN_CORES, part.cores, of=part.part)


def _money(bill: CostLine | None) -> Iterator[Sample]:
    if bill is None:
        return
    yield from _one_of(c.COST_VERDICT, "verdict", c.COST_VERDICT.labels[0].values, bill.against.value)
    yield from _only(c.COST, bill.projected_monthly_usd, of="projection")
    yield from _only(c.COST_RATIO, bill.ratio)
    if (forecast := bill.forecast) is not None:
        yield c.COST.sample(forecast.monthly, of="limitless")
        for of in c.COST_MONTH.labels[0].values:
            yield c.COST_MONTH.sample(getattr(forecast, of), of=of)
    if bill.basis is not None:
        yield c.COST_MEASURED.sample(bill.basis is Basis.CLOUDWATCH)


def _capacity(line: CapacityLine | None, bill: CostLine | None) -> Iterator[Sample]:
    if bill is not None:
        yield from _only(c.LIMITLESS_ACU, bill.acu, of="used")
        yield from _only(c.LIMITLESS_BYTES, None if bill.storage_gb is None else bill.storage_gb * 2**30)
    if line is not None:
        yield from _only(c.LIMITLESS_ACU, line.peak_acu, of="peak")
        yield from _only(c.LIMITLESS_ACU, line.max_acu, of="max")
        yield from _only(c.SHARD_SKEW, line.skew)
        yield from _only(c.SINGLE_SHARD, line.single_shard.share if line.single_shard else None)
        yield from _only(c.LIMITLESS_AGE, line.age_s)


def _window(window: WindowTime | None) -> Iterator[Sample]:
    if window is None:
        return
    yield c.WINDOW.sample(window.elapsed_s)
    yield c.WINDOW_NEEDED.sample(window.needed_s)
    yield c.WINDOW_RESTARTS.sample(window.restarts)
    yield c.WINDOW_PAUSED.sample(window.paused)
