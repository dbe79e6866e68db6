"""Designs the schema on Limitless from classic's and the plan. Pure.

Rules and their sources are in the audit; this module applies them. What cannot be taken over is a blocker (an
operator must decide) or a warning (it is left out, or changed without loss).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from migrator.catalog.values import Catalog, Check, Column, ForeignKey, Index, TableShape
from migrator.catalog.values import Sequence as SequenceShape
from migrator.model.blocker import UNIQUE_ACROSS, Blocker
from migrator.model.finding import finding_id
from migrator.model.limits import (
    FOREIGN_KEYS,
    MAX_SHARDED_NAME,
    SEQUENCE_CHUNK,
    name_fits,
    refused_actions,
    sequence_refused,
)
from migrator.model.table import Table, parents_first, qualify

_MAX_IDENTIFIER_BYTES = 63
_PREINSTALLED = frozenset({"plpgsql", "aurora_limitless_fdw"})
_UNIQUE_ADVICE = (
    'Limitless cannot keep it unique across tenants. Accept uniqueness per tenant by adding "{id}" to '
    "gates.acknowledged, or change the key on classic"
)


@dataclass(frozen=True, slots=True)
class Design:
    """The schema for Limitless. `catalog.foreign_keys` are those while Limitless follows classic;
    `final_foreign_keys` are those that an application on Limitless alone expects."""

    catalog: Catalog
    final_foreign_keys: tuple[ForeignKey, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class _Notes:
    acknowledged: Collection[str]
    blockers: list[Blocker] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def block(self, code: str, subject: str, text: str) -> None:
        self.blockers.append(Blocker(code, subject, text))


def design(
    classic: Catalog,
    tables: Sequence[Table],
    *,
    available_extensions: Collection[str],
    acknowledged: Collection[str] = (),
    routers: int = 1,
) -> Design:
    """Return what Limitless should hold for *tables*, with every blocker."""
    notes = _Notes(acknowledged)
    ordered = parents_first(tuple(t for t in tables if t.qualified in classic.tables))
    for table in tables:
        if table.qualified not in classic.tables:
            notes.block("table.not_on_classic", table.qualified, f"table {table.qualified} is not on classic")
    shapes = {t.qualified: _table(t, classic.tables[t.qualified], notes) for t in ordered}
    groups = sorted({s.group for s in shapes.values() if s.group})
    if len(groups) > 1:
        notes.warnings.append(
            f"sharded tables fall into {len(groups)} collocation groups ({'; '.join(groups)}): "
            "joins between them cross shards"
        )
    extensions = _extensions(classic, available_extensions, notes)
    mirrored, final = _foreign_keys(classic, {t.qualified: t for t in ordered}, shapes, notes)
    sequences = tuple(_sequences(classic, shapes, routers, notes))
    notes.warnings += classic.left_behind
    copied = tuple(r for r in classic.routines if not r.refused)
    notes.warnings += [
        f"{r.kind.lower()} {r.identity} is not copied: {r.refused}" for r in classic.routines if r.refused
    ]
    schemas = {s.schema for s in shapes.values()} | set(extensions.values())
    schemas |= {s.schema for s in classic.sequences} | {t.schema for t in classic.types}
    schemas |= {c.schema for c in classic.collations}
    schemas |= {r.identity.split(".", 1)[0].strip('"') for r in copied}
    return Design(
        catalog=Catalog(
            schemas=frozenset(schemas - {"pg_catalog", "public"}),
            extensions=extensions,
            needed_extensions=classic.needed_extensions & extensions.keys(),
            collations=classic.collations,
            types=classic.types,
            sequences=sequences,
            tables=shapes,
            foreign_keys=mirrored,
            routines=copied,
        ),
        final_foreign_keys=final,
        blockers=tuple(notes.blockers),
        warnings=tuple(notes.warnings),
    )


# -- tables ----------------------------------------------------------------------------------------


def _table(table: Table, shape: TableShape, notes: _Notes) -> TableShape:
    key = table.target_key
    columns = [_column(shape, column, key, notes) for column in shape.columns]
    if table.derived and table.tenant_column:
        columns.insert(0, Column(table.tenant_column, table.tenant_type, not_null=True))
    if table.sharded and not name_fits(table.name):
        notes.block(
            "name.too_long",
            table.qualified,
            f"{table.qualified}: a sharded table's name may have {MAX_SHARDED_NAME} bytes, this has "
            f"{len(table.name.encode())}; rename it on classic",
        )
    return TableShape(
        schema=table.schema,
        name=table.name,
        columns=tuple(columns),
        primary_key=key,
        primary_key_name=shape.primary_key_name or _identifier(table.name, "pkey"),
        indexes=(*_distinct(table, _indexes(table, shape, notes), notes), *_lookups(table)),
        checks=(*_checks(table, shape, notes), *_domain_checks(table, shape)),
        kind=table.kind.value,
        shard_key=(table.tenant_column,) if table.tenant_column else (),
        group=f"{table.tenant_column} {table.tenant_type}" if table.sharded else None,
    )


def _column(shape: TableShape, column: Column, key: Sequence[str], notes: _Notes) -> Column:
    where = f"{shape.qualified}.{column.name}"
    if column.generated:
        how = "virtual, becomes stored" if column.generated == "v" else "stored"
        notes.warnings.append(f"{where} is generated ({how}): not documented for Limitless, computed there again")
    if column.name in key and not column.not_null:
        notes.warnings.append(f"{where} may be NULL on classic and is NOT NULL on Limitless, as part of its key")
    return replace(
        column,
        not_null=column.not_null or column.name in key,
        generated="s" if column.generated else "",
        identity=False,  # its sequence became the default
        checks=(),
    )


def _checks(table: Table, shape: TableShape, notes: _Notes) -> Iterator[Check]:
    for check in shape.checks:
        if check.validated:
            yield check
        else:
            notes.warnings.append(
                f"{table.qualified}: CHECK {check.name} is NOT VALID on classic, so old rows may violate it; left out"
            )


def _domain_checks(table: Table, shape: TableShape) -> Iterator[Check]:
    for column in shape.columns:
        for name, condition in column.checks:
            yield Check(_identifier(table.name, column.name, name), condition)


def _indexes(table: Table, shape: TableShape, notes: _Notes) -> Iterator[Index]:
    for index in shape.indexes:
        if not index.valid:
            notes.warnings.append(
                f"{table.qualified}: index {index.name} is not valid on classic, so nothing uses it; left out"
            )
            continue
        if index.unique and index.columns == table.key and not index.partial and not shape.primary_key:
            continue  # it became the primary key
        if not index.unique or not table.sharded or table.tenant_column in index.columns:
            yield index
            continue
        accept = f"unique/{table.qualified}.{index.name}"
        audited = {"LIM-KEY-02", finding_id("LIM-KEY-02", f"{table.qualified}.{index.name}")}
        if not _decides_the_tenant(table, index) and not {accept, *audited} & set(notes.acknowledged):
            notes.block(
                UNIQUE_ACROSS,
                f"{table.qualified}.{index.name}",
                f"{table.qualified}: unique key {index.name} ({_columns(index)}) lacks the tenant key. "
                + _UNIQUE_ADVICE.format(id=accept),
            )
            continue
        yield with_tenant(index, str(table.tenant_column))


def _distinct(table: Table, indexes: Iterator[Index], notes: _Notes) -> Iterator[Index]:
    """Leave out UNIQUE constraints that another key of the table enforces in the same form, now that the tenant leads.

    CREATE TABLE makes one index for two constraints over the same columns and drops a name. And a deferrable one over
    the primary key's columns would be taken for the target of ON CONFLICT, which PostgreSQL then refuses.
    """
    key = table.target_key
    forms = {_form(f"({', '.join(key)})"): "the primary key"}
    for index in indexes:
        form = _form(index.tail)
        if index.constraint and index.deferrable and set(index.columns) == set(key):
            form = next(iter(forms))
        elif index.constraint:
            form += index.deferrable
        if index.constraint and form in forms:
            notes.warnings.append(f"{table.qualified}: unique key {index.name} is {forms[form]} on Limitless")
            continue
        if index.constraint:
            forms[form] = f"the same as {index.name}"
        yield index


def _form(tail: str) -> str:
    return tail.replace('"', "")


def _decides_the_tenant(table: Table, index: Index) -> bool:
    """Equal values of these columns imply one tenant, so adding the tenant loses nothing: they hold the whole
    primary key, or the reference to the parent that the tenant comes from."""
    columns = set(index.columns)
    return columns >= set(table.key) or (bool(table.path) and columns >= set(table.path[0].columns))


def with_tenant(index: Index, tenant_column: str) -> Index:
    """Return a unique *index* with the tenant key in front: unique per tenant."""
    quoted = '"' + tenant_column.replace('"', '""') + '"'
    return replace(index, columns=(tenant_column, *index.columns), tail=index.tail.replace("(", f"({quoted}, ", 1))


def _lookups(table: Table) -> Iterator[Index]:
    """Indexes a derived table needs for the mirror: classic's key alone finds a row whose tenant is missing,
    tenant and parent find the descendants of a parent that moved."""
    if not table.derived or table.tenant_column is None:
        return
    by_parent = (table.tenant_column, *(c for c in table.path[0].columns if c != table.tenant_column))
    for suffix, columns in (("migrator_key", table.key), ("migrator_parent", by_parent)):
        quoted = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
        name = _identifier(table.name, suffix)
        yield Index(name, (table.schema, table.name), False, tuple(columns), "btree", f"({quoted})", for_mirror=True)


def _columns(index: Index) -> str:
    return ", ".join(column or "an expression" for column in index.columns)


def _identifier(*parts: str) -> str:
    """Return *parts* joined, cut to PostgreSQL's limit at the first part, which repeats the least information."""
    tail = "_".join(parts[1:])
    room = _MAX_IDENTIFIER_BYTES - len(tail.encode()) - 1
    head = parts[0].encode()[: max(room, 1)].decode(errors="ignore")
    return f"{head}_{tail}".encode()[:_MAX_IDENTIFIER_BYTES].decode(errors="ignore")


def _sequences(classic: Catalog, shapes: dict[str, TableShape], routers: int, notes: _Notes) -> Iterator[SequenceShape]:
    defaults = [c.default or "" for s in shapes.values() for c in s.columns]
    for sequence in classic.sequences:
        name = ".".join(sequence.qualified)
        reason = sequence_refused(
            cycle=sequence.cycle,
            minimum=sequence.minimum,
            maximum=sequence.maximum,
            increment=sequence.increment,
            routers=routers,
        )
        if not reason:
            yield replace(sequence, cache=min(sequence.cache, SEQUENCE_CHUNK - 1))
        elif f"sequence {name}" in notes.acknowledged and not any(f"{name}'" in d for d in defaults):
            notes.warnings.append(f"sequence {name} is left out: {reason}")
        else:
            notes.block(
                "sequence.refused",
                f"sequence {name}",
                f"sequence {name}: {reason}. Change it on classic; one that no column draws from may be left out by"
                f' adding "sequence {name}" to gates.acknowledged',
            )


# -- sequences, extensions, keys ---------------------------------------------------------------------


def _extensions(classic: Catalog, available: Collection[str], notes: _Notes) -> dict[str, str]:
    usable = {}
    for name, schema in sorted(classic.extensions.items()):
        if name in _PREINSTALLED:
            continue
        if name in available:
            usable[name] = schema
        elif name in classic.needed_extensions:
            text = f"extension {name} is used by migrated tables and not available on Limitless"
            notes.block("extension.not_available", f"extension {name}", text)
        else:
            notes.warnings.append(f"extension {name} is not available on Limitless; no migrated table uses it")
    return usable


def _foreign_keys(
    classic: Catalog, tables: dict[str, Table], shapes: dict[str, TableShape], notes: _Notes
) -> tuple[tuple[ForeignKey, ...], tuple[ForeignKey, ...]]:
    """Return the foreign keys while mirrored, and those at the end."""
    mirrored, final = [], []
    for key in classic.foreign_keys:
        child, parent = tables.get(qualify(*key.table)), tables.get(qualify(*key.parent))
        where = f"foreign key {key.name} of {'.'.join(key.table)}"
        if child is None:
            continue
        reason = _why_not(key, child, parent, shapes)
        if reason or parent is None:
            notes.warnings.append(f"{where} is not taken over: {reason or 'its parent is not migrated'}")
            continue
        shaped = _with_shard_key(key, child, parent)
        # Classic performs CASCADE and SET NULL itself and journals the result, so until hand-over Limitless only
        # checks, and only at the end of a batch: the rows of a batch arrive in any order.
        mirrored.append(replace(shaped, on_delete="NO ACTION", on_update="NO ACTION", deferrable=True, deferred=True))
        final.append(_allowed_actions(shaped, child, parent, where, notes))
    return tuple(mirrored), tuple(final)


def _why_not(key: ForeignKey, child: Table, parent: Table | None, shapes: dict[str, TableShape]) -> str | None:
    """Return why Limitless refuses this pair of tables, None when it accepts it.

    Source: Aurora User Guide, limitless DDL limitations, foreign keys (read 2026-11).
    """
    if parent is None:
        return "its parent is not migrated"
    if not key.validated:
        return "it is NOT VALID on classic, so old rows may violate it"
    if key.temporal:
        return "it compares periods (PERIOD), which Limitless is not documented to have"
    if (child.kind, parent.kind) not in FOREIGN_KEYS:
        return f"Limitless has no foreign keys from a {child.kind} to a {parent.kind} table"
    if child.sharded and parent.sharded:
        if shapes[child.qualified].group != shapes[parent.qualified].group:
            return "the two sharded tables are not collocated"
        target = {str(parent.tenant_column), *key.parent_columns}
        uniques: list[set[str | None]] = [set(shapes[parent.qualified].primary_key)]
        uniques += [set(i.columns) for i in shapes[parent.qualified].indexes if i.unique and not i.partial]
        if target not in uniques:
            return f"({', '.join(sorted(target))}) is not unique on Limitless"
    return None


def _with_shard_key(key: ForeignKey, child: Table, parent: Table) -> ForeignKey:
    """Return *key* with the tenant columns in front, as sharded pairs need it."""
    if not (child.sharded and parent.sharded):
        return key
    mine, theirs = str(child.tenant_column), str(parent.tenant_column)
    pairs = list(zip(key.columns, key.parent_columns, strict=True))
    if (mine, theirs) in pairs:
        return key
    # MATCH FULL would refuse a row without a parent now that one of its columns (the tenant) is never NULL.
    return replace(key, columns=(mine, *key.columns), parent_columns=(theirs, *key.parent_columns), match_full=False)


def _allowed_actions(key: ForeignKey, child: Table, parent: Table, where: str, notes: _Notes) -> ForeignKey:
    """Return *key* with the actions Limitless has for these kinds of tables; others become NO ACTION."""
    refused_delete, refused_update = refused_actions(child.kind, parent.kind)
    changed = key
    if key.on_delete in refused_delete:
        changed = replace(changed, on_delete="NO ACTION")
        notes.warnings.append(f"{where}: ON DELETE {key.on_delete} becomes NO ACTION; the application must do it")
    if key.on_update in refused_update:
        changed = replace(changed, on_update="NO ACTION")
        notes.warnings.append(f"{where}: ON UPDATE {key.on_update} becomes NO ACTION; keys cannot follow")
    return changed
