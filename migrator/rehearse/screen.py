"""Shows a rehearsal on the terminal: a checklist that fills, and one line of numbers.

On a terminal it is redrawn in place; elsewhere every step is a line of its own, and every few seconds the numbers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from migrator.rehearse.observer import Sample
from migrator.report import words

PLAIN_EVERY_S = 5.0


@dataclass(slots=True)
class Step:
    """One line of the checklist."""

    title: str
    began: float
    took_s: float | None = None
    detail: str = ""
    failed: bool = False


@dataclass
class Screen:
    """The terminal during a rehearsal. Data goes to stdout at the end; this is progress, on stderr."""

    console: Console
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    _numbers: str = ""
    _rate: tuple[float, int, int] = (0.0, 0, 0)
    _due: float = 0.0
    _live: Live | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))

    def open(self) -> None:
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._draw, console=self.console, refresh_per_second=6)
            self._live.start()

    def close(self) -> None:
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def step(self, title: str) -> Step:
        """Begin a line of the checklist."""
        step = Step(title, time.monotonic())
        with self._lock:
            self.steps.append(step)
        self._say(f"… {title}")
        return step

    def done(self, step: Step, detail: str = "") -> None:
        step.took_s, step.detail = time.monotonic() - step.began, detail
        self._say(f"✓ {step.title}" + (f": {detail}" if detail else "") + f" ({words.seconds(step.took_s)})")

    def fail(self, why: str) -> None:
        """Mark the lines that are still open."""
        with self._lock:
            for step in self.steps:
                if step.took_s is None:
                    step.took_s, step.failed = time.monotonic() - step.began, True
        self._say(f"✗ {why}")

    def show(self, sample: Sample) -> None:
        """Show the observer's sample."""
        facts, traffic = sample.facts, sample.traffic
        at, applied, acknowledged = self._rate
        parts = []
        if facts.current:
            name, phase = facts.current
            parts.append(f"{name} {phase.state}")
        if facts.all_tenants:
            parts.append(f"{facts.tenants.get('mirrored', 0)}/{facts.all_tenants} mirrored")
            parts.append(f"{facts.reading} on Limitless")
        if facts.lag_s is not None and facts.write_mode != "limitless_only":
            parts.append(f"lag {words.seconds(facts.lag_s)}")
        if sample.at - at >= 1:
            rows, writes = facts.copied_rows + facts.applied, traffic.acknowledged
            self._speed = (
                f"{words.count(max(rows - applied, 0) / (sample.at - at))} rows/s, "
                f"{words.count(max(writes - acknowledged, 0) / (sample.at - at))} writes/s"
            )
            self._rate = (sample.at, rows, writes)
        parts.append(self._speed)
        if facts.fallbacks:
            parts.append(f"{len(facts.fallbacks)} fallbacks")
        parts.append(f"{words.count(traffic.acknowledged)} writes acknowledged, {traffic.missed} missed")
        if traffic.failures:
            parts.append(f"{traffic.failures} errors")
        self._numbers = " · ".join(parts)
        if self._live is None and sample.at >= self._due:
            self._due = sample.at + PLAIN_EVERY_S
            self._say(f"    {self._numbers}")

    _speed = "0 rows/s"

    def _say(self, line: str) -> None:
        if self._live is None:
            stamp = words.clock(time.monotonic() - self.began)
            with self._lock:
                self.console.print(f"{stamp:>5} {line}", markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column()
        table.add_column(justify="right", style="dim")
        with self._lock:
            for step in self.steps:
                mark: RenderableType = self._spinner
                if step.failed:
                    mark = Text("✗", style="bold red")
                elif step.took_s is not None:
                    mark = Text("✓", style="bold green")
                title = Text(step.title)
                if step.detail:
                    title.append(f"  {step.detail}", style="dim")
                took = time.monotonic() - step.began if step.took_s is None else step.took_s
                table.add_row(mark, title, words.seconds(took))
        elapsed = words.clock(time.monotonic() - self.began)
        return Group(table, Text(f"{elapsed}  {self._numbers}", style="cyan"))
