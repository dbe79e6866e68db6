"""Where a run of the decommission, and a new migration, enter: a decision from facts."""

from __future__ import annotations

import pytest

from migrator.decommission.progress import DecommissionProgress, Entry, enter_at, phases_done
from migrator.errors import InvariantBroken
from migrator.model.phase import Phase
from migrator.model.route import WriteMode

HANDED = DecommissionProgress(WriteMode.LIMITLESS_ONLY, 3, "handed_over", "ana")


@pytest.mark.parametrize(
    ("stand", "entry"),
    [
        (DecommissionProgress(WriteMode.DUAL), Entry.PREPARE),
        (DecommissionProgress(WriteMode.DUAL, 1, "reopened"), Entry.PREPARE),
        (DecommissionProgress(WriteMode.DUAL, 1, "closing"), Entry.REOPEN),
        (DecommissionProgress(WriteMode.CLOSED, 1, "closing"), Entry.REOPEN),
        (DecommissionProgress(WriteMode.CLOSED, 1, "closed"), Entry.REOPEN),
        (DecommissionProgress(WriteMode.CLOSED, 1, "reopened"), Entry.REOPEN),  # reopening was killed half-way
        (HANDED, Entry.SETTLE),
        (DecommissionProgress(WriteMode.LIMITLESS_ONLY, 3, "handed_over", settled=True), Entry.EXPORT),
        (DecommissionProgress(WriteMode.LIMITLESS_ONLY, 3, "handed_over", settled=True, exported=True), Entry.RELEASE),
        (DecommissionProgress(WriteMode.LIMITLESS_ONLY, 3, "handed_over", retiring=True), Entry.RELEASE),
    ],
)
def test_a_run_enters_where_it_stands(stand: DecommissionProgress, entry: Entry) -> None:
    assert enter_at(stand) is entry


@pytest.mark.parametrize(
    "stand",
    [
        DecommissionProgress(WriteMode.DUAL, 3, "handed_over"),
        DecommissionProgress(WriteMode.LIMITLESS_ONLY, 3, "closed"),
    ],
)
def test_facts_that_exclude_each_other_stop_everything(stand: DecommissionProgress) -> None:
    with pytest.raises(InvariantBroken):
        enter_at(stand)


def test_a_new_migration_begins_where_something_can_still_come_of_it() -> None:
    """Behind the point of no return with the end; while rows are captured after the schema; else with the audit."""
    before_end = tuple(phase for phase in Phase if phase is not Phase.DECOMMISSION)
    two = frozenset({Phase.AUDIT, Phase.PROVISION})

    assert phases_done(WriteMode.LIMITLESS_ONLY, frozenset()) == before_end
    assert phases_done(WriteMode.DUAL, two | {Phase.CUTOVER}) == (Phase.AUDIT, Phase.PROVISION)
    assert phases_done(WriteMode.DUAL, frozenset({Phase.PROVISION})) == ()
    assert phases_done(WriteMode.CLASSIC_ONLY, two) == ()
