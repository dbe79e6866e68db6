"""What a check of a project found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"  # does not work through the shim, or on Limitless
    WARNING = "warning"  # works otherwise than on classic, or needs a decision
    INFO = "info"  # to know


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to correct or to know. subject: setting, database alias or model."""

    id: str
    severity: Severity
    subject: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.severity} {self.id} {self.subject}: {self.text}"

    def to_json(self) -> dict[str, str]:
        return {key: str(value) for key, value in asdict(self).items()}


def without(found: Iterable[Finding], accepted: Sequence[str]) -> list[Finding]:
    """Return what is left of *found* when a project accepts some: by id, or by id and subject ("M008:shop.Product").

    What is accepted and was not found is a finding: what it hid may be there under another name.
    """
    listed = list(found)
    names = {name: name.removeprefix("migrator.") for name in accepted}
    used = {
        name
        for name, short in names.items()
        if any(short in (_short(finding), f"{_short(finding)}:{finding.subject}") for finding in listed)
    }
    hidden = {names[name] for name in used}
    left = [f for f in listed if not {_short(f), f"{_short(f)}:{f.subject}"} & hidden]
    return left + [
        Finding("migrator.W008", Severity.WARNING, name, "it is accepted, and was not found", "Take it off the list.")
        for name in accepted
        if name not in used
    ]


def _short(finding: Finding) -> str:
    return finding.id.removeprefix("migrator.")
