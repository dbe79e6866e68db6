"""A drill passes when all confirmed and no read failed; it refuses a moment that is none; its age holds waves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from migrator.drill.rollback import Facts, Move, Reads, RollbackDrill, judge, refusals
from migrator.model.drill import Drill, DrillKind, DrillLine, stale
from migrator.model.route import Level, WriteMode
from migrator.model.tenant import TenantId

ONE = TenantId("t1")
GOOD = Facts((ONE,), WriteMode.DUAL, Level.LIMITLESS, {ONE: Level.LIMITLESS}, live=2)
DAY_S = 86_400.0


def test_a_good_moment() -> None:
    assert refusals(GOOD) == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenants": ()}, "drill.no_tenant"),
        ({"write_mode": WriteMode.LIMITLESS_ONLY}, "drill.write_mode"),
        ({"write_mode": WriteMode.CLOSED}, "drill.write_mode"),
        ({"switch": Level.CLASSIC}, "reads.rolled_back"),
        ({"levels": {}}, "drill.not_there"),
        ({"levels": {ONE: Level.JOINING}}, "drill.not_there"),
        ({"held": frozenset({ONE})}, "tenant.held"),
        ({"under_way": (2,)}, "drill.wave_under_way"),
        ({"fallbacks": ("breaker",)}, "reads.fallen_back"),
        ({"live": 0}, "drill.no_process"),
    ],
)
def test_no_moment_for_a_drill(changes: dict[str, Any], code: str) -> None:
    assert [blocker.code for blocker in refusals(replace(GOOD, **changes))] == [code]


DONE = RollbackDrill(1, Move(0.01, {"web": 0.2}), Move(0.02, {"web": 0.3}), Reads(5), Reads(7))


@pytest.mark.parametrize(
    ("done", "outcome", "problem"),
    [
        (DONE, "", ""),
        (replace(DONE, back=Move(0.01, {}, ("web",))), "", "rollback was not confirmed by web"),
        (replace(DONE, forward=None), "behind", "reads did not go forward again: behind"),
        (replace(DONE, forward=Move(0.01, {}, ("web",))), "", "going forward was not confirmed by web"),
        (replace(DONE, classic=Reads(5, 2)), "", "2 of 5 reads failed on classic"),
        (replace(DONE, limitless=Reads(7, 1)), "", "1 of 7 reads failed on limitless"),
    ],
)
def test_whether_it_passed(done: RollbackDrill, outcome: str, problem: str) -> None:
    judged = judge(done, outcome)

    assert judged.passed is (not problem)
    assert problem in "; ".join(judged.problems)


def line(kind: DrillKind, passed_s: float | None) -> DrillLine:
    return DrillLine(Drill(kind, datetime(2026, 11, 1, tzinfo=UTC), "ana", "t1", True, 1.0), passed_s)


@pytest.mark.parametrize(
    ("lines", "days", "is_stale"),
    [
        ((), None, False),
        ((), 30, True),
        ((line(DrillKind.ROLLBACK, 29 * DAY_S),), 30, False),
        ((line(DrillKind.ROLLBACK, 31 * DAY_S),), 30, True),
        ((line(DrillKind.ROLLBACK, None),), 30, True),  # none has ever passed
        ((line(DrillKind.RESTORE, 0.0),), 30, True),  # another drill says nothing of a rollback
    ],
)
def test_its_age(lines: tuple[DrillLine, ...], days: float | None, is_stale: bool) -> None:
    assert (stale(lines, days) is not None) is is_stale
