"""What a statement certainly is, by its words. Pure.

Nothing is routed by it. It saves a statement that reads the price of a write, and one that writes the way to a server
that would refuse it; what it cannot tell is a write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_LOCKS = r".*\bFOR (?:NO KEY )?(?:UPDATE|SHARE|KEY SHARE)\b[^']*\Z"
_WRITES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|TRUNCATE|MERGE|CREATE|ALTER|DROP|LOCK|REFRESH|REINDEX|GRANT|REVOKE)\b|" + _LOCKS,
    re.IGNORECASE | re.DOTALL,
)
_READS = re.compile(r"[\s(]*(?:SELECT|SHOW|VALUES)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """query: as psycopg takes it; what is no text is not looked into."""

    query: Any = ""

    @property
    def text(self) -> str:
        if isinstance(self.query, bytes):
            return self.query.decode(errors="replace")
        return self.query if isinstance(self.query, str) else ""

    @property
    def writes(self) -> bool:
        """Whether a read-only transaction would refuse it, by its first word or its last clause."""
        return _WRITES.match(self.text) is not None

    @property
    def reads(self) -> bool:
        """Whether it reads as long as no function in it writes, which the server would say."""
        text = self.text
        return _READS.match(text) is not None and ";" not in text and not self.writes


@dataclass(frozen=True, slots=True)
class CopyStatement(Statement):
    """A COPY."""

    @property
    def writes(self) -> bool:
        return re.search(r"\bFROM\s+STDIN\b", self.text, re.IGNORECASE) is not None
