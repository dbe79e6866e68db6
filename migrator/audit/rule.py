"""What is a rule, and how bad is breaking it on a given engine version of Limitless? (the rules: rulebook.py)"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """blocker: refused or silently lost, no mechanical fix. rewrite: a mechanical fix exists. warning: works, at a
    risk or a cost, or is not confirmed. info: good to know."""

    BLOCKER = "blocker"
    REWRITE = "rewrite"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        return ("blocker", "rewrite", "warning", "info").index(self.value)


Engine = tuple[int, int, int]
"""A Limitless engine version: 16.11.102 is (16, 11, 102)."""

RECOMMENDED: Engine = (16, 11, 102)


def parse_engine(text: str) -> Engine:
    """Return the version in *text*, for example "16.13-limitless". Without a patch number the newest is meant.

    Raises:
        ValueError: if *text* holds no version.
    """
    found = re.match(r"\s*(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise ValueError(f"not an engine version: {text!r} (for example 16.13-limitless)")
    return int(found[1]), int(found[2]), int(found[3]) if found[3] else 999


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit.

    Attributes:
        eased_from: engine version from which *eased* is the severity (None there: the rule no longer applies).
    """

    id: str
    severity: Severity
    title: str
    fix: str
    source: str
    eased_from: Engine | None = None
    eased: Severity | None = None

    def at(self, engine: Engine) -> Severity | None:
        """Return the severity on *engine*; None when the rule does not apply there."""
        if self.eased_from is not None and engine >= self.eased_from:
            return self.eased
        return self.severity
