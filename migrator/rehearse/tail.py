"""What is the traffic doing right now? Counts from the ledger files while they grow."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrator.rehearse.ledger import Outcome
from migrator.rehearse.shop import REVISION


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals since the traffic began; *released*: writes (begun) and reads of what a deployment brought."""

    acknowledged: int = 0
    unknown: int = 0
    reads_classic: int = 0
    reads_limitless: int = 0
    missed: int = 0
    failures: int = 0
    breakers_opened: int = 0
    breakers_closed: int = 0
    released: int = 0
    released_reads: int = 0

    @property
    def reads(self) -> int:
        return self.reads_classic + self.reads_limitless

    def since(self, earlier: Traffic) -> Traffic:
        """Return what happened after *earlier*."""
        return Traffic(**{name: getattr(self, name) - getattr(earlier, name) for name in self.__slots__})


@dataclass(slots=True)
class LedgerTail:
    """Follows the ledger files in a directory."""

    directory: Path
    total: Traffic = Traffic()
    _offsets: dict[Path, int] = field(default_factory=dict)

    def follow(self) -> Traffic:
        """Read what was appended since the last call and return the totals."""
        counts = dict.fromkeys(Traffic.__slots__, 0)
        for path in sorted(self.directory.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # half a line: it is read again next time
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    self._count(counts, json.loads(line))
        self.total = replace(self.total, **{k: getattr(self.total, k) + n for k, n in counts.items()})
        return self.total

    @staticmethod
    def _count(counts: dict[str, int], record: dict[str, Any]) -> None:
        match record["k"]:
            case "intent":
                counts["released"] += any(row[0] == REVISION for row in record["rows"])
            case "outcome":
                counts["acknowledged"] += record["is"] == Outcome.ACKNOWLEDGED.value
                counts["unknown"] += record["is"] == Outcome.UNKNOWN.value
            case "read":
                counts[f"reads_{record['side']}"] += 1
                counts["missed"] += int(str(record["missed"]))
                counts["released_reads"] += any(row[0] == REVISION for row in record["rows"])
            case "failure":
                counts["failures"] += 1
            case "note":
                counts["breakers_opened"] += record["name"] == "breaker.opened"
                counts["breakers_closed"] += record["name"] == "breaker.closed"
