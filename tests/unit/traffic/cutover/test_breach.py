"""A breach of limits after the waves: an incident once it lasts, and once until it is over."""

from __future__ import annotations

from migrator.control.breaker import Breach
from migrator.model.tenant import TenantId
from migrator.traffic.cutover.breach import Subject, describe, judge

A = TenantId("a")
PATIENCE_S, CALM_S = 120.0, 600.0


def looks(when: dict[int, bool], until_s: int = 7200, every_s: int = 5) -> list[int]:
    """Return when incidents began, if everybody's reads are bad or good from the given seconds on."""
    known: dict[Subject, Breach] = {}
    bad, recorded = False, []
    for now_s in range(0, until_s, every_s):
        bad = when.get(now_s, bad)
        known, incidents = judge(known, {None: "slow"} if bad else {}, now_s, PATIENCE_S, CALM_S)
        recorded += [now_s] if incidents else []
    return recorded


def test_a_breach_is_recorded_once_however_long_it_lasts() -> None:
    assert looks({60: True}) == [180]


def test_what_does_not_last_is_none() -> None:
    assert looks({60: True, 175: False, 200: True, 315: False}) == []


def test_one_that_comes_and_goes_is_one() -> None:
    """Good for less than the calm time in between: nobody is told again."""
    assert looks({60: True, 300: False, 800: True, 1000: False, 1500: True}) == [180]


def test_after_a_calm_time_it_is_another() -> None:
    assert looks({60: True, 300: False, 1000: True, 1200: False}) == [180, 1120]


def test_a_flap_cannot_be_an_incident_a_minute() -> None:
    """Bad for three minutes of every four, for two hours."""
    flapping = {second: second // 60 % 4 != 3 for second in range(0, 7200, 60)}

    assert looks(flapping) == [120]


def test_all_that_begin_together_are_one_line() -> None:
    many: dict[Subject, str] = {TenantId(str(n)): "slow" for n in range(10)}

    assert describe({None: "slow", A: "fails"}) == "all tenants: slow; tenant a: fails"
    assert describe(many).endswith("; … (10 in all)")
