"""When a statement whose answers differed counts as corrected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migrator.model.shadow_read import ShadowLine, ShadowTotals, blockers

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
BAD = ShadowLine("bad", "SELECT ?", "", 1000, 10, 0, 0, 1, ("t1",), AT, AT, clean=0, quiet_s=7200)


def held(line: ShadowLine) -> bool:
    return bool(blockers([line], ShadowTotals(compared=1), True, (), 7))


@pytest.mark.parametrize(
    ("differing", "before", "needed"),
    [(10, 1000, 688), (1, 1000, 6905), (1000, 1000, 100), (1, 1, 100), (500, 1000, 100)],
)
def test_the_rarer_a_difference_was_the_more_clean_reads_it_takes(differing: int, before: int, needed: int) -> None:
    line = replace(BAD, differing=differing, compared=before)
    assert line.clean_needed == needed
    assert held(replace(line, clean=needed - 1, compared=before + needed - 1))
    assert not held(replace(line, clean=needed, compared=before + needed))


def test_it_has_to_last_as_long_as_differences_were_seen() -> None:
    clean = replace(BAD, clean=100_000, compared=101_000)
    assert held(replace(clean, quiet_s=3599)) and not held(replace(clean, quiet_s=3600))
    nightly = replace(clean, first_at=AT - timedelta(days=2))
    assert held(replace(nightly, quiet_s=86_400)) and not held(replace(nightly, quiet_s=172_800))


def test_a_clock_that_was_set_back_corrects_nothing() -> None:
    assert held(replace(BAD, clean=100_000, compared=101_000, quiet_s=-50))
