"""Reads what one message of a server's log says of a statement: text, duration, plan, audit entry. Pure."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import dataclass

from migrator.audit.evidence.log_words import FOREIGN, MESSAGE

_PLAN = re.compile(r"^duration: (?P<ms>[\d.]+) ms  plan:\s*\n?(?P<plan>.*)$", re.DOTALL)
_PLAN_BEGINS = re.compile(
    r"^(?:\S.*\(cost=|\S.*\(actual |Query Parameters: |Settings: |Query Identifier: )", re.MULTILINE
)
_XML_TEXT = re.compile(r"<Query-Text>(.*?)</Query-Text>", re.DOTALL)
_YAML_TEXT = re.compile(r'^Query Text: (".*")$', re.MULTILINE)
_AUDIT = re.compile(r"^\s*AUDIT: (?P<fields>(?:SESSION|OBJECT),.*)$", re.DOTALL)
_AUDIT_FIELDS = 9
UNKNOWN_WORDS = "statements in words that are not known (lc_messages)"
_NO_TEXT = ("<none>", "<not logged>", "<previously logged>", "")


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says.

    Attributes:
        sql: the statement; None where there is none.
        other: why the message is left out; "" when it is a statement.
        once: what names one execution in its session; the same again is that one, told once more.
        planned: it comes from auto_explain, which logs before the statement itself may be.
    """

    sql: str | None = None
    ms: float | None = None
    other: str = ""
    once: tuple[str, ...] = ()
    planned: bool = False


def read_message(message: str) -> Said:
    """Return what a message of level LOG says."""
    plan = _PLAN.match(message)
    if plan is not None:
        sql = _planned(plan["plan"])
        if sql is None:
            return Said(ms=float(plan["ms"]), other="plans without the text of their statement")
        return Said(sql, float(plan["ms"]), planned=True)
    audit = _AUDIT.match(message)
    if audit is not None:
        return _audited(audit["fields"])
    match = MESSAGE.match(message)
    if match is None or not (match["sql"] or match["ms"]):
        if FOREIGN.match(message):
            return Said(other=UNKNOWN_WORDS)
        return Said(other="messages of the server")
    ms = float(match["ms"]) if match["ms"] else None
    if match["sql"] is None:
        return Said(ms=ms, other="durations on a line of their own")
    if match["part"]:  # part of one execution, logged apart
        return Said(other=f"{match['part'].split()[-1].lower()} records")
    return Said(match["sql"].strip(), ms)


def is_message(text: str) -> bool:
    """Return whether *text* alone, without a level, is what a server says of a statement."""
    said = read_message(text)
    return said.sql is not None or said.ms is not None or said.other.endswith(" records")


def _planned(plan: str) -> str | None:
    """Return the text of the statement in a plan of auto_explain, whatever its format; None when it has none."""
    if plan.lstrip().startswith(("{", "[")):
        try:
            read = json.loads(plan)
        except ValueError:
            return None
        read = read[0] if isinstance(read, list) and read else read
        text = read.get("Query Text") if isinstance(read, dict) else None
        return str(text).strip() if text else None
    xml = _XML_TEXT.search(plan)
    if xml is not None:
        return html.unescape(xml[1]).strip()
    yaml = _YAML_TEXT.search(plan)
    if yaml is not None and not _PLAN_BEGINS.search(plan):
        try:
            return str(json.loads(yaml[1])).strip()
        except ValueError:
            return yaml[1].strip('"')
    _, label, text = plan.partition("Query Text: ")
    if not label:
        return None
    begins = _PLAN_BEGINS.search(text)
    return (text[: begins.start()] if begins else text).strip() or None


def _audited(fields: str) -> Said:
    """Read an entry of pgaudit: type, statement id, substatement id, class, command, object type and name, text, …"""
    try:
        entry = next(csv.reader(io.StringIO(fields, newline="")), [])
    except csv.Error:
        entry = []
    if len(entry) < _AUDIT_FIELDS - 1:
        return Said(other="audit entries that cannot be read")
    return audited(entry[1], entry[2], entry[7])


def audited(statement: str, substatement: str, text: str) -> Said:
    """Return what an entry of pgaudit says; it has one for every table of a statement, which is counted once."""
    if text.strip() in _NO_TEXT:
        return Said(other="audit entries without a text")
    return Said(text.strip(), once=("audit", statement, substatement, text))
