"""Keeps a bounded sample of calls: of every statement so many, whichever statement comes how often. Pure."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field

from migrator.grammar.parse import Unparsable, normalize
from migrator.model.trace import Call

MOST_OF_ONE = 2000
"""Calls of one statement that are kept: enough to judge a 99th percentile."""

MOST = 200_000
"""Calls that are kept in all."""

MOST_BYTES = 300_000_000
"""Bytes that they have together, about, in memory and as a trace."""

LONGEST = 1_000_000
"""Characters of a call's text and values; a longer one is not kept."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What calls of one statement have in common. text: with $n for every constant and parameter."""

    id: str
    text: str


def fingerprint(sql: str) -> Fingerprint | None:
    """Return the fingerprint of a statement, the same in every run; None when PostgreSQL's grammar refuses it."""
    try:
        text = normalize(sql).strip().rstrip(";").strip()
    except Unparsable:
        return None
    words = " ".join(text.split()).encode("utf-8", "replace")
    return Fingerprint(f"q-{hashlib.blake2s(words, digest_size=6).hexdigest()}", text)


@dataclass
class Sample:
    """Calls that were kept of those that were offered.

    Attributes:
        left_out: why others were not kept, with their number.
        records: of logs that were read; each is one of `messages`, which hold statements, or is in `passed_over`, by
            what it is.
        notes: what could not be read as a whole.
    """

    most_of_one: int = MOST_OF_ONE
    most: int = MOST
    most_bytes: int = MOST_BYTES
    seed: int = 0
    offered: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    records: int = 0
    messages: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _kept: dict[str, list[tuple[int, int, Call]]] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _bytes: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def leave_out(self, why: str) -> None:
        """Count a call that is not kept."""
        self.offered += 1
        self.left_out[why] += 1

    def offer(self, call: Call, place: int = 0) -> None:
        """Keep *call*, or not: each of a statement's calls with the same chance. place: what it is ordered by first."""
        size = len(call.sql) + sum(len(value) for value in call.values if value is not None)
        if size > LONGEST:
            self.leave_out(f"longer than {LONGEST:,} characters")
            return
        found = fingerprint(call.sql)
        if found is None:
            self.leave_out("PostgreSQL's grammar refuses it")
            return
        self.offered += 1
        kept = self._kept.setdefault(found.id, [])
        self._seen[found.id] += 1
        if len(kept) < self.most_of_one and self._number < self.most and self._bytes + size <= self.most_bytes:
            kept.append((place, self.offered, call))
            self._number += 1
            self._bytes += size
            return
        self.left_out["more calls of a statement than are kept"] += 1
        replaced = self._random.randrange(self._seen[found.id])
        if replaced < len(kept) and self._bytes + size <= self.most_bytes:
            self._bytes += size  # what it replaces is not taken off: the bound is one from above
            kept[replaced] = (place, self.offered, call)

    @property
    def statements(self) -> int:
        return len(self._kept)

    def calls(self) -> list[Call]:
        """Return what was kept, by its place, then in the order in which it was offered."""
        everything = [item for kept in self._kept.values() for item in kept]
        return [call for _, _, call in sorted(everything, key=lambda item: item[:2])]
