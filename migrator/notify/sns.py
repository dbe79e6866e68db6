"""A message for Amazon SNS. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from migrator.notify.message import Note

_SUBJECT_CHARS = 100
"""SNS takes fewer than that in ASCII, and no line break."""


def arguments(note: Note, topic: str) -> dict[str, Any]:
    """Return the arguments of Publish. Attributes are for filters of subscriptions."""
    subject = note.subject.encode("ascii", "replace").decode()
    attributes = {
        "kind": note.condition.kind.value,
        "severity": note.condition.severity.value,
        "action": note.action.value,
        "migration": note.plan,
        "dedup_key": note.dedup_key,
    }
    made: dict[str, Any] = {
        "TopicArn": topic,
        "Subject": subject[: _SUBJECT_CHARS - 1],
        "Message": f"{note.subject}\n\n{note.plain}\n",
        "MessageAttributes": {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
    }
    if topic.endswith(".fifo"):
        parts = (note.dedup_key, note.action, note.at.isoformat(), str(note.number))
        made["MessageGroupId"] = hashlib.sha256(note.dedup_key.encode()).hexdigest()
        made["MessageDeduplicationId"] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return made
