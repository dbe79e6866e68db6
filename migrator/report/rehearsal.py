"""Renders a rehearsal as one HTML file, from the values of report.json.

Self-contained: no script, no font, no request. It can be mailed, archived, and printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.report import words
from migrator.report.distribution import distribution
from migrator.report.template import render
from migrator.report.timeline import PHASE_NAMES, timeline


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure above the page, what it counts, and of what."""

    number: str
    label: str
    note: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something with a beginning, and where it is known an end; *at* and *took* in words."""

    title: str
    detail: str
    at: str
    took: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the receiver of notifications heard of an event; *later* in words, empty when it heard nothing."""

    title: str
    headline: str
    later: str


@dataclass(frozen=True, slots=True)
class ToldPart:
    """Notifications and metrics of the rehearsal."""

    events: list[Heard]
    messages: list[Stretch]
    metrics: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Errors of one kind that the application saw."""

    times: str
    what: str
    errors: str
    expected: bool


def page(report: dict[str, Any]) -> str:
    """Return the HTML page of *report*, the content of a rehearsal's report.json."""
    demo = report["demo"]
    return render(
        "rehearsal.html",
        report=report,
        verdict="Nothing was lost" if report["ok"] else "The rehearsal failed",
        tiles=list(_tiles(report)),
        timeline=timeline(report),
        events=[_stretch(e["title"], e["detail"], e["at_s"], e.get("ended_s")) for e in report["events"]],
        told=_told(report),
        distribution=distribution(demo["sizes"], demo["median"]),
        timings=_timings(report["timings"]),
        phases=[
            _stretch(PHASE_NAMES.get(p["phase"], p["phase"]), p["detail"], p["began_s"], p["ended_s"])
            for p in report["phases"]
        ],
        failures=[
            Failure(words.count(kind["count"]), kind["what"], ", ".join(sorted(kind["errors"])), kind["expected"])
            for kind in report["failures"]
        ],
    )


def _told(report: dict[str, Any]) -> ToldPart | None:
    told = report.get("told")
    if told is None:
        return None
    titles = {event["name"]: event["title"] for event in report["events"]}
    events = [
        Heard(
            titles.get(line["event"], line["event"]),
            line["headline"] or "none: it was over before it was told",
            "" if line["seconds"] is None else words.seconds(line["seconds"]),
        )
        for line in told["events"]
    ]
    m = told["metrics"]
    metrics = (
        f"Workers' metrics were scraped {words.count(m['scrapes'])} times ({words.count(m['failed'])} failed, the "
        f"longest took {words.seconds(m['longest_s'])}): {m['seen']} of the {m['of']} that workers serve had a value, "
        f"and {m['temporal']} of Temporal's own."
    )
    if m["never"]:
        metrics += f" Without one: {', '.join(m['never'])}."
    messages = [_stretch(message["headline"], message["text"], message["at_s"], None) for message in told["messages"]]
    return ToldPart(events, messages, metrics)


def _tiles(report: dict[str, Any]) -> Iterator[Tile]:
    t = report["timings"]
    yield _zero("writes lost", report["lost_writes"], f"of {words.count(report['acknowledged_writes'])} acknowledged")
    yield _zero("own writes missed by reads", report["missed_own_writes"], f"in {words.count(report['reads'])} reads")
    yield _zero("rows different", report["divergent_rows"], "compared before the hand-over")
    optional = (
        ("rollback_s", "rollback of all tenants", _confirmed(t)),
        ("fallback_s", "fallback after the crash", "until reads came from classic"),
        ("write_pause_s", "write pause", "at the hand-over"),
        ("lag_p99_s", "mirror lag, p99", "without the outages"),
        ("backfill_rows_per_s", "rows per second", "copied by the backfill"),
    )
    for name, label, note in optional:
        value = t.get(name)
        if value is not None:
            yield Tile(words.count(value) if name.endswith("rows_per_s") else words.seconds(value), label, note)


def _confirmed(timings: dict[str, Any]) -> str:
    if timings.get("rollback_processes") is None:
        return ""
    return f"{timings['rollback_confirmed']} of {timings['rollback_processes']} processes confirmed"


def _zero(label: str, number: int | None, note: str) -> Tile:
    """Return the tile of a number that must be 0; one that was not checked is not 0."""
    if number is None:
        return Tile("–", label, "was not checked", "bad")
    return Tile(words.count(number), label, note, "bad" if number else "good")


def _stretch(title: str, detail: str, began_s: float, ended_s: float | None) -> Stretch:
    took = "" if ended_s is None else words.seconds(ended_s - began_s)
    return Stretch(title, detail, words.clock(began_s), took)


TIMING_NAMES: tuple[tuple[str, str, str], ...] = (
    ("load_rows_per_s", "demo load", "rows/s"),
    ("backfill_rows_per_s", "backfill", "rows/s"),
    ("backfill_s", "backfill, all tenants", "s"),
    ("lag_p50_s", "mirror lag, median", "s"),
    ("lag_p99_s", "mirror lag, p99 (without the outages)", "s"),
    ("lag_max_s", "mirror lag, highest (in an outage)", "s"),
    ("classic_back_s", "classic was down", "s"),
    ("outage_s", "Limitless was down", "s"),
    ("fallback_s", "crash to first read back on classic", "s"),
    ("catch_up_s", "Limitless back to all fallbacks closed", "s"),
    ("rollback_s", "rollback of all tenants, confirmed", "s"),
    ("rollback_command_s", "the same, from Enter to the prompt", "s"),
    ("forward_s", "forward again", "s"),
    ("right_lost_s", "a right lost on Limitless, to all reads there again", "s"),
    ("write_pause_s", "writes closed at the hand-over", "s"),
    ("read_classic_p50_ms", "read on classic, median", "ms"),
    ("read_classic_p99_ms", "read on classic, p99", "ms"),
    ("read_limitless_p50_ms", "read on Limitless, median", "ms"),
    ("read_limitless_p99_ms", "read on Limitless, p99", "ms"),
    ("write_p50_ms", "write, median", "ms"),
    ("write_p99_ms", "write, p99", "ms"),
    ("write_everywhere_p50_ms", "write that every later read sees, median", "ms"),
    ("write_everywhere_p99_ms", "write that every later read sees, p99", "ms"),
    ("write_session_p50_ms", "write that its session sees, median", "ms"),
    ("write_session_p99_ms", "write that its session sees, p99", "ms"),
    ("write_none_p50_ms", "write that no read is promised to see, median", "ms"),
    ("write_none_p99_ms", "write that no read is promised to see, p99", "ms"),
    ("peak_memory_mb", "memory of all processes, peak", "MB"),
)
"""Timings in the order of the story: key, name, unit. Others follow under their own keys."""


def shown_timing(value: float, unit: str) -> str:
    """Return a timing of TIMING_NAMES as people read it."""
    match unit:
        case "s":
            return words.seconds(value)
        case "ms":
            return words.seconds(value / 1000)
        case _:
            return f"{words.count(value)} {unit}"


def _timings(timings: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the timings that were taken: name, value in words."""
    return [
        (name, shown_timing(timings[key], unit)) for key, name, unit in TIMING_NAMES if timings.get(key) is not None
    ]
