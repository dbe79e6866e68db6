"""The ledger of a traffic process: what it wrote and read, for later checks.

One JSON object per line, appended and flushed before the process goes on: the intent before COMMIT is sent, its
outcome afterwards, and what every read returned. Times are seconds on the machine's monotonic clock, so that
the order of records of several processes is the order of events; the first line says which wall clock time that is.

A row is named by table, tenant and key. Its content is its version: null stands for "no such row".
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from migrator.model.ack import Ack


class RowKey(NamedTuple):
    """A row of the demo. Reference rows belong to no tenant: ''."""

    table: str
    tenant: str
    key: str


class Change(NamedTuple):
    """What a transaction does to a row: from one version to another, None where there is no row."""

    row: RowKey
    before: int | None
    after: int | None


class Seen(NamedTuple):
    """What a read returned for a row it asked for."""

    row: RowKey
    version: int | None


class Outcome(StrEnum):
    """The outcome of a transaction."""

    PENDING = "pending"  # COMMIT may have been sent; no answer is in the ledger
    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"  # the answer to COMMIT was lost
    ABORTED = "aborted"  # certainly not committed


@dataclass(slots=True)
class Write:
    """One transaction of the ledger.

    Attributes:
        at: when its intent was recorded, before COMMIT.
        ended_at: when its outcome was recorded.
        side: the side it was sent to.
        ms: how long the caller waited, from begin to acknowledgement.
        ack: its level of acknowledgement.
        session: of the thread that wrote it.
    """

    process: str
    number: int
    kind: str
    at: float
    side: str
    changes: tuple[Change, ...]
    outcome: Outcome = Outcome.PENDING
    ended_at: float | None = None
    ms: float = 0.0
    ack: str = Ack.EVERYWHERE.value
    session: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """One read of the ledger: between `began` and `ended` it saw `rows` on `side`; in a session, or in none ("")."""

    process: str
    began: float
    ended: float
    side: str
    rows: tuple[Seen, ...]
    missed: int  # as the process itself counted
    ms: float
    session: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that ended in an error for its caller.

    Attributes:
        at: when it ended.
        operation: read or write.
        error: the name of its type: texts may quote values.
        began: when the caller asked; 0.0: not known.
        side: that could not be reached; empty: the error does not say.
        sqlstate: of the server's error behind it; empty: no server answered.
    """

    process: str
    at: float
    operation: str
    error: str
    began: float = 0.0
    side: str = ""
    sqlstate: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """An event of the shim: a breaker opened, a read fell back, the migration is over."""

    process: str
    at: float
    name: str
    text: str


@dataclass(slots=True)
class Ledger:
    """The records of one or several processes, in order of time."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    wall_offset: float = 0.0  # wall clock = monotonic + this
    torn: int = 0  # last lines cut off by a kill


class LedgerWriter:
    """Appends records; safe for several threads."""

    def __init__(self, path: Path, process: str) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._number = 0
        self._put({"k": "start", "process": process, "offset": time.time() - time.monotonic()})

    def intent(
        self, kind: str, side: str, changes: list[Change], ack: str = Ack.EVERYWHERE.value, session: str = ""
    ) -> int:
        """Record that COMMIT is about to be sent; returns the number by which its outcome refers to it."""
        with self._lock:
            self._number += 1
            number = self._number
        rows = [[*c.row, c.before, c.after] for c in changes]
        what = {"what": kind, "side": side, "rows": rows, "ack": ack, "session": session}
        self._put({"k": "intent", "n": number, "t": time.monotonic(), **what})
        return number

    def outcome(self, number: int, outcome: Outcome, ms: float = 0.0) -> None:
        self._put({"k": "outcome", "n": number, "t": time.monotonic(), "is": outcome.value, "ms": round(ms, 2)})

    def read(self, began: float, ended: float, side: str, rows: list[Seen], missed: int, session: str = "") -> None:
        seen = [[*s.row, s.version] for s in rows]
        what = {"side": side, "rows": seen, "missed": missed, "session": session}
        self._put({"k": "read", "t0": began, "t1": ended, **what})

    def failure(self, operation: str, began: float, error: BaseException) -> None:
        """Record that a read or write which *began* then has ended in *error*; its text is not kept."""
        kind, side = type(error).__name__, getattr(error, "side", "")
        record = {"k": "failure", "t0": began, "t": time.monotonic(), "op": operation, "error": kind}
        self._put({**record, "side": side, "state": _sqlstate(error)})

    def note(self, name: str, text: str) -> None:
        self._put({"k": "note", "t": time.monotonic(), "name": name, "text": text})

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _put(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


def _sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of *error*, or of the server's error that it was raised for."""
    cause: BaseException | None = error
    while cause is not None:
        state = getattr(cause, "sqlstate", None)
        if state:
            return str(state)
        cause = cause.__cause__ or cause.__context__
    return ""


def _records(path: Path, ledger: Ledger) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                ledger.torn += 1  # the process was killed while it wrote; nothing after it was acknowledged
                return
            yield json.loads(line)


def read_ledgers(paths: list[Path]) -> Ledger:
    """Return the records of the files in *paths*, merged in order of time."""
    ledger = Ledger()
    for path in paths:
        process = path.stem
        open_writes: dict[int, Write] = {}
        for record in _records(path, ledger):
            match record["k"]:
                case "start":
                    ledger.wall_offset = record["offset"]
                case "intent":
                    changes = tuple(Change(RowKey(*r[:3]), r[3], r[4]) for r in record["rows"])
                    write = Write(process, record["n"], record["what"], record["t"], record["side"], changes)
                    write.ack, write.session = record["ack"], record["session"]
                    open_writes[write.number] = write
                    ledger.writes.append(write)
                case "outcome":
                    write = open_writes[record["n"]]
                    write.outcome, write.ended_at = Outcome(record["is"]), record["t"]
                    write.ms = record["ms"]
                case "read":
                    rows = tuple(Seen(RowKey(*r[:3]), r[3]) for r in record["rows"])
                    t0, t1 = record["t0"], record["t1"]
                    ms = (t1 - t0) * 1000
                    what = (record["side"], rows, record["missed"], ms, record["session"])
                    ledger.reads.append(Read(process, t0, t1, *what))
                case "failure":
                    how = (record["op"], record["error"], record["t0"], record["side"], record["state"])
                    ledger.failures.append(Failure(process, record["t"], *how))
                case "note":
                    ledger.notes.append(Note(process, record["t"], record["name"], record["text"]))
    ledger.writes.sort(key=lambda w: w.at)
    ledger.reads.sort(key=lambda r: r.began)
    ledger.failures.sort(key=lambda f: f.at)
    ledger.notes.sort(key=lambda n: n.at)
    return ledger
