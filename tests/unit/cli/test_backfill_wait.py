"""`backfill status --wait` ends when tenants are mirrored, not when the units there are were copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from migrator.cli import backfill
from migrator.model.status import BackfillLine

COPIED = BackfillLine(0, 2, 2, 0, 0, 9, 9, 900, 0.0, None, False, None, "", ())


@pytest.mark.parametrize(
    ("seen", "looks"),
    [
        ([COPIED], 0),
        ([replace(COPIED, done=1), COPIED], 1),
        ([replace(COPIED, tenants_left=3), replace(COPIED, units=4, tenants_left=3), COPIED], 2),  # to be copied again
        ([replace(COPIED, tenants_left=3, done=1), replace(COPIED, tenants_left=1, done=1, failed=1)], 1),
    ],
)
def test_it_waits_for_tenants(seen: list[BackfillLine], looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_S", 0.0)
    left: Iterator[BackfillLine] = iter(seen[1:])

    assert backfill._wait(lambda: next(left), seen[0], as_json=True) == seen[-1]
    assert list(left) == seen[1 + looks :]
