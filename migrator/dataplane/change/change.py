"""One schema change, once it is checked: all that carrying it out needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from migrator.dataplane.change.kinds import Kind


@dataclass(frozen=True, slots=True)
class Made:
    """Something to be made on Limitless, with its row of migrator.provisioned: kind, schema, name, detail."""

    label: str
    record: tuple[str, str, str, str]
    statements: tuple[str, ...]
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One change: all that carrying it out needs, also after a crash.

    Attributes:
        table: qualified name.
        schema: of the index, or of what is made; empty for a column.
        words: for operators.
        type: of the new column as the server prints it.
        default: its default's expression, empty for none.
        literal: what that default is worth for rows that exist already, as text; None: nothing, they stay NULL.
        volatile: the default has another value for every row: existing rows are filled in batches.
        tail: of a new index, what follows its table's name.
        statement, links: of what is made, its SQL; of a table without its foreign keys, which are what follows ADD.
        entry: of a new table, what a plan would say about it.
        owner: who is to own what is made; empty: this tool's role.
        there: what makes it on Limitless.
        source, parent, condition, late, path, renamed: as in RequestedChange.
        before: what was there, so that the change can be undone: a default, a type, what Limitless had; of an index or
            NOT NULL, that classic had it already.
        column: what is dropped goes with this column of `table`.
        neighbour, after: an enum's value that the new one stands after, or before; empty: it is the only one.
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
    statement: str = ""
    links: tuple[str, ...] = ()
    entry: dict[str, Any] = field(default_factory=dict)
    owner: str = ""
    there: tuple[Made, ...] = ()
    neighbour: str = ""
    after: bool = True
    source: str = ""
    parent: str = ""
    condition: str = ""
    late: bool = False
    path: tuple[str, ...] = ()
    before: str = ""
    column: str = ""
    renamed: str = ""

    def dump(self) -> dict[str, Any]:
        """Return the change as JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, body: dict[str, Any]) -> Change:
        """Return the change that `dump` wrote."""
        made = tuple(
            Made(**{**m, "record": tuple(m["record"]), "statements": tuple(m["statements"])})
            for m in body.get("there", ())
        )
        return cls(
            **{
                **body,
                "kind": Kind(body["kind"]),
                "links": tuple(body.get("links", ())),
                "path": tuple(body.get("path", ())),
                "there": made,
            }
        )
