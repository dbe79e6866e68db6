"""Whose error is it? What classic said, what is usual there, and the class where nothing is known."""

from __future__ import annotations

import pytest

from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import doubt as d
from migrator.shim.doubt import Doubt, Doubts, Key, explained

T1, T2 = TenantId("t1"), TenantId("t2")
DENIED = Doubt(frozenset({"42501"}), "permission denied for table note")
WRONG = Doubt(frozenset({"22P02"}), "invalid input syntax")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def reads(doubts: Doubts, side: Side, count: int, *states: str, tenant: TenantId = T1) -> None:
    for _ in range(count):
        doubts.ended(tenant, side, frozenset(states))


@pytest.mark.parametrize(
    ("limitless", "classic", "own"),
    [
        ({"42501"}, set(), False),
        ({"42501"}, {"42501"}, True),
        ({"42501"}, {"22012"}, False),
        ({"42P01", "22012"}, {"42P01"}, False),
        ({"42P01"}, {"42P01", "22012"}, True),
        ({"XX000"}, {"42703"}, True),
        ({"XX000"}, set(), False),
        ({"XX000", "42501"}, {"42703"}, False),
    ],
)
def test_an_error_is_own_when_classic_gives_it_too(limitless: set[str], classic: set[str], own: bool) -> None:
    assert explained(frozenset(limitless), frozenset(classic)) is own


def test_an_answer_holds_for_the_same_error_of_the_same_tenant_at_the_same_place_and_not_for_ever() -> None:
    clock = Clock()
    doubts = Doubts(clock)
    key = Key(T1, DENIED, "here")
    doubts.answered(key, own=True)

    assert doubts.is_own(key)
    assert not doubts.is_own(Key(T2, DENIED, "here"))
    assert not doubts.is_own(Key(T1, DENIED, "there"))
    assert not doubts.is_own(Key(T1, WRONG, "here"))
    clock.now += d.OWN_S
    assert not doubts.is_own(key)


def test_what_classic_answered_otherwise_is_forgotten_at_once() -> None:
    doubts = Doubts(Clock())
    key = Key(T1, DENIED, "here")
    doubts.answered(key, own=True)
    doubts.answered(key, own=False)

    assert not doubts.is_own(key)


def test_asking_about_own_errors_costs_classic_a_small_share_of_the_reads() -> None:
    """An application that errs all the time, each time in another way."""
    doubts = Doubts(Clock())
    asked = 0
    for number in range(10_000):
        reads(doubts, Side.LIMITLESS, 1, "22P02")
        if doubts.may_ask():
            asked += 1
            doubts.answered(Key(T1, Doubt(frozenset({"22P02"}), str(number)), "here"), own=True)

    assert asked <= d.BURST + 10_000 * d.ASK_SHARE + 1


def test_answers_that_help_the_caller_are_never_rationed() -> None:
    doubts = Doubts(Clock())
    for number in range(1000):
        assert doubts.may_ask()
        doubts.answered(Key(T1, DENIED, number), own=False)


def test_unasked_errors_go_by_what_classic_answered_lately() -> None:
    doubts = Doubts(Clock())
    assert doubts.suspects(T1, DENIED)
    doubts.answered(Key(T1, DENIED, "here"), own=True)
    assert not doubts.suspects(T1, DENIED)
    assert doubts.suspects(T2, DENIED), "another tenant's answer says nothing"
    doubts.answered(Key(T1, DENIED, "here"), own=False)
    assert doubts.suspects(T1, DENIED)


def test_unasked_errors_go_by_the_tenants_own_rate_on_classic() -> None:
    doubts = Doubts(Clock())
    reads(doubts, Side.CLASSIC, 90)
    reads(doubts, Side.CLASSIC, 10, "22P02")
    reads(doubts, Side.LIMITLESS, 88)
    reads(doubts, Side.LIMITLESS, 12, "22P02")

    assert not doubts.suspects(T1, WRONG), "12 % against 10 %"
    reads(doubts, Side.LIMITLESS, 20, "22P02")
    assert doubts.suspects(T1, WRONG), "27 % against 10 %"
    reads(doubts, Side.LIMITLESS, 1, "42501")
    assert doubts.suspects(T1, DENIED), "never seen on classic"


@pytest.mark.parametrize(
    ("state", "counts"),
    [("42501", True), ("42883", True), ("42P01", True), ("42703", True), ("0A000", True), ("3F000", True),
     ("XX000", True), ("57014", True), ("53200", True),
     ("22P02", False), ("22012", False), ("23505", False), ("P0001", False), ("40001", False), ("25P02", False)],
)  # fmt: skip
def test_where_nothing_is_known_the_class_decides(state: str, counts: bool) -> None:
    assert Doubts(Clock()).suspects(T1, Doubt(frozenset({state}))) is counts


OWN = (
    "25006", "25001", "25P02", "25P03", "25P04", "08P01", "53400", "54000", "54001", "54011", "54023", "42601",
    "42702", "42803", "42P02", "42P18",
)  # fmt: skip
CLUSTERS = ("57014", "53200", "53100", "53300", "0A000", "42501", "42P01", "42703", "42883", "XX000", "08006")


@pytest.mark.parametrize("state", [*OWN, *CLUSTERS])
def test_what_a_statement_makes_by_itself_never_counts_unasked(state: str) -> None:
    """Also for a tenant that never had it on classic: the application that does it now is a new release."""
    doubts, doubt = Doubts(Clock()), Doubt(frozenset({state}))
    assert doubts.suspects(T1, doubt) is (state in CLUSTERS)
    reads(doubts, Side.CLASSIC, 100)
    reads(doubts, Side.LIMITLESS, 10, state)
    assert doubts.suspects(T1, doubt) is (state in CLUSTERS)
    doubts.answered(Key(T1, doubt, "here"), own=False)
    assert doubts.suspects(T1, doubt), "classic was asked, and does not give it"


def test_a_timeout_of_the_application_is_its_own() -> None:
    short, long = (Doubt(frozenset({"57014"}), "canceled", cut) for cut in (True, False))
    doubts = Doubts(Clock())
    assert (doubts.suspects(T1, short), doubts.suspects(T1, long)) == (False, True)
    both = Doubt(frozenset({"57014", "42P01"}), "canceled", cut_short=True)
    assert doubts.suspects(T1, both), "the other one is not explained by it"


def test_one_error_on_classic_explains_as_many_on_limitless() -> None:
    """A breaker that opened sends reads to classic; what they meet there too opens it no second time."""
    doubts = Doubts(Clock())
    reads(doubts, Side.LIMITLESS, 10, "42P01")
    missing = Doubt(frozenset({"42P01"}), "no such table")
    assert doubts.suspects(T1, missing)
    reads(doubts, Side.CLASSIC, 1, "42P01")
    assert not doubts.suspects(T1, missing)


def test_old_counts_fade() -> None:
    clock = Clock()
    doubts = Doubts(clock)
    doubts.answered(Key(T1, DENIED, "here"), own=True)
    clock.now += d.WINDOW_S
    assert doubts.suspects(T1, DENIED)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "REMEMBERED", 10)
    doubts = Doubts(Clock())
    for number in range(100):
        doubts.answered(Key(TenantId(str(number)), DENIED, "here"), own=True)

    assert len(doubts._own) == 10
    assert len(doubts._seen) <= 10
