"""Values as they are shown: as JSON, in words, and moments as people write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from migrator.errors import UsageError

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def safe(value: object) -> str:
    """Return *value* as a text of one line in which nothing is hidden: `a\\x0ab`, `\\u202e`."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else "".join(map(_written, text))


def _written(character: str) -> str:
    if character == " " or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(value: Any) -> Any:
    """Return *value* as JSON values: dataclasses as objects, times as ISO 8601 with their offset.

    Not pydantic's, which writes UTC as Z and spans of time as P1DT2H: scripts read what is written here.
    """
    match value:
        case None | bool() | int() | float() | str() if not isinstance(value, Enum):
            return value
        case Enum():
            return value.value
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Path():
            return str(value)
        case Mapping():
            return {str(plain(k)): plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def duration(seconds: float | None) -> str:
    """Return a duration, short enough for a table."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def moment(text: str) -> datetime:
    """Return the moment that *text* names: a date (its first minute) or a time, in UTC where it has no offset.

    Raises:
        UsageError: it names none.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        hint = "Write 2026-12-24, 2026-12-24T08:00 (UTC) or 2026-12-24T08:00+01:00."
        raise UsageError(f"{text!r} is no date", hint=hint) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
