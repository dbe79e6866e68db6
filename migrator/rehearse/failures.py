"""Sorts the errors that the application saw by whether a fault of the rehearsal explains them. Pure.

An error is expected when the table below says so for its cause, and when the operation was under way while that fault
lasted. Every other error fails the rehearsal, also one of the right class at another time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from migrator.model.sqlstate import Fault, fault_of
from migrator.rehearse.ledger import Failure
from migrator.report import words


class Cause(StrEnum):
    """The cause of an error of the shim, or of a server through it."""

    CLASSIC_UNREACHABLE = "classic could not be reached"
    LIMITLESS_UNREACHABLE = "Limitless could not be reached"
    CONNECTION_LOST = "the connection was lost"
    ANSWER_LOST = "the answer to COMMIT was lost"
    UNCONFIRMED = "committed, not confirmed"
    WRITES_CLOSED = "writes were closed"
    ROW_MISSING = "an acknowledged row was missing"
    OTHER = "another error"


_BY_TYPE = {
    "CommitUnknown": Cause.ANSWER_LOST,
    "CommittedUnconfirmed": Cause.UNCONFIRMED,
    "WritesClosed": Cause.WRITES_CLOSED,
    "RowVanished": Cause.ROW_MISSING,
}
_BY_SIDE = {"classic": Cause.CLASSIC_UNREACHABLE, "limitless": Cause.LIMITLESS_UNREACHABLE}
_OF_A_LOST_CONNECTION = "OperationalError"
"""psycopg's type where no server answered; with an answer the SQLSTATE decides."""


def cause_of(failure: Failure) -> Cause:
    """Return the cause of *failure*."""
    if failure.error in _BY_TYPE:
        return _BY_TYPE[failure.error]
    if failure.error == "ClusterUnavailable":
        return _BY_SIDE.get(failure.side, Cause.OTHER)
    if failure.sqlstate:
        lost = fault_of(failure.sqlstate) is Fault.UNREACHABLE
    else:
        lost = failure.error == _OF_A_LOST_CONNECTION
    return Cause.CONNECTION_LOST if lost else Cause.OTHER


class Expected(NamedTuple):
    """Reads and writes may end with *cause* while *event* lasts; *how* they ended then, for people."""

    event: str
    cause: Cause
    how: str


EXPECTED = (
    Expected("classic_killed", Cause.CLASSIC_UNREACHABLE, "refused while classic was down"),
    Expected("classic_killed", Cause.CONNECTION_LOST, "cut off when classic went down"),
    Expected("classic_killed", Cause.ANSWER_LOST, "whose COMMIT got no answer when classic went down"),
    Expected("classic_killed", Cause.UNCONFIRMED, "committed but not confirmed when classic went down"),
    Expected("handed_over", Cause.WRITES_CLOSED, "refused in the pause of the hand-over"),
)
"""Every other error is one that the shim has to keep from the application (docs/reliability.md)."""


class Window(NamedTuple):
    """When an event of the rehearsal took place."""

    event: str
    began: float
    ended: float


@dataclass(slots=True)
class Kind:
    """Errors of one kind.

    Attributes:
        operation: read or write.
        how: they ended, for people.
        expected: a fault of the rehearsal explains them.
        errors: how often each type of error was it, with its SQLSTATE.
        first_at: when the first one ended.
    """

    operation: str
    how: str
    expected: bool
    first_at: float
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.errors.total()

    @property
    def what(self) -> str:
        """Return what they were, as it stands behind their number."""
        return f"{self.operation}{'s' * (self.count != 1)} {self.how}"


def kinds(failures: Iterable[Failure], windows: Sequence[Window]) -> list[Kind]:
    """Return *failures* by kind, unexplained ones first, then the most frequent."""
    kinds: dict[tuple[str, str], Kind] = {}
    for failure in failures:
        why = _explained(failure, windows)
        how = why or _unexplained(failure)
        kind = kinds.setdefault((failure.operation, how), Kind(failure.operation, how, bool(why), failure.at))
        kind.first_at = min(kind.first_at, failure.at)
        kind.errors[" ".join(filter(None, (failure.error, failure.sqlstate)))] += 1
    return sorted(kinds.values(), key=lambda k: (k.expected, -k.count, k.what))


def said(kinds: Sequence[Kind]) -> str:
    """Return *kinds* in one line: '176 writes refused while classic was down, …'."""
    return ", ".join(f"{words.count(kind.count)} {kind.what}" for kind in kinds)


def _explained(failure: Failure, windows: Sequence[Window]) -> str:
    """Return the text of what explains *failure*, empty where nothing does."""
    cause, began = cause_of(failure), failure.began or failure.at
    for rule in EXPECTED:
        if rule.cause is cause and any(
            w.event == rule.event and began <= w.ended and failure.at >= w.began for w in windows
        ):
            return rule.how
    return ""


def _unexplained(failure: Failure) -> str:
    cause = cause_of(failure)
    state = f" ({failure.sqlstate})" if failure.sqlstate else ""
    why = f"{failure.error}{state}" if cause is Cause.OTHER else f"{failure.error}{state}, {cause}"
    return f"ended in {why}"
