"""Samples say what the status says, in base units, and nothing where it is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from migrator.metrics import catalogue as c
from migrator.metrics.gather import Reading, gather
from migrator.metrics.metric import OTHER, Kind, Label, Metric, Sample
from migrator.model.blocker import Blocker
from migrator.model.status import FallbackLine, RunwayLine, Status
from migrator.runway.counters import PARTS
from tests.unit.metrics.statuses import NOW, SECRET, measured, status


def values(samples: list[Sample], metric: Metric) -> dict[tuple[str, ...], float]:
    return {sample.labels: sample.value for sample in samples if sample.metric is metric}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return gather(Reading(status(), measured()))


@pytest.mark.parametrize(
    ("metric", "labels", "value"),
    [
        (c.INSTALLED, (), 1),
        (c.CURRENT_PHASE, ("cutover",), 1),
        (c.CURRENT_PHASE, ("audit",), 0),
        (c.PHASE_STATE, ("cutover", "waiting"), 1),
        (c.PHASE_STATE, ("cutover", "done"), 0),
        (c.PHASE_SINCE, ("audit",), NOW.timestamp()),
        (c.BLOCKERS, (), 1),
        (c.CONDITIONS, ("gate_waits", "warning"), 1),
        (c.CONDITIONS, ("fallback", "critical"), 1),
        (c.CONDITIONS, ("fallback", "error"), 1),
        (c.CONDITIONS, ("capture_broken", "critical"), 0),
        (c.BREACHES, (), 2),
        (c.WRITE_MODE, ("dual",), 1),
        (c.TENANTS, ("joining",), 10),
        (c.TENANTS_STATE, ("quarantined",), 2),
        (c.TENANTS_STATE, ("copying",), 0),
        (c.TENANTS_VERDICT, ("never",), 5),
        (c.TENANTS_VERDICT, ("divergent",), 1),
        (c.TENANTS_VERDICT, ("clean",), 124),
        (c.TENANTS_HELD, (), 3),
        (c.FALLBACKS, ("all",), 1),
        (c.FALLBACKS, ("part",), 1),
        (c.FALLBACKS, ("tenant",), 998),
        (c.BREAKERS, ("tenant",), 2),
        (c.PROCESSES, ("live",), 2),
        (c.PROCESSES, ("silent",), 1),
        (c.PROCESSES_BEHIND, (), 1),
        (c.REPLICAS, ("serving",), 1),
        (c.REPLICAS, ("joining",), 0),
        (c.WORKERS, ("current",), 2),
        (c.WORKERS, ("outdated",), 1),
        (c.LAG, ("1",), 2.5),
        (c.DEPTH, ("1",), 9),
        (c.APPLIED, ("1",), 700),
        (c.MIRROR_PROBLEM, ("0",), 0),
        (c.MIRROR_PROBLEM, ("1",), 1),
        (c.JOURNAL, (), 12_500_000),
        (c.JOURNAL_LIMIT, (), 4.096e9),
        (c.UNITS_STATE, ("waiting",), 3),
        (c.UNITS_STATE, ("failed",), 1),
        (c.COPY_PAUSED, (), 1),
        (c.VALIDATION_AGE, (), 60),
        (c.UNREPAIRED, (), 1),
        (c.FENCE_PAUSE, (), 0.25),
        (c.READS, ("limitless",), 100),
        (c.READ_ERRORS, ("limitless",), 7),
        (c.READ_STATES, ("limitless", "57"), 5),
        (c.READ_STATES, ("limitless", OTHER), 2),
        (c.FELL_BACK, (), 3),
        (c.WRITES, ("everywhere",), 50),
        (c.WRITES, ("none",), 0),
        (c.UNCONFIRMED, ("everywhere",), 2),
        (c.SHADOWS_DIFFER, (), 4),
        (c.WRITER_CPU, (), 0.85),
        (c.OWN_CORES, ("mirrors",), 0.5),
        (c.PACE, (), 0.4),
        (c.RUNWAY, (), math.inf),
        (c.RUNWAY_CLOSES, ("lasts",), 1),
        (c.RUNWAY_NEEDED, (), 24 * 604_800),
        (c.COST, ("limitless",), 520),
        (c.COST_RATIO, (), 26),
        (c.COST_MEASURED, (), 0),
        (c.COST_MONTH, ("likely",), 500),
        (c.COST_VERDICT, ("over",), 1),
        (c.LIMITLESS_ACU, ("peak",), 55),
        (c.LIMITLESS_BYTES, (), 10 * 2**30),
        (c.SHARD_SKEW, (), 1.5),
        (c.SINGLE_SHARD, (), 0.97),
        (c.LIMITLESS_AGE, (), 60),
        (c.WINDOW, (), 37 * 86_400),
        (c.INCIDENTS, (), 4),
        (c.DRILL_AGE, ("rollback",), 3600),
    ],
)
def test_a_sample_says_what_the_status_says(
    samples: list[Sample], metric: Metric, labels: tuple[str, ...], value: float
) -> None:
    assert values(samples, metric)[labels] == pytest.approx(value)


def test_every_metric_of_the_migration_has_a_sample(samples: list[Sample]) -> None:
    of_migration = {metric for metric in c.CATALOGUE if metric.origin is c.INSTALLED.origin}

    assert {sample.metric for sample in samples} == of_migration


def test_latencies_are_counted_in_seconds_at_or_below_each_bound(samples: list[Sample]) -> None:
    (found,) = [s.histogram for s in samples if s.metric is c.READ_TIME and s.labels == ("limitless",)]
    assert found is not None

    assert (found.bounds[0], found.bounds[-1]) == (0.00025, 16.384)
    assert found.counts[found.bounds.index(0.002)] == 90
    assert found.counts[found.bounds.index(0.256)] == 90
    assert found.counts[found.bounds.index(0.512)] == 100 == found.count
    assert found.total == pytest.approx((90 * 2 + 10 * 362) / 1000, rel=0.1)


def test_what_is_unknown_has_no_sample() -> None:
    bare = status(
        bill=None,
        capacity=None,
        backfill=None,
        validation=None,
        cost=None,
        runway=None,
        wave=None,
        started_at=None,
        parts=(),
        lag_s=None,
    )
    found = {sample.metric for sample in gather(Reading(bare))}

    assert found.isdisjoint(
        {c.COPIED_ROWS, c.VALIDATION_AGE, c.WRITER_CPU, c.RUNWAY, c.WAVE, c.STARTED, c.LAG, c.COST, c.WINDOW}
    )


def test_a_runway_that_is_unknown_is_neither_zero_nor_endless() -> None:
    found = gather(Reading(status(runway=RunwayLine(None, None, 24.0, "unknown"))))

    assert values(found, c.RUNWAY) == {}
    assert values(found, c.RUNWAY_CLOSES) == {("lasts",): 0, ("short",): 0, ("unknown",): 1}


def test_before_installation_and_under_another_version_nothing_is_made_up() -> None:
    bare = gather(Reading(Status(False, NOW)))
    other = gather(Reading(Status(True, NOW, 99, blockers=(Blocker("schema.version", "classic", "x"),))))

    assert [(s.metric, s.value) for s in bare] == [(c.INSTALLED, 0)]
    assert {s.metric for s in other} == {c.INSTALLED, c.SCHEMA_MATCHES, c.CONDITIONS}
    assert values(other, c.CONDITIONS)["schema_version", "error"] == 1


def test_a_value_that_the_catalogue_does_not_know_is_other() -> None:
    """A later release may have another state: the number of series stays bounded, and none is lost."""
    strange = replace(status().phases[0], state="dreaming")
    found = gather(Reading(status(phases=(strange,), write_mode="telepathy", fallbacks=(), fallback_count=0)))

    assert set(values(found, c.PHASE_STATE).values()) == {0}
    assert set(values(found, c.WRITE_MODE).values()) == {0}
    with pytest.raises(ValueError, match="labels"):
        c.LAG.sample(1.0, partition="1")


def test_the_number_of_series_does_not_follow_the_number_of_tenants(samples: list[Sample]) -> None:
    many = status(
        tenants=100_000,
        fallbacks=tuple(FallbackLine("tenant", str(i), "classic", "", "", NOW, False) for i in range(100)),
        quarantined=tuple((str(i), "") for i in range(100)),
    )

    assert len(gather(Reading(many, measured()))) <= len(samples)
    assert not any(SECRET in label or "<script>" in label for sample in samples for label in sample.labels)


def test_no_two_samples_have_the_same_name_and_labels(samples: list[Sample]) -> None:
    keys = [(sample.metric.name, sample.labels) for sample in samples]

    assert len(keys) == len(set(keys))


def test_names_follow_the_conventions() -> None:
    """Base units last, `_total` on counters and on nothing else, one meaning for each name."""
    assert len({m.name for m in c.CATALOGUE}) == len(c.CATALOGUE) == len({m.otlp_name for m in c.CATALOGUE})
    for metric in c.CATALOGUE:
        assert metric.name.startswith("migrator_")
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER), metric.name
        assert not metric.name.endswith(
            ("_ms", "_mb", "_minutes", "_hours", "_days", "_weeks", "_pct", "_count", "_sum")
        )
        assert metric.help.endswith(".")
        for label in metric.labels:
            assert bool(label.values) is not bool(label.bound), f"{metric.name}: {label.name} is not bounded"
            assert label.name not in ("le", "plan", "instance", "job", "tenant", "tenant_id")


def test_parts_of_the_tool_are_those_that_are_measured() -> None:
    assert c.PARTS_OF_THE_TOOL.values == ("capture", *PARTS)


def test_names_in_opentelemetry_leave_the_unit_to_the_unit() -> None:
    made = Metric("migrator_x_y_seconds", Kind.HISTOGRAM, ".", (Label("a", ("b",)),))

    assert (made.otlp_name, made.otlp_unit) == ("migrator.x_y", "s")
    assert (c.READS.otlp_name, c.READS.otlp_unit) == ("migrator.reads", "")
    assert (c.PACE.otlp_name, c.PACE.otlp_unit) == ("migrator.pace", "1")
    assert c.SHIM_ACK_TIME.otlp_name == "migrator.shim.write_acknowledge"
