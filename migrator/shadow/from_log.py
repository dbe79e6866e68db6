"""Reads calls from logs of a server: csvlog, jsonlog, text, and what services wrap these in.

Which records there are, and what they say, is the audit's to read. Here their parameters are read too: those of the
extended protocol stand in the record's detail, where log_parameter_max_length lets them; a value that it has cut makes
the call useless. Statements of the simple protocol have their values in their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from migrator.audit.evidence.log_message import read_message
from migrator.audit.evidence.log_words import LOG
from migrator.audit.evidence.logs import Counted, Record, records
from migrator.model.own_session import is_own_application
from migrator.model.trace import Call
from migrator.shadow.parameters import Parameters, read_parameters
from migrator.shadow.sampling import Sample

CUT = "a parameter may have been cut in the log (log_parameter_max_length)"
NO_VALUES = "its parameters are not in the log (log_parameter_max_length = 0)"
TWICE = "told by auto_explain or pgaudit, which repeat what the server logs itself"

_MARKED = re.compile(r"\$\d")
_FETCH = re.compile(r"execute fetch from\b")
_QUIET = re.compile(
    r"(?:begin|start|commit|end|rollback|abort|savepoint|release|set|reset|show|discard|deallocate|close)\b|$",
    re.IGNORECASE,
)
"""Commands about a transaction or a session, which are repeated with no call."""


def read(paths: Iterable[Path], sample: Sample) -> str:
    """Offer every call of these logs to *sample*; return where they come from, in a few words.

    Raises:
        UsageError: a file cannot be opened, or is no text.
    """
    for number, path in enumerate(paths):
        counted = Counted()
        with records(path, counted) as found:
            for call in _calls(found, sample):
                sample.offer(replace(call, session=f"{number}:{call.session}"))
        if counted.rejected:
            sample.left_out["lines that are no record of a log"] += counted.rejected
    return "log"


def _calls(found: Iterator[Record], sample: Sample) -> Iterator[Call]:
    """Yield a call for every statement that was executed, once its details and its duration are known."""
    waiting: dict[str, Call] = {}  # session → a call whose duration may follow on a line of its own
    last: tuple[Call, bool] | None = None  # what the record before was, whose detail may follow; whether it waits

    def settled() -> Iterator[Call]:
        nonlocal last
        if last is not None:
            call, waits = last
            last = None
            if waits:
                if (before := waiting.pop(call.session, None)) is not None:
                    yield before
                waiting[call.session] = call
            else:
                yield call

    for record in found:
        parameters = _parameters(record)
        if record.level not in LOG:
            if last is not None and parameters is not None:
                last = (_bound(last[0], parameters), last[1]) if not parameters.cut else None
                if last is None:
                    sample.leave_out(CUT)
            continue
        yield from _complete(settled(), sample)
        said = read_message(record.message)
        if said.sql is None:
            if said.ms is not None and (call := waiting.pop(record.session, None)) is not None:
                yield from _complete(iter([replace(call, ms=said.ms, at_s=_began(record.at, said.ms))]), sample)
            continue
        if said.planned or said.once or record.once:
            sample.leave_out(TWICE)
            continue
        if is_own_application(record.application) or _QUIET.match(said.sql) or _FETCH.search(record.message[:200]):
            continue
        call = Call(said.sql, session=record.session, at_s=_began(record.at, said.ms or 0.0), ms=said.ms)
        if parameters is not None and parameters.cut:
            sample.leave_out(CUT)
            continue
        last = (_bound(call, parameters) if parameters else call, said.ms is None)
    yield from _complete(settled(), sample)
    yield from _complete(iter(waiting.values()), sample)


def _complete(calls: Iterator[Call], sample: Sample) -> Iterator[Call]:
    """Yield those that have a value for each of their parameters."""
    for call in calls:
        if not call.values and _MARKED.search(_bare(call.sql)):
            sample.leave_out(NO_VALUES)
        else:
            yield call


def _bare(sql: str) -> str:
    """Return a text without its literals, in which $1 is no parameter."""
    return re.sub(r"'(?:[^']|'')*'", "", sql)


def _bound(call: Call, parameters: Parameters) -> Call:
    return replace(call, values=parameters.values)


def _parameters(record: Record) -> Parameters | None:
    """Return the parameters of a record: its detail's, or, where a detail is a record of its own, its text's."""
    if record.detail:
        return read_parameters(record.detail)
    return read_parameters(record.message) if record.level not in LOG else None


def _began(at: str, ms: float) -> float | None:
    """Return when a call began, in seconds; None when the log does not say. A record is written when it ends."""
    try:
        moment = datetime.fromisoformat(at.strip()[:23].replace(" ", "T").rstrip("Z"))
    except ValueError:
        return None
    return moment.timestamp() - ms / 1000
