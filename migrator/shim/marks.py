"""Reads from a transaction's marks whether it is the one that began, and which partitions it touched. Pure.

Both are settings of the transaction, which an application can reset and set. A write is never acknowledged without
them: a transaction that is certainly another one is refused, and where the marks are missing the write waits for every
partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from migrator.model.route import WriteMode
from migrator.shim.statements import UNTOUCHED


@dataclass(frozen=True, slots=True)
class Marks:
    """What a transaction looks like before its COMMIT.

    Attributes:
        xid: its number; None when it wrote nothing so far.
        parts: the setting migrator.parts.
        begun: the setting migrator.begun.
        deferrable: whether it is DEFERRABLE.
        mode: the write mode it sees.
        epoch, history: the route epoch it sees, and the mark that tells histories of classic apart.
    """

    xid: int | None
    parts: str | None
    begun: str | None
    deferrable: bool
    mode: WriteMode
    epoch: int
    history: str

    @classmethod
    def of(cls, row: Sequence[str | None]) -> Marks:
        """Return the answer of statements.BEFORE_COMMIT as a value."""
        xid, parts, begun, deferrable, mode, epoch, history = row[:7]
        return cls(
            None if xid is None else int(xid), parts, begun, deferrable == "on", WriteMode(mode or ""),
            int(epoch or -1), str(history),
        )  # fmt: skip

    @classmethod
    def said(cls, text: str, mark: str) -> Marks:
        """Return the answer of statements.BEFORE_COMMIT_BRIEFLY as a value; *mark* is what was asked about."""
        xid, begun, deferrable, mode, epoch, history, *parts = text.split(" ", 6)
        return cls(
            None if xid == "-" else int(xid), parts[0] if parts else None, mark if begun == "begun" else None,
            deferrable == "on", WriteMode(mode), int(epoch), history,
        )  # fmt: skip


class Identity(Enum):
    """Whether the transaction that ends is the one that began."""

    SAME = "same"
    UNKNOWN = "unknown"  # its marks were reset (RESET ALL), or it is the next of a chain (COMMIT AND CHAIN)
    OTHER = "other"


def identity(marks: Marks, mark: str) -> Identity:
    """Return whether this is the transaction that was begun with *mark*."""
    if marks.begun == mark:
        return Identity.SAME
    return Identity.UNKNOWN if marks.deferrable else Identity.OTHER


def touched(marks: Marks, known: Identity) -> int | None:
    """Return the bit mask of the partitions it touched; None when that is unknown, so that it may be any."""
    if known is not Identity.SAME or not marks.parts:
        return None
    if marks.parts == UNTOUCHED:
        return 0
    number = int(marks.parts) if marks.parts.isascii() and marks.parts.isdigit() else 0
    # Capture writes plain numbers above zero: anything else was set by the application.
    return number if str(number) == marks.parts and 0 < number < 1 << 63 else None
