"""Judges statements in several processes at once. The report is the one that a single process makes.

Chunks are judged in any order and put together in theirs: reports, findings in the order in which they were found,
counts. What a process needs to know of the database it is sent once. This process judges as well, in small pieces, from
the start; between two of them it looks for answers. No thread does: the parser gives the interpreter's lock back for
moments only, and a thread that waits for it beside one that judges can wait for seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Self

from migrator.audit.evidence.rows import RawStatement
from migrator.audit.report.values import StatementReport
from migrator.audit.rules.findings import Collector, Replay
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.walk import Context
from migrator.audit.statements import Audit, Tally, judged, numbered

WORTH = 5_000
"""Fewer statements are judged before other processes have started."""
CHUNK = 500
MINE = 50
"""Statements in a piece: of another process, and of this one, which looks for answers between two of its own."""
MOST = 8
"""A process takes 60 MB."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a process is sent when it begins."""

    context: Context
    shards: int
    engine: tuple[int, int, int]
    tenant_key: str


@dataclass(frozen=True, slots=True)
class _Answer:
    reports: list[StatementReport]
    findings: list[Replay]
    tally: Tally


def available() -> int:
    """Return how many processes this one's processors are good for."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    return min(MOST, cores)


def audit_statements(raw: Sequence[RawStatement], audit: Audit, processes: int = 1) -> Iterator[StatementReport]:
    """Yield a report for every statement, the unparsable ones too, in their order."""
    if processes < 2 or len(raw) < WORTH:
        yield from numbered(judged(raw, audit))
    else:
        yield from numbered(_spread(raw, audit, processes))


def _spread(raw: Sequence[RawStatement], audit: Audit, processes: int) -> Iterator[StatementReport]:
    known = _Known(audit.context, audit.shards, audit.out.engine, audit.out.tenant_key)
    for answer in _answers(raw, known, processes - 1):
        for replay in answer.findings:
            audit.out.repeat(replay)
        audit.tally.add(answer.tally)
        yield from answer.reports


def _answers(raw: Sequence[RawStatement], known: _Known, others: int) -> Iterator[_Answer]:
    """Yield what this process and *others* say of *raw*, piece by piece, in its order."""
    context = known.context
    sent = replace(known, context=Context(context.catalog, context.shapes, _unknown, context.summaries))
    pieces = _Pieces(len(raw))
    ready: dict[int, tuple[_Answer, int]] = {}  # by the first statement; with the one behind the last
    told = 0
    with ExitStack() as stack:
        at_work = [stack.enter_context(_Other(sent)) for _ in range(others)]
        while told < len(raw):
            for other in list(at_work):
                try:
                    ready |= other.collected()
                    if other.piece is None and (piece := pieces.take(other.size)) is not None:
                        other.give(piece, raw)
                except (EOFError, OSError):  # it was killed, by the system for want of memory at the likeliest
                    at_work.remove(other)
                    pieces.give_back(other.piece)
            if told in ready:
                answer, told = ready.pop(told)
                yield answer
            elif (mine := pieces.take(MINE)) is not None:
                ready[mine[0]] = _judged(raw[slice(*mine)], known), mine[1]
            else:
                wait([other.conn for other in at_work if other.piece is not None])


class _Pieces:
    """Gives out so many statements, each once; a piece is the first one and the one behind the last."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._at = 0
        self._back: list[tuple[int, int]] = []

    def take(self, size: int) -> tuple[int, int] | None:
        """Return a piece of *size* statements at most; None when there is nothing left."""
        if self._back:
            return self._back.pop()
        start, self._at = self._at, min(self._at + size, self._count)
        return (start, self._at) if start < self._at else None

    def give_back(self, piece: tuple[int, int] | None) -> None:
        """Have somebody else take *piece*."""
        if piece is not None:
            self._back.append(piece)


class _Other:
    """Another process that judges, and what it was given last."""

    def __init__(self, known: _Known) -> None:
        spawn = get_context("spawn")  # not by fork: a thread of this process may hold a lock
        self.conn, theirs = spawn.Pipe()
        self.piece: tuple[int, int] | None = None
        self.size = MINE  # its first piece has to wait in the pipe until it has begun
        self._process = spawn.Process(target=_serve, args=(theirs, known), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, piece: tuple[int, int], raw: Sequence[RawStatement]) -> None:
        """Have it judge *piece* of *raw*. Raises OSError: it is no more."""
        self.piece = piece
        self.conn.send(raw[slice(*piece)])
        self.size = CHUNK

    def collected(self) -> dict[int, tuple[_Answer, int]]:
        """Return its answer if it is there. Raises EOFError, OSError: it is no more."""
        if self.piece is None or not self.conn.poll():
            return {}
        answer, (start, end), self.piece = self.conn.recv(), self.piece, None
        return {start: (answer, end)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()
        self._process.kill()  # it holds nothing
        self._process.join()


def _unknown(schema: str | None, name: str) -> str:
    """Stands for the lookup of volatilities, which each process makes for itself from the catalog."""
    return "v"


def _serve(conn: Connection, known: _Known) -> None:
    """Judge what comes, until the one who sends it is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the one who was started ends the others
    known.context.volatility = volatility.known(known.context.catalog)
    with suppress(EOFError, OSError):
        while True:
            conn.send(_judged(conn.recv(), known))


def _judged(chunk: Sequence[RawStatement], known: _Known) -> _Answer:
    out = Collector(known.engine, known.tenant_key, recording=True)
    tally = Tally()
    reports = list(judged(chunk, Audit(known.context, known.shards, out, tally)))
    return _Answer(reports, out.recorded, tally)
