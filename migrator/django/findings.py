"""What a check of a project found."""

from __future__ import annotations

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
