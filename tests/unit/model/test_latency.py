"""Latencies are counted in buckets that can be added up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrator.model.latency import SIZE, bucket_of, merge, p99_of, percentile_of, upper_ms

LATENCY = st.floats(min_value=0.07, max_value=60_000)


@given(LATENCY)
def test_a_bucket_is_never_too_low_and_at_most_a_fifth_too_high(ms: float) -> None:
    assert ms <= upper_ms(bucket_of(ms)) * (1 + 1e-9)
    assert upper_ms(bucket_of(ms)) <= ms * 1.19


def test_everything_has_a_bucket() -> None:
    assert bucket_of(0) == bucket_of(-1) == 0
    assert bucket_of(1e12) == SIZE - 1


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=4))
def test_merging_keeps_every_count(many: list[list[int]]) -> None:
    merged = merge(many)

    assert sum(merged) == sum(map(sum, many))
    assert not merged or merged[-1]


def test_percentiles_of_known_latencies() -> None:
    buckets = [0] * SIZE
    for _ in range(99):
        buckets[bucket_of(1.0)] += 1
    buckets[bucket_of(1000.0)] += 1

    assert p99_of(buckets) == upper_ms(bucket_of(1.0))
    assert percentile_of(buckets, 1.0) == upper_ms(bucket_of(1000.0))
    assert p99_of([]) == 0.0
