"""What can a cluster hold that provisioning cares about?

Frozen values, the same for what classic has, for what Limitless should have and for what it has. Expressions are
the server's own deparsed text, read with an empty search path, so every name in them is qualified.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.model.table import qualify

Name = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is, or shall be, declared.

    Attributes:
        type: `format_type` text; a domain is already replaced by its base type.
        default: expression text; of a generated column, what generates it.
        generated: 's' stored, 'v' virtual, '' not generated.
        identity: the column draws from its own sequence without a visible default.
        collation: set only when it is not the type's own.
        checks: conditions its domain brought along, over the column.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: bool = False
    collation: Name | None = None
    checks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is not a primary key.

    Attributes:
        columns: per key column its plain name, None for an expression.
        method: btree, gin, ...
        tail: everything after `USING method`, as the server prints it, without storage parameters.
        constraint: it belongs to a UNIQUE constraint of the same name.
        partial: it has a WHERE clause.
        for_mirror: the mirror finds rows by it, so it never waits for the copy.
        valid: it was built to the end; an interrupted CREATE INDEX CONCURRENTLY leaves one that holds nothing.
    """

    name: str
    table: Name
    unique: bool
    columns: tuple[str | None, ...]
    method: str
    tail: str
    constraint: bool = False
    deferrable: str = ""
    partial: bool = False
    for_mirror: bool = False
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    condition: str  # with its outer parentheses
    validated: bool = True


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key. `on_delete` and `on_update` are the words of SQL, for example "NO ACTION"."""

    name: str
    table: Name
    columns: tuple[str, ...]
    parent: Name
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    match_full: bool = False
    deferrable: bool = False
    deferred: bool = False
    validated: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    schema: str
    name: str
    type: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool

    @property
    def qualified(self) -> Name:
        return (self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Type:
    """An enum (labels) or a composite (attributes)."""

    schema: str
    name: str
    labels: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Collation:
    """A collation of the application's own. icu and builtin have a `locale`, libc has `lc_collate` and `lc_ctype`."""

    schema: str
    name: str
    provider: str
    locale: str | None
    lc_collate: str | None
    lc_ctype: str | None
    deterministic: bool
    rules: str | None = None

    @property
    def qualified(self) -> Name:
        return (self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function, procedure or view: an identity and the text that makes it.

    Attributes:
        identity: "app.f(integer)" or, for a view, "app.v".
        kind: FUNCTION, PROCEDURE or VIEW.
        refused: why it is not copied; None when it is.
    """

    identity: str
    kind: str
    definition: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table's shape.

    Attributes:
        kind: sharded, reference or standard; on classic always standard.
        shard_key: columns, empty unless sharded.
        group: what it is collocated with; tables of one group share it. None when not sharded.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    primary_key_name: str | None = None
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    kind: str = "standard"
    shard_key: tuple[str, ...] = ()
    group: str | None = None

    @property
    def qualified(self) -> str:
        return qualify(self.schema, self.name)

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


@dataclass(frozen=True, slots=True)
class Catalog:
    """One side.

    Attributes:
        extensions: name to schema.
        needed_extensions: those that a migrated object depends on.
        left_behind: what has no counterpart on Limitless, each with its reason.
    """

    schemas: frozenset[str] = frozenset()
    extensions: dict[str, str] = field(default_factory=dict)
    needed_extensions: frozenset[str] = frozenset()
    collations: tuple[Collation, ...] = ()
    types: tuple[Type, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    tables: dict[str, TableShape] = field(default_factory=dict)
    foreign_keys: tuple[ForeignKey, ...] = ()
    routines: tuple[Routine, ...] = ()
    left_behind: tuple[str, ...] = ()
