"""Checks reads of a process' own rows at once, from the process' memory.

The proof checks the same again at the end, from the ledger files alone and with its own code.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from migrator.rehearse.ledger import Change, RowKey


@dataclass(slots=True)
class _Row:
    """One row of this writer: acknowledged versions in order, and those that may become visible any time."""

    acknowledged: list[int | None]
    under_way: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """Rows this process has written, shared by its threads. A row is only ever written by one of them."""

    _rows: dict[RowKey, _Row] = field(default_factory=dict)
    _recent: deque[RowKey] = field(default_factory=lambda: deque(maxlen=300))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def intend(self, changes: list[Change]) -> None:
        """Note versions that may become visible from now on."""
        with self._lock:
            for change in changes:
                self._rows.setdefault(change.row, _Row([change.before])).under_way.append(change.after)

    def abort(self, changes: list[Change]) -> None:
        """Note that *changes* were certainly not committed."""
        with self._lock:
            for change in changes:
                self._rows[change.row].under_way.remove(change.after)

    def acknowledge(self, changes: list[Change]) -> None:
        """Note that every later read must return *changes*, or something newer."""
        with self._lock:
            for change in changes:
                row = self._rows[change.row]
                row.under_way.remove(change.after)
                row.acknowledged.append(change.after)
                self._recent.append(change.row)

    def recent(self) -> list[RowKey]:
        """Return the rows acknowledged last, the newest last."""
        with self._lock:
            return list(self._recent)

    def floor(self, rows: list[RowKey]) -> dict[RowKey, int]:
        """Return, before a read, how much of each row's history is past."""
        with self._lock:
            return {r: len(self._rows[r].acknowledged) - 1 for r in rows if r in self._rows}

    def missed(self, floor: dict[RowKey, int], seen: dict[RowKey, int | None]) -> list[RowKey]:
        """Return the rows of which a read that began at *floor* returned something too old.

        Right are what was acknowledged when the read began, and whatever came after it. A write whose answer was
        lost stays under way: both are right.
        """
        with self._lock:
            wrong = []
            for name, over in floor.items():
                row = self._rows[name]
                if seen[name] not in row.acknowledged[over:] and seen[name] not in row.under_way:
                    wrong.append(name)
            return wrong
