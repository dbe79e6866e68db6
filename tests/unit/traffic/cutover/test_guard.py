"""The guard: a tenant's own past is the measure, one bad second proves nothing, an outage is nobody's fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.model.tenant import TenantId
from migrator.traffic.cutover.guard import (
    GuardLimits,
    Sample,
    Watch,
    complaint,
    lasting,
    longer_complaint,
    longer_windows,
    look,
    outage,
)

LIMITS = GuardLimits(p99_factor=2.0, p99_floor_ms=50.0, error_ratio=0.01, min_reads=20, patience=2, max_failed=1)
CLASSIC = Sample(1000, 0, 40.0)


def test_worse_than_its_own_past_and_above_the_floor_is_a_complaint() -> None:
    slow = Sample(100, 0, 120.0)

    assert complaint(CLASSIC, slow, LIMITS) == "p99 120 ms on Limitless against 40 ms on classic (limit 80 ms)"


def test_what_nobody_notices_is_no_complaint() -> None:
    """Ten times slower and still below the floor."""
    assert complaint(Sample(1000, 0, 4.0), Sample(100, 0, 45.0), LIMITS) is None


def test_too_few_reads_say_nothing() -> None:
    assert complaint(CLASSIC, Sample(19, 19, 5000.0), LIMITS) is None


def test_without_a_past_only_errors_are_judged() -> None:
    unknown = Sample(3, 0, 1.0)

    assert complaint(unknown, Sample(100, 0, 5000.0), LIMITS) is None
    assert complaint(unknown, Sample(100, 5, 10.0), LIMITS) is not None


def test_a_complaint_has_to_last() -> None:
    bad = {TenantId("a"): (CLASSIC, Sample(100, 50, 10.0))}
    good = {TenantId("a"): (CLASSIC, Sample(100, 0, 10.0))}

    first = look(Watch(), bad, 0, LIMITS)
    forgiven = look(first.watch, good, 0, LIMITS)
    again = look(forgiven.watch, bad, 0, LIMITS)
    guilty = look(again.watch, bad, 0, LIMITS)

    assert not first.roll_back and not again.roll_back
    assert [tenant for tenant, _ in guilty.roll_back] == ["a"]
    assert guilty.whole_wave is None


def test_beyond_the_limit_the_whole_wave_goes_back() -> None:
    bad = {TenantId(n): (CLASSIC, Sample(100, 50, 10.0)) for n in "ab"}

    once = look(Watch(), bad, 0, LIMITS)
    twice = look(once.watch, bad, 0, LIMITS)
    later = look(Watch({TenantId("c"): 1}), {TenantId("c"): (CLASSIC, Sample(100, 50, 10.0))}, 1, LIMITS)

    assert twice.whole_wave == "2 tenants of the wave were rolled back (limit 1)"
    assert later.whole_wave is not None, "earlier rollbacks of the wave count"


def test_an_outage_is_nobodys_fault() -> None:
    assert outage([], [], limitless_answers=False) == "Limitless does not answer"
    assert outage(["errors"], [], limitless_answers=True) == "a breaker is open: errors"
    assert outage([], ["part 1 lags"], limitless_answers=True) == "reads have fallen back to classic: part 1 lags"
    assert outage([], [], limitless_answers=True) is None


def test_one_slow_or_failed_read_is_chance() -> None:
    """A tenant that reads twenty times a minute is not judged by its worst read."""
    assert complaint(CLASSIC, Sample(20, 2, 10.0), LIMITS) is None
    assert complaint(CLASSIC, Sample(20, 3, 10.0), LIMITS) is not None


def test_what_is_over_is_over() -> None:
    """The last seconds of the window are good: the bad ones before them need not last to leave it."""
    bad, good, few = Sample(600, 0, 3000.0), Sample(30, 0, 10.0), Sample(3, 0, 10.0)

    assert lasting(CLASSIC, bad, good, LIMITS) is None
    assert lasting(CLASSIC, bad, few, LIMITS) is not None, "too little to say that it is over"
    assert lasting(CLASSIC, bad, bad, LIMITS) is not None


@pytest.mark.parametrize(("watched_s", "windows"), [
    (0.0, ()),
    (60.0, ()),
    (90.0, (90.0,)),
    (601.0, (600.0, 601.0)),
    (86_400.0, (600.0, 3600.0, 86_400.0)),
])  # fmt: skip
def test_windows_grow_with_the_watch(watched_s: float, windows: tuple[float, ...]) -> None:
    """Three at most, whatever the soak."""
    assert longer_windows(watched_s, LIMITS) == windows


def test_a_longer_window_sees_who_reads_seldom() -> None:
    """And who is bad for a few seconds in every minute; but no watch of two minutes judges one bad second twice."""
    slow, good, few = Sample(600, 0, 3000.0), Sample(600, 0, 10.0), Sample(5, 0, 10.0)

    assert longer_complaint(CLASSIC, few, {90.0: slow}, LIMITS) is not None
    assert longer_complaint(CLASSIC, good, {90.0: slow}, LIMITS) is None
    assert longer_complaint(CLASSIC, good, {600.0: slow, 7200.0: good}, LIMITS) == (
        "p99 3000 ms on Limitless against 40 ms on classic (limit 80 ms), over 600 s"
    )


def test_a_limit_of_its_own_stands_in_for_a_past() -> None:
    limits = replace(LIMITS, p99_limit_ms=1000.0)

    assert complaint(Sample(), Sample(100, 0, 1500.0), limits) == "p99 1500 ms on Limitless (limit 1000 ms)"
    assert complaint(Sample(), Sample(100, 0, 900.0), limits) is None
