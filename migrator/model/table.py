"""Descriptors of migrated tables, and how a row's tenant is found."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class TableKind(StrEnum):
    """What a table becomes on Limitless."""

    SHARDED = "sharded"
    REFERENCE = "reference"
    STANDARD = "standard"  # lives on one shard; mirrored with the reference tables
    EXCLUDED = "excluded"  # stays behind


_PLAIN = re.compile(r'[^."]+')
_QUALIFIED = re.compile(r'(?:"((?:[^"]|"")+)"|([^."]+))\.(?:"((?:[^"]|"")+)"|(.+))', re.DOTALL)


def qualify(schema: str, name: str) -> str:
    """Return the one name of a table: schema.name, quoted only where a dot or a quote would make it ambiguous."""
    return ".".join(
        part if _PLAIN.fullmatch(part) else '"{}"'.format(part.replace('"', '""')) for part in (schema, name)
    )


def split_qualified(qualified: str) -> tuple[str, str]:
    """Return schema and name of what `qualify` wrote.

    Raises:
        ValueError: it names no schema.
    """
    match = _QUALIFIED.fullmatch(qualified)
    if match is None:
        raise ValueError(f"not a qualified name: {qualified!r}")
    quoted_schema, schema, quoted_name, name = match.groups()
    return (
        schema if quoted_schema is None else quoted_schema.replace('""', '"'),
        name if quoted_name is None else quoted_name.replace('""', '"'),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalog describes it.

    Attributes:
        type: `format_type` text, for example `numeric(12,2)` or `app.order_state[]`.
        generated: computed by the server from other columns, so never written by us.
        binary_safe: its binary COPY form means the same on both servers (no object ids inside).
        target_type: its type on Limitless when that is another one (a domain's base type).
        exact: equal values look the same; not so for 1.0 and 1.00, 'A' and 'a' in citext, 0 and -0.
        equality: the operator of its unique indexes; spelled out where it lives in another schema than pg_catalog.
        listed: its values may travel as an array of its type (no array or composite itself,
            elements separated by commas).
    """

    name: str
    type: str
    not_null: bool = False
    generated: bool = False
    binary_safe: bool = True
    target_type: str = ""
    exact: bool = True
    equality: str = "="
    listed: bool = True

    @property
    def there(self) -> str:
        """Its type on Limitless."""
        return self.target_type or self.type

    @property
    def cast(self) -> str:
        """The type to read it as, '' for its own: what xml sends is not what it stores, its declaration is dropped."""
        return {"xml": "text", "xml[]": "text[]"}.get(self.there, "")


@dataclass(frozen=True, slots=True)
class Hop:
    """One step from a table to its parent: `columns` equal `parent_columns` of `parent`.

    Attributes:
        parent: qualified name, "app.orders".
        enforced: a validated foreign key that is checked at once guards it, so that a parent cannot come or
            go while it has children (except in a session that switched such checks off).
        equality: per column, the operator that links it to the parent's; empty: `=` for all.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    enforced: bool = False
    equality: tuple[str, ...] = ()

    def links(self) -> tuple[tuple[str, str, str], ...]:
        """Return (column, operator, parent column) of every pair."""
        return tuple(zip(self.columns, self.equality or ("=",) * len(self.columns), self.parent_columns, strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """A migrated table.

    Attributes:
        key: classic's primary key (or chosen unique key), in index order.
        tenant_column: for a sharded table, the tenant column *on Limitless*; on classic too when `path` is
            empty. None for reference and standard tables.
        path: hops from this table to the ancestor that has the tenant column; empty when it has its own.
        tenant_source: name of the tenant column in that ancestor (equals `tenant_column` without a path).
        tenant_type: `format_type` text of the tenant key.
        unique_keys: other unique keys (column tuples), without partial and expression indexes.
        partitioned: a partition root on classic; its leaves are merged on Limitless.
    """

    schema: str
    name: str
    kind: TableKind
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    tenant_column: str | None = None
    tenant_source: str | None = None
    tenant_type: str = "text"
    path: tuple[Hop, ...] = ()
    unique_keys: tuple[tuple[str, ...], ...] = ()
    partitioned: bool = False

    @property
    def qualified(self) -> str:
        return qualify(self.schema, self.name)

    @property
    def sharded(self) -> bool:
        return self.kind is TableKind.SHARDED

    @property
    def derived(self) -> bool:
        """Its tenant key comes from a parent, and the column exists on Limitless only."""
        return bool(self.path)

    @property
    def target_key(self) -> tuple[str, ...]:
        """The primary key on Limitless: the shard key first, then classic's key without it."""
        if self.tenant_column is None:
            return self.key
        return (self.tenant_column, *(c for c in self.key if c != self.tenant_column))

    @property
    def written_columns(self) -> tuple[Column, ...]:
        """Columns we write on Limitless and read on classic, without the derived tenant column."""
        return tuple(c for c in self.columns if not c.generated)

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


def children_of(table: Table, tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """Return the tables whose path to the tenant starts at *table*."""
    return tuple(t for t in tables if t.path and t.path[0].parent == table.qualified)


def parents_first(
    tables: tuple[Table, ...], referenced: Mapping[str, Collection[str]] | None = None
) -> tuple[Table, ...]:
    """Return *tables* ordered so that a derived table follows the table its key comes from.

    Args:
        referenced: the tables that the foreign keys of a table refer to, by qualified names; it follows those too,
            where keys do not lead in a circle.
    """
    by_name = {t.qualified: t for t in tables}

    def depth(table: Table) -> int:
        if not table.path:
            return 0
        parent = by_name.get(table.path[0].parent)
        return 1 + (depth(parent) if parent else 0)

    waiting = sorted(tables, key=lambda t: (depth(t), t.qualified))
    if not referenced:
        return tuple(waiting)
    result: list[Table] = []
    while waiting:
        left = {t.qualified for t in waiting}
        ready = [t for t in waiting if not t.path or t.path[0].parent not in left]
        free = (t for t in ready if not left & set(referenced.get(t.qualified, ())) - {t.qualified})
        sources = {t.path[0].parent for t in waiting if t.path}
        # In a circle of keys one table has to be first: one whose own rows others are derived from.
        circle = sorted(ready, key=lambda t: t.qualified not in sources)
        result.append(next(free, circle[0]))
        waiting.remove(result[-1])
    return tuple(result)
