"""What may a read of our own rows return right now? The traffic's own memory, checked at once.

The proof asks the same question again at the end, from the ledger files alone and with its own code.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from migrator.rehearse.ledger import Change, RowKey


@dataclass(slots=True)
class _Row:
    """Versions a read may return: the last acknowledged one first, then those under way."""

    versions: list[int | None]
    retired: bool = False  # an answer to COMMIT was lost: nobody writes it again


@dataclass(slots=True)
class Memory:
    """Rows this process has written, shared by its threads."""

    _rows: dict[RowKey, _Row] = field(default_factory=dict)
    _recent: deque[RowKey] = field(default_factory=lambda: deque(maxlen=300))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def intend(self, changes: list[Change]) -> None:
        """Note versions that may become visible from now on."""
        with self._lock:
            for change in changes:
                row = self._rows.setdefault(change.row, _Row([change.before]))
                row.versions.append(change.after)

    def abort(self, changes: list[Change]) -> None:
        """Note that *changes* were certainly not committed."""
        with self._lock:
            for change in changes:
                self._rows[change.row].versions.remove(change.after)

    def acknowledge(self, changes: list[Change]) -> None:
        """Note that every later read must return *changes*, or something newer."""
        with self._lock:
            for change in changes:
                row = self._rows[change.row]
                row.versions = [change.after]  # one thread writes a row, so nothing newer is under way
                self._recent.append(change.row)

    def lose(self, changes: list[Change]) -> None:
        """Note that nobody knows whether *changes* were committed."""
        with self._lock:
            for change in changes:
                self._rows[change.row].retired = True

    def is_retired(self, row: RowKey) -> bool:
        with self._lock:
            found = self._rows.get(row)
            return found is not None and found.retired

    def recent(self) -> list[RowKey]:
        with self._lock:
            return list(self._recent)

    def before(self, rows: list[RowKey]) -> dict[RowKey, list[int | None]]:
        """Return, before a read, what it may return so far."""
        with self._lock:
            return {r: list(self._rows[r].versions) for r in rows if r in self._rows}

    def missed(self, before: dict[RowKey, list[int | None]], seen: dict[RowKey, int | None]) -> list[RowKey]:
        """Return the rows of which a read that started at *before* returned something too old.

        Right are: what was acknowledged when the read began, and whatever was under way from then on.
        """
        with self._lock:
            wrong = []
            for row, versions in before.items():
                if row not in seen or seen[row] in versions or seen[row] in self._rows[row].versions:
                    continue
                # Acknowledged and replaced while the read ran: newer than what we knew, so right too.
                newest_known = [v for v in versions if v is not None]
                found = seen[row]
                if found is not None and newest_known and found > max(newest_known):
                    continue
                wrong.append(row)
            return wrong
