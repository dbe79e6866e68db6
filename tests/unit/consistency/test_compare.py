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
    classic = {1: Digest(3, 30), 2: Digest(1, 5), 3: Digest(1, 7)}
    limitless = {1: Digest(3, 30), 2: Digest(1, 6), 4: Digest(2, 8)}

    assert split(classic, limitless) == Split((2,), (3,), (4,))


async def test_an_empty_side_equals_no_rows() -> None:
    empty: Mapping[str, Digest] = {}

    assert differing({"a": Digest(0, 0)}, empty) == []
    assert differing({"a": Digest(1, 0)}, empty) == ["a"], "a row whose hash is 0 is a row"


@pytest.mark.parametrize(("count", "buckets"), [(0, 1), (1, 1), (ROWS_PER_BUCKET + 1, 2), (10**9, MAX_BUCKETS)])
async def test_buckets_are_bounded(count: int, buckets: int) -> None:
    assert bucket_count(count) == buckets
