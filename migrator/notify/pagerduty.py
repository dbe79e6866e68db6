"""A message for PagerDuty's Events API, version 2. Pure.

What lasts is an alert: triggered, acknowledged and resolved under one dedup_key. What has happened is an alert too
where it is urgent, which a person resolves; else it is a change event, for which PagerDuty pages no person.
"""

from __future__ import annotations

from typing import Any

from migrator.model.condition import Severity
from migrator.notify.decide import Action
from migrator.notify.message import Note, moment

DEFAULT = "https://events.pagerduty.com"

_ALERT, _CHANGE = "/v2/enqueue", "/v2/change/enqueue"
_ACTIONS = {Action.OVER: "resolve", Action.ACKNOWLEDGED: "acknowledge"}
_SUMMARY_CHARS = 1_000
"""PagerDuty cuts at 1,024."""


def request(note: Note, key: str) -> tuple[str, dict[str, Any]]:
    """Return the path below the host, and the body; *key* is the integration's routing key."""
    summary = f"{note.subject}: {note.text}"[:_SUMMARY_CHARS]
    details = {"text": note.text, **{label.lower(): value for label, value in note.lines}}
    if note.condition.instant and note.condition.severity.rank < Severity.ERROR.rank:
        stated = {"summary": summary, "timestamp": note.since.isoformat(), "source": f"migrator {note.plan}"}
        return _CHANGE, {"routing_key": key, "payload": {**stated, "custom_details": details}}
    action = _ACTIONS.get(note.action, "trigger")
    body: dict[str, Any] = {"routing_key": key, "event_action": action, "dedup_key": note.dedup_key}
    if action == "trigger":
        body["client"] = "migrator"
        body["payload"] = {
            "summary": summary,
            "source": f"migrator {note.plan}",
            "severity": note.condition.severity.value,
            "timestamp": note.since.isoformat(),
            "component": note.plan,
            "group": "migration",
            "class": note.condition.kind.value,
            "custom_details": {**details, "seen": moment(note.at)},
        }
    return _ALERT, body
