"""A percentile is never too low, and at most 1/128 too high, whatever was counted and in however many parts."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from migrator.load.histogram import ERROR, LARGEST_US, Histogram, bucket_of, merged, percentiles, upper_us

latencies = st.integers(0, LARGEST_US)


@given(latencies)
def test_a_bucket_has_its_latency_within_the_bound(us: int) -> None:
    upper = upper_us(bucket_of(us))

    assert us <= upper <= us * (1 + ERROR)
    assert bucket_of(upper) == bucket_of(us)
    assert upper == LARGEST_US or bucket_of(upper + 1) > bucket_of(us)


@given(st.lists(latencies, min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_a_percentile_is_within_the_bound(values: list[int], share: float) -> None:
    found = Histogram()
    for us in values:
        found.add(us)
    rank = max(1, math.ceil(len(values) * share - 1e-9))
    true_ms = sorted(values)[rank - 1] / 1000

    told = found.percentile_ms(share)

    assert told is not None and true_ms <= told <= true_ms * (1 + ERROR)


@given(st.lists(st.lists(latencies, max_size=30), max_size=5))
def test_parts_add_up_to_the_whole_also_as_json(parts: list[list[int]]) -> None:
    whole = Histogram()
    counted = []
    for values in parts:
        part = Histogram()
        for us in values:
            part.add(us)
            whole.add(us)
        counted.append(Histogram.from_json(json.loads(json.dumps(part.to_json()))))

    found = merged(counted)

    assert (found.counts, found.total) == (whole.counts, whole.total)


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().percentile_ms(0.99) is None and percentiles(Histogram()) is None
    assert bucket_of(10 * LARGEST_US) == bucket_of(LARGEST_US), "what is longer counts as the longest"
    assert bucket_of(-5) == 0, "a clock that went back by a hair"
