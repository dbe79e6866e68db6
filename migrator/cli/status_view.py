"""Draws the status on a terminal: one screen, most urgent first; colour only supports the text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from migrator.cli.render import duration, grid, show
from migrator.model.status import BackfillLine, Event, LimitlessLine, PhaseLine, Status, ValidationLine, WaveLine

_MARKS = {
    "done": ("✓", "green"),
    "running": ("●", "cyan"),
    "waiting": ("◌", "yellow"),
    "blocked": ("■", "red"),
    "failed": ("✗", "red"),
    "undone": ("↺", "yellow"),
    "pending": ("·", "dim"),
}
_LEVELS = {"limitless": "green", "joining": "yellow", "classic": "blue"}
_BAR_WIDTH = 40
_TABLE_HEAD = 2  # an empty line and the names of the columns
_NO_LIMIT = 10_000


def print_once(status: Status) -> None:
    """Print the status on stdout, with everything it has; without frames where a program reads it."""
    show(render(status, None, framed=sys.stdout.isatty()))


def render(status: Status, screen: Console | None, *, framed: bool = True) -> RenderableType:
    """Return the status so that it fits *screen*; None for as long as it gets.

    When there is too little room, events go first, then the oldest waves; what is blocked always stays.
    """
    if not status.installed:
        return _panel("migrator", Text("\n".join(status.next_steps)), "dim", framed)
    if status.schema_version is not None and status.phase is None:  # of another version: nothing else was read
        return _panel("migrator", Text("\n".join((*status.blockers, *status.next_steps))), "red", framed)
    parts: list[RenderableType] = [_headline(status), _attention(status, framed), _phases(status), _tenants(status)]
    if status.backfill and status.backfill.done < status.backfill.units:
        parts.append(_backfill(status.backfill))
    parts.append(_health(status))
    room = _NO_LIMIT if screen is None else screen.height - _lines(screen, parts)
    if status.waves and room > _TABLE_HEAD:
        shown = status.waves[-(room - _TABLE_HEAD) :] if screen else status.waves
        parts.append(_waves(shown))
        room -= len(shown) + _TABLE_HEAD
    if status.events and room > _TABLE_HEAD:
        parts.append(_events(status.events[: room - _TABLE_HEAD]))
    return Group(*parts)


def _panel(title: str, lines: Text, colour: str, framed: bool) -> RenderableType:
    if framed:
        return Panel(lines, title=title, title_align="left", border_style=colour)
    return Group(Text(title), lines)


def unreachable(last: Status | None, error: Exception) -> RenderableType:
    """Return what --watch shows while classic does not answer."""
    first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    line = Text(f"classic does not answer: {first}", style="bold red")
    if last is None:
        return _panel("migrator", line, "red", True)
    old = Text(f"Last known status, of {last.at:%H:%M:%S}:", style="dim")
    return Group(_panel("migrator", line, "red", True), old, render(last, None))


def _lines(screen: Console, parts: Sequence[RenderableType]) -> int:
    return sum(len(screen.render_lines(part, pad=False)) for part in parts)


def _headline(status: Status) -> RenderableType:
    state = status.phase_state or ""
    mark, colour = _MARKS.get(state, ("·", "dim"))
    return Text.assemble(
        (f"{status.plan or 'no plan'}  ", "bold"),
        (f"{mark} {_words(status.phase or '')}", f"bold {colour}"),
        (f" {state}", colour),
        (f" · wave {status.wave}" if status.wave else ""),
        (f" · writes {_words(status.write_mode)}", "" if status.write_mode != "closed" else "bold red"),
        (f" · {status.at:%H:%M:%S}", "dim"),
    )


def _attention(status: Status, framed: bool) -> RenderableType:
    """What is blocked and what to do: shown first, in full."""
    lines = Text()
    for blocker in status.blockers:
        lines.append("✗ ", "bold red").append(f"{blocker}\n", "red")
    for step in status.next_steps:
        lines.append("→ ", "bold cyan").append(f"{step}\n")
    lines.rstrip()
    title = f"blocked: {len(status.blockers)}" if status.blockers else "nothing is blocked"
    return _panel(title, lines, "red" if status.blockers else "green", framed)


def _phases(status: Status) -> RenderableType:
    table = grid(("", "phase", "state", "for", ""), right=("for",))
    for line in status.phases:
        mark, colour = _MARKS.get(line.state, ("·", "dim"))
        table.add_row(
            Text(mark, colour),
            Text(_words(line.phase), "dim" if line.state == "pending" else ""),
            Text(line.state, colour),
            Text(duration(_length_s(line, status.at))),
            Text(line.detail, "dim"),
        )
    return table


def _length_s(line: PhaseLine, now: datetime) -> float | None:
    if line.started_at is None:
        return None
    return ((line.finished_at or now) - line.started_at).total_seconds()


def _tenants(status: Status) -> RenderableType:
    total = max(status.tenants, 1)
    lines: list[RenderableType] = []
    levels = dict(status.by_level)
    text = Text("\nReads      ")
    for name, colour in _LEVELS.items():
        width = round(_BAR_WIDTH * levels.get(name, 0) / total)
        text.append("█" * (width or (1 if levels.get(name) else 0)), colour)
    if not status.tenants:
        text.append("no tenants known yet", "dim")
    text.append("  ")
    text.append(", ".join(f"{levels[n]:,} {n}" for n in _LEVELS if levels.get(n)))
    lines.append(text)
    if status.by_state:
        states = ", ".join(f"{count:,} {name}" for name, count in status.by_state)
        lines.append(Text(f"Tenants    {status.tenants:,}: {states}"))
    return Group(*lines)


def _backfill(line: BackfillLine) -> RenderableType:
    table = grid(("", "", ""))
    copied = f"{line.copied_rows:,} of about {line.rows:,} rows, {line.done}/{line.units} units"
    pace = f", {line.rows_per_s:,.0f} rows/s, {duration(line.eta_s)} left" if line.eta_s is not None else ""
    paused = Text(f"  paused: {line.reason or 'by an operator'}", "yellow") if line.paused else Text("")
    bar = Bar(size=max(line.rows, 1), begin=0, end=line.copied_rows, width=24, color="cyan", bgcolor="grey23")
    table.add_row(Text("Backfill  "), bar, Text.assemble(f" {copied}{pace}", paused))
    return table


def _health(status: Status) -> RenderableType:
    table = grid(("", ""))
    lags = ", ".join(f"p{p.part} {duration(p.lag_s)}" for p in status.parts)
    depth = sum(p.depth for p in status.parts)
    lag = f"{duration(status.lag_s)} behind ({lags}), {depth:,} keys per cycle" if status.parts else "not running"
    table.add_row("Mirror    ", Text(f"{lag}; journal {status.journal_mb:,.1f} MB"))
    table.add_row("Validation", _validation(status.validation, status.tenants))
    opened = [f"{scope} {key}".strip() + f" ({count} processes)" for scope, key, count, _ in status.breaker_trips]
    if status.fallbacks or opened:
        lines = [f"fallback of {f.scope} {f.key}".strip() + f" since {f.raised_at:%H:%M:%S}" for f in status.fallbacks]
        lines += [f"open for {where}" for where in opened]
        table.add_row("Breaker   ", Text("; ".join(lines), "yellow"))
    else:
        table.add_row("Breaker   ", Text("closed, no fallback", "green"))
    if status.held:
        names = ", ".join(h.tenant for h in status.held[:5]) + (", …" if len(status.held) > 5 else "")
        table.add_row("Held      ", Text(f"{len(status.held):,} tenants stay on classic by name: {names}", "yellow"))
    table.add_row("Processes ", _processes(status))
    table.add_row("Workers   ", _workers(status))
    table.add_row("Limitless ", _limitless(status.limitless))
    if status.incidents:
        table.add_row("Incidents ", Text(f"{status.incidents}"))
    return table


def _limitless(line: LimitlessLine | None) -> Text:
    if line is None:
        return Text("capabilities not probed yet (migrator provision --probe)", "dim")
    text = Text(f"{line.version}, probed {line.at:%Y-%m-%d %H:%M}; ")
    if line.blockers:
        return text.append("; ".join(line.blockers), "bold red")
    return text.append(f"without {', '.join(line.lacking)}" if line.lacking else "has every capability that was probed")


def _workers(status: Status) -> Text:
    if not status.workers:
        return Text("none known", "dim")
    text = Text(f"{status.workers} live")
    if status.outdated_workers:
        text.append("; not all run this plan and version", "yellow")
    return text


def _processes(status: Status) -> Text:
    if not status.processes:
        return Text("none runs the shim", "dim")
    live = [p for p in status.processes if p.live]
    behind = sum(p.behind > 0 for p in live)
    text = Text(f"{len(live)} live, ")
    text.append(f"{behind} not yet at epoch {status.epoch}" if behind else f"all at epoch {status.epoch}")
    silent = len(status.processes) - len(live)
    if silent:
        text.append(f"; {silent} silent (they read classic by themselves)", "yellow")
    return text


def _validation(line: ValidationLine | None, tenants: int) -> Text:
    if line is None or line.finished_at is None:
        return Text("never ran", "dim")
    text = Text(f"{duration(line.age_s)} ago, {line.rows:,} rows, ")
    if line.divergent:
        text.append(f"{line.divergent:,} divergent", "bold red")
    else:
        text.append("no divergence", "green")
    if line.never and tenants:
        text.append(f"; {line.never:,} tenants never validated", "yellow")
    elif line.oldest_clean_s is not None:
        text.append(f"; oldest clean tenant {duration(line.oldest_clean_s)}")
    text.append(f"; longest pause {duration(line.fence_pause_ms / 1000)}")
    return text


def _waves(shown: Sequence[WaveLine]) -> RenderableType:
    numbers = [f"\n{name}" for name in ("wave", "tenants", "limitless", "joining", "classic", "rolled back")]
    table = grid([*numbers, ""], right=numbers)
    for line in shown:
        counts = (line.wave, line.tenants, line.limitless, line.joining, line.classic, line.rolled_back)
        table.add_row(*(f"{n:,}" for n in counts), Text("hot" if line.hot else "", "magenta"))
    return table


def _events(events: Sequence[Event]) -> RenderableType:
    table = grid(("\ntime", "\nwho", "\nwhat", "\nwhy"))
    for column in table.columns:
        column.overflow, column.no_wrap = "ellipsis", True  # one line each, so that the rest stays on the screen
    for event in events:
        what = f"{event.kind} {event.subject}".strip()
        table.add_row(Text(f"{event.at:%H:%M:%S}", "dim"), Text(event.who), Text(what), Text(event.reason, "dim"))
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")
