"""How does the status look on a terminal? One screen, most urgent first; colour only supports the words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from migrator.cli.render import duration
from migrator.control.status import BackfillLine, PhaseLine, Status, ValidationLine

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
_BAR_WIDTH = 48


def console() -> Console:
    return Console(highlight=False)


def print_once(status: Status) -> None:
    """Print the status on stdout, with everything it has."""
    console().print(render(status, None))


def render(status: Status, height: int | None) -> RenderableType:
    """Return the status as one screen of *height* lines; None for as long as it gets."""
    if not status.installed:
        return Panel(Text("\n".join(status.next_steps)), title="migrator", border_style="dim")
    parts: list[RenderableType] = [_headline(status), _attention(status), _phases(status), _tenants(status)]
    if status.backfill and status.backfill.done < status.backfill.units:
        parts.append(_backfill(status.backfill))
    parts.append(_health(status))
    room = None if height is None else height - sum(_lines(p) for p in parts) - 2
    if status.waves and (room is None or room > 4):
        shown = status.waves if room is None else status.waves[-max(room - 10, 3) :]
        parts.append(_waves(status, shown))
        room = None if room is None else room - len(shown) - 2
    if status.events and (room is None or room > 3):
        parts.append(_events(status, room))
    return Group(*parts)


def unreachable(last: Status | None, error: Exception) -> RenderableType:
    """Return what the watch shows while classic does not answer."""
    first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    line = Text(f"classic does not answer: {first}", style="bold red")
    if last is None:
        return Panel(line, title="migrator", border_style="red")
    old = Text(f"Last known status, of {last.at:%H:%M:%S}:", style="dim")
    return Group(Panel(line, title="migrator", border_style="red"), old, render(last, None))


def _lines(part: RenderableType) -> int:
    """Return how many lines a part takes, roughly."""
    if isinstance(part, Table):
        return part.row_count + 2
    return len(str(part).splitlines()) if isinstance(part, Text) else 6


def _headline(status: Status) -> RenderableType:
    state = status.phase_state or ""
    mark, colour = _MARKS.get(state, ("·", "dim"))
    text = Text.assemble(
        (f"{status.plan or 'no plan'}  ", "bold"),
        (f"{mark} {_words(status.phase or '')}", f"bold {colour}"),
        (f" {state}", colour),
        (f" · wave {status.wave}" if status.wave else ""),
        (f" · writes {_words(status.write_mode)}", "" if status.write_mode != "closed" else "bold red"),
        (f" · {status.at:%H:%M:%S}", "dim"),
    )
    return text


def _attention(status: Status) -> RenderableType:
    """What is blocked and what to do: the two answers nobody may have to look for."""
    lines = Text()
    for blocker in status.blockers:
        lines.append("✗ ", "bold red").append(f"{blocker}\n", "red")
    for step in status.next_steps:
        lines.append("→ ", "bold cyan").append(f"{step}\n")
    lines.rstrip()
    title = f"blocked: {len(status.blockers)}" if status.blockers else "nothing is blocked"
    return Panel(lines, title=title, title_align="left", border_style="red" if status.blockers else "green")


def _grid(*headers: tuple[str, str]) -> Table:
    grid = Table(box=None, pad_edge=False, show_header=any(name for name, _ in headers), header_style="dim")
    for name, justify in headers:
        grid.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return grid


def _phases(status: Status) -> RenderableType:
    grid = _grid(("", ""), ("phase", ""), ("state", ""), ("for", "right"), ("", ""))
    for line in status.phases:
        mark, colour = _MARKS.get(line.state, ("·", "dim"))
        grid.add_row(
            Text(mark, colour),
            Text(_words(line.phase), "dim" if line.state == "pending" else ""),
            Text(line.state, colour),
            Text(duration(_length_s(line, status.at))),
            Text(line.detail, "dim"),
        )
    return grid


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
    grid = _grid(("", ""), ("", ""), ("", ""))
    copied = f"{line.copied_rows:,} of about {line.rows:,} rows, {line.done}/{line.units} units"
    pace = f", {line.rows_per_s:,.0f} rows/s, {duration(line.eta_s)} left" if line.eta_s is not None else ""
    paused = Text(f"  paused: {line.reason or 'by an operator'}", "yellow") if line.paused else Text("")
    bar = Bar(size=max(line.rows, 1), begin=0, end=line.copied_rows, width=24, color="cyan", bgcolor="grey23")
    grid.add_row(Text("Backfill  "), bar, Text.assemble(f" {copied}{pace}", paused))
    return grid


def _health(status: Status) -> RenderableType:
    grid = _grid(("", ""), ("", ""))
    lags = ", ".join(f"p{p.part} {duration(p.lag_s)}" for p in status.parts)
    depth = sum(p.depth for p in status.parts)
    lag = f"{duration(status.lag_s)} behind ({lags}), {depth:,} keys per cycle" if status.parts else "not running"
    grid.add_row("Mirror    ", Text(f"{lag}; journal {status.journal_mb:,.1f} MB"))
    grid.add_row("Validation", _validation(status.validation, status.tenants))
    opened = [f"{scope} {key}".strip() + f" ({count} processes)" for scope, key, count, _ in status.breaker_trips]
    if status.fallbacks or opened:
        broken = [f"{f.scope} {f.key}".strip() + f" since {f.raised_at:%H:%M:%S}" for f in status.fallbacks]
        grid.add_row("Breaker   ", Text("; ".join([*(f"fallback of {b}" for b in broken), *(f"open for {o}" for o in opened)]), "yellow"))
    else:
        grid.add_row("Breaker   ", Text("closed, no fallback", "green"))
    live = [p for p in status.processes if p.live]
    behind = sum(p.behind > 0 for p in live)
    processes = f"{len(live)} live, " + (f"{behind} not yet at epoch {status.epoch}" if behind else f"all at epoch {status.epoch}")
    silent = len(status.processes) - len(live)
    if silent:
        processes += f"; {silent} silent (they read classic by themselves)"
    grid.add_row("Processes ", Text(processes if status.processes else "none runs the shim", "" if status.processes else "dim"))
    if status.incidents:
        grid.add_row("Incidents ", Text(f"{status.incidents}"))
    return grid


def _validation(line: ValidationLine | None, tenants: int) -> Text:
    if line is None or line.finished_at is None:
        return Text("never ran", "dim")
    text = Text(f"{duration(line.age_s)} ago, {line.rows:,} rows, ")
    text.append(
        f"{line.divergent:,} divergent" if line.divergent else "no divergence", "bold red" if line.divergent else "green"
    )
    if line.never and tenants:
        text.append(f"; {line.never:,} tenants never validated", "yellow")
    elif line.oldest_clean_s is not None:
        text.append(f"; oldest clean tenant {duration(line.oldest_clean_s)}")
    text.append(f"; longest pause {duration(line.fence_pause_ms / 1000)}")
    return text


def _waves(status: Status, shown: Iterable[object]) -> RenderableType:
    grid = _grid(
        ("\nwave", "right"), ("\ntenants", "right"), ("\nlimitless", "right"), ("\njoining", "right"),
        ("\nclassic", "right"), ("\nrolled back", "right"), ("", ""),
    )
    wanted = set(shown)
    for line in status.waves:
        if line in wanted:
            counts = (line.wave, line.tenants, line.limitless, line.joining, line.classic, line.rolled_back)
            grid.add_row(*(f"{n:,}" for n in counts), Text("hot" if line.hot else "", "magenta"))
    return grid


def _events(status: Status, room: int | None) -> RenderableType:
    grid = _grid(("\ntime", ""), ("\nwho", ""), ("\nwhat", ""), ("\nwhy", ""))
    events: Sequence[object] = status.events if room is None else status.events[: max(room - 3, 1)]
    for event in status.events[: len(events)]:
        grid.add_row(
            Text(f"{event.at:%H:%M:%S}", "dim"),
            Text(event.who),
            Text(f"{event.kind} {event.subject}".strip()),
            Text(event.reason, "dim"),
        )
    return grid


def _words(name: str) -> str:
    return name.replace("_", " ")
