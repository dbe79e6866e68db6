"""What does a file of SQL ask for? Pure; every problem at once, in the operator's words.

PostgreSQL's own parser reads it. One statement may become several changes, and each change is carried out, recorded
and resumed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pglast import ast, parser
from pglast.enums import AlterTableType, ConstrType, DropBehavior, ObjectType
from pglast.stream import RawStream

from migrator.dataplane.change import create_statement
from migrator.model.table import Table, qualify

POSSIBLE = (
    "possible here: CREATE TABLE, ALTER TABLE … ADD COLUMN, ALTER TABLE … DROP COLUMN, CREATE INDEX, DROP INDEX,"
    " CREATE TYPE, ALTER TYPE … ADD VALUE, CREATE SEQUENCE"
)
_PLACE = "migrator_place"
_SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"})


class Kind(StrEnum):
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"
    CREATE_TABLE = "create table"
    CREATE_TYPE = "create type"
    CREATE_SEQUENCE = "create sequence"
    ADD_LABEL = "add enum value"


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

    @property
    def words(self) -> str:
        match self.kind:
            case Kind.ADD_COLUMN:
                return f"add column {self.table}.{self.name} ({self.type})"
            case Kind.DROP_COLUMN:
                return f"drop column {self.table}.{self.name}"
            case Kind.CREATE_INDEX:
                return f"create {'unique ' if self.unique else ''}index {self.name} on {self.table}"
            case Kind.DROP_INDEX:
                return f"drop index {qualify(self.schema, self.name) if self.schema else self.name}"
            case Kind.ADD_LABEL:
                return f"add value {self.name!r} to type {self.table}"
            case Kind.CREATE_TABLE | Kind.CREATE_TYPE | Kind.CREATE_SEQUENCE:
                return f"{self.kind} {self.table}"


def read_requests(
    text: str, tables: tuple[Table, ...], schemas: tuple[str, ...] = ()
) -> tuple[list[RequestedChange], list[str]]:
    """Return the changes *text* asks for on captured *tables* or in migrated *schemas*, and every problem with it."""
    try:
        statements = parser.parse_sql(text)
    except parser.ParseError as error:
        return [], [f"PostgreSQL cannot read it: {error.args[0]}"]
    reader = _Reader(tables, schemas)
    if not statements:
        reader.problems.append("it holds no statement")
    end = 0
    for number, raw in enumerate(statements, 1):
        reader.said(f"statement {number}", text[end : raw.stmt_location], raw.stmt)
        reader.statement(f"statement {number}", raw.stmt)
        end = (raw.stmt_location or 0) + raw.stmt_len if raw.stmt_len else len(text)
    reader.said("after the last statement", text[end:], None)
    return reader.requests, reader.problems


class _Reader:
    def __init__(self, tables: tuple[Table, ...], schemas: tuple[str, ...]) -> None:
        self.tables = {t.qualified: t for t in tables}
        self.schemas = schemas
        self.names = {t.qualified: (t.schema, t.name) for t in tables}  # with those that this file makes
        self.partitioned = {t.qualified for t in tables if t.partitioned}
        self.options: tuple[tuple[str, str], ...] = ()
        self.requests: list[RequestedChange] = []
        self.problems: list[str] = []

    def problem(self, where: str, text: str) -> None:
        self.problems.append(f"{where}: {text}")

    def said(self, where: str, before: str, node: Any) -> None:
        """Take what comments before a statement say about the table it makes."""
        found, problems = create_statement.options(before)
        for text in problems:
            self.problem(where, text)
        if found and not isinstance(node, ast.CreateStmt):
            self.problem(where, "comments '-- migrator: …' stand before CREATE TABLE, and say what the table becomes")
        self.options = tuple(found.items())

    def statement(self, where: str, node: Any) -> None:
        match node:
            case ast.CreateStmt():
                self._create_table(where, node)
            case ast.CreateEnumStmt() | ast.CompositeTypeStmt() | ast.CreateRangeStmt():
                self._create_type(where, node)
            case ast.CreateSeqStmt():
                self._create_sequence(where, node)
            case ast.AlterEnumStmt():
                self._alter_enum(where, node)
            case ast.AlterTableStmt() if node.objtype == ObjectType.OBJECT_TABLE:
                self._alter(where, node)
            case ast.IndexStmt():
                self._index(where, node)
            case ast.DropStmt() if node.removeType == ObjectType.OBJECT_INDEX:
                self._drop_index(where, node)
            case ast.TransactionStmt():
                self.problem(where, "leave BEGIN and COMMIT out: every change is carried out by itself, and resumed")
            case _:
                words = RawStream()(node).split("\n")[0]
                self.problem(where, f"{words[:60]} is not possible while tables are being migrated; {POSSIBLE}")

    def _table(self, where: str, relation: Any) -> str | None:
        """Return the captured table *relation* names; a name without a schema must be unambiguous."""
        if relation.schemaname:
            found = [q for q in (qualify(relation.schemaname, relation.relname),) if q in self.names]
        else:
            found = [q for q, (_, name) in self.names.items() if name == relation.relname]
        written = ".".join(filter(None, (relation.schemaname, relation.relname)))
        if not found:
            self.problem(where, f"{written} is not captured: change it directly, on both sides where it is on both")
            return None
        if len(found) > 1:
            self.problem(where, f"{written} may be {' or '.join(sorted(found))}: name the schema")
            return None
        return found[0]

    def _schema(self, where: str, schema: str | None, name: str) -> str | None:
        """Return the migrated schema in which *name* is made."""
        if schema is None and len(self.schemas) == 1:
            return self.schemas[0]
        if schema is None:
            self.problem(where, f"{name}: name the schema; there are {', '.join(sorted(self.schemas))}")
        elif schema not in self.schemas:
            self.problem(where, f"{schema}.{name}: the schema is not migrated: make it directly, it stays on classic")
            return None
        return schema

    def _create_table(self, where: str, node: Any) -> None:
        relation: Any = node.relation
        name: str = relation.relname
        refused = list(create_statement.refused_table(node))
        schema = self._schema(where, relation.schemaname, name)
        if refused or schema is None:
            for text in refused:
                self.problem(where, f"table {name}: {text}")
            return
        relation.schemaname = schema
        qualified, lenient = qualify(schema, name), bool(node.if_not_exists)
        self.names[qualified] = (schema, name)
        if node.partspec is not None:
            self.partitioned.add(qualified)

        def resolve(parent: Any) -> None:
            if not parent.schemaname and (found := self._table(where, parent)) is not None:
                parent.schemaname = self.names[found][0]

        statement, links = create_statement.without_links(node, resolve)
        self.requests.append(
            RequestedChange(
                where, Kind.CREATE_TABLE, qualified, schema, name, lenient,
                statement=statement, links=links, options=self.options,
            )
        )  # fmt: skip

    def _create_type(self, where: str, node: Any) -> None:
        composite: Any = node.typevar if isinstance(node, ast.CompositeTypeStmt) else None
        if composite is not None:
            name: str = composite.relname
            schema = self._schema(where, composite.schemaname, name)
            composite.schemaname = schema
        else:
            *before, name = (part.sval for part in node.typeName)
            schema = self._schema(where, before[-1] if before else None, name)
            node.typeName = (ast.String(sval=schema or ""), ast.String(sval=name))
        if schema is not None:
            statement = RawStream()(node)
            self.requests.append(
                RequestedChange(where, Kind.CREATE_TYPE, qualify(schema, name), schema, name, statement=statement)
            )

    def _create_sequence(self, where: str, node: Any) -> None:
        name, lenient = node.sequence.relname, bool(node.if_not_exists)
        schema = self._schema(where, node.sequence.schemaname, name)
        if any(option.defname == "owned_by" for option in node.options or ()):
            self.problem(where, f"sequence {name}: leave OWNED BY out")
        elif node.sequence.relpersistence != "p":
            self.problem(where, f"sequence {name}: an UNLOGGED or TEMPORARY sequence cannot be migrated")
        elif schema is not None:
            node.sequence.schemaname, node.if_not_exists = schema, False
            statement = RawStream()(node)
            self.requests.append(
                RequestedChange(
                    where, Kind.CREATE_SEQUENCE, qualify(schema, name), schema, name, lenient, statement=statement
                )
            )

    def _alter_enum(self, where: str, node: Any) -> None:
        *before, name = (part.sval for part in node.typeName)
        schema = self._schema(where, before[-1] if before else None, name)
        if node.oldVal is not None:
            self.problem(
                where, f"type {name}: a value cannot be renamed, rows hold it on both sides; add another and move to it"
            )
        elif schema is not None:
            self.requests.append(
                RequestedChange(
                    where, Kind.ADD_LABEL, qualify(schema, name), schema, node.newVal, bool(node.skipIfNewValExists),
                    neighbour=node.newValNeighbor or "", after=bool(node.newValIsAfter or not node.newValNeighbor),
                )
            )  # fmt: skip

    def _alter(self, where: str, node: Any) -> None:
        table = self._table(where, node.relation)
        if not node.relation.inh:
            self.problem(where, "Limitless has no ALTER TABLE ONLY: leave ONLY out")
            return
        for command in node.cmds:
            match command.subtype:
                case AlterTableType.AT_AddColumn:
                    self._add_column(where, table, command)
                case AlterTableType.AT_DropColumn:
                    if command.behavior == DropBehavior.DROP_CASCADE:
                        self.problem(where, f"leave CASCADE out: what hangs on {command.name} is dropped by name")
                    elif table:
                        self.requests.append(
                            RequestedChange(where, Kind.DROP_COLUMN, table, "", command.name, bool(command.missing_ok))
                        )
                case other:
                    name = AlterTableType(other).name.removeprefix("AT_")
                    self.problem(where, f"ALTER TABLE … {name} is not possible while it is being migrated; {POSSIBLE}")

    def _add_column(self, where: str, table: str | None, command: Any) -> None:
        column = command.def_
        name = column.colname
        refused = list(_refused_parts(column))
        for reason in refused:
            self.problem(where, f"column {name}: {reason}")
        if refused or table is None:
            return
        by_kind = {c.contype: c for c in column.constraints or ()}
        default = by_kind.get(ConstrType.CONSTR_DEFAULT)
        self.requests.append(
            RequestedChange(
                where,
                Kind.ADD_COLUMN,
                table,
                "",
                name,
                bool(command.missing_ok),
                type=RawStream()(column.typeName),
                collation=RawStream()(column.collClause).removeprefix("COLLATE ") if column.collClause else "",
                default=RawStream()(default.raw_expr) if default is not None else "",
                not_null=ConstrType.CONSTR_NOTNULL in by_kind,
            )
        )

    def _index(self, where: str, node: Any) -> None:
        table = self._table(where, node.relation)
        problems = []
        if not node.idxname:
            problems.append("name the index, so that both sides know it by the same name")
        if not node.relation.inh:
            problems.append("leave ONLY out")
        if node.tableSpace:
            problems.append("Limitless has no TABLESPACE: leave it out")
        if table in self.partitioned:
            problems.append(
                f"{table} is partitioned: PostgreSQL cannot build its index without locking writers out; build it on"
                " classic's partitions one by one, and on Limitless directly"
            )
        for text in problems:
            self.problem(where, text)
        if problems or table is None:
            return
        node.relation = ast.RangeVar(relname=_PLACE, inh=True, relpersistence="p")
        tail = RawStream()(node).split(f" ON {_PLACE} ", 1)[1]
        schema = self.names[table][0]
        self.requests.append(
            RequestedChange(
                where,
                Kind.CREATE_INDEX,
                table,
                schema,
                node.idxname,
                bool(node.if_not_exists),
                unique=bool(node.unique),
                tail=tail,
            )
        )

    def _drop_index(self, where: str, node: Any) -> None:
        if node.behavior == DropBehavior.DROP_CASCADE:
            self.problem(where, "leave CASCADE out: what hangs on the index is dropped by name")
            return
        for parts in node.objects:
            *schema, name = (part.sval for part in parts)
            self.requests.append(
                RequestedChange(where, Kind.DROP_INDEX, "", schema[-1] if schema else "", name, bool(node.missing_ok))
            )


def _refused_parts(column: Any) -> Iterator[str]:
    """Say what a new column may not have, with advice."""
    names = [part.sval for part in column.typeName.names]
    if names[-1] in _SERIAL and len(names) == 1:
        yield "serial fills every row while writers wait; use an integer, nullable, and fill it in batches"
    for constraint in column.constraints or ():
        match constraint.contype:
            case ConstrType.CONSTR_DEFAULT | ConstrType.CONSTR_NOTNULL | ConstrType.CONSTR_NULL:
                continue
            case ConstrType.CONSTR_GENERATED | ConstrType.CONSTR_IDENTITY:
                yield "a generated or identity column rewrites the table while writers wait; fill a plain one instead"
            case ConstrType.CONSTR_UNIQUE | ConstrType.CONSTR_PRIMARY:
                yield "leave UNIQUE out and say CREATE UNIQUE INDEX in a statement of its own"
            case ConstrType.CONSTR_FOREIGN:
                yield "a foreign key cannot be added while the table is being migrated; leave REFERENCES out"
            case ConstrType.CONSTR_CHECK:
                yield "a CHECK cannot be added while the table is being migrated; leave it out"
            case other:
                yield f"{ConstrType(other).name.removeprefix('CONSTR_')} is not possible here"
