"""A message as e-mail. Pure.

Messages about one condition are one thread, and the same message sent twice has the same Message-ID. Headers are made
of this tool's own words; what may hold anything is in the body.
"""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from migrator.notify.message import Note
from migrator.plan.notify import Receiver

_PRIORITY = {"critical": "1 (Highest)", "error": "2 (High)", "warning": "3 (Normal)", "info": "4 (Low)"}


def message(note: Note, receiver: Receiver) -> EmailMessage:
    """Return the message; *receiver* is of kind email."""
    made = EmailMessage(policy=SMTP)
    made["Subject"] = note.subject
    made["From"] = receiver.sender or ""
    made["To"] = ", ".join(receiver.to)
    made["Date"] = format_datetime(note.at)
    thread = _digest(note.dedup_key)
    made["Message-ID"] = (
        f"<{_digest(note.dedup_key, note.action, note.at.isoformat(), str(note.number))}@{note.plan}.migrator>"
    )
    made["References"] = made["In-Reply-To"] = f"<{thread}@{note.plan}.migrator>"
    made["Auto-Submitted"] = "auto-generated"
    made["X-Priority"] = _PRIORITY[note.condition.severity.value]
    made["X-Migrator-Condition"] = note.condition.kind.value
    made.set_content(f"{note.plain}\n\n-- \nmigrator, migration {note.plan}\n", charset="utf-8")
    return made


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
