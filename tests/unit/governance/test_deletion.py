"""An approval of classic's deletion is of one copy, by who the plan knows, and by two where it says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import NotAuthenticated, UsageError
from migrator.governance.deletion import approval, approvers, enough, holds
from migrator.governance.keys import new_token
from migrator.plan.schema import Plan

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
COPY = "orders/orders-before-decommission"
ADA, BOB, EVE = (new_token() for _ in range(3))


def plan(**governance: Any) -> Plan:
    body = {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, "governance": governance}
    return Plan.model_validate(body)


PEOPLE = {"Ada": {"key": ADA[1]}, "Bob": {"key": BOB[1]}, "Eve": {"key": EVE[1], "acts": ["audit"]}}
STRICT = plan(authentication="required", approver=PEOPLE, four_eyes=["decommission"])


def test_two_different_people_are_asked_for() -> None:
    first = approval(STRICT, "Ada", ADA[0], COPY, NOW)
    again = approval(STRICT, "Ada", ADA[0], COPY, NOW)
    second = approval(STRICT, "Bob", BOB[0], COPY, NOW)

    assert not enough(STRICT, approvers(STRICT, [first, again], COPY))
    assert enough(STRICT, approvers(STRICT, [first, second], COPY))


@pytest.mark.parametrize(
    ("name", "token"),
    [("Ada", None), ("Ada", BOB[0]), ("Mallory", ADA[0]), ("Eve", EVE[0]), ("Ada", "migapp_x")],
    ids=["none", "another's", "unknown", "expired", "no token"],
)
def test_who_is_not_known_to_be_an_approver_approves_nothing(name: str, token: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        approval(STRICT, name, token, COPY, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": "orders/another"},
        {"approver": "Bob"},
        {"at": datetime(2026, 11, 28, tzinfo=UTC).isoformat()},
        {"signature": ""},
        {"how": "none"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_was_altered_on_limitless_does_not_count(changes: dict[str, str]) -> None:
    kept = approval(STRICT, "Ada", ADA[0], COPY, NOW)

    assert holds(STRICT, kept, COPY)
    assert not holds(STRICT, {**kept, **changes}, COPY)
    assert not holds(STRICT, kept, "orders/another")


def test_an_approval_of_another_plan_or_of_a_person_who_left_does_not_count() -> None:
    kept = approval(STRICT, "Ada", ADA[0], COPY, NOW)
    left = plan(authentication="required", approver={"Bob": {"key": BOB[1]}})
    new_key = plan(authentication="required", approver={"Ada": {"key": BOB[1]}})

    assert not holds(left, kept, COPY) and not holds(new_key, kept, COPY)


def test_a_name_counts_where_the_plan_asks_for_no_more() -> None:
    kept = approval(plan(), "ana", None, COPY, NOW)

    assert holds(plan(), kept, COPY) and not holds(STRICT, kept, COPY)


def test_one_token_under_two_names_is_one_person(tmp_path: Path) -> None:
    """Found by reference, so that the plan does not show that they are the same."""
    (tmp_path / "key").write_text(f"{ADA[1]}\n")
    people = {"Ada": {"key": ADA[1]}, "Ada Two": {"key": f"file:{tmp_path}/key"}}
    two_names = plan(authentication="required", approver=people, four_eyes=["decommission"])
    kept = [approval(two_names, name, ADA[0], COPY, NOW) for name in people]

    assert approvers(two_names, kept, COPY) == ("Ada",)
    (tmp_path / "key").write_text("hunter2")
    with pytest.raises(UsageError, match=r"no public key of an approver \(not shown\)"):
        approvers(two_names, kept, COPY)
