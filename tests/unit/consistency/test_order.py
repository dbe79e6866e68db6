"""Who is validated next: the stalest and the riskiest, and no tenant starves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.consistency.order import Candidate, fences, ordered, rest_s, urgency
from migrator.model.tenant import TenantId


def candidate(name: str, **values: object) -> Candidate:
    return replace(Candidate(TenantId(name), 1, 100, 60.0), **values)  # type: ignore[arg-type]


def test_risk_comes_before_age_and_age_decides_among_equals() -> None:
    found = ordered(
        [
            candidate("quiet"),
            candidate("stale", age_s=90.0),
            candidate("changed", changed=True),
            candidate("reads limitless", on_limitless=True),
            candidate("reads limitless, changed", on_limitless=True, changed=True),
            candidate("repaired", troubled=True),
            candidate("never, large", age_s=None, rows=1000),
            candidate("never, small", age_s=None, rows=1),
        ]
    )

    assert [c.tenant_id for c in found] == [
        "never, small",
        "never, large",
        "repaired",
        "reads limitless, changed",
        "reads limitless",
        "changed",
        "stale",
        "quiet",
    ]


def test_nobody_starves() -> None:
    """Whoever is quiet for long enough comes before whoever is risky and was validated recently."""
    risky = candidate("risky", troubled=True, changed=True, on_limitless=True, age_s=60.0)

    assert urgency(candidate("quiet", age_s=60.0 * 129)) > urgency(risky)


sizes = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 500)), max_size=40)


@given(sizes, st.integers(1, 7), st.integers(1, 1000))
def test_fences_hold_everybody_once_within_their_limits(found: list[tuple[int, int]], most: int, rows: int) -> None:
    everybody = [candidate(str(i), part=part, rows=n) for i, (part, n) in enumerate(found)]
    by_name = {c.tenant_id: c for c in everybody}
    groups = list(fences(everybody, most, rows))

    assert sorted(t for _, group in groups for t in group) == sorted(by_name)
    for part, group in groups:
        assert 1 <= len(group) <= most
        assert {by_name[t].part for t in group} == {part}
        assert len(group) == 1 or sum(by_name[t].rows for t in group) <= rows


@pytest.mark.parametrize(("share", "rest"), [(1.0, 0.0), (0.5, 4.0), (0.25, 12.0)])
def test_work_is_a_share_of_the_time(share: float, rest: float) -> None:
    assert rest_s(4.0, share) == pytest.approx(rest)


def test_ten_thousand_tenants_are_ordered_and_none_is_left_out() -> None:
    everybody = [candidate(str(i), part=1 + i % 8, age_s=float(i), rows=i % 977) for i in range(10_000)]
    groups = list(fences(ordered(everybody), 100, 1_000_000))

    assert sum(len(group) for _, group in groups) == 10_000
