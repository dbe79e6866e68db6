"""Shapes of what a cluster holds: tables with their columns, indexes and constraints, and what stands beside them.

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
        not_null: NULL is refused, by the column or by its domain; not so by a NOT NULL that is NOT VALID.
        default: expression text; of a generated column, what generates it.
        generated: 's' stored, 'v' virtual, '' not generated.
        identity: the column takes values from its own sequence without a visible default.
        collation: set only when it is not the type's own.
        checks: conditions its domain brought along, over the column.
        domain: the type as it was declared, where that is a domain; '' otherwise.
        never_null: no row holds NULL: the column's own NOT NULL says so. A domain's says it of values that are
            written, and an outer join brings NULL past it.
    """

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    generated: str = ""
    identity: bool = False
    collation: Name | None = None
    checks: tuple[tuple[str, str], ...] = ()
    domain: str = field(default="", compare=False)  # not on Limitless, which has none
    never_null: bool = field(default=False, compare=False)

    @property
    def declared(self) -> str:
        """The type as the table has it."""
        return self.domain or self.type


@dataclass(frozen=True, slots=True)
class Index:
    """An index, also that of a primary key.

    Attributes:
        columns: per key column its plain name, None for an expression.
        method: btree, gin, ...
        tail: everything after `USING method`, as the server prints it, without storage parameters.
        constraint: it belongs to a UNIQUE constraint of the same name.
        partial: it has a WHERE clause.
        for_mirror: the mirror finds rows by it, so it never waits for the copy.
        valid: the server uses and maintains it; not so after a concurrent build that failed, nor on a partitioned
            table while a partition lacks it.
        primary: of the primary key.
        temporal: of a key WITHOUT OVERLAPS, which refuses more than equal values.
        as_compared: it calls equal what `=` of its columns calls equal; not so with another operator class, or
            where collations differ and one is nondeterministic.
        oid: grows with age, mostly; 0 for an index that is not there yet.
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
    primary: bool = False
    temporal: bool = field(default=False, compare=False)
    as_compared: bool = field(default=True, compare=False)
    oid: int = field(default=0, compare=False)

    @property
    def refuses(self) -> bool:
        """It is unique over columns as such, in all rows."""
        return self.unique and self.valid and not self.partial and None not in self.columns

    @property
    def is_key(self) -> bool:
        """Any two rows without NULL in its columns differ there, as `=` sees it."""
        return self.refuses and self.as_compared


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    condition: str  # with its outer parentheses
    validated: bool = True


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key. `on_delete` and `on_update` are the words of SQL, for example "NO ACTION".

    Attributes:
        validated: every row follows it; one that is NOT ENFORCED never is.
        temporal: its last columns are periods, of which the parent's together contain the child's (PERIOD).
    """

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
    temporal: bool = False


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

    @property
    def limit(self) -> int:
        """The last number it hands out, in the direction it counts."""
        return self.minimum if self.increment < 0 else self.maximum


@dataclass(frozen=True, slots=True)
class Type:
    """An enum (labels), a composite (attributes) or a range (options).

    Attributes:
        options: of a range: what CREATE TYPE AS RANGE takes, as SQL text; the subtype comes first.
    """

    schema: str
    name: str
    labels: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def built_from(self) -> frozenset[str]:
        """Types it needs, without modifiers, brackets and quotes."""
        texts = (text for _, text in (*self.attributes, *self.options[:1]))
        return frozenset(text.split("(", 1)[0].rstrip("[] ").replace('"', "") for text in texts)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of any sort, as a table has it. *sort*: pg_constraint.contype."""

    name: str
    sort: str
    validated: bool
    definition: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """How values of a column look and travel.

    Attributes:
        binary_safe: their binary form holds no object id that another server numbers differently.
        exact: equal values look the same.
        equality: the operator of their default b-tree class; spelled out where it is not in pg_catalog.
        listed: they may travel as an array of their type.
        collation: that they compare by, as SQL; None for a type without.
    """

    binary_safe: bool
    exact: bool
    equality: str
    listed: bool
    collation: str | None


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
class Relation:
    """A table as such: an ordinary one, the root of partitions, or a foreign one.

    Attributes:
        oid: of pg_class, in this database now.
        kind: as in pg_class.relkind: r, p or f.
        kin: parents and children by INHERITS, whose rows are read, or read it, as its own.
    """

    oid: int
    schema: str
    name: str
    kind: str
    kin: tuple[Name, ...] = ()

    @property
    def qualified(self) -> str:
        return qualify(self.schema, self.name)


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
