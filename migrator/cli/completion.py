"""What a shell completes: words that are the same on every cluster. No server is asked, so that a tab never waits."""

from __future__ import annotations

GATES = ("audit", "provision", "dual_write", "cutover", "decommission", "wave-")
REPORTS = ("audit", "provision", "shadow", "load", "cost", "decommission", "decisions", "incidents")
QUEUES = ("incident", "control", "mirror", "bulk")


def gates(incomplete: str) -> list[str]:
    return _beginning(incomplete, GATES)


def reports(incomplete: str) -> list[str]:
    return _beginning(incomplete, REPORTS)


def queues(incomplete: str) -> list[str]:
    """Return lists of queues, one more than *incomplete* has before its last comma."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in QUEUES if name.startswith(last) and name not in before.split(",")]


def _beginning(incomplete: str, words: tuple[str, ...]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
