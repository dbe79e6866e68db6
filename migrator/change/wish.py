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

from migrator.model.table import Table, qualify

POSSIBLE = "possible here: ALTER TABLE … ADD COLUMN, ALTER TABLE … DROP COLUMN, CREATE INDEX, DROP INDEX"
_PLACE = "migrator_place"
_SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"})


class Kind(StrEnum):
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"


@dataclass(frozen=True, slots=True)
class Wish:
    """One change as it is written.

    Attributes:
        where: for messages, "statement 2".
        table: qualified name of a captured table; empty for DROP INDEX, whose table the catalog knows.
        schema, name: of the column (no schema) or the index.
        lenient: IF EXISTS or IF NOT EXISTS was said.
        type, collation, default: SQL texts of a new column; empty where nothing is said.
        tail: of a new index, what follows its table's name.
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


def read_wishes(text: str, tables: tuple[Table, ...]) -> tuple[list[Wish], list[str]]:
    """Return the changes *text* asks for on captured *tables*, and every problem with it."""
    try:
        statements = parser.parse_sql(text)
    except parser.ParseError as error:
        return [], [f"PostgreSQL cannot read it: {error.args[0]}"]
    reader = _Reader(tables)
    if not statements:
        reader.problems.append("it holds no statement")
    for number, raw in enumerate(statements, 1):
        reader.statement(f"statement {number}", raw.stmt)
    return reader.wishes, reader.problems


class _Reader:
    def __init__(self, tables: tuple[Table, ...]) -> None:
        self.tables = {t.qualified: t for t in tables}
        self.wishes: list[Wish] = []
        self.problems: list[str] = []

    def problem(self, where: str, text: str) -> None:
        self.problems.append(f"{where}: {text}")

    def statement(self, where: str, node: Any) -> None:
        match node:
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
            found = [q for q in (qualify(relation.schemaname, relation.relname),) if q in self.tables]
        else:
            found = [q for q, t in self.tables.items() if t.name == relation.relname]
        written = ".".join(filter(None, (relation.schemaname, relation.relname)))
        if not found:
            self.problem(where, f"{written} is not captured: change it directly, on both sides where it is on both")
            return None
        if len(found) > 1:
            self.problem(where, f"{written} may be {' or '.join(sorted(found))}: name the schema")
            return None
        return found[0]

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
                        self.wishes.append(
                            Wish(where, Kind.DROP_COLUMN, table, "", command.name, bool(command.missing_ok))
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
        self.wishes.append(
            Wish(
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
        if table and self.tables[table].partitioned:
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
        schema = self.tables[table].schema
        self.wishes.append(
            Wish(
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
            self.wishes.append(
                Wish(where, Kind.DROP_INDEX, "", schema[-1] if schema else "", name, bool(node.missing_ok))
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
