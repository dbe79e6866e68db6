"""Drafts a workload from a trace: statements by how often they were captured, with sets of values that they had.

A trace is one JSON object a line, as `migrator shadow capture` writes it. Its values are values of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.errors import UsageError
from migrator.load.drafted import Draft, drafted, name_of, writes
from migrator.model.counted import counted

VERSION = 1


@dataclass(frozen=True, slots=True)
class Captured:
    """A statement with $1, $2, … and the values that it had; None among them: NULL, or of binary form."""

    sql: str
    values: tuple[str | None, ...] = ()


@dataclass
class _Kept:
    """How often a statement was captured; sets of its values, spread over the trace."""

    calls: int = 0
    samples: list[tuple[str | None, ...]] = field(default_factory=list)
    every: int = 1
    without: int = 0

    def add(self, values: tuple[str | None, ...], most: int) -> None:
        self.calls += 1
        if None in values:
            self.without += 1  # TOML has no NULL
        elif self.calls % self.every == 0:
            self.samples.append(values)
            if len(self.samples) > most:  # keep every second one, and from now on half as many
                self.samples, self.every = self.samples[::2], self.every * 2


def read(paths: Sequence[Path]) -> Iterator[Captured]:
    """Yield what these traces hold. A last line that was torn when its writer ended is passed over.

    Raises:
        UsageError: a file is no trace, or cannot be read.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as stream:
                _require_trace(path, stream.readline())
                for number, line in enumerate(stream, 2):
                    try:
                        yield _captured(json.loads(line))
                    except ValueError as error:
                        if not line.endswith("\n"):
                            break
                        raise UsageError(f"{path}: line {number} cannot be read: {error}") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _require_trace(path: Path, first: str) -> None:
    try:
        head = json.loads(first)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("migrator_trace") != VERSION:
        raise UsageError(
            f"{path} is no trace of version {VERSION}", hint="Make one: migrator shadow capture TRACE --log FILE."
        )


def _captured(body: Any) -> Captured:
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("sql"), str)
        or not isinstance(body.get("values", []), list)
    ):
        raise ValueError("it holds no statement")
    return Captured(body["sql"], tuple(v if isinstance(v, str) else None for v in body.get("values", [])))


def made(captured: Iterable[Captured], most: int, samples: int) -> Draft:
    """Return the draft of the *most* statements that were captured most often, with *samples* sets of values each."""
    kept: dict[str, _Kept] = {}
    for one in captured:
        kept.setdefault(one.sql, _Kept()).add(one.values, samples)
    ordered = sorted(kept.items(), key=lambda item: -item[1].calls)
    left_out: list[str] = []
    transactions: list[dict[str, Any]] = []
    for sql, found in ordered[:most]:
        may_write = writes(sql)
        name = name_of(len(transactions) + 1, sql)
        if may_write is None:
            left_out.append(f"{name}: it is no single statement that reads or writes rows")
        elif not found.samples:
            left_out.append(f"{name}: each of its {counted(found.calls, 'call')} had a NULL, or a value in binary form")
        else:
            statement: dict[str, Any] = {"sql": sql}
            if found.samples[0]:
                statement["samples"] = [list(values) for values in found.samples[:samples]]
            transactions.append({"name": name, "weight": found.calls, "writes": may_write, "statement": [statement]})
            if found.without:
                left_out.append(f"{name}: {counted(found.without, 'call')} with a NULL, or a value in binary form")
    if len(ordered) > most:
        left_out.append(f"{counted(len(ordered) - most, 'statement')} captured less often")
    head = (
        "Drafted from a trace. It holds values of rows: personal data among them. Join what is one transaction.",
        "weight: how often it was captured.",
    )
    return drafted(head, transactions, {}, left_out)
