"""One change that a command would make, and what undoes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

On = TypeVar("On")


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


# No slots: Step[X](…) is an error then, since slots make another class than the one that Generic knows.
@dataclass(frozen=True)
class Step(Generic[On]):
    """An action together with what does it, so that a dry run prints what a run does. May have been done before."""

    action: Action
    act: Callable[[On], object]


def carry_out(steps: Iterable[Step[On]], on: On, on_step: Callable[[Action], None] | None = None) -> None:
    """Do *steps* on *on*, in order; each is told to *on_step* once it is done."""
    for step in steps:
        step.act(on)
        if on_step is not None:
            on_step(step.action)


def action_lines(actions: Sequence[Action]) -> list[str]:
    """Return *actions* as the lines a dry run prints; a name in one may hold a line break."""
    said = []
    for number, action in enumerate(actions, 1):
        said.append(f"{number:3}. {action.summary}")
        said.append(f"     undo: {action.undo}" if action.undo else "     POINT OF NO RETURN")
    return said
