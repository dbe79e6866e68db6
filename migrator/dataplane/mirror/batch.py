"""Sorts dirty keys and their present state into what to write and delete on Limitless. Pure.

A raw row is what `rows_sql.read_dirty` returns: dirty tenant, present tenant, found, moved, key columns, columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from migrator.model.table import Table

Raw = tuple[str | None, ...]
Key = tuple[str, ...]
Place = tuple[str | None, Key]
"""A row on Limitless: its tenant (None in reference tables) and classic's key, as texts."""

REFERENCE = ""
"""Stands for the reference tables in a set of mirrored tenants."""


@dataclass(slots=True)
class TableBatch:
    """What one cycle does to one table."""

    table: Table
    upserts: dict[Place, Raw] = field(default_factory=dict)
    deletes: set[Place] = field(default_factory=set)
    tenantless_keys: list[tuple[Key, str | None]] = field(default_factory=list)
    """Keys journalled without a tenant, with the tenant that has them now."""
    moved: set[Place] = field(default_factory=set)
    """Rows that changed their tenant, or may have: their children may be elsewhere than any entry says."""
    nobodys: bool = False
    """A row was read that belongs to no tenant, so that it is nowhere on Limitless."""

    def __len__(self) -> int:
        return len(self.upserts) + len(self.deletes)

    def tenants(self) -> set[str]:
        return {t for t, _ in (*self.upserts, *self.deletes) if t is not None}

    def upsert_columns(self) -> list[list[str | None]]:
        """Return one list per target column (a derived tenant column first), ready for unnest."""
        rows: list[Raw]
        if self.table.derived:
            rows = [(tenant, *values) for (tenant, _), values in self.upserts.items()]
        else:
            rows = list(self.upserts.values())
        return [list(column) for column in zip(*rows, strict=True)]

    def without(self, tenants: Set[str]) -> TableBatch:
        """Return the batch without the rows of *tenants*."""
        if not tenants:
            return TableBatch(self.table, dict(self.upserts), set(self.deletes))
        return TableBatch(
            self.table,
            {p: v for p, v in self.upserts.items() if p[0] not in tenants},
            {p for p in self.deletes if p[0] not in tenants},
        )

    def only(self, tenant: str) -> TableBatch:
        """Return the rows of *tenant*."""
        return TableBatch(
            self.table,
            {p: v for p, v in self.upserts.items() if p[0] == tenant},
            {p for p in self.deletes if p[0] == tenant},
        )


FEW = 8
"""Rows of so many tenants are asked for tenant by tenant; those of more are on all shards anyway."""


def by_tenant(places: Iterable[Place]) -> list[tuple[list[Place], bool]]:
    """Return *places* in groups to make one statement of, each with whether it is one tenant's."""
    groups: dict[str | None, list[Place]] = {}
    for place in places:
        groups.setdefault(place[0], []).append(place)
    if len(groups) > FEW:
        return [([place for group in groups.values() for place in group], False)]
    return [(group, tenant is not None) for tenant, group in groups.items()]


def target_keys(table: Table, places: Iterable[Place]) -> list[list[str | None]]:
    """Return *places* as one list per target key column, ready for unnest."""
    rows = []
    for tenant, key in places:
        values: dict[str, str | None] = dict(zip(table.key, key, strict=True))
        if table.tenant_column is not None:
            values[table.tenant_column] = tenant
        rows.append(tuple(values[c] for c in table.target_key))
    return [list(column) for column in zip(*rows, strict=True)]


def add(batch: TableBatch, rows: Iterable[Raw], scope: Set[str]) -> set[str]:
    """Sort raw rows into *batch*; returns tenants that dirtied rows and are not in *scope*.

    *scope* are the tenants this partition mirrors (with `REFERENCE` for tables without tenants). A row is set to
    its present state for its present tenant and removed from the tenant it was dirtied under when that is
    another one: both are states at the reading snapshot, so doing it twice, or for a key that did not change,
    does no harm.
    """
    table, width = batch.table, len(batch.table.key)
    unmirrored: set[str] = set()
    names = [c.name for c in table.written_columns]
    own = (
        None
        if all(table.column(c).exact or c not in names for c in table.key)
        else [names.index(c) if c in names else None for c in table.key]
    )
    sharded, after = table.sharded, 4 + width
    upserts, deletes = batch.upserts, batch.deletes
    for raw in rows:
        dirty, present, found = raw[0], raw[1], raw[2] == "t"
        key: Key = tuple([v or "" for v in raw[4:after]])
        values = raw[after:]
        if own is not None and found:  # 1.0 was journalled, classic has 1.00: one row, so one place
            key = tuple(k if i is None else values[i] or "" for k, i in zip(key, own, strict=True))
        if found and sharded and dirty is not None and dirty == present and raw[3] == "f":  # as most are
            if dirty not in scope:
                unmirrored.add(dirty)
                continue
            upserts[dirty, key] = values
            if deletes:
                deletes.discard((dirty, key))
            continue
        if not sharded:
            if REFERENCE in scope:
                _put(batch, (None, key), values if found else None)
            continue
        batch.nobodys |= found and present is None
        if raw[3] == "t" or dirty is None:
            batch.moved.update((tenant, key) for tenant in (dirty, present) if tenant in scope)
        if dirty is None:
            batch.tenantless_keys.append((key, present))
        elif dirty not in scope:
            unmirrored.add(dirty)
        elif dirty != present:
            _put(batch, (dirty, key), None)
        if found and present is not None and present in scope:
            _put(batch, (present, key), values)
    return unmirrored


def _put(batch: TableBatch, place: Place, values: Raw | None) -> None:
    if values is None:
        batch.deletes.add(place)
        batch.upserts.pop(place, None)
    else:
        batch.upserts[place] = values
        batch.deletes.discard(place)
