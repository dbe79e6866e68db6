"""Is a table written rarely? By rate, from counters that begin with the statistics."""

from __future__ import annotations

import pytest

from migrator.audit.sizing.rate import rate

DAY = 86_400.0


@pytest.mark.parametrize(
    ("inserts", "updates", "deletes", "rows", "seconds", "rare"),
    [
        (5, 5000, 0, 5, 365 * DAY, True),  # many writes in all, one in two hours
        (90_000, 0, 0, 90_000, 2 * DAY, False),  # a log, in use for two days
        (90_000, 0, 0, 90_000, 3600.0, True),  # loaded an hour ago, and not written since
        (90_000, 0, 1000, 89_000, 3600.0, False),  # loaded, and then changed
        (0, 30, 0, 5, 10.0, True),  # a few in the first seconds are no rate
        (0, 3000, 0, 1, 10.0, False),
        (0, 0, 0, None, 30 * DAY, True),
        (0, 0, 0, 5, None, False),  # nothing is known
        (0, 0, 0, 5, 0.0, False),
        (0, 17_280, 0, 9, DAY, True),  # one in five seconds, at the bound
        (0, 17_281, 0, 9, DAY, False),
    ],
)
def test_how_often_decides(
    inserts: int, updates: int, deletes: int, rows: int | None, seconds: float | None, rare: bool
) -> None:
    """Not how many; an unknown rate is not rare."""
    found = rate(inserts=inserts, updates=updates, deletes=deletes, rows=rows, seconds=seconds)

    assert found.rare is rare
    assert ("not known" in str(found)) is (not seconds)
