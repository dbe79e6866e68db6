"""Reads Datadog's webhook with the payload that docs/alarms.md tells people to paste. Pure.

Datadog sends what the person who set it up wrote, so a variable that it does not know arrives as its name, with the
dollar sign. Such a value counts as not there, and one without which nothing can be decided is an error that says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migrator.errors import UsageError
from migrator.traffic.incident.alarm import (
    LONGEST_NAME,
    Alarm,
    Delivery,
    labels_of,
    moment,
    read_object,
    shown,
)

FIRING = ("triggered", "re-triggered", "renotify")
"""Transitions in which a monitor is over its alert threshold. Warnings and missing data are other ones."""

TEMPLATE = {
    "id": "$ID",
    "date": "$LAST_UPDATED",
    "monitor": "$ALERT_TITLE",
    "monitor_id": "$ALERT_ID",
    "cycle": "$ALERT_CYCLE_KEY",
    "transition": "$ALERT_TRANSITION",
    "type": "$ALERT_TYPE",
    "priority": "$ALERT_PRIORITY",
    "scope": "$ALERT_SCOPE",
    "tags": "$TAGS",
    "text": "$EVENT_TITLE",
}
"""The payload to paste into Datadog; docs/alarms.md shows it."""

_VARIABLE = re.compile(r"^\$[A-Z][A-Z_]*$")
_NO_LABELS = ("id", "date", "cycle", "scope", "tags", "text")


def read(body: bytes) -> Delivery:
    """Return the one alarm of a request.

    Raises:
        UsageError: the payload is another one.
    """
    found = {key: value for key, value in read_object(body).items() if not _unfilled(value)}
    missing = [key for key in ("monitor", "transition") if not shown(found.get(key))]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} missing: the webhook's payload in Datadog is not the one of docs/alarms.md"
        )
    state = shown(found.get("transition"), 40)
    # $ALERT_TRANSITION says Renotify of warnings too; $ALERT_TYPE then says what it is about.
    firing = state.lower() in FIRING and shown(found.get("type"), 20).lower() in ("", "error")
    alarm = Alarm(
        shown(found.get("monitor"), LONGEST_NAME), state, firing, _labels(found), shown(found.get("text")),
        _episode(found),
    )  # fmt: skip
    return Delivery((alarm,), _message(found), moment(found.get("date")))


def _labels(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what the payload says by name, then tags (`name:value`); the scope, which triggered it, goes first."""
    tags: dict[str, object] = {}
    for key in ("scope", "tags"):
        for tag in shown(found.get(key), 1 << 20).split(","):
            name, colon, value = tag.strip().partition(":")
            if colon and name not in tags:
                tags[name] = value
    said = {key: value for key, value in found.items() if key not in _NO_LABELS}
    return labels_of({**tags, **said})


def _message(found: Mapping[str, Any]) -> str:
    number, state = shown(found.get("id"), 80), shown(found.get("transition"), 40)
    return f"{number} {state}" if number else ""


def _episode(found: Mapping[str, Any]) -> str:
    return shown(found.get("cycle"), 120)


def _unfilled(value: object) -> bool:
    """Return whether Datadog did not fill in a variable: its name is still there, or the word for nothing."""
    return isinstance(value, str) and (_VARIABLE.match(value) is not None or value.strip().lower() in ("", "null"))
