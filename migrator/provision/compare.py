"""Compares Limitless with the design and returns every difference. Pure.

Objects that exist only on Limitless are ignored, except columns and unique keys of migrated tables: those
can refuse rows that classic accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrator.catalog.values import Catalog, Column, ForeignKey, Index, TableShape
from migrator.model.blocker import Blocker
from migrator.model.expression import canonical, same_expression
from migrator.model.table import qualify
from migrator.provision.ddl_sql import same_foreign_key

MISSING = "object.missing"
"""Code of a missing object; the subject is what a plan names to acknowledge that."""


def differences(wanted: Catalog, existing: Catalog, *, indexes: bool = True) -> list[Blocker]:
    """Return every difference; an empty list means that Limitless is as designed.

    Args:
        indexes: with False, secondary indexes that enforce nothing may still be missing.
    """
    result = [_missing(f"schema {name}") for name in sorted(wanted.schemas - existing.schemas)]
    result += [_missing(f"extension {name}") for name in sorted(wanted.extensions.keys() - existing.extensions.keys())]
    result += [
        _differs(
            f"extension {name}",
            f"extension {name} is in schema {existing.extensions[name]} on Limitless, should be in"
            f" {wanted.extensions[name]}",
        )
        for name in sorted(wanted.needed_extensions & existing.extensions.keys())
        if existing.extensions[name] != wanted.extensions[name]
    ]
    collations = {c.qualified: c for c in existing.collations}
    for collation in wanted.collations:
        same = collations.get(collation.qualified)
        if same is None:
            result.append(_missing(f"collation {'.'.join(collation.qualified)}"))
        # Servers of other versions write the same locale in another way.
        elif (same.provider, same.deterministic) != (collation.provider, collation.deterministic):
            name = ".".join(collation.qualified)
            result.append(_differs(f"collation {name}", f"collation {name} compares differently on Limitless"))
    types = {(t.schema, t.name): t for t in existing.types}
    for kind in wanted.types:
        other = types.get((kind.schema, kind.name))
        if other is None:
            result.append(_missing(f"type {kind.schema}.{kind.name}"))
        elif other != kind:
            field = "labels" if kind.labels else "options" if kind.options else "attributes"
            a, b = getattr(kind, field), getattr(other, field)
            label = f"type {kind.schema}.{kind.name}"
            result.append(_differs(label, f"{label}: {list(b)} on Limitless, {list(a)} on classic"))
    sequences = {s.qualified: s for s in existing.sequences}
    for sequence in wanted.sequences:
        name, current = ".".join(sequence.qualified), sequences.get(sequence.qualified)
        if current is None:
            result.append(_missing(f"sequence {name}"))
        elif (current.increment, current.type) != (sequence.increment, sequence.type):
            text = (
                f"sequence {name}: {current.type} by {current.increment} on Limitless, "
                f"{sequence.type} by {sequence.increment} on classic"
            )
            result.append(_differs(f"sequence {name}", text))
    routines = {(r.kind, r.identity) for r in existing.routines}
    result += [
        _missing(f"{r.kind.lower()} {r.identity}") for r in wanted.routines if (r.kind, r.identity) not in routines
    ]
    groups: dict[str, str] = {}
    for name, table in wanted.tables.items():
        there_table = existing.tables.get(name)
        if there_table is None:
            result.append(_missing(f"table {name}"))
            continue
        said = _table(table, there_table, indexes)
        result += [line if isinstance(line, Blocker) else _differs(f"table {name}", line) for line in said]
        if table.group and there_table.group and groups.setdefault(table.group, there_table.group) != there_table.group:
            text = f"table {name} is not collocated with the other tables sharded by {table.shard_key[0]}"
            result.append(_differs(f"table {name}", text))
    return result


def foreign_key_differences(
    wanted: Sequence[ForeignKey], found: Sequence[ForeignKey], tables: Sequence[str]
) -> list[Blocker]:
    """Return what differs in the foreign keys of the migrated *tables* (qualified names)."""
    existing = {(k.table, k.name): k for k in found if qualify(*k.table) in tables}
    result = []
    for key in wanted:
        current = existing.pop((key.table, key.name), None)
        where = f"foreign key {key.name} of {'.'.join(key.table)}"
        if current is None:
            result.append(_missing(where))
        elif not same_foreign_key(current, key):
            text = f"{where} is {_behaviour(current)} on Limitless, should be {_behaviour(key)}"
            result.append(_differs(where, text))
    for table, name in existing:
        where = f"foreign key {name} of {'.'.join(table)}"
        result.append(_differs(where, f"{where} should not exist yet"))
    return result


def _missing(label: str) -> Blocker:
    return Blocker(MISSING, label, f"{label} is missing")


def _differs(label: str, text: str) -> Blocker:
    return Blocker("object.differs", label, text)


def _behaviour(key: ForeignKey) -> str:
    when = "deferred" if key.deferred else "immediate"
    text = f"({', '.join(key.columns)}) on delete {key.on_delete.lower()}, on update {key.on_update.lower()}, {when}"
    return text if key.validated else f"{text}, NOT VALID"


def _table(wanted: TableShape, actual: TableShape, indexes: bool) -> Iterator[str]:
    name = wanted.qualified
    if actual.kind != wanted.kind:
        yield f"table {name} is a {actual.kind} table, should be {wanted.kind}"
    elif actual.shard_key != wanted.shard_key:
        yield f"table {name} is sharded by {actual.shard_key}, should be {wanted.shard_key}"
    if actual.primary_key != wanted.primary_key:
        yield (
            f"table {name}: primary key ({', '.join(actual.primary_key)}) on Limitless, "
            f"should be ({', '.join(wanted.primary_key)})"
        )
    existing = {c.name: c for c in actual.columns}
    for column in wanted.columns:
        other = existing.pop(column.name, None)
        if other is None:
            yield _missing(f"column {name}.{column.name}")
        else:
            yield from _column(f"{name}.{column.name}", column, other)
    for extra in existing.values():
        if extra.not_null and extra.default is None:
            yield f"column {name}.{extra.name} is NOT NULL on Limitless and unknown to classic"
    yield from _indexes(wanted, actual, indexes)
    checks = {c.name: c for c in actual.checks}
    for check in wanted.checks:
        current = checks.pop(check.name, None)
        if current is None:
            yield _missing(f"table {name}: CHECK {check.name}")
        elif not same_expression(current.condition, check.condition):
            yield f"table {name}: CHECK {check.name} is {current.condition} on Limitless, should be {check.condition}"
        elif not current.validated:
            yield f"table {name}: CHECK {check.name} is NOT VALID on Limitless, so rows there may violate it"
    for left in checks.values():
        yield f"table {name}: CHECK {left.name} exists on Limitless only"


def _column(where: str, wanted: Column, current: Column) -> Iterator[str]:
    if current.type != wanted.type:
        yield f"column {where} is {current.type} on Limitless, should be {wanted.type}"
    if current.not_null != wanted.not_null:
        yield f"column {where} is {'NOT NULL' if current.not_null else 'nullable'} on Limitless, should be the opposite"
    if bool(current.generated) != bool(wanted.generated):
        yield f"column {where} is {'' if current.generated else 'not '}generated on Limitless, should be the opposite"
    if not same_expression(current.default, wanted.default):
        what = "generation" if wanted.generated else "default"
        yield f"column {where}: {what} {current.default or 'none'} on Limitless, should be {wanted.default or 'none'}"
    if current.collation != wanted.collation:
        yield f"column {where} has the collation {current.collation} on Limitless, should have {wanted.collation}"


def _indexes(wanted: TableShape, actual: TableShape, indexes: bool) -> Iterator[str]:
    name = wanted.qualified
    existing = {i.name: i for i in actual.indexes}
    for index in wanted.indexes:
        current = existing.pop(index.name, None)
        what = "unique key" if index.unique else "index"
        if current is None:
            if indexes or index.unique or index.for_mirror:
                yield _missing(f"table {name}: {what} {index.name}")
        elif not current.valid:
            yield (
                f"table {name}: {what} {index.name} is not valid on Limitless, so nothing uses it and it enforces"
                " nothing: drop it there, then rebuild it with: migrator provision --plan PLAN"
            )
        elif _index(current) != _index(index):
            yield (f"table {name}: {what} {index.name} is {_words(current)} on Limitless, should be {_words(index)}")
        elif index.constraint and not current.constraint:
            yield f"table {name}: unique key {index.name} is an index on Limitless, should be a UNIQUE constraint"
    for left in existing.values():
        # One that contains the whole primary key refuses nothing that the primary key accepts.
        if left.unique and not set(left.columns) >= set(wanted.primary_key):
            yield f"table {name}: unique key {left.name} exists on Limitless only and may refuse classic's rows"


def _words(index: Index) -> str:
    return f"{'UNIQUE ' if index.unique else ''}{index.method} {index.tail}{index.deferrable}"


def _index(index: Index) -> tuple[object, ...]:
    return (index.unique, index.method, index.columns, index.deferrable, canonical(index.tail))
