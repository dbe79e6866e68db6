"""Puts ledger, samples and proof together into the result of a rehearsal. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.model.ack import Ack
from migrator.model.tenant import median
from migrator.rehearse import failures
from migrator.rehearse.demo import DemoLoad
from migrator.rehearse.ledger import Ledger, Outcome
from migrator.rehearse.observer import PhaseSpan, Sample
from migrator.rehearse.proof import Comparison, ReadsChecked, WritesChecked
from migrator.rehearse.told import PROMISED
from migrator.report import words


@dataclass(slots=True)
class Event:
    """An event of the rehearsal, from outside or of the migration; times on the monotonic clock."""

    name: str
    title: str
    at: float
    detail: str = ""
    ended: float | None = None


@dataclass(slots=True)
class Record:
    """The facts that the rehearsal collected.

    Attributes:
        problems: what did not hold; empty means that the rehearsal passed.
        released: acknowledged writes and reads of each thing that the deployment brought; None: not counted.
        quiet_since: when classic was stopped; from then on nothing may fail.
        left_out: accidents that were not possible where this ran.
        told: what the receiver of notifications and the scraper of metrics saw (`told.told_section`).
    """

    plan: str
    began: float
    started_at: str
    machine: str
    ended: float = 0.0
    demo: DemoLoad | None = None
    waves: dict[str, tuple[int | None, bool]] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    spans: Sequence[PhaseSpan] = ()
    events: list[Event] = field(default_factory=list)
    timings: dict[str, float | int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    comparison: Comparison | None = None
    writes: WritesChecked | None = None
    reads: ReadsChecked | None = None
    released: dict[str, tuple[int, int]] | None = None
    quiet_since: float | None = None
    told: dict[str, Any] | None = None
    peak_mb: float | None = None


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """What `rehearse` returns. *report* is the content of report.json; *places* says where what is kept."""

    ok: bool
    report: dict[str, Any]
    places: dict[str, str]


def judge(record: Record) -> list[str]:
    """Return every promise that was broken."""
    problems = list(record.problems)
    if record.comparison is None:
        problems.append("both sides were not compared before the hand-over")
    elif record.comparison.divergent_rows:
        problems.append(f"{record.comparison.divergent_rows} rows differed before the hand-over")
        problems += record.comparison.sample
    if record.writes is None:
        problems.append("the ledger was not checked against Limitless")
    else:
        if record.writes.lost:
            problems.append(f"{record.writes.lost} acknowledged writes are lost")
        if record.writes.phantom:
            problems.append(f"{record.writes.phantom} rows show changes that were never committed")
        problems += record.writes.sample
        if record.writes.acknowledged < 1000:
            problems.append(f"only {record.writes.acknowledged} writes were acknowledged; a rehearsal needs 1000")
    if record.reads is None:
        problems.append("the reads of the ledger were not checked")
    else:
        if record.reads.missed or record.reads.counted_at_once:
            problems.append(
                f"{record.reads.missed} rows were read older than acknowledged "
                f"(the processes counted {record.reads.counted_at_once} at once)"
            )
        if record.reads.missed_of_others:
            problems.append(
                f"{record.reads.missed_of_others} rows were read older than acknowledged to another process"
            )
        problems += record.reads.sample
    if record.quiet_since is not None:
        late = [f for f in record.ledger.failures if f.at >= record.quiet_since]
        if late:
            problems.append(f"{len(late)} operations failed after classic was stopped ({late[0].error} was the first)")
    if not record.released:
        problems.append("it was not checked that what the deployment in the middle brought was used")
    for name, used in (record.released or {}).items():
        if not all(used):
            problems.append(
                f"the deployment in the middle had brought {name}: {used[0]} writes and {used[1]} reads of it"
            )
    problems += [
        f"{words.count(kind.count)} {kind.what}; the first at {words.clock(kind.first_at - record.began)}: "
        "no fault of this rehearsal explains that"
        for kind in _errors(record)
        if not kind.expected
    ]
    return problems


def _errors(record: Record) -> list[failures.Kind]:
    """Return the errors that the application saw, by kind."""
    windows = [failures.Window(e.name, e.at, record.ended if e.ended is None else e.ended) for e in record.events]
    return failures.kinds(record.ledger.failures, windows)


def report_of(record: Record) -> dict[str, Any]:
    """Return the content of report.json. What was not checked is null: unknown is never clean."""
    problems = judge(record)
    began = record.began
    comparison, writes, reads = record.comparison, record.writes, record.reads
    timings = {**record.timings, **_latencies(record.ledger), **_lag(record)}
    if record.peak_mb is not None:
        timings["peak_memory_mb"] = round(record.peak_mb)
    return {
        "ok": not problems,
        "problems": problems,
        "left_out": record.left_out,
        "plan": record.plan,
        "started_at": record.started_at,
        "seconds": round(record.ended - began, 1),
        "machine": record.machine,
        "acknowledged_writes": writes.acknowledged if writes else 0,
        "lost_writes": writes.lost if writes else None,
        "unknown_writes": writes.unknown if writes else 0,
        "phantom_rows": writes.phantom if writes else 0,
        "reads": reads.reads if reads else 0,
        "missed_own_writes": max(reads.missed, reads.counted_at_once) if reads else None,
        "missed_writes_of_others": reads.missed_of_others if reads else None,
        "divergent_rows": comparison.divergent_rows if comparison else None,
        "phases": _phases(record),
        "events": [
            {
                "name": e.name,
                "title": e.title,
                "detail": e.detail,
                "at_s": round(e.at - began, 2),
                "ended_s": None if e.ended is None else round(e.ended - began, 2),
            }
            for e in sorted(record.events, key=lambda e: e.at)
        ],
        "timings": {k: round(v, 4) if isinstance(v, float) else v for k, v in timings.items()},
        "proof": _proof(record),
        "failures": [
            {"what": kind.what, "count": kind.count, "expected": kind.expected, "errors": dict(kind.errors)}
            for kind in _errors(record)
        ],
        "told": record.told,
        "demo": _demo(record),
        "series": {
            "state": _state(record),
            "reads": _read_sides(record),
            "latency": _latency_series(record),
        },
    }


def _told(section: dict[str, Any]) -> tuple[str, str, bool]:
    """Whether what always has to be told was told, and how soon."""
    events = {event["event"]: event["seconds"] for event in section["events"]}
    late = [name for name in PROMISED if name in events and events[name] is None]
    soon = [seconds for name, seconds in events.items() if seconds is not None]
    seen = f"{len(section['messages'])} messages, at most {words.seconds(max(soon))} later" if soon else "no message"
    if late:
        seen += f"; not of {', '.join(late)}"
    return "What needs a person was told to a receiver", seen, bool(soon) and not late


def _demo(record: Record) -> dict[str, Any]:
    demo = record.demo
    if demo is None:
        return {"rows": 0, "tables": {}, "median": 0, "sizes": []}
    sizes = []
    for tenant in demo.tenants:
        wave, hot = record.waves.get(str(tenant.tenant_id), (None, False))
        sizes.append({"tenant_id": tenant.tenant_id, "rows": tenant.rows, "wave": wave, "hot": hot})
    return {
        "rows": demo.total_rows,
        "tables": demo.rows,
        "median": median([t.rows for t in demo.tenants]),
        "sizes": sizes,
    }


def _phases(record: Record) -> list[dict[str, Any]]:
    order = sorted(record.spans, key=lambda s: s.began)
    spans = []
    for i, span in enumerate(order):
        following = order[i + 1].began if i + 1 < len(order) else record.quiet_since or record.ended
        ended = span.ended if span.ended is not None else following
        spans.append(
            {
                "phase": span.phase,
                "began_s": round(span.began - record.began, 2),
                "ended_s": round(max(ended, span.began) - record.began, 2),
                "done": span.ended is not None or record.quiet_since is not None,
                "detail": span.detail,
            }
        )
    if record.quiet_since is not None:
        spans.append(
            {
                "phase": "limitless_only",
                "began_s": round(record.quiet_since - record.began, 2),
                "ended_s": round(record.ended - record.began, 2),
                "done": True,
                "detail": "classic is stopped; traffic goes on against Limitless",
            }
        )
    return spans


def _proof(record: Record) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    def line(claim: str, seen: str, ok: bool) -> None:
        lines.append({"claim": claim, "seen": seen, "ok": ok})

    compared, writes, reads = record.comparison, record.writes, record.reads
    if compared is not None:
        seen = f"{words.count(sum(compared.rows.values()))} rows of {len(compared.rows)} tables, column by column"
        line("Both sides were equal before the hand-over", seen, not compared.divergent_rows)
    if writes is not None:
        seen = f"{words.count(writes.acknowledged)} transactions, {words.count(writes.rows)} rows"
        line("Every acknowledged write is on Limitless or was replaced by a later one", seen, not writes.lost)
        line("No change exists that was not committed", f"{writes.unknown} answers were lost", not writes.phantom)
    if reads is not None:
        seen = f"{words.count(reads.reads)} reads of {words.count(reads.rows)} rows"
        line("No read missed an earlier acknowledged write of its own process", seen, not reads.missed)
        if reads.in_session:
            seen = f"{words.count(reads.in_session)} reads with a session's token"
            line("Nor one that its session had written without waiting", seen, not reads.missed_in_session)
        line("Nor one of another process", "the same reads", not reads.missed_of_others)
    answered = next((s.facts.reads for s in reversed(record.samples) if s.facts.reads), None)
    if answered is not None:
        total = sum(answered.values())
        seen = ", ".join(f"{server} {words.count(n)} ({n / total:.0%})" for server, n in sorted(answered.items()))
        line("Classic's reads went to its read replica while that could answer", seen, answered.get("replica", 0) > 0)
    if record.released is not None:
        seen = "; ".join(
            f"{name}: {words.count(written)} writes, {words.count(read)} reads"
            for name, (written, read) in record.released.items()
        )
        line(
            "What a deployment brought in the middle is part of all this", seen, all(map(all, record.released.values()))
        )
    if record.told is not None:
        line(*_told(record.told))
    if record.ledger.writes:
        seen_errors = _errors(record)
        expected = all(kind.expected for kind in seen_errors)
        line("Every error the application saw has its fault", failures.said(seen_errors) or "no error", expected)
    if record.quiet_since is not None:
        after = [w for w in record.ledger.writes if w.at >= record.quiet_since and w.outcome is Outcome.ACKNOWLEDGED]
        failed = [f for f in record.ledger.failures if f.at >= record.quiet_since]
        late_reads = sum(r.began >= record.quiet_since for r in record.ledger.reads)
        seen = f"{words.count(len(after))} writes, {words.count(late_reads)} reads, {len(failed)} errors"
        line("With classic stopped, nothing failed", seen, not failed)
    return lines


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which *share* of *values* lie; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _latencies(ledger: Ledger) -> dict[str, float]:
    groups: dict[str, list[float]] = {
        "read_classic": [r.ms for r in ledger.reads if r.side == "classic"],
        "read_limitless": [r.ms for r in ledger.reads if r.side == "limitless"],
        "write": [w.ms for w in ledger.writes if w.outcome is Outcome.ACKNOWLEDGED],
    }
    for level in Ack:
        done = [w.ms for w in ledger.writes if w.outcome is Outcome.ACKNOWLEDGED and w.ack == level]
        groups[f"write_{level}"] = done
    timings = {}
    for name, values in groups.items():
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            value = percentile(values, share)
            if value is not None:
                timings[f"{name}_{label}_ms"] = value
    return timings


def _lag(record: Record) -> dict[str, float]:
    """Return the lag's percentiles outside the outages, and its highest value."""
    crashes = ("limitless_killed", "classic_killed")
    outages = [(e.at, e.ended or record.ended) for e in record.events if e.name in crashes]
    known = [(s.at, s.facts.lag_s) for s in record.samples if s.facts.lag_s is not None and _dual(s)]
    calm = [lag for at, lag in known if not any(a <= at <= b for a, b in outages)]
    found = {}
    for name, value in (
        ("lag_p50_s", percentile(calm, 0.5)),
        ("lag_p99_s", percentile(calm, 0.99)),
        ("lag_max_s", max((lag for _, lag in known), default=None)),
    ):
        if value is not None:
            found[name] = value
    return found


def _dual(sample: Sample) -> bool:
    return sample.facts.write_mode in ("dual", "closed")


def _state(record: Record) -> dict[str, list[Any]]:
    """Return the samples as columns, about two a second."""
    columns: dict[str, list[Any]] = {"t": [], "lag_s": [], "mirrored": [], "limitless": [], "rows_per_s": []}
    last: Sample | None = None
    everybody = 0
    handed_over = False
    for sample in record.samples:
        facts = sample.facts
        if last is not None and sample.at - last.at < 0.4 and facts.reading == last.facts.reading:
            continue
        handed_over = handed_over or facts.write_mode == "limitless_only"
        everybody = max(everybody, facts.reading, facts.moved)
        columns["t"].append(round(sample.at - record.began, 2))
        columns["lag_s"].append(round(facts.lag_s, 4) if facts.lag_s is not None and _dual(sample) else None)
        columns["mirrored"].append(None if handed_over else facts.tenants.get("mirrored", 0))
        columns["limitless"].append(everybody if handed_over else facts.reading)
        rate = 0.0
        if last is not None and facts.installed and last.facts.installed:
            moved = facts.copied_rows + facts.applied - last.facts.copied_rows - last.facts.applied
            rate = max(moved, 0) / (sample.at - last.at)
        columns["rows_per_s"].append(round(rate))
        last = sample
    return columns


def _seconds(record: Record) -> range:
    return range(int(record.ended - record.began) + 1)


def _read_sides(record: Record) -> dict[str, list[float]]:
    """Return reads per second and side."""
    counts = Counter((int(r.ended - record.began), r.side) for r in record.ledger.reads)
    seconds = _seconds(record)
    return {
        "t": list(seconds),
        "classic": [counts[s, "classic"] for s in seconds],
        "limitless": [counts[s, "limitless"] for s in seconds],
    }


def _latency_series(record: Record) -> dict[str, list[Any]]:
    """Return the p99 of every second, in milliseconds; None without samples."""
    bins: dict[tuple[int, str], list[float]] = defaultdict(list)
    for read in record.ledger.reads:
        bins[int(read.ended - record.began), read.side].append(read.ms)
    for write in record.ledger.writes:
        if write.outcome is Outcome.ACKNOWLEDGED and write.ended_at is not None:
            bins[int(write.ended_at - record.began), "write"].append(write.ms)
    seconds = _seconds(record)

    def p99(second: int, name: str) -> float | None:
        return percentile(bins.get((second, name), []), 0.99)

    columns: dict[str, list[Any]] = {"t": list(seconds)}
    for name in ("classic", "limitless", "write"):
        columns[name] = [None if (v := p99(s, name)) is None else round(v, 2) for s in seconds]
    return columns
