"""Reads the statements of a PostgreSQL log, with their number and duration. (csvlog, jsonlog, stderr)

Statements that differ in their constants only are one, with the first text as its example. Every record is
counted: as a statement, as something else, or as one that cannot be read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from migrator.audit.catalog import Source
from migrator.audit.evidence.enough import LeftOut
from migrator.audit.evidence.input_file import open_text, probe
from migrator.audit.evidence.rows import RawStatement
from migrator.grammar.parse import Unparsable, normalize

_MESSAGE = re.compile(
    (
        r"^(?:duration: (?P<ms>[\d.]+) ms)?\s*(?:(?P<kind>statement|execute|parse|bind|fastpath function "
        r"call)(?P<name> [^:]*)?: (?P<sql>.*))?$"
    ),
    re.DOTALL,
)
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_STDERR = re.compile(
    r"(?P<prefix>.*?)\b(?P<level>LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG\d?|DETAIL|HINT|STATEMENT|CONTEXT|"
    r"QUERY|LOCATION):  "
    r"(?P<message>.*)$",
    re.DOTALL,
)
_PID = re.compile(r"\[(\d+)\]|\bpid[=: ](\d+)")
CSV_COLUMNS = (22, 27)
"""A csvlog record has 23 columns before PostgreSQL 13, 24 in 13 and 26 from 14 on."""

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(slots=True)
class Counted:
    """One log's result. `records` equals `statements` + `others` + `rejected`; `left_out` says which the others are."""

    records: int = 0
    statements: int = 0
    others: int = 0
    rejected: int = 0
    problems: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    refusal: str | None = None  # why nothing of it was read

    def reject(self, text: str) -> None:
        self.rejected += 1
        if len(self.problems) < 100:
            self.problems.append(text)

    def leave_out(self, sort: str, text: str, source: Source) -> None:
        self.others += 1
        self.left_out.add(sort, text, source)


@dataclass(slots=True)
class Record:
    line: int
    session: str
    level: str
    message: str


def read_log(path: Path) -> tuple[list[RawStatement], Counted]:
    """Return the distinct statements of a log (.gz too) with calls and time.

    Raises:
        UsageError: if the file cannot be opened.
    """
    counted = Counted()
    form = probe(path)
    if form.refusal:
        counted.records += 1
        counted.refusal = f"{path} {form.refusal}"
        counted.reject(counted.refusal)
        return [], counted
    with open_text(path, form) as stream:
        return _gather(_records(stream, path, counted), path, counted), counted


def _records(stream: IO[str], path: Path, counted: Counted) -> Iterator[Record]:
    first = stream.readline()
    lines = _chain(first, stream)
    if first.lstrip().startswith("{"):
        return _json(lines, path, counted)
    try:
        columns = len(next(csv.reader([first]), []))
    except csv.Error:
        columns = 0
    if path.name.removesuffix(".gz").endswith(".csv") or (CSV_COLUMNS[0] < columns and _RECORD.match(first)):
        return _csv(lines, path, counted)
    return _stderr(lines, path, counted)


def _chain(first: str, stream: IO[str]) -> Iterator[str]:
    if first:
        yield first
    yield from stream


def _json(lines: Iterable[str], path: Path, counted: Counted) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        counted.records += 1
        try:
            record = json.loads(line)
            yield Record(
                number, str(record.get("pid", "")), record.get("error_severity", ""), record.get("message") or ""
            )
        except (ValueError, AttributeError):
            counted.reject(f"{path}: line {number} cannot be read as JSON")


def _csv(lines: Iterable[str], path: Path, counted: Counted) -> Iterator[Record]:
    buffer, begin, odd = "", 0, False
    for number, line in enumerate(lines, 1):
        if odd and _RECORD.match(line) and line.count(",") > 3:
            counted.records += 1
            counted.reject(f"{path}: line {begin} begins a record that never ends")
            buffer, odd = "", False
        if not buffer:
            begin = number
        buffer += line
        odd ^= line.count('"') % 2 == 1
        if odd:
            continue
        yield from _csv_record(buffer, begin, path, counted)
        buffer = ""
    if buffer:
        counted.records += 1
        counted.reject(f"{path}: line {begin} begins a record that never ends")


def _csv_record(text: str, line: int, path: Path, counted: Counted) -> Iterator[Record]:
    if not text.strip():
        return
    counted.records += 1
    try:
        fields = next(csv.reader(io.StringIO(text)), [])
    except csv.Error:
        fields = []
    if not CSV_COLUMNS[0] < len(fields) < CSV_COLUMNS[1]:
        counted.reject(f"{path}: line {line} has {len(fields)} columns, a csvlog record has 23 to 26")
        return
    yield Record(line, fields[3], fields[11], fields[13])


def _stderr(lines: Iterable[str], path: Path, counted: Counted) -> Iterator[Record]:
    current: Record | None = None
    for number, line in enumerate(lines, 1):
        match = _STDERR.match(line.rstrip("\n")) if not line.startswith("\t") else None
        if match is None:
            if current is not None:
                current.message += "\n" + line.rstrip("\n").removeprefix("\t")
            elif line.strip():
                counted.records += 1
                counted.reject(f"{path}: line {number} belongs to no log record")
            continue
        if current is not None:
            yield current
        counted.records += 1
        pid = _PID.search(match["prefix"])
        current = Record(number, (pid[1] or pid[2]) if pid else "", match["level"], match["message"])
    if current is not None:
        yield current


def _gather(records: Iterable[Record], path: Path, counted: Counted) -> list[RawStatement]:
    found: dict[str, RawStatement] = {}
    pending: dict[str, RawStatement] = {}  # session → statement whose duration may follow on its own line
    for record in records:
        match = _MESSAGE.match(record.message) if record.level == "LOG" else None
        if match is None or not (match["sql"] or match["ms"]):
            sort = "messages of the server" if record.level == "LOG" else f"{record.level} records"
            counted.leave_out(sort, record.message, Source(str(path), record.line))
            continue
        ms = float(match["ms"]) if match["ms"] else None
        if match["sql"] is None:
            counted.leave_out("durations on a line of their own", record.message, Source(str(path), record.line))
            waiting = pending.pop(record.session, None)
            if waiting is not None and ms is not None:
                waiting.total_ms = (waiting.total_ms or 0.0) + ms
            continue
        if match["kind"] in ("parse", "bind", "fastpath function call"):  # part of one execution, logged apart
            counted.leave_out(f"{match['kind']} records", record.message, Source(str(path), record.line))
            continue
        counted.statements += 1
        sql = match["sql"].strip()
        key = _key(sql)
        statement = found.get(key)
        if statement is None:
            statement = found[key] = RawStatement(sql, Source(str(path), record.line), calls=0)
        statement.calls += 1
        if ms is not None:
            statement.total_ms = (statement.total_ms or 0.0) + ms
        else:
            pending[record.session] = statement
    return list(found.values())


def _key(sql: str) -> str:
    """Return what statements that differ in constants only have in common."""
    try:
        return normalize(sql)
    except Unparsable:
        return sql
