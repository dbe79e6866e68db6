"""Drafts a workload from a trace: statements by how often they were captured, with sets of values that they had.

A trace (migrator.model.trace) is what `migrator shadow capture` writes. Its values are values of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from migrator.load.drafted import Draft, drafted, name_of, writes
from migrator.model.counted import counted
from migrator.model.trace import Call, Value


@dataclass
class _Kept:
    """How often a statement was captured; sets of its values, spread over the trace."""

    calls: int = 0
    samples: list[tuple[str, ...]] = field(default_factory=list)
    every: int = 1
    without: int = 0

    def add(self, values: tuple[Value, ...], most: int) -> None:
        self.calls += 1
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) < len(values):
            self.without += 1  # TOML has no NULL, and no binary values
        elif self.calls % self.every == 0:
            self.samples.append(texts)
            if len(self.samples) > most:  # keep every second one, and from now on half as many
                self.samples, self.every = self.samples[::2], self.every * 2


def made(captured: Iterable[Call], most: int, samples: int) -> Draft:
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
