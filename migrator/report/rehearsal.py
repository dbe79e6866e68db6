"""What does a rehearsal look like afterwards? One HTML file from the values of report.json.

Self-contained: no script, no font, no request. It can be mailed, archived, and printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from migrator.report import words
from migrator.report.distribution import distribution
from migrator.report.timeline import PHASE_NAMES, timeline


def page(report: dict[str, Any]) -> str:
    """Return the HTML page of *report*, the content of a rehearsal's report.json."""
    style = resources.files("migrator.report").joinpath("page.css").read_text(encoding="utf-8")
    ok = report["ok"]
    verdict = "Nothing was lost" if ok else "The rehearsal failed"
    demo = report["demo"]
    body = [
        "<header><div>",
        f"<h1>Rehearsal of a move to Aurora Limitless: plan {escape(report['plan'])}</h1>",
        f'<p class="lead">{escape(report["started_at"])} · {words.seconds(report["seconds"])} · '
        f"{escape(report['machine'])}</p></div>",
        f'<div class="verdict {"good" if ok else "bad"}">{"✓" if ok else "✗"} {verdict}</div></header>',
        _problems(report["problems"]),
        _left_out(report["left_out"]),
        _tiles(report),
        "<h2>What happened</h2>",
        '<p class="soft">All panels share one time axis; the numbered lines are the events listed below.</p>',
        f'<div class="card">{timeline(report)}</div>',
        "<h2>Events</h2>",
        f'<div class="card">{_events(report["events"])}</div>',
        "<h2>Tenants</h2>",
        f'<p class="soft">{words.count(len(demo["sizes"]))} tenants, {words.count(demo["rows"])} rows on a logarithmic '
        "scale. Colours are waves of the cutover: small tenants first, hot ones alone and last.</p>",
        f'<div class="card">{distribution(demo["sizes"], demo["median"])}</div>',
        '<div class="pair"><section><h2>Proof</h2>',
        f'<div class="card">{_proof(report)}</div></section>',
        "<section><h2>Timings</h2>",
        f'<div class="card">{_timings(report["timings"])}</div></section>',
        "<section><h2>Phases</h2>",
        f'<div class="card">{_phases(report["phases"])}</div></section>',
        "<section><h2>Errors the application saw</h2>",
        f'<div class="card">{_failures(report["failures"])}</div></section></div>',
        "<footer>Written by <code>migrator rehearse</code>; the same values are in report.json.</footer>",
    ]
    title = f"Rehearsal {escape(report['plan'])}: {verdict}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{escape(p)}</li>" for p in problems)
    return f'<div class="problems"><b>What did not hold</b><ul>{items}</ul></div>'


def _left_out(accidents: Sequence[str]) -> str:
    """Say what a reader of the events would otherwise believe: an accident that was only played."""
    if not accidents:
        return ""
    return f'<p class="soft"><b>Left out:</b> {"; ".join(escape(a) for a in accidents)}.</p>'


def _tiles(report: dict[str, Any]) -> str:
    t = report["timings"]
    tiles = [
        _zero("writes lost", report["lost_writes"], f"of {words.count(report['acknowledged_writes'])} acknowledged"),
        _zero("own writes missed by reads", report["missed_own_writes"], f"in {words.count(report['reads'])} reads"),
        _zero("rows different", report["divergent_rows"], "compared before the hand-over"),
    ]
    optional = (
        ("rollback_s", "rollback of all tenants", _confirmed(t)),
        ("fallback_s", "fallback after the crash", "until reads came from classic"),
        ("write_pause_s", "write pause", "at the hand-over"),
        ("lag_p99_s", "mirror lag, p99", "without the outages"),
        ("backfill_rows_per_s", "rows per second", "copied by the backfill"),
    )
    for name, title, note in optional:
        value = t.get(name)
        if value is not None:
            shown = words.count(value) if name.endswith("rows_per_s") else words.seconds(value)
            tiles.append(_tile(shown, title, note))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _confirmed(timings: dict[str, Any]) -> str:
    if timings.get("rollback_processes") is None:
        return ""
    return f"{timings['rollback_confirmed']} of {timings['rollback_processes']} processes confirmed"


def _zero(title: str, number: int | None, note: str) -> str:
    """Return the tile of a number that must be 0; one that nobody looked at is not 0."""
    if number is None:
        return _tile("–", title, "was not checked", "bad")
    return _tile(words.count(number), title, note, "bad" if number else "good")


def _tile(shown: str, title: str, note: str, css: str = "") -> str:
    return f'<div class="tile {css}"><b>{escape(shown)}</b><span>{escape(title)}<br>{escape(note)}</span></div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table; cells are markup. Columns in *numbers* are right-aligned."""

    def css(i: int) -> str:
        return ' class="number"' if i in numbers else ""

    top = "".join(f"<th{css(i)}>{escape(h)}</th>" for i, h in enumerate(head))
    top = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    body = "".join(
        "<tr>" + "".join(c if c.startswith("<td") else f"<td{css(i)}>{c}</td>" for i, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _events(events: Sequence[dict[str, Any]]) -> str:
    if not events:
        return '<p class="soft" style="margin:0">None.</p>'
    rows = []
    for number, event in enumerate(events, 1):
        ended = event.get("ended_s")
        lasted = words.seconds(ended - event["at_s"]) if ended is not None else ""
        flag = f'<td class="flag"><i>{number}</i></td>'
        what = f"<b>{escape(event['title'])}</b><br>{escape(event['detail'])}"
        rows.append((flag, words.clock(event["at_s"]), lasted, what))
    return _table(("", "at", "took", "what happened"), rows, (1, 2))


def _proof(report: dict[str, Any]) -> str:
    proof = report["proof"]
    if not proof:
        return '<p class="soft" style="margin:0">The rehearsal did not get that far.</p>'
    rows = [
        (
            escape(line["claim"]),
            escape(line["seen"]),
            f'<td class="{"good" if line["ok"] else "bad"}">{"holds" if line["ok"] else "broken"}</td>',
        )
        for line in proof
    ]
    return _table(("claim", "what was looked at", ""), rows)


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


def _timings(timings: dict[str, Any]) -> str:
    rows = []
    for key, name, unit in TIMING_NAMES:
        value = timings.get(key)
        if value is None:
            continue
        rows.append((escape(name), escape(shown_timing(value, unit))))
    return _table(("", ""), rows, (1,))


def _phases(phases: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            escape(PHASE_NAMES.get(p["phase"], p["phase"])),
            words.clock(p["began_s"]),
            words.seconds(p["ended_s"] - p["began_s"]),
            escape(p["detail"]),
        )
        for p in phases
    ]
    return _table(("phase", "from", "took", ""), rows, (1, 2))


def _failures(failures: Sequence[dict[str, Any]]) -> str:
    if not failures:
        return '<p class="soft" style="margin:0">None: no read and no write failed.</p>'
    rows = []
    for kind in failures:
        what = f"{escape(kind['what'])}<br>{escape(', '.join(sorted(kind['errors'])))}"
        css, verdict = ("good", "expected") if kind["expected"] else ("bad", "unexplained")
        rows.append((words.count(kind["count"]), what, f'<td class="{css}">{verdict}</td>'))
    return _table(("times", "what", ""), rows, (0,))
