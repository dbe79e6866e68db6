"""Builds the statements that make what is missing on Limitless. Pure.

A step makes one object in one transaction and names the record that undo reads. Only what is missing is made: an
object that exists already, and differs, is reported by `compare` and never altered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from migrator.catalog.values import Catalog, Collation, Column, ForeignKey, Index, Name, Routine, TableShape, Type
from migrator.catalog.values import Sequence as SequenceShape
from migrator.model.action import Action


@dataclass(frozen=True, slots=True)
class Record:
    """What a step makes: the row of migrator.provisioned."""

    kind: str
    schema: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One object to make.

    Attributes:
        label: the name that `compare` gives the object when it is missing.
        statements: run in one transaction, after *settings* (SET LOCAL).
        best_effort: a refusal is reported and the rest goes on; verification still finds it missing.
        apart: its statement cannot run in a transaction: CREATE INDEX CONCURRENTLY.
    """

    action: Action
    record: Record
    label: str
    statements: tuple[sql.Composed, ...]
    settings: tuple[tuple[str, str], ...] = ()
    best_effort: bool = False
    apart: bool = False


def steps(
    wanted: Catalog, existing: Catalog, *, indexes: bool = True, concurrently: Collection[str] = ()
) -> list[Step]:
    """Return the steps that make what *wanted* has and *existing* lacks, in an order that works.

    Args:
        indexes: with False, secondary indexes that enforce nothing are left for later.
        concurrently: kinds of tables whose indexes are built without locking writers out, unique ones excepted; one
            that an earlier build left invalid is built again.
    """
    made = [_schema(name) for name in sorted(wanted.schemas - existing.schemas)]
    made += [_extension(n, s) for n, s in sorted(wanted.extensions.items()) if n not in existing.extensions]
    collations = {c.qualified for c in existing.collations}
    made += [_collation(c) for c in wanted.collations if c.qualified not in collations]
    types = {(t.schema, t.name) for t in existing.types}
    made += [_type(t) for t in _parts_first(wanted.types) if (t.schema, t.name) not in types]
    sequences = {s.qualified for s in existing.sequences}
    made += [_sequence(s) for s in wanted.sequences if s.qualified not in sequences]
    routines = {(r.kind, r.identity) for r in existing.routines}
    missing = [r for r in wanted.routines if (r.kind, r.identity) not in routines]
    made += [routine_step(r) for r in missing if r.kind != "VIEW"]
    made += _tables(wanted, existing)
    for name, table in wanted.tables.items():
        apart = table.kind in concurrently
        indexes_there = existing.tables[name].indexes if name in existing.tables else ()
        there = {i.name for i in indexes_there if i.valid or i.unique or not apart}
        for index in table.indexes:
            with_table = index.constraint and name not in existing.tables
            if index.name not in there and not with_table and (indexes or index.unique or index.for_mirror):
                made.append(_index(index, concurrently=apart and not index.unique))
    made += [routine_step(r) for r in missing if r.kind == "VIEW"]
    return made


def foreign_key_steps(wanted: Sequence[ForeignKey], existing: Sequence[ForeignKey]) -> list[Step]:
    """Return the steps that make the foreign keys of *wanted*; one with other actions is replaced in one
    transaction."""
    there = {(k.table, k.name): k for k in existing}
    result = []
    for key in wanted:
        current = there.get((key.table, key.name))
        if current is None or not same_foreign_key(current, key):
            result.append(_foreign_key(key, replaces=current is not None))
    return result


def same_foreign_key(one: ForeignKey, other: ForeignKey) -> bool:
    """Return whether two foreign keys mean the same; the order of their column pairs does not matter."""

    def shape(k: ForeignKey) -> tuple[object, ...]:
        pairs = frozenset(zip(k.columns, k.parent_columns, strict=True))
        return (pairs, k.parent, k.on_delete, k.on_update, k.match_full, k.deferrable, k.deferred, k.validated)

    return shape(one) == shape(other)


def drop(record: Record) -> sql.Composed:
    """Return the statement that undoes a step. Nothing cascades: objects of others that depend on it stay."""
    name = sql.Identifier(record.schema, record.name) if record.schema else sql.Identifier(record.name)
    match record.kind:
        case "constraint":
            return sql.SQL("ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}").format(
                sql.Identifier(record.schema, record.detail), sql.Identifier(record.name)
            )
        case "function" | "procedure":
            # the identity is the server's own text: a quoted name and argument types
            return sql.SQL("DROP {} IF EXISTS {}").format(sql.SQL(record.kind.upper()), sql.SQL(record.detail))
        case "grant":
            return sql.SQL("{}").format(sql.SQL(record.detail))  # the statement itself, composed when it was granted
        case "role" | "schema" | "extension" | "collation" | "type" | "sequence" | "table" | "index" | "view":
            return sql.SQL("DROP {} IF EXISTS {}").format(sql.SQL(record.kind.upper()), name)
    raise ValueError(f"no statement drops a {record.kind}")


# -- one object each ---------------------------------------------------------------------------------


def _step(
    record: Record,
    label: str,
    summary: str,
    statements: Sequence[sql.Composed],
    *,
    settings: tuple[tuple[str, str], ...] = (),
    best_effort: bool = False,
) -> Step:
    path = "/".join(part for part in (record.kind, record.schema, record.detail or record.name) if part)
    lines = [f"SET LOCAL {name} = {sql.Literal(value).as_string(None)};" for name, value in settings]
    lines += [s.as_string(None).rstrip().rstrip(";") + ";" for s in statements]
    action = Action(id=f"provision/{path}", summary=summary, undo=drop(record).as_string(None), sql="\n".join(lines))
    return Step(action, record, label, tuple(statements), settings, best_effort)


def _name(name: Name) -> sql.Identifier:
    return sql.Identifier(*name)


def _list(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _schema(name: str) -> Step:
    return _step(
        Record("schema", "", name),
        f"schema {name}",
        f"Create schema {name}",
        [sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name))],
    )


def _extension(name: str, schema: str) -> Step:
    statement = sql.SQL("CREATE EXTENSION {} WITH SCHEMA {}").format(sql.Identifier(name), sql.Identifier(schema))
    return _step(
        Record("extension", "", name), f"extension {name}", f"Create extension {name} in schema {schema}", [statement]
    )


def _collation(collation: Collation) -> Step:
    options = [
        sql.SQL("{} = {}").format(sql.SQL(name), sql.Literal(value))
        for name, value in (
            ("provider", collation.provider),
            ("locale", collation.locale),
            ("lc_collate", collation.lc_collate if collation.locale is None else None),
            ("lc_ctype", collation.lc_ctype if collation.locale is None else None),
            ("rules", collation.rules),
        )
        if value is not None
    ]
    if not collation.deterministic:
        options.append(sql.SQL("deterministic = false").format())
    return _step(
        Record("collation", collation.schema, collation.name),
        f"collation {collation.schema}.{collation.name}",
        f"Create collation {collation.schema}.{collation.name}",
        [sql.SQL("CREATE COLLATION {} ({})").format(_name(collation.qualified), sql.SQL(", ").join(options))],
    )


def _parts_first(types: Sequence[Type]) -> list[Type]:
    """Return *types* so that each follows those it is built from."""
    result: list[Type] = []
    waiting = list(types)
    while waiting:
        names = {f"{t.schema}.{t.name}" for t in waiting}
        ready = [t for t in waiting if not t.built_from & names] or waiting
        result += ready
        waiting = [t for t in waiting if t not in ready]
    return result


def _type(kind: Type) -> Step:
    name = sql.Identifier(kind.schema, kind.name)
    if kind.attributes:
        body = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(a), sql.SQL(t)) for a, t in kind.attributes)
        statement = sql.SQL("CREATE TYPE {} AS ({})").format(name, body)
    elif kind.options:
        body = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.SQL(o), sql.SQL(v)) for o, v in kind.options)
        statement = sql.SQL("CREATE TYPE {} AS RANGE ({})").format(name, body)
    else:
        statement = sql.SQL("CREATE TYPE {} AS ENUM ({})").format(
            name, sql.SQL(", ").join(map(sql.Literal, kind.labels))
        )
    label = f"type {kind.schema}.{kind.name}"
    return _step(Record("type", kind.schema, kind.name), label, f"Create {label}", [statement])


def _sequence(sequence: SequenceShape) -> Step:
    statement = sql.SQL(
        "CREATE SEQUENCE {} AS {} INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {} CACHE {}"
    ).format(
        _name(sequence.qualified),
        sql.SQL(sequence.type),
        *map(sql.Literal, (sequence.increment, sequence.minimum, sequence.maximum, sequence.start, sequence.cache)),
    )
    label = f"sequence {sequence.schema}.{sequence.name}"
    return _step(Record("sequence", sequence.schema, sequence.name), label, f"Create {label}", [statement])


def routine_step(routine: Routine) -> Step:
    schema, _, rest = routine.identity.partition(".")
    kind = routine.kind.lower()
    label = f"{kind} {routine.identity}"
    if routine.kind == "VIEW":
        head = sql.SQL("CREATE VIEW {} AS ").format(sql.SQL(routine.identity))
        record = Record(kind, schema.strip('"'), rest.strip('"'))
        return _step(record, label, f"Create {label}", [head + sql.SQL(routine.definition)], best_effort=True)
    record = Record(kind, schema.strip('"'), rest.partition("(")[0].strip('"'), routine.identity)
    return _step(
        record,
        label,
        f"Create {label}",
        [sql.Composed([sql.SQL(routine.definition)])],
        settings=(("check_function_bodies", "off"),),  # its tables come later
        best_effort=True,
    )


def _tables(wanted: Catalog, existing: Catalog) -> Iterator[Step]:
    """Yield the steps of missing tables; each sharded table joins the first one of its group."""
    anchors: dict[str, str] = {}
    for name, table in wanted.tables.items():
        if table.group and name in existing.tables and existing.tables[name].kind == "sharded":
            anchors.setdefault(table.group, _quoted((table.schema, table.name)))
    for name, table in wanted.tables.items():
        if name not in existing.tables:
            yield _table(table, anchors.get(table.group) if table.group else None)
            if table.group:
                anchors.setdefault(table.group, _quoted((table.schema, table.name)))


def _quoted(name: Name) -> str:
    return _name(name).as_string(None)


def _table(table: TableShape, collocate_with: str | None) -> Step:
    settings = [("rds_aurora.limitless_create_table_mode", table.kind)]
    if table.kind == "sharded":
        settings.append(("rds_aurora.limitless_create_table_shard_key", _array(table.shard_key)))
        if collocate_with:
            settings.append(("rds_aurora.limitless_create_table_collocate_with", collocate_with))
    parts: list[sql.Composable] = [_column(c) for c in table.columns]
    parts.append(
        sql.SQL("CONSTRAINT {} PRIMARY KEY ({})").format(
            sql.Identifier(table.primary_key_name or f"{table.name}_pkey"), _list(table.primary_key)
        )
    )
    parts += [
        sql.SQL("CONSTRAINT {} ").format(sql.Identifier(i.name)) + _unique(i) for i in table.indexes if i.constraint
    ]
    parts += [
        sql.SQL("CONSTRAINT {} CHECK {}").format(sql.Identifier(c.name), sql.SQL(c.condition)) for c in table.checks
    ]
    statement = sql.SQL("CREATE TABLE {} (\n    {}\n)").format(
        _name((table.schema, table.name)), sql.SQL(",\n    ").join(parts)
    )
    what = f"sharded by {', '.join(table.shard_key)}" if table.kind == "sharded" else table.kind
    return _step(
        Record("table", table.schema, table.name),
        f"table {table.qualified}",
        f"Create {what} table {table.qualified}",
        [statement],
        settings=tuple(settings),
    )


def _array(values: Sequence[str]) -> str:
    """Return an array literal, the form Limitless takes a shard key in: {"tenant_id"}."""
    quoted = ('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return "{" + ",".join(quoted) + "}"


def _column(column: Column) -> sql.Composed:
    parts: list[sql.Composable] = [sql.Identifier(column.name), sql.SQL(column.type)]
    if column.collation:
        parts.append(sql.SQL("COLLATE {}").format(_name(column.collation)))
    if column.generated:
        parts.append(sql.SQL("GENERATED ALWAYS AS ({}) STORED").format(sql.SQL(column.default or "NULL")))
    elif column.default is not None:
        parts.append(sql.SQL("DEFAULT {}").format(sql.SQL(column.default)))
    if column.not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def _unique(index: Index) -> sql.Composed:
    """Return a UNIQUE constraint's text; NULLS NOT DISTINCT stands before the columns here, behind them in an index."""
    distinct = " NULLS NOT DISTINCT"
    nulls = distinct if distinct in index.tail else ""
    return sql.SQL("UNIQUE{} {}{}").format(
        sql.SQL(nulls), sql.SQL(index.tail.replace(distinct, "", 1)), sql.SQL(index.deferrable)
    )


def _index(index: Index, *, concurrently: bool = False) -> Step:
    table = _name(index.table)
    record = Record("index", index.table[0], index.name)
    if index.constraint:
        record = Record("constraint", index.table[0], index.name, index.table[1])
        head = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(table, sql.Identifier(index.name))
        statement = head + _unique(index)
    else:
        statement = sql.SQL("CREATE {}INDEX {}{} ON {} USING {} {}").format(
            sql.SQL("UNIQUE " if index.unique else ""),
            sql.SQL("CONCURRENTLY " if concurrently else ""),
            sql.Identifier(index.name),
            table,
            sql.Identifier(index.method),
            sql.SQL(index.tail),
        )
    what = "unique key" if index.unique else "index"
    where = ".".join(index.table)
    step = _step(record, f"table {where}: {what} {index.name}", f"Create {what} {index.name} on {where}", [statement])
    return replace(step, apart=concurrently)


def _foreign_key(key: ForeignKey, *, replaces: bool) -> Step:
    table, name = _name(key.table), sql.Identifier(key.name)
    add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}").format(
        table, name, _list(key.columns), _name(key.parent), _list(key.parent_columns), _behaviour(key)
    )
    statements = [add]
    if replaces:
        statements.insert(0, sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, name))
    how = f"ON DELETE {key.on_delete}" + (", checked at commit" if key.deferred else "")
    label = f"foreign key {key.name} of {'.'.join(key.table)}"
    return _step(
        Record("constraint", key.table[0], key.name, key.table[1]),
        label,
        f"{'Replace' if replaces else 'Create'} {label} ({how})",
        statements,
    )


def _behaviour(key: ForeignKey) -> sql.Composed:
    words = [" MATCH FULL" if key.match_full else "", f" ON DELETE {key.on_delete}", f" ON UPDATE {key.on_update}"]
    if key.deferrable:
        words.append(" DEFERRABLE INITIALLY DEFERRED" if key.deferred else " DEFERRABLE")
    return sql.SQL("").join(map(sql.SQL, words))
