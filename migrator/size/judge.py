"""What a migration needs, figure by figure, each with its reason and the source of its number. Pure.

A figure that rests on something unknown is unknown, and said to be: silence is not enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from migrator.plan.schema import Plan

PART_ROWS_PER_S = 15_000.0
"""Rows a mirror partition follows at a lag of 80 ms at p99; it fails to keep up at 42,000 (docs/performance.md)."""

MIRROR_ROW_US = 7.2
"""Processor time of the mirror's program for one row (docs/performance.md, "Where the mirror's time goes")."""

HALF = 0.5
"""Share of a processor that is planned for, so that one process can take over another's partitions."""

COPIES_PER_PROCESS = 8
"""Slots of a worker for copies (workflows/worker.py)."""

HEADROOM = 2.0
"""Row writes are planned for twice the highest that is known."""

JOURNAL_ROW_BYTES = 50
"""A journal entry (docs/decisions/0018)."""

CAPTURE_US = (10.0, 26.0)
"""Processor time of capture for one written row on classic (docs/performance.md)."""

PROCESS_MB = 256
"""A worker that does nothing: 86 MB of modules, Temporal's library and its cached workflows beside them."""

ROW_COPIES = 4
"""A batch is in a mirror's memory as text, as lines, as what is sent and as what was read: at most so many times."""

IDLE_PROCESS_CORE = 0.00068
"""Of one of classic's cores, for an application's process that is idle (docs/performance.md, "What a fleet costs")."""

PER_WORKER = 3
"""Sessions a worker holds on classic beside its work: samples of state, the writer's load, notifications."""

COMMANDS = 5
"""Sessions for commands, the board and the webhook."""

VALIDATION = (3, 2)
"""Sessions of a validation on classic and on Limitless."""

GIB, MIB = 1 << 30, 1 << 20

PERFORMANCE = "docs/performance.md"


@dataclass(frozen=True, slots=True)
class Room:
    """A server's connections.

    Attributes:
        others: in use now by others than the tool and shims.
        sees_all: this role sees every session.
    """

    most: int
    reserved: int
    others: int
    sees_all: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known. None: unknown.

    Attributes:
        row_writes_per_s: the highest that is known, and where it is from.
        unanalysed: tables with rows whose number was never estimated.
        processes: of applications, with a shim.
    """

    rows: float | None = None
    bytes: float | None = None
    unanalysed: int = 0
    tenants: int | None = None
    row_writes_per_s: float | None = None
    row_writes_source: str = ""
    processes: int | None = None
    classic: Room | None = None
    limitless: Room | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        value: None when it rests on something unknown.
        planned: what the plan says of the same, or the server has; None where neither says anything.
        problem: what is wrong, and what to do; '' when nothing is.
    """

    name: str
    value: float | None
    unit: str
    reason: str
    source: str
    planned: float | None = None
    problem: str = ""

    def value_or(self, other: float) -> float:
        return other if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class Size:
    figures: tuple[Figure, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(f"{figure.name}: {figure.problem}" for figure in self.figures if figure.problem)

    def value(self, name: str) -> float | None:
        return next(figure.value for figure in self.figures if figure.name == name)


def judge(plan: Plan, known: Measured, *, mb_per_s: float | None = None) -> Size:
    """Return what *plan* needs with what is *known*.

    Args:
        mb_per_s: measured rate of the copy, in place of the plan's limit.
    """
    writes = known.row_writes_per_s * HEADROOM if known.row_writes_per_s is not None else None
    parts = _parts(plan, known, writes)
    mirrors = _mirror_workers(plan, writes)
    bulk = Figure(
        "workers.bulk", max(1, math.ceil(plan.backfill.concurrency / COPIES_PER_PROCESS)), "processes",
        f"backfill.concurrency {plan.backfill.concurrency}, {COPIES_PER_PROCESS} copies a process; only while rows are"
        " copied", "workflows/worker.py",
    )  # fmt: skip
    steps = Figure(
        "workers.control", 2, "processes",
        "workflows, gates and validation; a second one goes on when a host is lost. They serve incident too",
        "docs/protocols.md",
    )  # fmt: skip
    workers = None if mirrors.value is None else steps.value_or(0) + mirrors.value + bulk.value_or(0)
    figures = (
        parts,
        mirrors,
        bulk,
        steps,
        _memory(plan, known, mirrors.value),
        _classic(plan, known, workers),
        _limitless(plan, known, workers),
        _copy(plan, known, mb_per_s),
        *_journal(plan, known),
        _capture(known),
        _fleet(known),
    )
    return Size(figures)


_NO_WRITES = "unknown how many rows are written: say --row-writes N, the rows a second of the busiest hour"


def _parts(plan: Plan, known: Measured, writes: float | None) -> Figure:
    planned = plan.dual_write.parts
    source = f"{PERFORMANCE}: a partition follows {PART_ROWS_PER_S:,.0f} rows/s at a lag of 80 ms (p99)"
    if writes is None:
        return Figure("dual_write.parts", None, "partitions", "", source, planned, _NO_WRITES)
    needed = max(1, math.ceil(writes / PART_ROWS_PER_S))
    reason = f"{HEADROOM:g} times {known.row_writes_per_s:,.0f} row writes/s ({known.row_writes_source})"
    short = (
        f"the plan has {planned}; raise dual_write.parts to {needed} before dual write, it is fixed from then on"
        if planned < needed
        else ""
    )
    return Figure("dual_write.parts", needed, "partitions", reason, source, planned, short)


def _mirror_workers(plan: Plan, writes: float | None) -> Figure:
    source = f"{PERFORMANCE}: {MIRROR_ROW_US:g} us of the program's processor a row"
    if writes is None:
        return Figure("workers.mirror", None, "processes", "", source, None, _NO_WRITES)
    by_rows = math.ceil(writes * MIRROR_ROW_US / 1e6 / HALF)
    needed = min(max(2, by_rows), plan.dual_write.parts + 1)
    reason = (
        f"half a processor each for {writes:,.0f} rows/s, at least 2 so that one may die, and no more than partitions"
    )
    return Figure("workers.mirror", needed, "processes", reason, source)


def _memory(plan: Plan, known: Measured, mirrors: float | None) -> Figure:
    name, source = "memory of a worker", f"{PERFORMANCE}: 96 MB with 5,000,000 entries waiting, 52 MB while validating"
    if mirrors is None or not known.rows or known.bytes is None or known.unanalysed:
        return Figure(name, None, "MiB", "", source, None, _no_rows(known) if mirrors is not None else _NO_WRITES)
    row = known.bytes / known.rows
    held = math.ceil((plan.dual_write.parts + 1) / mirrors)
    batches = held * plan.dual_write.batch_rows * row * ROW_COPIES / MIB
    reason = (
        f"{PROCESS_MB} MiB and {held} x dual_write.batch_rows {plan.dual_write.batch_rows:,} x {row:,.0f} bytes a row x"
        f" {ROW_COPIES}; give twice as a limit, a process may take over another's partitions"
    )
    return Figure(name, math.ceil(PROCESS_MB + batches), "MiB", reason, source)


def _connections(name: str, needed: int, room: Room | None, reason: str, more: str) -> Figure:
    source = "counted where they are opened; docs/reliability.md"
    if room is None:
        return Figure(name, needed, "sessions", reason, source, None, "the server does not answer: its room is unknown")
    free = room.most - room.reserved - room.others
    problem = ""
    if free < needed:
        problem = (
            f"{max(free, 0)} of {room.most:,} are left beside {room.others:,} of others and {room.reserved} reserved:"
            f" raise max_connections, or {more}"
        )
    elif not room.sees_all:
        problem = "this role does not see the sessions of others, so it is unknown how many are left: GRANT pg_monitor"
    return Figure(name, needed, "sessions", reason, source, free, problem)


def _classic(plan: Plan, known: Measured, workers: float | None) -> Figure:
    mirrors, copies = 3 * (plan.dual_write.parts + 1), 2 * plan.backfill.concurrency
    name, source = "connections on classic", "docs/reliability.md"
    if workers is None:
        return Figure(name, None, "sessions", "", source, None, _NO_WRITES)
    if known.processes is None:
        return Figure(name, None, "sessions", "", source, None, _NO_PROCESSES)
    needed = mirrors + copies + VALIDATION[0] + PER_WORKER * int(workers) + COMMANDS + known.processes
    reason = (
        f"mirrors {mirrors} (3 a partition), copies {copies} (2 each), validation {VALIDATION[0]}, {workers:g} workers"
        f" {PER_WORKER * int(workers)}, commands {COMMANDS}, {known.processes:,} processes with a shim 1 each, beside"
        " their pools"
    )
    return _connections(name, needed, known.classic, reason, "run shims behind a pooler with listen=False")


_NO_PROCESSES = "unknown how many processes of applications there will be: say --processes N"


def _limitless(plan: Plan, known: Measured, workers: float | None) -> Figure:
    mirrors, copies = plan.dual_write.parts + 1, plan.backfill.concurrency
    name = "connections on Limitless"
    if workers is None:
        return Figure(name, None, "sessions", "", "docs/reliability.md", None, _NO_WRITES)
    needed = mirrors + copies + VALIDATION[1] + int(workers) + COMMANDS
    reason = (
        f"mirrors {mirrors}, copies {copies}, validation {VALIDATION[1]}, {workers:g} workers {int(workers)}, commands"
        f" {COMMANDS}; all could be of one router. Applications' pools come beside them"
    )
    return _connections(name, needed, known.limitless, reason, "lower backfill.concurrency")


def _copy(plan: Plan, known: Measured, mb_per_s: float | None) -> Figure:
    name, rate = "copy", mb_per_s or plan.backfill.mb_per_s
    if known.bytes is None:
        return Figure(name, None, "hours", "", "pg_table_size", None, "unknown how large the tables are")
    if rate is None:
        return Figure(
            name, None, "hours", f"{known.bytes / GIB:,.1f} GiB", "pg_table_size", None,
            "unknown how fast it goes: the plan has no limit. Say --mb-per-s with what a rehearsal measured, or set"
            " backfill.mb_per_s",
        )  # fmt: skip
    hours = known.bytes / (rate * 1e6) / 3600
    whose = "--mb-per-s" if mb_per_s else "backfill.mb_per_s"
    reason = f"{known.bytes / GIB:,.1f} GiB at {whose} {rate:g}; longer where classic's load slows it (docs/pace.md)"
    return Figure(name, round(hours, 2), "hours", reason, "pg_table_size of the migrated tables, without indexes")


def _journal(plan: Plan, known: Measured) -> tuple[Figure, Figure]:
    names = "journal an hour", "journal's limit"
    source = f"docs/decisions/0018: {JOURNAL_ROW_BYTES} bytes a row written"
    limit = plan.dual_write.journal_limit_mb * 1e6
    if known.row_writes_per_s is None:
        return (
            Figure(names[0], None, "MB", "", source, None, _NO_WRITES),
            Figure(names[1], None, "hours", "", source, None, _NO_WRITES),
        )
    hourly = known.row_writes_per_s * JOURNAL_ROW_BYTES * 3600
    hours = limit / hourly if hourly else math.inf
    problem = (
        f"lasts {hours * 60:.0f} minutes while Limitless is unreachable: raise dual_write.journal_limit_mb"
        if hours < 1
        else ""
    )
    return (
        Figure(names[0], math.ceil(hourly / 1e6), "MB", "kept while Limitless is unreachable, or copies run", source),
        Figure(
            names[1], None if math.isinf(hours) else round(hours, 1), "hours",
            "until the backfill pauses and an alarm is raised, at the highest rate known" if hourly else
            "nothing is written, so it never fills", source, plan.dual_write.journal_limit_mb, problem,
        ),
    )  # fmt: skip


def _capture(known: Measured) -> Figure:
    name, source = "capture on classic", f"{PERFORMANCE}: {CAPTURE_US[0]:g} to {CAPTURE_US[1]:g} us of processor a row"
    if known.row_writes_per_s is None:
        return Figure(name, None, "cores", "", source, None, _NO_WRITES)
    high = known.row_writes_per_s * CAPTURE_US[1] / 1e6
    return Figure(name, round(high, 2), "cores", "at the dearer end; whether classic lasts: docs/runway.md", source)


def _fleet(known: Measured) -> Figure:
    name, source = "shims on classic", f"{PERFORMANCE}, What a fleet costs classic"
    if known.processes is None:
        return Figure(name, None, "cores", "", source, None, _NO_PROCESSES)
    reason = f"{known.processes:,} idle processes; one that waits for acknowledgements costs three times as much"
    return Figure(name, round(known.processes * IDLE_PROCESS_CORE, 2), "cores", reason, source)


def _no_rows(known: Measured) -> str:
    if known.unanalysed:
        return f"{known.unanalysed} migrated tables were never analysed: run ANALYZE, then ask again"
    return "unknown how many rows there are: the migrated tables are empty or were never analysed"
