"""What a client promises, and what a trial found of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Promise(StrEnum):
    """One promise of a client; its value is its name in commands and documents."""

    ACKNOWLEDGED = "acknowledged"
    BOUNDED = "bounded"
    CONFIRMED = "confirmed"
    PROCESS_FROZEN = "process-frozen"
    CLASSIC_FROZEN = "classic-frozen"
    SESSION = "session"
    CLOSED = "closed"
    LOST_ANSWER = "lost-answer"
    HAND_OVER = "hand-over"


TEXT: dict[Promise, str] = {
    Promise.ACKNOWLEDGED: "what a write acknowledged is seen by every later read of any process, while routes change",
    Promise.BOUNDED: "a write whose mirror does not follow returns, after its partition has fallen back",
    Promise.CONFIRMED: "a rollback that was confirmed is in force, also for a read that was under way",
    Promise.PROCESS_FROZEN: "a process that was frozen while routes changed hands out nothing that it read before",
    Promise.CLASSIC_FROZEN: "a process that cannot reach classic stops reading Limitless in time, and goes on later",
    Promise.SESSION: "a read that is given a write's token sees that write, in another process too",
    Promise.CLOSED: "while writes are closed nothing is committed; the write goes on when they are open again",
    Promise.LOST_ANSWER: "a lost answer to COMMIT is reported as unknown, or as what happened",
    Promise.HAND_OVER: "behind the hand-over writes and reads go to Limitless, for good, and classic is not needed",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one trial found.

    Attributes:
        kept: None when the trial could not show it, which is no pass.
        evidence: what was seen, a line each.
        seconds: how long the trial took.
    """

    promise: Promise
    kept: bool | None
    evidence: tuple[str, ...]
    seconds: float = 0.0

    @property
    def word(self) -> str:
        """`kept`, `broken`, or `not shown`."""
        return "not shown" if self.kept is None else "kept" if self.kept else "broken"


def kept(promise: Promise, *evidence: str) -> Finding:
    return Finding(promise, True, evidence)


def broken(promise: Promise, *evidence: str) -> Finding:
    return Finding(promise, False, evidence)


def not_shown(promise: Promise, *evidence: str) -> Finding:
    return Finding(promise, None, evidence)


def all_kept(findings: Sequence[Finding]) -> bool:
    """Return whether every promise that was tried was kept; of none it is not known."""
    return bool(findings) and all(finding.kept for finding in findings)


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the result of a run as JSON."""
    return {
        "kept": all_kept(findings),
        "promises": [
            {
                "promise": finding.promise.value,
                "text": TEXT[finding.promise],
                "found": finding.word,
                "evidence": list(finding.evidence),
                "seconds": round(finding.seconds, 3),
            }
            for finding in findings
        ],
    }
