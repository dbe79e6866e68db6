"""Counts the traffic's operations from the ledger files while they grow."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrator.rehearse.ledger import Outcome
from migrator.rehearse.shop import RETURNED, REVISION, SHIPMENTS


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals since the traffic began.

    Attributes:
        revised, returned, shipped: writes (begun) of what a deployment brought: columns, a value, a table.
        revised_reads, returned_reads, shipped_reads: reads of them.
    """

    acknowledged: int = 0
    unknown: int = 0
    reads_classic: int = 0
    reads_limitless: int = 0
    missed: int = 0
    failures: int = 0
    breakers_opened: int = 0
    breakers_closed: int = 0
    revised: int = 0
    revised_reads: int = 0
    returned: int = 0
    returned_reads: int = 0
    shipped: int = 0
    shipped_reads: int = 0

    @property
    def reads(self) -> int:
        return self.reads_classic + self.reads_limitless

    def since(self, earlier: Traffic) -> Traffic:
        """Return what happened after *earlier*."""
        return Traffic(**{name: getattr(self, name) - getattr(earlier, name) for name in self.__slots__})


_NAMES = {REVISION: "revised", RETURNED: "returned", SHIPMENTS: "shipped"}


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
                for name in {row[0] for row in record["rows"]} & _NAMES.keys():
                    counts[_NAMES[name]] += 1
            case "outcome":
                counts["acknowledged"] += record["is"] == Outcome.ACKNOWLEDGED.value
                counts["unknown"] += record["is"] == Outcome.UNKNOWN.value
            case "read":
                counts[f"reads_{record['side']}"] += 1
                counts["missed"] += int(str(record["missed"]))
                for name in {row[0] for row in record["rows"]} & _NAMES.keys():
                    counts[f"{_NAMES[name]}_reads"] += 1
            case "failure":
                counts["failures"] += 1
            case "note":
                counts["breakers_opened"] += record["name"] == "breaker.opened"
                counts["breakers_closed"] += record["name"] == "breaker.closed"
