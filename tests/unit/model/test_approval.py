"""When do votes approve a gate?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from migrator.model.approval import How, Rules, Vote, difference, digest, judge, may_vote

NOW = datetime(2026, 11, 29, 20, tzinfo=UTC)
SEEN = digest({"gate": "cutover", "incidents": "0"})
OTHER = digest({"gate": "cutover", "incidents": "1"})
FOUR_EYES = Rules(authenticated=True, eyes=2)


def vote(
    name: str, how: How = How.TOKEN, evidence: str = SEEN, ago_s: float = 60, valid_s: float | None = None
) -> Vote:
    at = NOW - timedelta(seconds=ago_s)
    return Vote(name, how, evidence, at, None if valid_s is None else at + timedelta(seconds=valid_s))


def test_one_name_is_enough_where_nothing_more_is_asked() -> None:
    assert judge([vote("Ada", How.NONE)], Rules(), SEEN, NOW).approver == "Ada"
    assert judge([], Rules(), SEEN, NOW).missing == "it has no approval"


def test_only_who_was_authenticated_counts_where_that_is_asked() -> None:
    asked = Rules(authenticated=True)
    assert "authenticated" in judge([vote("Ada", How.NONE)], asked, SEEN, NOW).missing
    assert judge([vote("Ada", How.OIDC)], asked, SEEN, NOW).approved


def test_two_different_people_agree_about_the_same_evidence() -> None:
    one, two = vote("Ada", ago_s=90), vote("Bob", ago_s=30)
    assert judge([two, one], FOUR_EYES, SEEN, NOW).approver == "Ada and Bob"
    assert "second approver" in judge([one, vote("Ada")], FOUR_EYES, SEEN, NOW).missing
    assert not judge([one, vote("Bob", evidence=OTHER)], FOUR_EYES, SEEN, NOW).approved
    assert not judge([one, vote("Bob", How.NONE)], FOUR_EYES, SEEN, NOW).approved
    assert "another person" in may_vote([one], FOUR_EYES, SEEN, "Ada", NOW)
    assert may_vote([one], FOUR_EYES, SEEN, "Bob", NOW) == ""
    assert may_vote([vote("Ada", evidence=OTHER)], FOUR_EYES, SEEN, "Ada", NOW) == "", "it is about something else"


def test_an_approval_expires_at_its_second() -> None:
    kept = vote("Ada", ago_s=60, valid_s=60.001)
    late = vote("Ada", ago_s=60, valid_s=60)
    assert judge([kept], Rules(), SEEN, NOW).approved
    assert "expired at 2026-11-29T20:00:00Z" in judge([late], Rules(), SEEN, NOW).missing
    assert not judge([late, vote("Bob")], FOUR_EYES, SEEN, NOW).approved, "two at one time, not one after the other"
    assert may_vote([late], FOUR_EYES, SEEN, "Ada", NOW) == ""


def test_an_approval_of_a_moment_to_come_would_never_expire_and_does_not_count() -> None:
    ahead = vote("Ada", ago_s=-3600, valid_s=60)
    assert "which has not come" in judge([ahead], Rules(), SEEN, NOW).missing
    assert judge([vote("Ada", ago_s=-120)], Rules(), SEEN, NOW).approved, "a clock that is a little behind"


def test_other_evidence_is_named() -> None:
    missing = judge([vote("Ada", evidence=OTHER)], Rules(), SEEN, NOW).missing
    assert OTHER in missing and SEEN in missing
    assert difference({"gate": "x", "incidents": "0"}, {"gate": "x", "incidents": "1", "new": "2"}) == (
        "incidents: 0 → 1",
        "new: not known → 2",
    )


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), st.text(max_size=3), st.text(max_size=3))
def test_a_digest_depends_on_every_fact_and_not_on_their_order(facts: dict[str, str], name: str, value: str) -> None:
    assert digest(facts) == digest(dict(reversed(facts.items())))
    assert (digest({**facts, name: value}) == digest(facts)) is (facts.get(name) == value)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(How), st.booleans(), st.booleans())))
def test_four_eyes_are_never_fewer(found: list[tuple[str, How, bool, bool]]) -> None:
    """However many votes there are: two different people, both authenticated, of this evidence, in time."""
    votes = [vote(n, how, SEEN if same else OTHER, valid_s=10 if late else None) for n, how, same, late in found]
    counted = {n for n, how, same, late in found if how is not How.NONE and same and not late}

    assert judge(votes, FOUR_EYES, SEEN, NOW).approved is (len(counted) >= 2)
