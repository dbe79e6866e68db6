"""What a file of schema changes may request: kinds, and one requested change."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from migrator.dataplane.change.refusal import NOWHERE, Place
from migrator.model.table import qualify


class Kind(StrEnum):
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"
    CREATE_TABLE = "create table"
    CREATE_TYPE = "create type"
    CREATE_SEQUENCE = "create sequence"
    DROP_TABLE = "drop table"
    ADD_LABEL = "add enum value"
    ADD_CONSTRAINT = "add constraint"  # CHECK, FOREIGN KEY
    ADD_UNIQUE = "add unique constraint"
    VALIDATE_CONSTRAINT = "validate constraint"
    DROP_CONSTRAINT = "drop constraint"
    SET_NOT_NULL = "set not null"
    DROP_NOT_NULL = "drop not null"
    SET_DEFAULT = "set default"
    CHANGE_TYPE = "change type"
    RENAME = "rename"  # an index, a constraint
    BOTH_SIDES = "statement on both sides"
    CLASSIC_ONLY = "statement on classic"


BY_NAME = frozenset(
    {
        Kind.ADD_COLUMN, Kind.DROP_COLUMN, Kind.CREATE_INDEX, Kind.DROP_INDEX, Kind.CREATE_TABLE, Kind.CREATE_TYPE,
        Kind.CREATE_SEQUENCE, Kind.ADD_LABEL,
    }
)  # fmt: skip
"""What another file means as well that asks for the same kind and name; all else is known by its statement alone."""

_SORTS = {"c": "check", "f": "foreign key", "u": "unique constraint"}

CREATIONS = frozenset({Kind.CREATE_TABLE, Kind.CREATE_TYPE, Kind.CREATE_SEQUENCE})
"""What makes an object that was not there."""


@dataclass(frozen=True, slots=True)
class RequestedChange:
    """One change as it is written.

    Attributes:
        where: for messages, "statement 2".
        table: qualified name of a captured table; empty for DROP INDEX, whose table the catalog knows; of what is
            made, or gets a value, itself.
        schema, name: of the column (no schema), the index or what is made; of an enum's value, the
            schema of its enum, and itself.
        lenient: IF EXISTS or IF NOT EXISTS was said.
        type, collation, default: SQL texts of a new column; empty where nothing is said.
        tail: of a new index, what follows its table's name.
        statement, links: of what is made, its SQL; of a table without its foreign keys, which are what follows ADD.
        options: what comments before it say about a new table.
        neighbour, after: an enum's value that the new one stands after, or before; empty: it comes last.
        source: which statement of which file asks for it.
        parent, tail: of a foreign key, the qualified table it leads to, and what follows that in its text, `statement`
            being what comes before.
        condition: a constraint is 'c' (CHECK), 'f' (FOREIGN KEY) or 'u' (UNIQUE); a statement that writes rows is 'w'.
        late: a constraint is to stay NOT VALID; a whole statement takes no transaction.
        path: schemas that the names in a whole statement are looked up in.
        renamed: the new name of an index, whose `condition` is 'i', or of a constraint.
        note: what the operator is told about where a whole statement runs, and why.
        place: where its statement stands.
    """

    where: str
    kind: Kind
    table: str
    schema: str
    name: str
    lenient: bool = False
    type: str = ""
    collation: str = ""
    default: str = ""
    not_null: bool = False
    unique: bool = False
    tail: str = ""
    statement: str = ""
    links: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    neighbour: str = ""
    after: bool = True
    source: str = field(default="", compare=False)
    parent: str = ""
    condition: str = ""
    late: bool = False
    path: tuple[str, ...] = ()
    note: str = ""
    renamed: str = ""
    place: Place = field(default=NOWHERE, compare=False)

    @property
    def words(self) -> str:
        match self.kind:
            case Kind.ADD_COLUMN:
                return f"add column {self.table}.{self.name} ({self.type})"
            case Kind.DROP_COLUMN:
                return f"drop column {self.table}.{self.name}"
            case Kind.CREATE_INDEX:
                name = f"{self.name} " if self.name else ""
                return f"create {'unique ' if self.unique else ''}index {name}on {self.table}"
            case Kind.DROP_INDEX:
                return f"drop index {qualify(self.schema, self.name) if self.schema else self.name}"
            case Kind.ADD_LABEL:
                return f"add value {self.name!r} to type {self.table}"
            case Kind.ADD_CONSTRAINT | Kind.ADD_UNIQUE:
                return f"add {_SORTS[self.condition]} {self.name}{' ' if self.name else ''}to {self.table}"
            case Kind.VALIDATE_CONSTRAINT | Kind.DROP_CONSTRAINT:
                return f"{self.kind} {self.name} of {self.table}"
            case Kind.SET_NOT_NULL | Kind.DROP_NOT_NULL:
                return f"{self.kind} of {self.table}.{self.name}"
            case Kind.SET_DEFAULT if not self.default:
                return f"drop default of {self.table}.{self.name}"
            case Kind.SET_DEFAULT:
                return f"set default of {self.table}.{self.name} to {self.default}"
            case Kind.CHANGE_TYPE:
                return f"change type of {self.table}.{self.name} to {self.type}"
            case Kind.RENAME:
                what = f"constraint {self.name} of {self.table}" if self.condition != "i" else f"index {self.name}"
                return f"rename {what} to {self.renamed}"
            case Kind.BOTH_SIDES:
                return f"on both sides: {_short(self.statement)}"
            case Kind.CLASSIC_ONLY:
                return f"on classic: {_short(self.statement)}"
            case Kind.CREATE_TABLE | Kind.CREATE_TYPE | Kind.CREATE_SEQUENCE | Kind.DROP_TABLE:
                return f"{self.kind} {self.table}"


def _short(statement: str) -> str:
    """Return the beginning of a statement, up to the first literal: values are no names."""
    words = " ".join(statement.split("'", 1)[0].split())
    return words if len(words) <= 60 else words[:59] + "…"
