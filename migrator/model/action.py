"""What would a command do, and can it be undone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Action:
    """One change the tool wants to make, not yet made.

    Attributes:
        id: stable, for example "route/tenant-42"; running the same id twice is safe.
        summary: what it does, in the operator's words.
        undo: what undoes it; None marks a point of no return.
        sql: the statement it runs, when it is one.
    """

    id: str
    summary: str
    undo: str | None = None
    sql: str | None = None


def describe(actions: Sequence[Action]) -> str:
    """Return *actions* as the text a dry run prints."""
    lines = []
    for number, action in enumerate(actions, 1):
        lines.append(f"{number:3}. {action.summary}")
        lines.append(f"     undo: {action.undo}" if action.undo else "     POINT OF NO RETURN")
    return "\n".join(lines)
