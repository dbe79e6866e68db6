"""Draws a load test within 80 columns, and writes its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from migrator.cli.lines import safe
from migrator.cli.render import grid, note
from migrator.errors import UsageError
from migrator.report import words

WORST = 10
FAILURES = {
    "queue": "it queued",
    "latency": "too slow",
    "errors": "errors",
    "generator": "the generator",
    "few": "too few",
    None: "held",
}
"""What is said of a rate, by why it was not held."""


def write_page(path: Path, body: Mapping[str, Any]) -> None:
    """Write the page of a test. Raises UsageError when the file cannot be written."""
    from migrator.report.load import page

    try:
        path.write_text(page(body), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    note(f"{path} written")


def render(body: Mapping[str, Any]) -> RenderableType:
    """Return what is printed of the stored *body*."""
    details = body["details"]
    parts: list[RenderableType] = [_head(body, details)]
    for side, name in (("limitless", "Limitless"), ("classic", "classic")):
        if side in details["sides"]:
            parts += [Text(f"\n{name}: {verdict(body, side)}"), _steps(details["sides"][side])]
            errors = ", ".join(f"{state} {count:,}" for state, count in sorted(body[side]["errors"].items()))
            if errors:
                parts.append(Text(f"errors by SQLSTATE: {safe(errors)}", "yellow"))
    worst = [s for s in details["sides"]["limitless"]["statements"] if s["from_rate"] is not None][:WORST]
    parts.append(Text("\nStatements that get worse first" if worst else "\nNo statement gets worse as the rate rises."))
    if worst:
        parts.append(_statements(worst))
    if details["projection"] is not None:
        parts.append(_projection(details["projection"]))
    notes = grid(("", ""))
    for line in details["notes"]:
        notes.add_row("- ", Text(safe(line), "dim"))
    parts.append(notes)
    return Group(*parts)


def verdict(body: Mapping[str, Any], side: str) -> str:
    """Return in a sentence what the side carries."""
    result, found = body[side], body["details"]["sides"][side]
    saturation, peak = result["saturation_per_s"], body["peak_per_s"]
    served = words.fixed(result["served_per_s"])
    if found["generator_limited"]:
        return f"at least {served}/s; above it the generator was at its own limit"
    if found["held_per_s"] is None and found["why"] is None:
        return "nothing is known: no rate was offered to its end, or had enough arrivals"
    if saturation is None:
        return f"keeps up with all that was offered, {served}/s ({_times(result['served_per_s'], peak)} the peak)"
    if found["held_per_s"] is None:
        return f"does not even hold the lowest rate, {words.fixed(found['failed_per_s'])}/s: {FAILURES[found['why']]}"
    why = FAILURES[found["why"]]
    return (
        f"keeps up with {words.fixed(saturation)}/s ({_times(saturation, peak)} the peak), and not with"
        f" {words.fixed(found['failed_per_s'])}/s: {why}"
    )


def _times(rate: float, peak: float) -> str:
    return f"{rate / peak:.2g} times" if peak else "-"


def _head(body: Mapping[str, Any], details: Mapping[str, Any]) -> RenderableType:
    lines = grid(("", ""))
    lines.add_row(
        "Workload  ", Text(f"{safe(details['workload'])}, plan {safe(details['plan'])}, {details['at'][:16]}")
    )
    lines.add_row("Peak", Text(f"{words.fixed(body['peak_per_s'])}/s: {safe(body['peak_source'])}"))
    sessions = details["sessions"]
    people = f", {sessions['transactions']} per session" if sessions["transactions"] > 1 else ""
    storm = ", a new connection each" if details["storm"] else ""
    lines.add_row("Arrivals", Text(f"{details['arrivals']}, seed {details['seed']}{people}{storm}"))
    lines.add_row("Writes", Text(details["writes"]))
    if body["stopped"]:
        lines.add_row("Stopped", Text(safe(body["stopped"]), "bold red"))
    return lines


def _steps(side: Mapping[str, Any]) -> RenderableType:
    right = ("\nrate/s", "offered\n/s", "served\n/s", "p50\nms", "p99\nms", "p99.9\nms", "errors\n%")
    table = grid((*right, "\n"), right=right)
    for step in side["steps"]:
        table.add_row(
            words.fixed(step["rate"]),
            words.fixed(step["offered"]),
            words.fixed(step["served"]),
            *(_ms(step[name]) for name in ("p50_ms", "p99_ms", "p999_ms")),
            f"{step['error_share'] * 100:.1f}",
            Text(FAILURES[step["failure"]], "" if step["failure"] is None else "yellow"),
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else words.fixed(value, 1 if value < 100 else 0)


def _statements(worst: list[Mapping[str, Any]]) -> RenderableType:
    right = ("from\nrate/s", "p99 ms\nat first", "p99 ms\nat last")
    table = grid(("\nstatement", *right), right=right)
    for one in worst:
        table.add_row(
            Text(safe(one["statement"])), words.fixed(one["from_rate"]), _ms(one["base_ms"]), _ms(one["last_ms"])
        )
    return table


def _projection(projection: Mapping[str, Any]) -> RenderableType:
    lines = grid(("", ""))
    for name, text in _projected(projection):
        lines.add_row(f"{name}  ", Text(text))
    for line in projection["assumptions"]:
        lines.add_row("", Text(safe(line), "dim"))
    return Group(Text("\nProjected"), lines)


def _projected(projection: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    peak, mean = projection["peak_acu"], projection["mean_acu"]
    yield "ACU", f"{_figure(peak)} at the peak, {_figure(mean)} on average, standbys included"
    if projection["enough"] is False:
        yield "", "the peak needs more than limitless.max_acu"
    yield "USD a month", f"{_figure(projection['monthly_usd'])}; at least {_figure(projection['least_usd'])} (min_acu)"


def _figure(value: float | None) -> str:
    return "not known" if value is None else words.fixed(value)
