"""Classic is stopped before it is deleted, kept as the plan says, and deleted by an approval of this very copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.model.retirement import Act, Retirement, Rules, missing, next_step

COPIED = datetime(2026, 11, 1, tzinfo=UTC)
RULES = Rules(timedelta(days=14), timedelta(days=30))
RESTORED = {"passed": True, "copy": "last"}


def kept(days: float = 1, **values: Any) -> Retirement:
    """Classic, so many days after its last copy."""
    begun = Retirement("aws", COPIED + timedelta(days=days), "orders", copy="last", copied_at=COPIED, stopped_at=COPIED)
    return replace(begun, **values)


def approved(days: float, **values: Any) -> Retirement:
    return kept(days, **{"restored": RESTORED, "approved_by": "ana", "approved_copy": "last", **values})


@pytest.mark.parametrize(
    ("known", "state", "act"),
    [
        (kept(), "stopped", Act.WAIT),
        (kept(8), "available", Act.STOP),  # AWS has started it
        (kept(8), "starting", Act.WAIT),
        (kept(100), "stopped", Act.WAIT),  # no approval
        (kept(8, stop_problem="global"), "available", Act.WAIT),
        (approved(13), "stopped", Act.WAIT),
        (approved(13), "available", Act.STOP),
        (approved(14), "stopped", Act.START),  # no stopped cluster can be deleted
        (approved(14), "starting", Act.WAIT),
        (approved(14), "available", Act.DELETE),
        (approved(14, restored={}), "available", Act.STOP),
        (approved(14, restored={"passed": True, "copy": "another"}), "available", Act.STOP),
        (approved(14, approved_copy="another"), "stopped", Act.WAIT),
        (approved(14), "deleting", Act.WAIT),
        (approved(14), None, Act.NOTE_DELETED),
        (approved(15, deleted_at=COPIED + timedelta(days=14)), None, Act.WAIT),
        (approved(44, deleted_at=COPIED + timedelta(days=14)), None, Act.DELETE_COPY),
        (approved(50, deleted_at=COPIED, copy_deleted_at=COPIED), None, Act.NOTHING),
        (kept(99, kind="local"), None, Act.NOTHING),
        (kept(1, copy="", copied_at=None), "available", Act.WAIT),
    ],
)
def test_the_next_step(known: Retirement, state: str | None, act: Act) -> None:
    assert next_step(known, RULES, state).act is act


def test_a_copy_is_kept_without_an_end_unless_the_plan_says_so() -> None:
    rules = replace(RULES, keep_copy=None)

    assert next_step(approved(9_999, deleted_at=COPIED), rules, None).act is Act.NOTHING


STATES = ["available", "stopped", "stopping", "starting", "backing-up", "deleting", None]


@given(
    days=st.floats(0, 60),
    state=st.sampled_from(STATES),
    stopped=st.booleans(),
    restored=st.sampled_from([{}, RESTORED, {"passed": False, "copy": "last"}, {"passed": True, "copy": "other"}]),
    by=st.sampled_from(["", "ana"]),
    of=st.sampled_from(["", "last", "other"]),
    rules=st.builds(Rules, st.sampled_from([timedelta(0), timedelta(days=14)]), st.none(), st.booleans()),
)
def test_nothing_is_deleted_without_all_that_is_promised(
    days: float, state: str | None, stopped: bool, restored: dict[str, Any], by: str, of: str, rules: Rules
) -> None:
    known = kept(days, stopped_at=COPIED if stopped else None, restored=restored, approved_by=by, approved_copy=of)

    if next_step(known, rules, state).act is Act.DELETE:
        assert by and of == "last" and days >= rules.keep.days and state == "available"
        assert restored == RESTORED or not rules.restore_first


def test_an_approval_needs_a_stopped_cluster_and_a_restored_copy() -> None:
    def codes(known: Retirement | None) -> list[str]:
        return [blocker.code for blocker in missing(known, RULES)]

    assert codes(None) == ["classic.not_retired"]
    assert codes(kept(kind="kept", why="the plan says so")) == ["classic.not_ours"]
    assert codes(kept(copy="", stopped_at=None)) == ["copy.missing", "classic.runs", "copy.not_restored"]
    assert codes(kept(restored={"passed": False, "copy": "last"})) == ["copy.not_restored"]
    assert codes(kept(restored=RESTORED, stopped_at=None, stop_problem="it is a global database")) == []
    assert codes(kept(deleted_at=COPIED)) == ["classic.deleted"]
