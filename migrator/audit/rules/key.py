"""Rules on keys and foreign keys. (KEY and FK rules)"""

from __future__ import annotations

from migrator.audit.catalog import Catalog, ForeignKey, Index, Relation
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Severity
from migrator.audit.shardkey.shape import Shape, Shapes, row_key
from migrator.grammar.types import plain_type
from migrator.model.limits import FOREIGN_KEYS, refused_actions
from migrator.model.table import TableKind

UNHASHED = {"ltree", "hstore"}
"""Extension types that Limitless accepts in tables but not as a shard key (release notes 16.8, 16.9)."""

_MANY_ROWS = 1_000_000
"""Fewer rows than this are read for every copy unit without harm."""


def check_keys(catalog: Catalog, shapes: Shapes, out: Collector) -> None:
    """Report keys of every table, and whether the shard keys agree among the sharded ones."""
    types: dict[str, list[str]] = {}
    for relation in catalog.tables():
        if shapes.schemas and relation.schema not in shapes.schemas:
            continue
        shape = shapes.of(relation)
        if shape.kind is TableKind.EXCLUDED:
            continue
        if relation.exclusions:
            out.add(
                "LIM-KEY-11",
                relation.qualified,
                f"exclusion constraint {', '.join(relation.exclusions)}",
                source=relation.source,
            )
        if not relation.primary_key:
            reference = shape.kind is TableKind.REFERENCE
            out.add(
                "LIM-TBL-08" if reference else "LIM-KEY-12",
                relation.qualified,
                "it has no primary key" + _usable(relation),
                source=relation.source,
            )
        if shape.sharded and shape.key:
            _sharded(relation, shape, out)
            attribute = relation.columns.get(shape.key)
            if attribute is not None:
                types.setdefault(plain_type(attribute.type), []).append(f"{relation.qualified}.{shape.key}")
            _found_by(relation, shape, shape.key, out)
        if shape.derived or shape.kind is None:
            _without_key(relation, shape, shapes.tenant_key, out)
    if len(types) > 1:
        usual = max(types, key=lambda t: len(types[t]))
        for name, columns in types.items():
            for column in columns if name != usual else ():
                table, _, key = column.rpartition(".")
                out.add("LIM-KEY-06", table, f"{key} is {name}, in {len(types[usual])} other tables it is {usual}")


def _without_key(relation: Relation, shape: Shape, tenant_key: str, out: Collector) -> None:
    path = " → ".join(map(str, shape.via))
    via = shape.via[0].written(shape.via[0].parent) if shape.via else ""
    if shape.sharded:
        out.add(
            "LIM-KEY-09",
            relation.qualified,
            f"it has no {tenant_key}; the plan derives it: {path}",
            fix=f"nothing for the data; statements must name {tenant_key} on Limitless",
            severity=Severity.INFO,
            source=relation.source,
        )
    elif shape.proposed:
        out.add(
            "LIM-KEY-09",
            relation.qualified,
            f"it has no {tenant_key}; foreign keys lead to it: {path}",
            fix=f'decide in the plan: sharded via = "{via}", or reference, or standard',
            source=relation.source,
        )
    else:
        out.add(
            "LIM-KEY-09",
            relation.qualified,
            f"it has no {tenant_key}, and no foreign key leads to it",
            fix=f"decide in the plan: reference, standard or excluded; or add {tenant_key} and fill it",
            source=relation.source,
        )


def _usable(relation: Relation) -> str:
    for index in relation.indexes:
        if (
            index.unique
            and not index.predicate
            and not index.has_expression
            and all(c in relation.columns and relation.columns[c].not_null for c in index.plain)
        ):
            return f"; the unique index {index.name} ({', '.join(index.plain)}) would serve as one"
    return ""


def _sharded(relation: Relation, shape: Shape, out: Collector) -> None:
    key = shape.key or ""
    attribute = relation.columns.get(key)
    for index in relation.indexes:
        if not index.unique:
            continue
        missing = key not in index.plain
        shown = f"{index.name} ({', '.join(c or 'expression' for c in index.columns)})"
        name = f"{relation.qualified}.{index.name}"
        if index.primary and missing:
            columns = ", ".join((key, *index.plain))
            out.add(
                "LIM-KEY-01",
                relation.qualified,
                f"primary key {shown}",
                key=key,
                source=index.source,
                sql=f"-- on Limitless: PRIMARY KEY ({columns})",
            )
        elif missing:
            out.add(
                "LIM-KEY-02",
                name,
                f"unique index {shown}" + (f" WHERE {index.predicate}" if index.predicate else ""),
                key=key,
                source=index.source,
                severity=None if _decides_the_tenant(relation, shape, index) else Severity.BLOCKER,
            )
        if index.has_expression or index.predicate:
            out.add(
                "LIM-KEY-03",
                name,
                f"unique index {shown}" + (f" WHERE {index.predicate}" if index.predicate else ""),
                source=index.source,
            )
    if attribute is None:
        return
    name = f"{relation.qualified}.{key}"
    if attribute.type_kind == "e":
        severity = None if out.engine < (16, 10, 0) else Severity.INFO
        out.add(
            "LIM-KEY-07", name, f"the shard key is the enum {attribute.type}", severity=severity, source=relation.source
        )
    if plain_type(attribute.type).rpartition(".")[2] in UNHASHED:
        out.add("LIM-KEY-07", name, f"the shard key is of type {attribute.type}", source=relation.source)
    if not attribute.not_null:
        out.add("LIM-KEY-08", name, "the column is nullable", source=relation.source)


def _decides_the_tenant(relation: Relation, shape: Shape, index: Index) -> bool:
    """Whether equal values imply one tenant, so that adding the key loses nothing; as provisioning judges it."""
    parent = set(shape.via[0].columns) if shape.derived and shape.via else None
    return set(index.plain) >= set(row_key(relation) or ("",)) or (parent is not None and set(index.plain) >= parent)


def _found_by(relation: Relation, shape: Shape, key: str, out: Collector) -> None:
    """Report a large table whose rows the copy of a few tenants cannot find without reading all of it."""
    column = shape.via[0].columns[0] if shape.derived and shape.via else key
    leading = {index.columns[0] for index in relation.indexes if index.columns and not index.predicate}
    if (relation.rows or 0) >= _MANY_ROWS and column not in leading:
        out.add(
            "AUD-CPY-01",
            relation.qualified,
            f"no index starts with {column}, and it has about {relation.rows:,} rows",
            source=relation.source,
        )


def check_foreign_keys(catalog: Catalog, shapes: Shapes, out: Collector) -> None:
    """Report every foreign key that Limitless refuses between the planned kinds."""
    sharded_with_keys = False
    for relation in catalog.tables():
        shape = shapes.of(relation)
        for key in relation.foreign_keys:
            parent = catalog.relations.get(key.parent)
            other = shapes.of(parent) if parent is not None else Shape(None)
            if TableKind.EXCLUDED in (shape.kind, other.kind):
                if shape.kind is not other.kind:
                    out.add(
                        "LIM-FK-02",
                        f"{relation.qualified}.{key.name}",
                        f"{_shown(relation, key)}: one side is excluded",
                        severity=Severity.WARNING,
                        fix="it is not created on Limitless",
                        source=key.source,
                    )
                continue
            sharded_with_keys = sharded_with_keys or shape.sharded
            _foreign_key(relation, key, shape, other, out, given=parent is not None)
    if sharded_with_keys:
        out.add(
            "LIM-FK-10",
            "foreign keys",
            "sharded tables have foreign keys",
            fix="this tool adds them after the copy; the AWS loading utility fails when they exist",
        )


def check_set_constraints(catalog: Catalog, shapes: Shapes, out: Collector) -> None:
    """Report deferrable foreign keys where some statement relies on SET CONSTRAINTS, which Limitless lacks."""
    used = [f.object for f in out.findings() if f.rule == "LIM-TXN-06"]
    for relation in catalog.tables() if used else ():
        for key in relation.foreign_keys:
            if key.deferrable:
                evidence = f"deferrable, and SET CONSTRAINTS is used by {', '.join(used[:3])}"
                out.add("LIM-FK-09", f"{relation.qualified}.{key.name}", evidence, source=key.source)


def _shown(relation: Relation, key: ForeignKey) -> str:
    columns = f" ({', '.join(key.parent_columns)})" if key.parent_columns else ""
    return f"({', '.join(key.columns)}) REFERENCES {key.parent}{columns}"


def _foreign_key(
    relation: Relation, key: ForeignKey, child: Shape, parent: Shape, out: Collector, *, given: bool
) -> None:
    name = f"{relation.qualified}.{key.name}"
    shown = _shown(relation, key)
    pair = (_kind(child), _kind(parent))
    if pair not in FOREIGN_KEYS:
        undecided = child.kind is None or parent.kind is None
        why = "" if not undecided else " (while the table is undecided)" if given else " (whose table was not given)"
        out.add(
            "LIM-FK-02",
            name,
            f"{pair[0]} to {pair[1]}: {shown}{why}",
            severity=Severity.WARNING if undecided else None,
            source=key.source,
        )
    both = child.sharded and parent.sharded
    if both and (child.key not in key.columns or parent.key not in key.parent_columns):
        own = relation.qualified == key.parent
        columns = ", ".join((child.key or "", *key.columns))
        parents = ", ".join((parent.key or "", *key.parent_columns))
        out.add(
            "LIM-FK-11" if own else "LIM-FK-03",
            name,
            shown,
            key=child.key,
            source=key.source,
            sql=f"-- on Limitless: FOREIGN KEY ({columns}) REFERENCES {key.parent} ({parents})",
        )
    deleting, updating = refused_actions(*pair)
    if key.on_delete == "n" and "SET NULL" in deleting:
        out.add("LIM-FK-04", name, shown, source=key.source)
    if "d" in (key.on_delete, key.on_update):
        out.add("LIM-FK-05", name, shown, source=key.source)
    if key.on_update == "c" and "CASCADE" in updating:
        out.add("LIM-FK-06", name, shown, source=key.source)
    if key.on_update == "n" and "SET NULL" in updating:
        out.add("LIM-FK-07", name, shown, source=key.source)
    if child.sharded and not key.validated:
        out.add("LIM-FK-08", name, shown, source=key.source)
    if key.inline and (child.sharded or child.kind is TableKind.REFERENCE):
        out.add(
            "LIM-FK-01",
            name,
            f"written inside CREATE TABLE: {shown}",
            severity=Severity.INFO,
            fix="nothing to do: this tool adds foreign keys last; else ALTER TABLE … ADD CONSTRAINT after creation",
            source=key.source,
        )


def _kind(shape: Shape) -> TableKind:
    """Undecided tables count as reference tables here, as they do for statements."""
    return shape.kind or TableKind.REFERENCE
