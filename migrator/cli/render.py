"""Prints data on a terminal, in a pipe and as JSON. Data goes to stdout, progress and questions to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from migrator.errors import UsageError
from migrator.model.action import Action, describe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPE_WIDTH = 100_000
"""Columns without a terminal: more than any line needs, so that a program that reads it gets whole lines."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""Control characters as they are written down: a name must not clear a screen or break a line."""


def plain(value: Any) -> Any:
    """Return *value* as JSON values: dataclasses as objects, times as ISO 8601 with their offset.

    Not pydantic's, which writes UTC as Z and spans of time as P1DT2H: scripts read what is written here.
    """
    match value:
        case None | bool() | int() | float() | str() if not isinstance(value, Enum):
            return value
        case Enum():
            return value.value
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Path():
            return str(value)
        case Mapping():
            return {str(plain(k)): plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def emit_json(value: Any) -> None:
    """Print *value* as JSON on stdout."""
    json.dump(plain(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def out(text: str = "") -> None:
    print(text)


def note(text: str) -> None:
    """Print progress on stderr."""
    print(text, file=sys.stderr, flush=True)


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
    out("\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n")))


def grid(headers: Sequence[str], *, right: Collection[str] = ()) -> Table:
    """Return an empty table as all commands print it: no frame, two spaces between columns; *right* are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(headers), header_style="dim")
    for name in headers:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()) -> None:
    """Print rows under their columns' names, one line each in a pipe."""
    from rich.text import Text

    table = grid(columns, right=right)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    show(table)


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
    return str(value).translate(_CONTROL)


def duration(seconds: float | None) -> str:
    """Return a duration, short enough for a table."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def announce(actions: Sequence[Action], *, as_json: bool) -> None:
    """Print what a dry run would do."""
    if as_json:
        emit_json({"actions": list(actions)})
    elif actions:
        out(describe(actions))
    else:
        out("Nothing to do.")


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
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if source.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed; nothing was changed")
