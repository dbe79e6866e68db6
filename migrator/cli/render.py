"""Prints data on a terminal, in a pipe and as JSON. Data goes to stdout, progress and questions to stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from migrator.cli.lines import cells, safe, wrapped
from migrator.errors import UsageError
from migrator.model.action import Action, action_lines
from migrator.model.blocker import grouped
from migrator.model.shown import duration as duration
from migrator.model.shown import plain as plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

SHOWN_CAUSES = 20
"""Causes that are listed without --all: as many as fit a screen."""

PIPE_WIDTH = 100_000
"""Columns without a terminal: more than any line needs, so that a program that reads it gets whole lines."""


def emit_json(value: Any) -> None:
    """Print *value* as JSON on stdout."""
    json.dump(plain(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def out(*texts: str) -> None:
    """Print *texts* on stdout, each on a line of its own; on a terminal broken so that none is wider than it."""
    _print(texts or ("",), sys.stdout)


def note(*texts: str) -> None:
    """Print progress on stderr, as `out` does."""
    _print(texts, sys.stderr)
    sys.stderr.flush()


line_away: Callable[[], AbstractContextManager[object]] = nullcontext
"""Keeps the line of `migrator.cli.progress` off the terminal while something else is printed."""


def _print(texts: Iterable[str], stream: TextIO) -> None:
    width = columns() if stream.isatty() else PIPE_WIDTH
    with line_away():
        for text in texts:
            for line in wrapped(safe(text), width):
                print(line, file=stream)


def columns() -> int:
    """Return how wide the terminal is."""
    return shutil.get_terminal_size().columns


def raw(text: str) -> None:
    """Print what another program reads, SQL or TOML say, on stdout: as it is, of any width."""
    print("\n".join(map(safe, text.split("\n"))) if sys.stdout.isatty() else text)


def causes(blockers: Iterable[str], *, everything: bool = False, how: str = "--all") -> list[str]:
    """Return *blockers* as lines of a list: one for each cause with its count, or with *everything* all of them.

    Args:
        how: the option that lists all of them.
    """
    listed = list(blockers)
    if everything:
        return [f"  - {blocker}" for blocker in listed]
    found = grouped(listed)
    lines = [f"  - {cause.line}" for cause in found[:SHOWN_CAUSES]]
    if len(found) > SHOWN_CAUSES:
        left = sum(len(cause.blockers) for cause in found[SHOWN_CAUSES:])
        lines.append(f"  … and {left:,} of {len(listed):,} more; all: {how}")
    elif len(found) < len(listed):
        lines.append(f"  {len(listed):,} in all, one by one: {how}")
    return lines


def console() -> Console:
    """Return stdout for tables: as wide as the terminal is, and in a pipe as wide as it takes."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def show(drawn: RenderableType) -> None:
    """Print a table, or several: folded to the terminal's width; in a pipe nothing is folded, cut or padded."""
    screen = console()
    if sys.stdout.isatty():
        screen.print(drawn)
        return
    with screen.capture() as captured:
        screen.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n")))


def grid(headers: Sequence[str], *, right: Collection[str] = ()) -> Table:
    """Return an empty table as all commands print it: no frame, two spaces between columns; *right* are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(headers), header_style="dim")
    for name in headers:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def print_table(names: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()) -> None:
    """Print rows under their columns' names, one line each in a pipe.

    A terminal too narrow for the columns gets each row as lines of its own, a name and a value each.
    """
    from rich.text import Text

    body = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty() and _least(names, body) > columns():
        wide = max(map(cells, names), default=0)
        for number, values in enumerate(body):
            out(*([""] if number else []))
            for name, value in zip(names, values, strict=True):
                indent = " " * min(wide + 2, columns() // 3)
                first, *rest = wrapped(value, columns() - len(indent)) if value else [""]
                out(f"{name:<{len(indent) - 2}.{len(indent) - 2}}  {first}".rstrip())
                for line in rest:
                    out(indent + line)
        return
    table = grid(names, right=right)
    for row in body:
        table.add_row(*map(Text, row))
    show(table)


_FOLDED = 16
"""Columns of a terminal that a name or a reason needs at least to be read in pieces."""


def _least(names: Sequence[str], body: Sequence[Sequence[str]]) -> int:
    """Return the width in which a table can be read: no number and no heading is folded."""
    widest = [max((cells(row[i]) for row in body), default=0) for i in range(len(names))]
    return sum(max(cells(name), min(most, _FOLDED)) + 1 for name, most in zip(names, widest, strict=True))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return safe(value)


def announce(actions: Sequence[Action], *, as_json: bool) -> None:
    """Print what a dry run would do."""
    if as_json:
        emit_json({"actions": list(actions)})
    elif actions:
        out(*action_lines(actions))
    else:
        out("Nothing to do.")


ANSWERS = " [y/N] "


def confirm(question: str, *, yes: bool, stream: TextIO | None = None) -> None:
    """Return when the operator agrees; *yes* answers for them.

    Raises:
        UsageError: they do not, or there is no terminal to ask on.
    """
    if yes:
        return
    source = stream or sys.stdin
    if not source.isatty():
        raise UsageError("this needs a confirmation and there is no terminal to ask on", hint="Add --yes.")
    *before, last = wrapped(safe(question), columns() - len(ANSWERS))
    note(*before)
    print(f"{last}{ANSWERS}", end="", file=sys.stderr, flush=True)
    if source.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed; nothing was changed")
