"""Finds the log of a server in a JSON document. Services that collect logs have each a shape of their own.

PostgreSQL's jsonlog, exports of CloudWatch (also of Logs Insights and of a subscription), Cloud Logging, Azure,
OpenTelemetry, Loki, CloudNativePG, Docker and what else wraps a line of text: one object on a line, or one document.
What is looked for: a message with PostgreSQL's level, an entry of pgaudit, a statement by itself, a line of a log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from migrator.audit.evidence.log_message import is_message
from migrator.audit.evidence.log_words import LOG, OTHER_LEVELS, begins

_OWN_LEVEL = ("error_severity", "errorLevel", "error_level")
_LEVEL = ("severity", "level", "log_level", "levelname")
_MESSAGE = ("message", "msg", "text")
_SESSION = ("session_id", "sessionId", "pid", "process_id", "processId")
_TEXT = (
    "message", "@message", "textPayload", "log", "msg", "MESSAGE", "line", "text", "body", "content", "raw", "_raw",
    "stringValue", "event",
)  # fmt: skip
_SQL = ("statement", "query", "sql", "sql_text", "query_text", "db.statement", "db.query.text")
_MILLISECONDS = ("duration_ms", "durationMs", "elapsed_ms", "total_ms")
_AUDIT = ("audit_type", "auditType", "auditClass", "audit_class", "class", "command")
_APPLICATION = ("application_name", "applicationName", "application")
_DETAIL = ("detail", "error_detail", "errorDetail")
_TIMES = ("timestamp", "log_time", "logTime", "@timestamp", "time")
_NUMBERS = (("statement_id", "statementId"), ("substatement_id", "substatementId"))
_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a document, at a line of the file.

    Attributes:
        level: None for a text that is a line of a log and has its level in it.
        once: what names one execution of a statement, from an entry of pgaudit.
        detail: what the server says besides, parameters say; empty where the document has no field of it.
        at: when, as it is written there.
    """

    line: int
    text: str
    level: str | None = None
    session: str = ""
    once: tuple[str, ...] = ()
    application: str = ""
    detail: str = ""
    at: str = ""


def entries(lines: Iterable[str]) -> Iterator[Found | int]:
    """Yield what every object of a file holds; a bare line number stands for an object or a line without any."""
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            value = json.loads(line.rstrip().rstrip(",")) if number > 1 else json.loads(line)
        except ValueError:
            if number == 1:  # no object to a line: one document, or several over many lines
                yield from _documents("".join(chain([line], (text for _, text in numbered))))
                return
            yield number
            continue
        yield from _entries(value, number)


def _documents(text: str) -> Iterator[Found | int]:
    decoder = json.JSONDecoder()
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text):
            return
        line = text.count("\n", 0, at) + 1
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            yield line
            at = text.find("\n", at)
            if at < 0:
                return
            continue
        yield from _entries(value, line)


def _entries(value: Any, line: int) -> Iterator[Found | int]:
    """Yield the entries of a value; of a list, every item is an object of its own."""
    if isinstance(value, list) and not _insight(value):
        for item in value:
            yield from _entries(item, line)
        return
    found = list(_look(value, line, "", 0))
    yield from found
    if not found:
        yield line


def _insight(value: list[Any]) -> dict[str, Any] | None:
    """Return a row of Logs Insights, which is a list of fields with their values, as an object."""
    if value and all(isinstance(v, dict) and {"field", "value"} <= v.keys() for v in value):
        return {str(v["field"]): v["value"] for v in value}
    return None


def _look(value: Any, line: int, session: str, depth: int) -> Iterator[Found]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        row = _insight(value)
        if row is not None:
            yield from _look(row, line, session, depth + 1)
        elif value and all(isinstance(v, str) for v in value):  # Loki: time and line
            yield from _text(value[-1], line, session, depth)
        else:
            for item in value:
                yield from _look(item, line, session, depth + 1)
    elif isinstance(value, dict):
        session = next((str(value[k]) for k in _SESSION if value.get(k)), session)
        own = _told(value, line, session)
        below = (
            []
            if own
            else [f for v in value.values() if isinstance(v, (dict, list)) for f in _look(v, line, session, depth + 1)]
        )
        # A collector may put a word of its own beside the record that it wraps: what carries a level goes first.
        if not own and not any(f.level for f in below):
            own = _worded(value, line, session, depth)
        name, detail, at = (
            next((value[k] for k in keys if isinstance(value.get(k), str)), "")
            for keys in (_APPLICATION, _DETAIL, _TIMES)
        )
        yield from (
            replace(f, application=f.application or name, detail=f.detail or detail, at=f.at or at)
            for f in own or below
        )


def _told(value: dict[str, Any], line: int, session: str) -> list[Found]:
    """Return the entry that an object is by fields of PostgreSQL, or of a statement."""
    message = next((value[k] for k in _MESSAGE if isinstance(value.get(k), str) and value[k].strip()), None)
    level = next((value[k] for k in _OWN_LEVEL if isinstance(value.get(k), str)), None)
    if message is not None and level is not None and not begins(message.partition("\n")[0]):
        return [Found(line, message, level, session)]
    if message is not None and level is not None and is_message(message):
        return [Found(line, message, level, session)]
    sql = next((value[k] for k in _SQL if isinstance(value.get(k), str) and value[k].strip()), None)
    if sql is not None and message is None:
        if any(k in value for k in _AUDIT):
            numbers = [str(next((value[k] for k in ks if k in value), "")) for ks in _NUMBERS]
            return [Found(line, f"statement: {sql}", "LOG", session, ("audit", *numbers, sql) if any(numbers) else ())]
        ms = next((value[k] for k in _MILLISECONDS if isinstance(value.get(k), (int, float))), None)
        return [Found(line, f"{'' if ms is None else f'duration: {ms:.3f} ms  '}statement: {sql}", "LOG", session)]
    return []


def _worded(value: dict[str, Any], line: int, session: str, depth: int) -> list[Found]:
    """Return the entry that a text of an object is."""
    message = next((value[k] for k in _MESSAGE if isinstance(value.get(k), str) and value[k].strip()), None)
    level = next((value[k] for k in (*_OWN_LEVEL, *_LEVEL) if value.get(k) in LOG | OTHER_LEVELS), None)
    if message is not None and level is not None and (is_message(message) or not begins(message)):
        return [Found(line, message, "LOG" if is_message(message) else level, session)]
    for key in _TEXT:
        if isinstance(value.get(key), str) and value[key].strip():
            return list(_text(value[key], line, session, depth))
    return []


def _text(text: str, line: int, session: str, depth: int) -> Iterator[Found]:
    if text.lstrip().startswith("{"):
        try:
            inner = json.loads(text)
        except ValueError:
            inner = None
        if isinstance(inner, dict):
            yield from _look(inner, line, session, depth + 1)
            return
    if is_message(text):
        yield Found(line, text, "LOG", session)
        return
    yield Found(line, text, None, session)
