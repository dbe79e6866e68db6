"""When everybody falls back, and when a fallback may go."""

from __future__ import annotations

from dataclasses import replace

from migrator.model.route import FallbackScope, Level
from migrator.traffic.breaker.decide import Open, Raise, Step, Trip, next_step, rest_s, to_raise

ALL, PART, TENANT = FallbackScope


def trip(process: str, scope: FallbackScope = ALL, key: str = "") -> Trip:
    return Trip(process, scope, key, "5 reads in a row failed")


def test_a_quorum_trips_it_for_all() -> None:
    assert to_raise([trip("a")], 4, 0.5, [], None) == []
    assert to_raise([trip("a"), trip("b")], 4, 0.5, [], None) == [
        Raise(ALL, "", "2 of 4 processes tripped: 5 reads in a row failed")
    ]


def test_one_process_is_enough_when_the_probe_fails_too() -> None:
    (found,) = to_raise([trip("a", TENANT, "t")], 9, 0.5, [], "cannot be reached: refused")
    assert (found.scope, found.reason) == (
        ALL,
        "1 of 9 processes tripped and limitless cannot be reached: refused",
    )
    assert to_raise([], 9, 0.5, [], "cannot be reached: refused") == [], "nobody reads, nobody suffers"


def test_what_is_raised_or_covered_is_not_raised_again() -> None:
    trips = [trip("a"), trip("a", PART, "1"), trip("a", TENANT, "t")]
    assert [r.scope for r in to_raise(trips, 1, 0.5, [], None)] == [ALL]
    assert to_raise(trips, 1, 0.5, [(ALL, "")], None) == []
    assert [r.key for r in to_raise(trips[1:], 1, 0.5, [(PART, "1")], None)] == ["t"]


WELL = {0: 0.1, 1: 0.1}
OPEN = Open(PART, "1", Level.CLASSIC, False, 10.0, 1, frozenset({0, 1}))


def step(found: Open, problem: str | None = None, ages: dict[int, float] | None = None, validate: bool = True) -> Step:
    return next_step(
        found, problem, WELL if ages is None else ages, open_s=2.0, fresh_s=1.0, validate=validate
    )[0]  # fmt: skip


def test_a_fallback_goes_in_two_steps_once_everything_is_well() -> None:
    joining = replace(OPEN, level=Level.JOINING)
    assert step(OPEN) is Step.EASE
    assert step(joining) is Step.CLEAR
    assert step(replace(joining, unvalidated=("t",))) is Step.VALIDATE
    assert step(replace(joining, unvalidated=("t",)), validate=False) is Step.CLEAR
    assert step(replace(joining, unvalidated=(None,))) is Step.VALIDATE


def test_nothing_goes_while_anything_is_wrong() -> None:
    assert step(replace(OPEN, held=True)) is Step.HOLD
    assert step(replace(OPEN, quarantined=True)) is Step.UNHEALTHY
    assert step(OPEN, problem="cannot be reached") is Step.UNHEALTHY
    assert step(OPEN, ages={0: 0.1}) is Step.UNHEALTHY
    assert step(OPEN, ages={0: 3.0, 1: 0.1}) is Step.UNHEALTHY, "reference tables are read by every tenant"
    assert step(replace(OPEN, age_s=1.9)) is Step.REST


def test_one_that_comes_back_rests_longer_but_not_for_ever() -> None:
    assert [rest_s(2.0, n) for n in (0, 1, 2, 3, 6, 1000)] == [2.0, 2.0, 4.0, 8.0, 60.0, 60.0]
