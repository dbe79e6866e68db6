"""Parses a file of SQL into requested changes. Pure; every problem at once, in the operator's words.

PostgreSQL's own parser reads it. One statement may become several changes, and each change is carried out, recorded
and resumed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from migrator.dataplane.change import create_statement
from migrator.grammar.parse import Unparsable, parse
from migrator.grammar.tree import Tree
from migrator.grammar.types import type_text
from migrator.grammar.written import Written, edited
from migrator.model.table import Table, qualify

POSSIBLE = (
    "possible here: CREATE TABLE, ALTER TABLE … ADD COLUMN, ALTER TABLE … DROP COLUMN, CREATE INDEX, DROP INDEX,"
    " CREATE TYPE, ALTER TYPE … ADD VALUE, CREATE SEQUENCE"
)
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
        statements = parse(text)
    except Unparsable as error:
        return [], [f"PostgreSQL cannot read it: {error.why}"]
    reader = _Reader(tables, schemas)
    if not statements:
        reader.problems.append("it holds no statement")
    end = 0
    for number, statement in enumerate(statements, 1):
        reader.said(f"statement {number}", text[end : statement.offset], statement.tag)
        [own] = parse(statement.text)  # its positions count from its own beginning
        reader.statement(f"statement {number}", Tree(own.tag, own.body), Written(own.text))
        end = statement.offset + len(statement.text)
    reader.said("after the last statement", text[end:], "")
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

    def said(self, where: str, before: str, tag: str) -> None:
        """Take what comments before a statement say about the table it makes."""
        found, problems = create_statement.options(before)
        for text in problems:
            self.problem(where, text)
        if found and tag != "CreateStmt":
            self.problem(where, "comments '-- migrator: …' stand before CREATE TABLE, and say what the table becomes")
        self.options = tuple(found.items())

    def statement(self, where: str, node: Tree, written: Written) -> None:
        match node.tag:
            case "CreateStmt":
                self._create_table(where, node, written)
            case "CreateEnumStmt" | "CompositeTypeStmt" | "CreateRangeStmt":
                self._create_type(where, node, written)
            case "CreateSeqStmt":
                self._create_sequence(where, node, written)
            case "AlterEnumStmt":
                self._alter_enum(where, node)
            case "AlterTableStmt" if node.objtype == "OBJECT_TABLE":
                self._alter(where, node, written)
            case "IndexStmt":
                self._index(where, node, written)
            case "DropStmt" if node.removeType == "OBJECT_INDEX":
                self._drop_index(where, node)
            case "TransactionStmt":
                self.problem(where, "leave BEGIN and COMMIT out: every change is carried out by itself, and resumed")
            case _:
                words = " ".join(written.whole.split())
                self.problem(where, f"{words[:60]} is not possible while tables are being migrated; {POSSIBLE}")

    def _table(self, where: str, relation: Tree) -> str | None:
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

    def _create_table(self, where: str, node: Tree, written: Written) -> None:
        relation = node.relation
        name: str = relation.relname
        refused = list(create_statement.refused_table(node))
        schema = self._schema(where, relation.schemaname, name)
        if refused or schema is None:
            for text in refused:
                self.problem(where, f"table {name}: {text}")
            return
        qualified, lenient = qualify(schema, name), bool(node.if_not_exists)
        self.names[qualified] = (schema, name)
        if node.partspec is not None:
            self.partitioned.add(qualified)

        def resolve(parent: Tree) -> str | None:
            found = None if parent.schemaname else self._table(where, parent)
            return self.names[found][0] if found is not None else None

        statement, links = create_statement.without_links(node, written, schema, resolve)
        self.requests.append(
            RequestedChange(
                where, Kind.CREATE_TABLE, qualified, schema, name, lenient,
                statement=statement, links=links, options=self.options,
            )
        )  # fmt: skip

    def _create_type(self, where: str, node: Tree, written: Written) -> None:
        if node.typevar is not None:
            before, name = [node.typevar.schemaname], node.typevar.relname
        else:
            *before, name = (part.sval for part in node.typeName)
        schema = self._schema(where, before[-1] if before else None, name)
        if schema is not None:
            position = written.tokens[2].begin  # behind CREATE TYPE
            statement = edited(written.data, [create_statement.named(written, position, schema)])
            self.requests.append(
                RequestedChange(where, Kind.CREATE_TYPE, qualify(schema, name), schema, name, statement=statement)
            )

    def _create_sequence(self, where: str, node: Tree, written: Written) -> None:
        name, lenient = node.sequence.relname, bool(node.if_not_exists)
        schema = self._schema(where, node.sequence.schemaname, name)
        if any(option.defname == "owned_by" for option in node.options or ()):
            self.problem(where, f"sequence {name}: leave OWNED BY out")
        elif node.sequence.relpersistence != "p":
            self.problem(where, f"sequence {name}: an UNLOGGED or TEMPORARY sequence cannot be migrated")
        elif schema is not None:
            edits = create_statement.not_lenient(written)
            place = create_statement.named(written, node.sequence.location, schema)
            statement = edited(written.data, [*edits, place])
            self.requests.append(
                RequestedChange(
                    where, Kind.CREATE_SEQUENCE, qualify(schema, name), schema, name, lenient, statement=statement
                )
            )

    def _alter_enum(self, where: str, node: Tree) -> None:
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

    def _alter(self, where: str, node: Tree, written: Written) -> None:
        table = self._table(where, node.relation)
        if not node.relation.inh:
            self.problem(where, "Limitless has no ALTER TABLE ONLY: leave ONLY out")
            return
        for command in node.cmds:
            match command.subtype:
                case "AT_AddColumn":
                    self._add_column(where, table, command, written)
                case "AT_DropColumn":
                    if command.behavior == "DROP_CASCADE":
                        self.problem(where, f"leave CASCADE out: drop what depends on {command.name} by name")
                    elif table:
                        self.requests.append(
                            RequestedChange(where, Kind.DROP_COLUMN, table, "", command.name, bool(command.missing_ok))
                        )
                case other:
                    name = other.removeprefix("AT_")
                    self.problem(where, f"ALTER TABLE … {name} is not possible while it is being migrated; {POSSIBLE}")

    def _add_column(self, where: str, table: str | None, command: Tree, written: Written) -> None:
        column = command.def_
        name = column.colname
        refused = list(_refused_parts(column))
        for reason in refused:
            self.problem(where, f"column {name}: {reason}")
        if refused or table is None:
            return
        by_kind = {c.contype: c for c in column.constraints or ()}
        stops = [part.location for part in (*(column.constraints or ()), column.collClause) if part is not None]
        default = by_kind.get("CONSTR_DEFAULT")
        self.requests.append(
            RequestedChange(
                where,
                Kind.ADD_COLUMN,
                table,
                "",
                name,
                bool(command.missing_ok),
                type=type_text(column.typeName.body),
                collation=_collation(written, column.collClause),
                default=written.expression(default.raw_expr.node, "DEFAULT", stops) if default is not None else "",
                not_null="CONSTR_NOTNULL" in by_kind,
            )
        )

    def _index(self, where: str, node: Tree, written: Written) -> None:
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
        behind = written.tokens[written.name_end(node.relation.location)].begin
        tail = written.text(behind, written.tokens[-1].end)
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

    def _drop_index(self, where: str, node: Tree) -> None:
        if node.behavior == "DROP_CASCADE":
            self.problem(where, "leave CASCADE out: drop what depends on the index by name")
            return
        for parts in node.objects:
            *schema, name = (part.sval for part in parts)
            self.requests.append(
                RequestedChange(where, Kind.DROP_INDEX, "", schema[-1] if schema else "", name, bool(node.missing_ok))
            )


def _collation(written: Written, clause: Tree | None) -> str:
    """Return the name behind COLLATE; empty without one."""
    if clause is None:
        return ""
    begin = written.tokens[written.at(clause.location) + 1].begin
    return written.text(begin, written.tokens[written.name_end(begin) - 1].end)


def _refused_parts(column: Tree) -> Iterator[str]:
    """Say what a new column may not have, with advice."""
    names = [part.sval for part in column.typeName.names]
    if names[-1] in _SERIAL and len(names) == 1:
        yield "serial fills every row while writers wait; use an integer, nullable, and fill it in batches"
    for constraint in column.constraints or ():
        match constraint.contype:
            case "CONSTR_DEFAULT" | "CONSTR_NOTNULL" | "CONSTR_NULL":
                continue
            case "CONSTR_GENERATED" | "CONSTR_IDENTITY":
                yield "a generated or identity column rewrites the table while writers wait; fill a plain one instead"
            case "CONSTR_UNIQUE" | "CONSTR_PRIMARY":
                yield "leave UNIQUE out and say CREATE UNIQUE INDEX in a statement of its own"
            case "CONSTR_FOREIGN":
                yield "a foreign key cannot be added while the table is being migrated; leave REFERENCES out"
            case "CONSTR_CHECK":
                yield "a CHECK cannot be added while the table is being migrated; leave it out"
            case other:
                yield f"{other.removeprefix('CONSTR_')} is not possible here"
