"""Draws the status on a terminal: one screen, most urgent first; colour only supports the text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from migrator.cli.lines import all_safe, safe, wrapped
from migrator.cli.render import PIPE_WIDTH, causes, columns, duration, grid, show
from migrator.cli.status_processes import processes, replicas, workers
from migrator.model.cost import Against, CapacityLine, CostLine
from migrator.model.counted import counted
from migrator.model.drill import DrillLine
from migrator.model.status import (
    BackfillLine,
    Event,
    LimitlessLine,
    OthersLine,
    PhaseLine,
    RunwayLine,
    Status,
    ValidationLine,
    WaveLine,
    WriterCost,
)

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
_STEPS = 8
"""Next steps that are shown without --all; the most urgent come first."""

_FRAME = 4
"""Columns that a frame takes, with the spaces inside."""


def print_once(status: Status, *, everything: bool = False) -> None:
    """Print the status on stdout, with everything it has; without frames where a program reads it.

    Blockers are one line for each cause, unless *everything*.
    """
    show(render(status, None, framed=sys.stdout.isatty(), everything=everything))


def render(status: Status, screen: Console | None, *, framed: bool = True, everything: bool = False) -> RenderableType:
    """Return the status so that it fits *screen*; None for as long as it gets.

    When there is too little room, events go first, then the oldest waves; what is blocked always stays.
    """
    status = all_safe(status)
    if not status.installed:
        return _panel("migrator", Text("\n".join(status.next_steps)), "dim", framed)
    if status.schema_version is not None and status.phase is None:  # of another version: nothing else was read
        return _panel("migrator", Text("\n".join((*status.blockers, *status.next_steps))), "red", framed)
    parts: list[RenderableType] = [
        _headline(status),
        _attention(status, framed, everything),
        _phases(status),
        _tenants(status),
    ]
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


def why(error: Exception) -> str:
    """Return why classic does not answer, on one line."""
    from migrator.db.error_text import described
    from migrator.errors import MigratorError

    return str(error) if isinstance(error, MigratorError) else described(error)


def unreachable(last: Status | None, error: Exception) -> RenderableType:
    """Return what --watch shows while classic does not answer."""
    line = Text(f"classic does not answer: {safe(why(error))}", style="bold red")
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


def _attention(status: Status, framed: bool, everything: bool) -> RenderableType:
    """What is blocked and what to do: shown first."""
    lines = Text()
    room = columns() - _FRAME if framed else PIPE_WIDTH
    for line in causes(status.blockers, everything=everything):
        mark, style = ("✗ ", "red") if line.startswith("  - ") else ("  ", "dim")
        for number, part in enumerate(wrapped("- " + line.removeprefix("  - ").strip(), room)):
            lines.append("  " if number else mark, f"bold {style}").append(f"{part[2:]}\n", style)
    steps = status.next_steps if everything else status.next_steps[:_STEPS]
    for step in steps:
        for number, part in enumerate(wrapped(f"→ {step}", room)):
            lines.append("  " if number else "→ ", "bold cyan").append(f"{part[2:]}\n")
    if len(steps) < len(status.next_steps):
        lines.append(f"  … and {counted(len(status.next_steps) - len(steps), 'more step')}; all: --all", "dim")
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
    copied = f"{line.copied_rows:,} of about {counted(line.rows, 'row')}, {line.done}/{counted(line.units, 'unit')}"
    pace = f", {line.rows_per_s:,.0f} rows/s, {duration(line.eta_s)} left" if line.eta_s is not None else ""
    paused = Text(f"  paused: {line.reason or 'by an operator'}", "yellow") if line.paused else Text("")
    bar = Bar(size=max(line.rows, 1), begin=0, end=line.copied_rows, width=24, color="cyan", bgcolor="grey23")
    table.add_row(Text("Backfill  "), bar, Text.assemble(f" {copied}{pace}", paused))
    return table


def _health(status: Status) -> RenderableType:
    table = grid(("", ""))
    lags = ", ".join(f"p{p.part} {duration(p.lag_s)}" for p in status.parts)
    depth = sum(p.depth for p in status.parts)
    lag = (
        f"{duration(status.lag_s)} behind ({lags}), {counted(depth, 'key')} per cycle"
        if status.parts
        else "not running"
    )
    table.add_row("Mirror    ", Text(f"{lag}; journal {status.journal_mb:,.1f} MB"))
    table.add_row("Validation", _validation(status.validation, status.tenants))
    opened = [
        f"{scope} {key}".strip() + f" ({counted(count, 'process')})" for scope, key, count, _ in status.breaker_trips
    ]
    if status.fallbacks or opened:
        lines = [
            f"fallback of {f.scope} {f.key}".strip() + f" since {f.raised_at:%H:%M:%S}" for f in status.fallbacks[:5]
        ]
        if status.fallback_count > 5:
            lines.append(f"{counted(status.fallback_count, 'fallback')} in all")
        lines += [f"open for {where}" for where in opened]
        table.add_row("Breaker   ", Text("; ".join(lines), "yellow"))
    else:
        table.add_row("Breaker   ", Text("closed, no fallback", "green"))
    if status.held:
        shown = [h.tenant + (f" until {h.until:%Y-%m-%d %H:%M}" if h.until else "") for h in status.held[:5]]
        names = ", ".join(shown) + (", …" if status.held_count > 5 else "")
        table.add_row(
            "Held      ",
            Text(f"{counted(status.held_count, 'tenant stays', 'tenants stay')} on classic by name: {names}", "yellow"),
        )
    table.add_row("Processes ", processes(status))
    if status.replicas or status.classic_reads or any(p.replicas is not None for p in status.processes):
        table.add_row("Replicas  ", replicas(status))
    table.add_row("Workers   ", workers(status))
    table.add_row("Limitless ", _limitless(status.limitless))
    if status.pace.share < 1:
        text = f"copies and validation go at {status.pace.share:.0%} of what the plan allows: {status.pace.reason}"
        table.add_row("Pace      ", Text(text, "yellow"))
    if status.others is not None:
        table.add_row("Others    ", _others(status.others))
    if status.drills:
        table.add_row("Drills    ", _drills(status.drills))
    table.add_row("Costs     ", cost_lines(status.cost))
    if status.runway is not None:
        table.add_row("Runway    ", runway_text(status.runway))
    if status.bill is not None:
        table.add_row("Bill      ", bill_text(status.bill))
    if status.capacity is not None:
        table.add_row("Shards    ", shards_text(status.capacity))
    if status.incidents:
        table.add_row("Incidents ", Text(f"{status.incidents}"))
    return table


def cost_lines(cost: WriterCost | None) -> Text:
    """Return what this tool costs classic's writer, then each part on a line of its own."""
    if cost is None:
        return Text("what the tool costs classic is unknown: no worker has sampled it in the last minutes", "dim")
    text = Text(_sum_of(cost))
    for part in cost.parts:
        cores = "cores unknown" if part.cores is None else f"{part.cores:.3f} cores"
        held = f"{part.sessions:.1f} sessions, {part.active:.2f} active, " if part.sessions else ""
        text.append(f"\n{part.part:<10} ").append(f"{held}{cores} ").append(f"({part.basis})", "dim")
    for line in cost.unknown:
        text.append(f"\nnot measured: {line}", "yellow")
    return text


def _sum_of(cost: WriterCost) -> str:
    said = []
    if cost.own_cores is not None:
        of = f" of {cost.vcpus}" if cost.vcpus else ""
        said.append(f"at most {cost.own_cores:.3f} cores{of}")
    if cost.cpu is not None:
        said.append(f"the writer is at {cost.cpu:.0%}")
    if cost.own_statements_per_s is not None:
        said.append(f"{cost.own_statements_per_s:,.1f} statements/s of the tool")
    if cost.own_wal_bytes_per_s is not None:
        said.append(f"{cost.own_wal_bytes_per_s / 1e3:,.1f} kB/s of WAL by them")
    if cost.wal_bytes_per_s is not None:
        said.append(f"{cost.wal_bytes_per_s / 1e3:,.1f} kB/s by all")
    if cost.journal_bytes_per_s is not None:
        said.append(f"journal {cost.journal_bytes_per_s * 3600 / 1e6:+,.1f} MB/h")
    return "; ".join(said) or "nothing is known yet"


def runway_text(line: RunwayLine) -> Text:
    """Return how long the writer lasts; options only where it does not last."""
    if line.closes:
        return Text(line.summary, "green")
    if line.spared:
        return Text(f"{line.summary} (a server of this machine or a rehearsal: no gate asks)", "dim")
    text = Text(line.summary, "yellow" if line.closes is None else "bold red")
    for option in line.options:
        text.append(f"\n→ {option}", "dim")
    return text


def bill_text(line: CostLine) -> Text:
    """Return what Limitless costs this month."""
    colours = {Against.OVER: "bold red", Against.WITHIN: "green"}
    return Text(line.summary, colours.get(line.against, "dim"))


def shards_text(line: CapacityLine) -> Text:
    """Return how full and how even the shards are; *line* is safe."""
    return Text(line.summary, "" if line.at else "dim")


def _others(line: OthersLine) -> Text:
    """Who uses classic beside the tool: before the decommission each has to be gone."""
    since = f"watched since {line.since:%Y-%m-%d %H:%M}"
    if not line.count:
        return Text(f"no other user of classic was seen in {line.days:g} days; {since}", "green")
    names = ", ".join(line.names) + (", …" if line.count > len(line.names) else "")
    who = counted(line.count, "user of classic was seen", "users of classic were seen")
    return Text(f"{who} in {line.days:g} days, {since}: {names}")


def _drills(lines: Sequence[DrillLine]) -> Text:
    said = [
        f"{line.newest.kind.value} {'passed' if line.newest.passed else 'did not pass'} on {line.newest.at:%Y-%m-%d}"
        for line in lines
    ]
    return Text("; ".join(said), "" if all(line.newest.passed for line in lines) else "yellow")


def _limitless(line: LimitlessLine | None) -> Text:
    if line is None:
        return Text("capabilities not probed yet (migrator provision --probe)", "dim")
    text = Text(f"{line.version}, probed {line.at:%Y-%m-%d %H:%M}; ")
    if line.blockers:
        return text.append("; ".join(line.blockers), "bold red")
    return text.append(f"without {', '.join(line.lacking)}" if line.lacking else "has every capability that was probed")


def _validation(line: ValidationLine | None, tenants: int) -> Text:
    if line is None or line.finished_at is None:
        return Text("never ran", "dim")
    text = Text(f"{duration(line.age_s)} ago, {counted(line.rows, 'row')}, ")
    if line.divergent:
        text.append(f"{line.divergent:,} divergent", "bold red")
    else:
        text.append("no divergence", "green")
    if line.never and tenants:
        text.append(f"; {counted(line.never, 'tenant')} never validated", "yellow")
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
    table.columns[0].min_width = len("00:00:00")
    for event in events:
        what = f"{event.kind} {event.subject}".strip()
        table.add_row(Text(f"{event.at:%H:%M:%S}", "dim"), Text(event.who), Text(what), Text(event.reason, "dim"))
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")
