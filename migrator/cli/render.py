"""How does data look on a terminal, and as JSON? Data goes to stdout, progress and questions to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from migrator.errors import UsageError
from migrator.model.action import Action, describe


def plain(value: Any) -> Any:
    """Return *value* as JSON values: dataclasses as objects, times as ISO 8601."""
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


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> str:
    """Return rows in aligned columns, as wide as they need to be."""
    texts = [[_cell(cell) for cell in row] for row in rows]
    widths = [max([len(column), *(len(row[i]) for row in texts)]) for i, column in enumerate(columns)]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), line(["-" * w for w in widths]), *(line(row) for row in texts)])


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
    return str(value)


def duration(seconds: float | None) -> str:
    """Return a length of time in words short enough for a table."""
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
        UsageError: they do not, or nobody is there to be asked.
    """
    if yes:
        return
    source = stream or sys.stdin
    if not source.isatty():
        raise UsageError("this needs a confirmation and nobody can be asked", hint="Say --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if source.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed; nothing was changed")
