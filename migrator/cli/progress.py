"""Shows on stderr, from the second second, how far long work is: on a terminal as one line that changes, elsewhere as a
line every half minute, with --json not at all.

The work says what it knows (`at`, `step`); a thread of its own shows it, so that work which says nothing for minutes,
because one statement takes them, is seen to go on.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Self

from migrator.cli import render
from migrator.cli.lines import safe, wrapped

FIRST_S = 1.5
"""Work that is over by then shows nothing."""

EVERY_S = 0.5
PIPE_EVERY_S = 30.0


def line(
    what: str, seconds: float, done: float | None, total: float | None, unit: str, doing: str = "", begun: float = 0
) -> str:
    """Return how far *what* is after *seconds*, with rate and time left where they are known. Pure.

    Args:
        done, total: of *unit*; None: not known.
        doing: the step that is being done now.
        begun: what was done before, which says nothing about the rate.
    """
    parts = []
    if done is not None:
        parts.append(f"{done:,.0f} of {total:,.0f} {unit} ({done / total:.0%})" if total else f"{done:,.0f} {unit}")
        rate = (done - begun) / seconds if seconds else 0
        parts.append(f"{rate:,.{0 if rate >= 10 else 1}f} {unit}/s" if rate >= 0.1 else "")
        parts.append(f"{render.duration((total - done) / rate)} left" if total and total > done and rate > 0 else "")
    parts += [f"{render.duration(seconds)} so far", doing]
    return f"{what}: {', '.join(filter(None, parts))}"


class Progress:
    """How far one piece of long work is. All but `at` and `step` is this module's."""

    def __init__(self, what: str, unit: str = "", total: float | None = None, begun: float = 0) -> None:
        self.what, self.unit, self.total, self.begun = what, unit, total, begun
        self.done: float | None = None
        self.doing = ""
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._shown = False
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def at(self, done: float, total: float | None = None) -> None:
        """So much of it is done; *total* where it is known by now."""
        self.done, self.total = done, self.total if total is None else total

    def step(self, doing: str = "") -> None:
        """One more is done; *doing* is next, or has just been done."""
        self.done, self.doing = (self.done or 0) + 1, doing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with self.away():
            pass

    def _show(self) -> None:
        terminal = sys.stderr.isatty()
        wait_s = FIRST_S
        while not self._over.wait(wait_s):
            wait_s = EVERY_S if terminal else PIPE_EVERY_S
            seconds = time.monotonic() - self._began
            text = safe(line(self.what, seconds, self.done, self.total, self.unit, self.doing, self.begun))
            with self._lock:
                if terminal:
                    first = wrapped(text, render.columns() - 1)[0]  # one line: the next one takes its place
                    print(f"\r{first}\x1b[K", end="", file=sys.stderr, flush=True)
                    self._shown = True
                else:
                    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", file=sys.stderr, flush=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take the line off the terminal while something else is printed."""
        with self._lock:
            if self._shown:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                self._shown = False
            yield


@contextmanager
def progress(
    what: str, unit: str = "", total: float | None = None, *, begun: float = 0, silent: bool = False
) -> Iterator[Progress]:
    """Show how far *what* is while the block runs.

    Args:
        begun: what was done before it was begun to watch.
        silent: show nothing; for --json.
    """
    shown = Progress(what, unit, total, begun)
    if silent:
        yield shown
        return
    render.line_away = shown.away
    try:
        with shown:
            yield shown
    finally:
        render.line_away = nullcontext
