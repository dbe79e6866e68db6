"""Says of each step of a change whether `migrator schema undo` can still take the change back after it. Pure.

`migrator.dataplane.change.take_back` decides it on the servers, where a run may have stopped between a step and its
record; this is what a dry run can promise before.
"""

from __future__ import annotations

from migrator.dataplane.change.kinds import Kind

_UNDO = "migrator schema undo, until the change is finished"
_OPPOSITE = "a later file that says the opposite; migrator schema undo refuses from here on"

REVERSIBLE: dict[Kind, frozenset[str]] = {
    Kind.DROP_COLUMN: frozenset({"loosen_on_limitless"}),
    Kind.DROP_INDEX: frozenset({"drop_on_limitless"}),
    Kind.DROP_CONSTRAINT: frozenset({"release_on_limitless"}),
    Kind.DROP_NOT_NULL: frozenset({"loosen_on_limitless"}),
    Kind.VALIDATE_CONSTRAINT: frozenset(),
    Kind.CHANGE_TYPE: frozenset({"type_on_limitless"}),
    Kind.CREATE_TABLE: frozenset({"make_on_limitless"}),
    Kind.DROP_TABLE: frozenset(),
    Kind.CREATE_TYPE: frozenset({"make_on_limitless"}),
    Kind.CREATE_SEQUENCE: frozenset({"make_on_limitless"}),
    Kind.ADD_LABEL: frozenset(),
    Kind.BOTH_SIDES: frozenset(),
    Kind.CLASSIC_ONLY: frozenset(),
}
"""The steps after which a change can be taken back for certain; a kind that is not here, after any."""

_OPPOSED = frozenset(
    {
        Kind.DROP_INDEX, Kind.DROP_CONSTRAINT, Kind.DROP_NOT_NULL, Kind.VALIDATE_CONSTRAINT, Kind.CREATE_TYPE,
        Kind.CREATE_SEQUENCE, Kind.BOTH_SIDES,
    }
)  # fmt: skip
"""Kinds whose opposite is a statement that can be applied, and loses no row and no value."""


def way_back(kind: Kind, step: str) -> str | None:
    """Return how what was done is undone once *step* of a change is done; None where nothing brings it back."""
    if kind not in REVERSIBLE or step in REVERSIBLE[kind]:
        return _UNDO
    return _OPPOSITE if kind in _OPPOSED else None
