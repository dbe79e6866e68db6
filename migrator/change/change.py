"""What is a change, once it is checked?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from migrator.change.wish import Kind


@dataclass(frozen=True, slots=True)
class Change:
    """One change: all that carrying it out needs, also after a crash.

    Attributes:
        table: qualified name.
        schema: of the index; empty for a column.
        words: for operators.
        type: of the new column as the server prints it.
        default: its default's expression, empty for none.
        literal: what that default is worth for rows that exist already, as text; None: nothing, they stay NULL.
        volatile: the default has another value for every row: existing rows are filled in batches.
        tail: of a new index, what follows its table's name.
    """

    kind: Kind
    table: str
    schema: str
    name: str
    words: str
    type: str = ""
    collation: str = ""
    default: str = ""
    literal: str | None = None
    volatile: bool = False
    not_null: bool = False
    unique: bool = False
    tail: str = ""

    def dump(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, body: dict[str, Any]) -> Change:
        """Return the change that `dump` wrote."""
        return cls(**{**body, "kind": Kind(body["kind"])})
