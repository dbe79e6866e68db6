"""What a message says, before it is put into one receiver's form. Pure.

Names of tenants and reasons are anybody's text: here they lose control characters, credentials and excess length; each
form escapes what means something in it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from migrator.logs import masked_text
from migrator.model.condition import Condition, Kind, Severity
from migrator.notify.decide import Action

TEXT_CHARS = 1_000
NAME_CHARS = 80
_KEY_CHARS = 200
_BIDI = frozenset(
    "\u061c\u200e\u200f\ufeff\u2028\u2029" + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
)

_WORD = {
    Action.REPEATED: "still",
    Action.ACKNOWLEDGED: "acknowledged",
    Action.OVER: "over",
    Action.TEST: "test",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One message for one receiver.

    Attributes:
        plan: the migration's name.
        scope: tells two migrations of one name apart; '' where that is not known.
        at: when it was put into the outbox.
        by: who acknowledged the condition.
        number: of the message in the outbox; 0: it never was there.
    """

    action: Action
    condition: Condition
    plan: str
    scope: str
    at: datetime
    since: datetime
    by: str = ""
    number: int = 0

    @property
    def dedup_key(self) -> str:
        """The same for every message about this condition of this migration, at most 255 characters."""
        key = f"migrator/{self.plan}/{self.scope[:8]}/{self.condition.name}"
        if len(key) <= _KEY_CHARS:
            return key
        return f"{key[:_KEY_CHARS]}/{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    @property
    def subject(self) -> str:
        """One line: `migrator shop: ERROR: tenants are quarantined`."""
        word = _WORD.get(self.action, self.condition.severity.value).upper()
        title = "nothing is wrong" if self.action is Action.TEST else self.condition.title
        return f"migrator {self.plan}: {word}: {title}"

    @property
    def text(self) -> str:
        return clean(self.condition.text)

    @property
    def hint(self) -> str:
        return clean(self.condition.hint)

    @property
    def names(self) -> tuple[str, ...]:
        """The first few of what it is about, and how many more there are."""
        shown = tuple(clean(name, NAME_CHARS) for name in self.condition.subjects)
        more = self.condition.count - len(shown)
        return (*shown, f"and {more:,} more") if shown and more > 0 else shown

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """What it says below its text, as label and value."""
        found = [("About", ", ".join(self.names))] if self.names else []
        found.append(("At" if self.condition.instant else "Since", moment(self.since)))
        match self.action:
            case Action.OVER:
                found.append(("Over", f"not seen any more; it lasted until about {moment(self.at)}"))
            case Action.ACKNOWLEDGED:
                found.append(("Acknowledged by", clean(self.by, NAME_CHARS)))
        if self.action is not Action.OVER and self.hint:
            found.append(("Next", self.hint))
        return tuple(found)

    @property
    def plain(self) -> str:
        """The whole message as text of several lines."""
        return "\n".join([self.text, "", *(f"{label}: {value}" for label, value in self.lines)])


def clean(text: str, most: int = TEXT_CHARS) -> str:
    """Return *text* in one line of at most *most* characters: control characters as `\\x1b`, credentials masked."""
    shown = masked_text(text[: 2 * most])
    shown = "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") or c in _BIDI else c
        for c in shown
    )
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def condition_json(condition: Condition) -> dict[str, Any]:
    """Return *condition* as JSON values; `condition_from` reads it back."""
    return {
        "kind": condition.kind.value,
        "key": condition.key,
        "severity": condition.severity.value,
        "text": clean(condition.text),
        "hint": clean(condition.hint),
        "since": condition.since.isoformat() if condition.since is not None else None,
        "count": condition.count,
        "subjects": [clean(name, NAME_CHARS) for name in condition.subjects],
        "instant": condition.instant,
    }


def condition_from(body: Mapping[str, Any]) -> Condition:
    """Return the condition that `condition_json` wrote, also one of a kind that this version does not know."""
    since = body.get("since")
    return Condition(
        Kind(body["kind"]) if body["kind"] in list(Kind) else Kind.BLOCKED,
        body["text"],
        body["hint"],
        Severity(body["severity"]),
        body["key"],
        datetime.fromisoformat(since) if since else None,
        int(body["count"]),
        tuple(body["subjects"]),
        bool(body["instant"]),
    )
