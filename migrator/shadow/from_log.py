"""Reads calls from logs of a server: csvlog, jsonlog, text, and what services wrap these in.

Which records there are, and what they say, is the audit's to read. Here their parameters are read too: those of the
extended protocol stand in the record's detail, where log_parameter_max_length lets them; a value that it has cut makes
the call useless. Statements of the simple protocol have their values in their text.

Every record is accounted for: its statements are offered to the sample or left out with a reason, and a record that
holds no statement is counted by what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from migrator.audit.evidence.log_message import read_message
from migrator.audit.evidence.log_words import LOG
from migrator.audit.evidence.logs import Counted, Record, records
from migrator.model.own_session import is_own_application
from migrator.model.trace import Call
from migrator.shadow.messages import Messages
from migrator.shadow.parameters import Parameters, read_parameters
from migrator.shadow.sampling import Sample

CUT = "a parameter may have been cut in the log (log_parameter_max_length)"
NO_VALUES = "its parameters are not in the log (log_parameter_max_length = 0)"
TWICE = "told by auto_explain or pgaudit, which repeat what the server logs itself"
OWN = "a statement of this tool's own sessions"
FETCH = "rows fetched further from a portal, whose statement is a call already"
NO_RECORD = "lines that are no record of a log"

_MARKED = re.compile(r"\$\d")
_FETCH = re.compile(r"execute fetch from\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?")
_MOST_OPEN = 10_000
"""Sessions whose last statement waits for its detail or its duration; the oldest waits no longer."""
_LINES = 40
"""Bits for the lines of one log."""


def read(paths: Iterable[Path], sample: Sample) -> str:
    """Offer every call of these logs to *sample*; return where they come from, in a few words.

    Raises:
        UsageError: a file cannot be opened, or is no text.
    """
    for number, path in enumerate(paths):
        counted, reader = Counted(), _Reader(sample, number)
        with records(path, counted) as found:
            for record in found:
                reader.take(record)
        reader.end()
        sample.records += counted.records
        if counted.rejected:
            sample.passed_over[NO_RECORD] += counted.rejected
        if counted.torn:
            sample.notes.append(counted.torn)
    return "log"


@dataclass(slots=True)
class _Told:
    """A statement that a record told, and what may still follow: its detail, then its duration.

    Attributes:
        place: of the record in all logs.
        waits: its duration may stand in a record of its own.
        cut: one of its parameters has lost its end.
    """

    call: Call
    place: int
    waits: bool
    cut: bool = False
    detail: str = ""


class _Reader:
    """Reads the records of one log one after the other."""

    def __init__(self, sample: Sample, number: int) -> None:
        self._sample = sample
        self._number = number
        self._messages = Messages()
        self._last: dict[str, _Told] = {}  # session → what its newest record told, whose detail may follow
        self._waiting: dict[str, _Told] = {}  # session → what may get its duration yet

    def take(self, record: Record) -> None:
        last = self._last.pop(record.session, None)
        if record.level not in LOG:
            self._sample.passed_over[f"{record.level} records"] += 1
            if last is not None:
                self._settle(_detailed(last, record.message))
            return
        if last is not None:
            self._settle(last)
        said = read_message(record.message)
        if said.sql is None:
            self._sample.passed_over[said.other] += 1
            told = self._waiting.pop(record.session, None) if said.ms is not None else None
            if told is not None and said.ms is not None:
                told.call = replace(told.call, ms=said.ms, at_s=_began(record.at, said.ms))
                self._offer(told)
            return
        self._sample.messages += 1
        if said.planned or said.once or record.once:
            self._sample.leave_out(TWICE)
        elif is_own_application(record.application):
            self._sample.leave_out(OWN)
        elif _FETCH.search(record.message[:200]):
            self._sample.leave_out(FETCH)
        else:
            call = Call(said.sql, session=record.session, at_s=_began(record.at, said.ms or 0.0), ms=said.ms)
            told = _Told(call, self._number << _LINES | record.line, waits=said.ms is None and bool(record.session))
            if record.detail:
                self._settle(_detailed(told, record.detail))
            else:
                _put(self._last, told, self._settle)

    def end(self) -> None:
        """Offer what waits for nothing any more."""
        for told in (*self._waiting.values(), *self._last.values()):
            self._offer(told)

    def _settle(self, told: _Told) -> None:
        """Offer a statement whose detail is known, or let it wait for its duration."""
        if not told.waits:
            self._offer(told)
            return
        if (before := self._waiting.pop(told.call.session, None)) is not None:
            self._offer(before)
        _put(self._waiting, told, self._offer)

    def _offer(self, told: _Told) -> None:
        for one in self._messages.statements(told.call, told.detail):
            if isinstance(one, str):
                self._sample.leave_out(one)
            elif told.cut:
                self._sample.leave_out(CUT)
            elif not one.values and _MARKED.search(_bare(one.sql)):
                self._sample.leave_out(NO_VALUES)
            else:
                session = f"{self._number}:{one.session}" if one.session else ""
                self._sample.offer(replace(one, session=session), told.place)


def _put(where: dict[str, _Told], told: _Told, oldest: Callable[[_Told], None]) -> None:
    where[told.call.session] = told
    if len(where) > _MOST_OPEN:
        oldest(where.pop(next(iter(where))))


def _detailed(told: _Told, detail: str) -> _Told:
    """Return a statement with what its record says besides: values of its parameters, or what it executes."""
    found: Parameters | None = read_parameters(detail)
    if found is None:
        return replace(told, detail=detail)
    return replace(told, call=replace(told.call, values=found.values), cut=found.cut)


def _bare(sql: str) -> str:
    """Return a text without its literals, in which $1 is no parameter."""
    return re.sub(r"'(?:[^']|'')*'", "", sql)


def _began(at: str, ms: float) -> float | None:
    """Return when a call began, in seconds; None when the log does not say. A record is written when it ends."""
    found = _TIME.search(at)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[0]).replace(tzinfo=UTC).timestamp() - ms / 1000
    except ValueError:
        return None
