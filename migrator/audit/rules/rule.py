"""A rule and its severity on an engine version of Limitless. (The rules: rulebook.py.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from migrator.model.limits import Engine


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


MADE_OTHERWISE = "nothing to do: this tool makes the table without it; remove it where you make the schema yourself"
"""The fix of what provisioning leaves out, or makes in the way that Limitless takes. Such findings are `info`."""

RECOMMENDED: Engine = (16, 11, 102)


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit.

    Attributes:
        eased_from: engine version from which *eased* is the severity (None there: the rule no longer applies).
        refuses: Limitless refuses a statement that meets the rule, as it is written.
    """

    id: str
    severity: Severity
    title: str
    fix: str
    source: str
    eased_from: Engine | None = None
    eased: Severity | None = None
    refuses: bool = False

    def at(self, engine: Engine) -> Severity | None:
        """Return the severity on *engine*; None when the rule does not apply there."""
        if self.eased_from is not None and engine >= self.eased_from:
            return self.eased
        return self.severity

    def refuses_on(self, engine: Engine) -> bool:
        """Return whether *engine* refuses a statement that meets the rule."""
        return self.refuses and self.at(engine) in (Severity.BLOCKER, Severity.REWRITE)


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule that a statement meets, and what was seen of it."""

    rule: str
    evidence: str
