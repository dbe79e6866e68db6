"""An alarm as some other system sent it, in the one form that rules know; and how its parts are read. Pure.

Nothing of what is read here is trusted to be what it should: a value of another type counts as not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from migrator.errors import UsageError

LONGEST_NAME = 300
LONGEST_TEXT = 400
MOST_LABELS = 100


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm.

    Attributes:
        name: as the sender calls it; up to 300 characters.
        state: the sender's word for its state.
        firing: whether it fires now; only then may it act.
        labels: what else the sender says of it, by name.
        text: what a person wrote about it; up to 400 characters.
        episode: the same as long as it fires without pause, where the sender tells; else ''.
    """

    name: str
    state: str
    firing: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    episode: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The alarms of one request.

    Attributes:
        message: the sender's number of this message, which a repetition has too; '' where there is none.
        sent_at: when the sender made it, where it tells.
        left_out: alarms that the sender left out because there were too many.
    """

    alarms: tuple[Alarm, ...]
    message: str = ""
    sent_at: datetime | None = None
    left_out: int = 0


def read_object(body: bytes | str) -> dict[str, Any]:
    """Return the JSON object in *body*.

    Raises:
        UsageError: there is none, or a key is in it twice.
    """
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise UsageError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError("the body is not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("a key is there twice")
    return found


def storable(text: str) -> bool:
    """Return whether PostgreSQL can store *text*: no NUL, and no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def shown(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return *value* as text that can be stored and is at most *longest* characters; '' where it is no text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value) if not isinstance(value, int) or abs(value) < 10**18 else ""
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return text if storable(text) else "".join(c if storable(c) else "\ufffd" for c in text)


def table(value: object) -> Mapping[str, Any]:
    """Return *value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Any]:
    """Return *value* if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def labels_of(pairs: Mapping[str, object]) -> dict[str, str]:
    """Return those of *pairs* that are labels: texts and numbers, whole (a part of a tenant's name is another name)."""
    found: dict[str, str] = {}
    for name, value in pairs.items():
        if len(found) >= MOST_LABELS:
            break
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            value = str(value)
        if isinstance(value, str) and value and storable(name) and storable(value):
            found[name] = value
    return found


def moment(value: object) -> datetime | None:
    """Return the moment that *value* names, in ISO 8601, seconds or milliseconds since 1970; None: it names none."""
    try:
        if isinstance(value, str) and not value.strip().isdigit():
            found = datetime.fromisoformat(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, str):
            value = int(value[:20])
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
