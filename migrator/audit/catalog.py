"""The database as the audit knows it: schema, objects and figures.

Plain values, filled by `dump.py` from a schema file or by `rows.py` from the catalog of a live server (directly,
or through the output of the gather script). Names are qualified: "app.orders".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from migrator.model.table import qualify

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
"""Schemas of the server itself; never audited."""

TOOL_SCHEMA = "migrator"
"""Schema of this tool's own tables: never a finding."""


class RelationKind(StrEnum):
    TABLE = "table"
    PARTITIONED = "partitioned"
    VIEW = "view"
    MATVIEW = "matview"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read: a file and a line, or the name of a catalog."""

    file: str = ""
    line: int = 0

    def to_json(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line}

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(slots=True)
class Attribute:
    """A column.

    Attributes:
        type: as `format_type` prints it, for example `numeric(12,2)`.
        type_kind: b base, c composite, d domain, e enum, r range, a array (also of enums), p pseudo.
        identity, generated: as in pg_attribute; empty when not.
        sequence: qualified name of the sequence its default draws from.
        settings: per-column options, statistics target or compression, as text; empty when none.
    """

    name: str
    type: str
    type_kind: str = "b"
    not_null: bool = False
    default: str | None = None
    identity: str = ""
    generated: str = ""
    sequence: str | None = None
    settings: str = ""
    distinct: float | None = None  # pg_stats.n_distinct


@dataclass(slots=True)
class Index:
    """An index. `columns` holds None where the key is an expression; `include` are payload columns."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    primary: bool = False
    constraint: bool = False
    predicate: str | None = None
    include: tuple[str, ...] = ()
    custom_opclass: bool = False
    method: str = "btree"
    nulls_not_distinct: bool = False
    definition: str = ""
    source: Source = Source()

    @property
    def plain(self) -> tuple[str, ...]:
        return tuple(c for c in self.columns if c is not None)

    @property
    def has_expression(self) -> bool:
        return any(c is None for c in self.columns)


@dataclass(slots=True)
class ForeignKey:
    """A foreign key. Actions as in pg_constraint: a no action, r restrict, c cascade, n set null, d set default."""

    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str = "a"
    on_update: str = "a"
    match: str = "s"
    deferrable: bool = False
    validated: bool = True
    inline: bool = False  # written inside CREATE TABLE (known from a file only)
    bare: bool = False  # the file names the parent without its schema
    source: Source = Source()


@dataclass(slots=True)
class Check:
    name: str
    definition: str  # "CHECK (…)"
    source: Source = Source()


@dataclass(slots=True)
class Trigger:
    name: str
    definition: str
    function: str = ""
    source: Source = Source()


@dataclass(slots=True)
class Policy:
    """A row-level security policy; `command` is *, r, a, w or d; `everybody` means TO PUBLIC."""

    name: str
    permissive: bool
    command: str
    everybody: bool
    using: str | None
    check: str | None = None
    source: Source = Source()


@dataclass(slots=True)
class Relation:
    """A table, view, materialized view or foreign table, with what belongs to it."""

    schema: str
    name: str
    kind: RelationKind
    columns: dict[str, Attribute] = field(default_factory=dict)
    indexes: list[Index] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    rules: list[Trigger] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    row_security: bool = False
    force_row_security: bool = False
    unlogged: bool = False
    partition_of: str | None = None
    inherits: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    tablespace: str | None = None
    view_sql: str | None = None
    unknown_columns: str = ""  # why the file does not say all of its columns
    owner: str = ""
    commented: bool = False
    public_all: bool = False  # ALL PRIVILEGES granted to PUBLIC
    rows: int | None = None  # estimate of the server
    bytes: int | None = None
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    reads: int = 0  # sequential plus index scans
    source: Source = Source()

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def planned_name(self) -> str:
        """Its name in a plan: as `qualified`, but quoted where a dot in a name needs it."""
        return qualify(self.schema, self.name)

    @property
    def is_table(self) -> bool:
        return self.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)

    @property
    def primary_key(self) -> tuple[str, ...]:
        return next((i.plain for i in self.indexes if i.primary), ())

    @property
    def writes(self) -> int:
        return self.inserts + self.updates + self.deletes


@dataclass(slots=True)
class Function:
    """A function or procedure. `kind` is f, p, a (aggregate) or w; `volatility` i, s or v."""

    schema: str
    name: str
    argument_names: tuple[str, ...] = ()
    argument_types: tuple[str, ...] = ()
    language: str = "sql"
    body: str = ""
    definition: str = ""  # a complete CREATE FUNCTION, when the body alone does not say enough
    volatility: str = "v"
    security_definer: bool = False
    returns: str = ""
    kind: str = "f"
    calls: int | None = None
    total_ms: float | None = None
    source: Source = Source()

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def signature(self) -> str:
        return f"{self.qualified}({', '.join(self.argument_types)})"


@dataclass(slots=True)
class Sequence:
    schema: str
    name: str
    type: str = "bigint"
    cycle: bool = False
    cache: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 2**63 - 1
    last_value: int | None = None
    owned_by: str | None = None  # "app.orders.id"
    unlogged: bool = False
    source: Source = Source()

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(slots=True)
class Thing:
    """Any other object: its sort, its name, and what there is to say about it."""

    sort: str
    name: str
    detail: str = ""
    source: Source = Source()


@dataclass(slots=True)
class Catalog:
    """Everything known about one database."""

    relations: dict[str, Relation] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)
    sequences: dict[str, Sequence] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)  # user types: qualified name to type_kind
    extension_volatility: dict[str, str] = field(default_factory=dict)  # function of an extension: i, s or v
    settings: dict[str, str] = field(default_factory=dict)
    server_version: int | None = None  # server_version_num
    search_path: tuple[str, ...] = ("public",)
    database: str = ""
    live: bool = False  # figures (rows, bytes, writes) are measured

    def find(self, name: str, schema: str | None = None) -> Relation | None:
        """Return the relation that *name* means, by the search path when no schema is given."""
        if schema:
            return self.relations.get(f"{schema}.{name}")
        for candidate in self.search_path:
            found = self.relations.get(f"{candidate}.{name}")
            if found is not None:
                return found
        return self._only(name)

    def _only(self, name: str) -> Relation | None:
        """An application may set its own search path; a name that exists once is that one."""
        found = [r for r in self.relations.values() if r.name == name]
        return found[0] if len(found) == 1 else None

    def move(self, target: Callable[[Relation], tuple[str, str] | None]) -> None:
        """Give relations the (schema, name) that *target* returns for them; references to them follow."""
        names = {}
        for relation in list(self.relations.values()):
            wanted = target(relation)
            if wanted is not None:
                before = relation.qualified
                del self.relations[before]
                relation.schema, relation.name = wanted
                self.relations[relation.qualified] = relation
                names[before] = relation.qualified
        for relation in self.relations.values():
            relation.partition_of = names.get(relation.partition_of or "", relation.partition_of)
            relation.inherits = tuple(names.get(n, n) for n in relation.inherits)
            for key in relation.foreign_keys:
                key.parent = names.get(key.parent, key.parent)

    def rename_column(self, relation: Relation, before: str, after: str) -> None:
        """Rename a column; indexes and keys that hold it follow."""
        relation.columns[before].name = after
        relation.columns = {(after if name == before else name): a for name, a in relation.columns.items()}
        for index in relation.indexes:
            index.columns = tuple(after if c == before else c for c in index.columns)
        for key in relation.foreign_keys:
            key.columns = tuple(after if c == before else c for c in key.columns)
        for other in list(self.relations.values()):
            for key in other.foreign_keys:
                if key.parent == relation.qualified:
                    key.parent_columns = tuple(after if c == before else c for c in key.parent_columns)
            if relation.qualified in (other.partition_of, *other.inherits) and before in other.columns:
                self.rename_column(other, before, after)

    def remove(self, qualified: str) -> bool:
        """Drop a relation; keys that lead to it go with it, as with CASCADE, and so do its partitions. Was it there?"""
        there = self.relations.pop(qualified, None) is not None
        for name in [n for n, r in self.relations.items() if r.partition_of == qualified]:
            self.remove(name)
        for relation in self.relations.values():
            relation.foreign_keys = [k for k in relation.foreign_keys if k.parent != qualified]
        return there

    def tables(self) -> list[Relation]:
        """Return ordinary and partitioned tables; leaves of partitions count as their root."""
        return [r for r in self.relations.values() if r.is_table and r.partition_of is None]

    def functions_named(self, name: str, schema: str | None = None) -> list[Function]:
        return [f for f in self.functions if f.name == name and (schema is None or f.schema == schema)]
