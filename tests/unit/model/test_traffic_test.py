"""Results of traffic tests survive their storage, and what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.model.traffic_test import (
    LoadResult,
    Pace,
    Paces,
    Percentiles,
    ShadowResult,
    Shards,
    SideLoad,
    StatementResult,
    Writes,
)

NUMBER = st.floats(0, 1e9, allow_nan=False)
COUNT = st.integers(0, 1_000_000)
TEXT = st.text(min_size=1, max_size=20)
PERCENTILES = st.none() | st.builds(Percentiles, NUMBER, NUMBER, NUMBER)
PACE = st.sampled_from(Pace)
ERRORS = st.dictionaries(TEXT, COUNT, max_size=3)


@st.composite
def statements(draw: st.DrawFn, fingerprint: str) -> StatementResult:
    calls = draw(COUNT)
    compared = draw(st.integers(0, calls))
    return StatementResult(
        fingerprint, draw(st.text(max_size=20)), calls, draw(PERCENTILES), draw(PERCENTILES), draw(ERRORS),
        draw(ERRORS), draw(st.sampled_from(Shards)), compared, draw(st.integers(0, compared)),
        draw(st.none() | st.builds(Paces, PACE, PACE, PACE)), draw(st.booleans()),
    )  # fmt: skip


@st.composite
def shadows(draw: st.DrawFn) -> ShadowResult:
    names = draw(st.lists(TEXT, unique=True, max_size=3))
    return ShadowResult(
        tuple(draw(statements(name)) for name in names), draw(TEXT), draw(NUMBER), draw(COUNT),
        draw(st.sampled_from(Writes)), draw(COUNT), draw(st.text(max_size=20)),
    )  # fmt: skip


SIDES = st.builds(SideLoad, NUMBER, NUMBER, st.none() | NUMBER, PERCENTILES, ERRORS)
LOADS = st.builds(LoadResult, NUMBER, TEXT, SIDES, st.none() | SIDES, NUMBER, st.text(max_size=20))


@given(shadows())
def test_a_shadow_result_is_read_as_it_was_stored(result: ShadowResult) -> None:
    assert ShadowResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@given(LOADS)
def test_a_load_result_is_read_as_it_was_stored(result: LoadResult) -> None:
    assert LoadResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def _shadow() -> dict[str, Any]:
    one = StatementResult("ab12", "SELECT 1", 10, Percentiles(1, 2, 3), None, {}, {"42P01": 10}, Shards.ONE, 0, 0)
    return ShadowResult((one,), "csvlog", 60, 3, Writes.ROLLED_BACK).to_json()


def _load() -> dict[str, Any]:
    side = SideLoad(100, 90, 95, Percentiles(1, 2, 3))
    return LoadResult(50, "pg_stat_database", side, side, 60).to_json()


@pytest.mark.parametrize("key", sorted(_shadow()))
def test_a_shadow_result_without_one_of_its_values_is_refused(key: str) -> None:
    body = _shadow()
    del body[key]
    with pytest.raises(ValueError, match=key):
        ShadowResult.from_json(body)


@pytest.mark.parametrize("key", sorted(_load()))
def test_a_load_result_without_one_of_its_values_is_refused(key: str) -> None:
    body = _load()
    del body[key]
    with pytest.raises(ValueError, match=key):
        LoadResult.from_json(body)


@pytest.mark.parametrize("key", sorted(_shadow()["statements"][0]))
def test_a_statement_without_one_of_its_values_is_refused(key: str) -> None:
    body = _shadow()
    del body["statements"][0][key]
    with pytest.raises(ValueError, match=key):
        ShadowResult.from_json(body)


@pytest.mark.parametrize(
    ("key", "value"),
    [("calls", -1), ("calls", "10"), ("calls", True), ("compared", 11), ("shards", "two"), ("differing", 1),
     ("classic", 3), ("limitless_errors", {"42P01": "many"}), ("fingerprint", "")],
)  # fmt: skip
def test_a_statement_that_cannot_be_is_refused(key: str, value: object) -> None:
    body = _shadow()
    body["statements"][0][key] = value
    with pytest.raises(ValueError):
        ShadowResult.from_json(body)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "50", None, True])
def test_a_rate_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="peak_per_s"):
        LoadResult.from_json({**_load(), "peak_per_s": value})


def test_a_statement_is_there_once() -> None:
    body = _shadow()
    body["statements"] *= 2
    with pytest.raises(ValueError, match="twice"):
        ShadowResult.from_json(body)


def test_keys_of_others_are_passed_over() -> None:
    assert LoadResult.from_json({**_load(), "series": [1, 2]}) == LoadResult.from_json(_load())


def test_a_side_that_was_never_saturated_carries_what_it_served() -> None:
    assert SideLoad(100, 90, None, None).carries_per_s == 90
    assert SideLoad(100, 90, 80, None).carries_per_s == 80
