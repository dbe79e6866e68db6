"""Reads the statements of a PostgreSQL log, with their number and duration. (csvlog, JSON, stderr)

What one message says is log_message.py's, where the log is in a JSON document log_json.py's. Statements that differ in
their constants only are one, with the first text as its example. Every record is counted: as a statement, as something
else, or as one that cannot be read.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from migrator.audit.catalog import Source
from migrator.audit.evidence.enough import LeftOut
from migrator.audit.evidence.log_json import Found, entries
from migrator.audit.evidence.log_message import UNKNOWN_WORDS, Said, read_message
from migrator.audit.evidence.log_words import LOG, begins
from migrator.audit.evidence.rows import RawStatement
from migrator.errors import UsageError
from migrator.grammar.parse import Unparsable, normalize
from migrator.model.own_session import is_own_application
from migrator.scripts.input_file import Form, open_text, probe

_RECORD = re.compile(r"^\"?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_JSON = re.compile(r"\s*(?:\{|\[\s*(?:[\[{]|$))")  # a prefix may begin with [pid]
_SYSLOG = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d |\d{4}-\d\d-\d\d).{0,300}?\[\d+-(?!1\])\d+\] ?(?:#011)?(.*)$"
)  # [7-2]: line 2
_SESSION = re.compile(r"(?<![\w.])([0-9a-f]{8}\.[0-9a-f]{1,8})(?![\w.])")
"""%c of log_line_prefix: when the session began, and its process."""
_PID = re.compile(r"\[(\d+)\]|\bpid[=: ]\"?(\d+)|\[postgres\.(\d+)\]")
_CARRIER = re.compile(
    r"(?P<name>[^\s|]{1,100} +\| ?)?(?P<pod>\[pod/[^\]\s]+\] ?)?"
    r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}(?:Z|[+-]\d\d:?\d\d) )?"
    r"(?P<journal>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ [\w./@-]+\[\d+\]: (?!\[\d+-\d+\]))?"
)
"""What Docker (also Compose), kubectl and journalctl write before every line, also before the next line of a record."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?")
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
    torn: str = ""  # what of it could not be read, where its beginning was

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
    once: tuple[str, ...] = ()  # names one execution, which may be told more than once
    application: str = ""  # of the session, where the log has it
    detail: str = ""  # where the log has it in the record; in text form it is a record of its own
    at: str = ""  # when, as the log has it


@contextmanager
def records(path: Path, counted: Counted) -> Iterator[Iterator[Record]]:
    """Yield the records of a log (.gz too), for those who ask more of them than which statements there are.

    Raises:
        UsageError: if the file cannot be opened, or is no text.
    """
    form = probe(path)
    if form.refusal:
        raise UsageError(f"{path} {form.refusal}")
    with _opened(path, form, counted) as stream:
        yield _records(stream, path, counted)


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
    with _opened(path, form, counted) as stream:
        found = _gather(_records(stream, path, counted), path, counted)
    foreign = counted.left_out.sorts.get(UNKNOWN_WORDS)
    if foreign is not None:
        counted.problems.append(
            f"{path}: {foreign[0]:,} records hold {UNKNOWN_WORDS}, for example {foreign[2]}: {foreign[1]}; log with "
            "lc_messages = 'C' and give that log"
        )
    if counted.torn:
        counted.problems.append(counted.torn)
    return found, counted


@contextmanager
def _opened(path: Path, form: Form, counted: Counted) -> Iterator[IO[str]]:
    """Open a log. A compressed one that is torn, as one that is written still, is read as far as it goes."""

    def torn(why: str) -> None:
        counted.torn = f"{path}: its end is missing or damaged and was not read, only what stands before it: {why}"

    with open_text(path, form, torn) as stream:
        yield stream


def _records(stream: IO[str], path: Path, counted: Counted) -> Iterator[Record]:
    first = stream.readline()
    lines = _chain(first, stream)
    if _JSON.match(first):
        return _json(lines, path, counted)
    if (carrier := _CARRIER.match(first)) and carrier[0] and _JSON.match(first, carrier.end()):
        return _json((_uncarried(line) for line in lines), path, counted)
    try:
        fields = next(csv.reader([first]), [])
    except csv.Error:
        fields = []
    if path.name.removesuffix(".gz").endswith(".csv") or (len(fields) > CSV_COLUMNS[0] and _RECORD.match(fields[0])):
        return _csv(lines, path, counted)
    return _stderr(lines, path, counted)


def _uncarried(line: str) -> str:
    match = _CARRIER.match(line)
    return line[match.end() :] if match else line


def _chain(first: str, stream: IO[str]) -> Iterator[str]:
    if first:
        yield first
    yield from stream


def _json(lines: Iterable[str], path: Path, counted: Counted) -> Iterator[Record]:
    text = _Text(path, counted)
    for entry in entries(lines):
        if isinstance(entry, Found) and entry.level is None:  # a line of a log, or the next line of a record
            for line in entry.text.rstrip("\n").split("\n"):
                yield from text.add(entry.line, line)
            text.told(entry)
            continue
        yield from text.end()
        counted.records += 1
        if isinstance(entry, Found):
            yield Record(
                entry.line, entry.session, entry.level or "", entry.text, entry.once, entry.application,
                entry.detail, entry.at,
            )  # fmt: skip
        else:
            counted.reject(f"{path}: line {entry} cannot be read as JSON, or holds no message of a server")
    yield from text.end()


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
    yield Record(line, fields[3], fields[11], fields[13], (), fields[22], fields[14], fields[0])


def _stderr(lines: Iterable[str], path: Path, counted: Counted) -> Iterator[Record]:
    text = _Text(path, counted)
    for number, line in enumerate(lines, 1):
        yield from text.add(number, line.rstrip("\n"))
    yield from text.end()


class _Text:
    """A log in text form, line by line: a line that begins no record belongs to the one before."""

    def __init__(self, path: Path, counted: Counted) -> None:
        self._path = path
        self._counted = counted
        self._current: Record | None = None
        self._carrier: set[str] = set()

    def add(self, number: int, line: str) -> Iterator[Record]:
        carrier, line = self._carried(line)
        found = None if line.startswith("\t") else begins(line)
        if found is not None:
            prefix, level, message = found
            yield from self.end()
            self._counted.records += 1
            time = _TIME.search(prefix) or _TIME.search(carrier)
            session = _session(prefix) or _session(carrier)
            self._current = Record(number, session, level, message, at=time[0] if time else "")
        elif self._current is not None:
            syslog = _SYSLOG.match(line)
            self._current.message += "\n" + (syslog[1] if syslog else line.removeprefix("\t"))
        elif line.strip():
            self._counted.records += 1
            self._counted.reject(f"{self._path}: line {number} belongs to no log record")

    def _carried(self, line: str) -> tuple[str, str]:
        """Return what a collector wrote before a line, and the line; a record's next lines have it as its first had."""
        match = _CARRIER.match(line)
        kinds = {name for name, text in match.groupdict().items() if text} if match else set()
        if match is None or not kinds:
            return "", line
        rest = line[match.end() :]
        if begins(rest) is not None:
            self._carrier = kinds
        elif kinds != self._carrier:
            return "", line
        return match[0], rest

    def told(self, entry: Found) -> None:
        """Take what a document says beside the text of the record that it holds."""
        if self._current is not None and self._current.line == entry.line:
            self._current.session = self._current.session or entry.session
            self._current.detail = self._current.detail or entry.detail
            self._current.at = self._current.at or entry.at

    def end(self) -> Iterator[Record]:
        if self._current is not None:
            yield self._current
        self._current = None


def _session(prefix: str) -> str:
    """Return the session that the prefix of a line names, by %c or by its process; '' where it names none."""
    whole = _SESSION.search(prefix)
    if whole is not None:
        return whole[1]
    pid = _PID.search(prefix)
    return next(filter(None, pid.groups())) if pid else ""


def _gather(records: Iterable[Record], path: Path, counted: Counted) -> list[RawStatement]:
    found: dict[str, RawStatement] = {}
    pending: dict[str, RawStatement] = {}  # session → statement whose duration may follow on its own line
    told: dict[str, tuple[str, ...]] = {}  # session → the execution that was told last
    for record in records:
        source = Source(str(path), record.line)
        said = read_message(record.message)
        if record.level not in LOG and said.other != UNKNOWN_WORDS:
            said = Said(other=f"{record.level} records")
        if said.other == "durations on a line of their own":
            waiting = pending.pop(record.session, None)
            if waiting is not None and said.ms is not None:
                waiting.total_ms = (waiting.total_ms or 0.0) + said.ms
        if said.sql is not None and is_own_application(record.application):
            said = Said(other="statements of this tool's sessions")
        if said.sql is None:
            counted.leave_out(said.other, record.message, source)
            continue
        key = _key(said.sql)
        once = record.once or said.once or (("plan", key) if said.planned else ())
        before = told.get(record.session)
        if before and (before == once or (before == ("plan", key) and not said.planned)):
            told.pop(record.session)
            if once:
                told[record.session] = once
            counted.leave_out("statements told once more (their plan, another table)", record.message, source)
            continue
        told[record.session] = once
        counted.statements += 1
        statement = found.get(key)
        if statement is None:
            statement = found[key] = RawStatement(said.sql, source, calls=0)
        statement.calls += 1
        if said.ms is not None:
            statement.total_ms = (statement.total_ms or 0.0) + said.ms
        else:
            pending[record.session] = statement
    return list(found.values())


def _key(sql: str) -> str:
    """Return what statements that differ in constants only have in common."""
    try:
        return normalize(sql)
    except Unparsable:
        return sql
