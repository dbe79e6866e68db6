"""The webhook's lines in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from migrator.log_events import tell

Log = Callable[[str, Mapping[str, Any]], None]


def log(event: str, fields: Mapping[str, Any]) -> None:
    """Write one event of the webhook with its fields.

    Raises:
        KeyError: there is no such event.
    """
    match event:
        case "webhook.begun":
            tell("webhook.begun", **fields)
        case "webhook.answered":
            tell("webhook.answered", **fields)
        case "webhook.failed":
            tell("webhook.failed", **fields)
        case "rules.not_read":
            tell("rules.not_read", **fields)
        case "alarm.not_noted":
            tell("alarm.not_noted", **fields)
        case "certificate.renewed":
            tell("certificate.renewed", **fields)
        case _:
            raise KeyError(event)
