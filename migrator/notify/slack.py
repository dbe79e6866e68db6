"""A message for Slack's incoming webhooks, and for what takes the same ones (Mattermost, Rocket.Chat, Discord). Pure.

Blocks are plain text, in which nothing is markup. `text` is what receivers that know no blocks show: there Slack's own
escapes are used, and what others would read as a mention, a link or code is broken with a zero-width space.
"""

from __future__ import annotations

import re
from typing import Any

from migrator.notify.decide import Action
from migrator.notify.message import Note

_BREAK = "\u200b"
_BLOCK_CHARS = 2_900
"""Slack takes 3,000 characters in a text."""
_MARK = {
    "critical": ":rotating_light:",
    "error": ":red_circle:",
    "warning": ":warning:",
    "info": ":information_source:",
}


def payload(note: Note) -> dict[str, Any]:
    """Return the body of the request."""
    lines = "\n".join(f"{label}: {value}" for label, value in note.lines)
    mark = ":white_check_mark:" if note.action is Action.OVER else _MARK[note.condition.severity.value]
    return {
        "text": escaped(f"{note.subject}\n{note.plain}"),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            _block("header", f"{mark} {note.subject}"[:150]),
            {"type": "section", "text": _plain(note.text)},
            {"type": "context", "elements": [_plain(lines)]},
        ],
    }


def escaped(text: str) -> str:
    """Return *text* so that no part of it is markup, a mention or a link."""
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, entity)
    return re.sub(r"[@`*_~|]|:(?=//)|\](?=\()", rf"\g<0>{_BREAK}", text)


def _block(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": {"type": "plain_text", "text": text, "emoji": True}}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:_BLOCK_CHARS] or "-", "emoji": False}
