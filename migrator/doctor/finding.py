"""What a check found, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is as it should be, or is not.

    Attributes:
        subject: what it is about: a server, a role, a setting.
        text: what is true, with numbers, their units and the limit.
        why: why it matters; '' where all is well.
        do: a command, a statement or what to ask whom; '' where there is nothing to do.
    """

    level: Level
    subject: str
    text: str
    why: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finding with the check that made it."""

    group: str
    check: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        asked: servers that answered, of those the plan names: without any, nothing is known.
        servers: that should have answered.
    """

    answers: tuple[Answer, ...]
    asked: int
    servers: int
    seconds: float

    def count(self, level: Level) -> int:
        return sum(answer.finding.level is level for answer in self.answers)

    @property
    def nothing_asked(self) -> bool:
        """Whether there are servers and none of them answered."""
        return self.servers > 0 and self.asked == 0


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, why: str, do: str) -> Finding:
    return Finding(Level.WARNING, subject, text, why, do)


def problem(subject: str, text: str, why: str, do: str) -> Finding:
    return Finding(Level.PROBLEM, subject, text, why, do)


def unknown(subject: str, text: str, why: str = "", do: str = "") -> Finding:
    return Finding(Level.UNKNOWN, subject, text, why, do)


def not_applicable(subject: str, text: str) -> Finding:
    return Finding(Level.NOT_APPLICABLE, subject, text)


SHOWN = 5


def some(names: Iterable[str], shown: int = SHOWN) -> str:
    """Return the first of *names*, and how many more there are."""
    listed = list(names)
    more = len(listed) - shown
    return ", ".join(listed[:shown]) + (f" and {more} more" if more > 0 else "")
