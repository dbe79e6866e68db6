"""Checks reads of a process' own rows at once, from the process' memory.

The proof checks the same again at the end, from the ledger files alone and with its own code.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from migrator.model.ack import Ack
from migrator.rehearse.ledger import Change, RowKey


@dataclass(slots=True)
class _Row:
    """One row of this writer.

    Attributes:
        versions: in the order in which they were written; the last may be under way, or its answer lost.
        everybody: the number of the version that every read must see, or a later one.
        own: the same for reads of the session that wrote it.
    """

    versions: list[int | None]
    everybody: int = 0
    own: int = 0


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
                self._rows.setdefault(change.row, _Row([change.before])).versions.append(change.after)

    def abort(self, changes: list[Change]) -> None:
        """Note that *changes* were certainly not committed."""
        with self._lock:
            for change in changes:
                self._rows[change.row].versions.pop()

    def acknowledge(self, changes: list[Change], ack: Ack = Ack.EVERYWHERE) -> None:
        """Note that later reads must return *changes*, or something newer: all, the session's own, or none."""
        with self._lock:
            for change in changes:
                row = self._rows[change.row]
                newest = len(row.versions) - 1
                if ack is not Ack.NONE:
                    row.own = newest
                if ack is Ack.EVERYWHERE:
                    row.everybody = newest
                self._recent.append(change.row)

    def recent(self) -> list[RowKey]:
        """Return the rows acknowledged last, the newest last."""
        with self._lock:
            return list(self._recent)

    def floor(self, rows: list[RowKey], *, own: bool = False) -> dict[RowKey, int]:
        """Return, before a read, how much of each row's history is past; *own*: for the session that wrote them."""
        with self._lock:
            found = {r: self._rows[r] for r in rows if r in self._rows}
            return {r: row.own if own else row.everybody for r, row in found.items()}

    def missed(self, floor: dict[RowKey, int], seen: dict[RowKey, int | None]) -> list[RowKey]:
        """Return the rows of which a read that began at *floor* returned something too old.

        Right are what the read had to see when it began, and whatever came after it. A write whose answer was lost
        stays the last one: both are right.
        """
        with self._lock:
            return [name for name, over in floor.items() if seen[name] not in self._rows[name].versions[over:]]
