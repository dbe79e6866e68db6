"""Judges statements in several processes at once. The report is the one that a single process makes.

Chunks are judged in any order and put together in theirs: reports, findings in the order in which they were found,
counts. What a process needs to know of the database it is sent once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context

from migrator.audit.evidence.rows import RawStatement
from migrator.audit.report.values import StatementReport
from migrator.audit.rules.findings import Collector, Replay
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.walk import Context
from migrator.audit.statements import Audit, Tally, judged, numbered

WORTH = 5_000
"""Fewer statements are judged before other processes have started."""
CHUNK = 500
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
    chunks = [raw[at : at + CHUNK] for at in range(0, len(raw), CHUNK)]
    done = 0
    try:
        for answer in _answers(chunks, audit, processes):
            for replay in answer.findings:
                audit.out.repeat(replay)
            audit.tally.add(answer.tally)
            done += 1
            yield from answer.reports
    except BrokenProcessPool:  # one was killed, by the system for want of memory at the likeliest
        for chunk in chunks[done:]:
            yield from judged(chunk, audit)


def _answers(chunks: Sequence[Sequence[RawStatement]], audit: Audit, processes: int) -> Iterator[_Answer]:
    context = audit.context
    known = _Known(
        Context(context.catalog, context.shapes, _unknown, context.summaries),
        audit.shards,
        audit.out.engine,
        audit.out.tenant_key,
    )
    # Not by fork: a thread of this process may hold a lock.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (known,)) as pool:
        waiting = [pool.submit(_judge, chunk) for chunk in chunks[: 2 * processes]]
        for number in range(len(chunks)):
            yield waiting.pop(0).result()
            following = number + 2 * processes
            if following < len(chunks):
                waiting.append(pool.submit(_judge, chunks[following]))


def _unknown(schema: str | None, name: str) -> str:
    """Stands for the lookup of volatilities, which each process makes for itself from the catalog."""
    return "v"


_here: list[_Known] = []


def _begin(known: _Known) -> None:
    known.context.volatility = volatility.known(known.context.catalog)
    _here[:] = [known]


def _judge(chunk: Sequence[RawStatement]) -> _Answer:
    [known] = _here
    out = Collector(known.engine, known.tenant_key, recording=True)
    tally = Tally()
    reports = list(judged(chunk, Audit(known.context, known.shards, out, tally)))
    return _Answer(reports, out.recorded, tally)
