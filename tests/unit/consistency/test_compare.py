"""Sorting digests and merging rows: every difference, nothing else, one row of each side in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.consistency.compare import (
    MAX_BUCKETS,
    ROWS_PER_BUCKET,
    Digest,
    Split,
    batches,
    bucket_count,
    differing,
    merge,
    split,
)
from migrator.model.divergence import DivergenceKind

pytestmark = pytest.mark.asyncio

Rows = dict[tuple[str, ...], int]
rows = st.dictionaries(st.tuples(st.text(max_size=3)), st.integers(0, 2), max_size=8)


async def _stream(side: Rows) -> AsyncIterator[tuple[tuple[str, ...], int]]:
    for key in sorted(side):
        yield key, side[key]


@given(rows, rows)
async def test_merging_finds_what_differs(classic: Rows, limitless: Rows) -> None:
    found = {key: kind async for key, kind in merge(_stream(classic), _stream(limitless))}

    expected = {
        key: DivergenceKind.MISSING if key not in limitless
        else DivergenceKind.EXTRA if key not in classic
        else DivergenceKind.MISMATCHED
        for key in {*classic, *limitless}
        if classic.get(key) != limitless.get(key)
    }  # fmt: skip
    assert found == expected
    assert list(found) == sorted(found), "in key order"


async def test_buckets_of_one_side_need_no_comparison() -> None:
    classic = {("a", 1): Digest(3, 30), ("a", 2): Digest(1, 5), ("b", 1): Digest(1, 7)}
    limitless = {("a", 1): Digest(3, 30), ("a", 2): Digest(1, 6), ("c", 1): Digest(2, 8)}

    assert split(classic, limitless) == Split((("a", 2),), (("b", 1),), (("c", 1),))


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 40_000_000), max_size=30))
async def test_batches_hold_everybody_once_and_are_bounded(sizes: dict[str, int]) -> None:
    found = list(batches(sizes))

    assert sorted(t for tenants, _ in found for t in tenants) == sorted(sizes)
    for tenants, buckets in found:
        assert len(tenants) == 1 or len(tenants) * buckets <= MAX_BUCKETS
        assert buckets >= max(bucket_count(sizes[t]) for t in tenants)


async def test_an_empty_side_equals_no_rows() -> None:
    empty: Mapping[str, Digest] = {}

    assert differing({"a": Digest(0, 0)}, empty) == []
    assert differing({"a": Digest(1, 0)}, empty) == ["a"], "a row whose hash is 0 is a row"


@pytest.mark.parametrize(("count", "buckets"), [(0, 1), (1, 1), (ROWS_PER_BUCKET + 1, 2), (10**9, MAX_BUCKETS)])
async def test_buckets_are_bounded(count: int, buckets: int) -> None:
    assert bucket_count(count) == buckets
