"""Parses a file of SQL into requested changes. Pure; every problem at once, in the operator's words.

PostgreSQL's own parser reads it. One statement may become several changes, and each change is carried out, recorded
and resumed by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from migrator.dataplane.change import alter, create_statement, drop_statement, recipe, statements
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.refusal import NOWHERE, Refusal, place_of
from migrator.grammar.parse import Unparsable, parse
from migrator.grammar.tree import Tree
from migrator.grammar.types import type_text
from migrator.grammar.written import Written, edited
from migrator.model.table import Table, qualify

_SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"})


def read_requests(
    text: str, tables: tuple[Table, ...], schemas: tuple[str, ...] = (), source: str = ""
) -> tuple[list[RequestedChange], list[Refusal]]:
    """Return the changes *text* asks for on captured *tables* or in migrated *schemas*, and every problem with it.

    Args:
        source: names the file. A statement is known by it and by all statements up to itself: one who corrects a later
            one and applies the file again does not repeat what is done.
    """
    try:
        found = parse(text)
    except Unparsable as error:
        place = place_of(text, max(error.position, 0), 0)
        line = f"line {place.line}: " if error.position >= 0 else ""
        return [], [Refusal(f"{line}PostgreSQL cannot read it: {error.why}", place)]
    reader = _Reader(tables, schemas)
    if not found:
        reader.problems.append(Refusal("it holds no statement"))
    digest, end = hashlib.sha256(source.encode()), 0
    for number, statement in enumerate(found, 1):
        reader.place = place_of(text, statement.offset, number)
        reader.said(f"statement {number}", text[end : statement.offset], statement.tag)
        [own] = parse(statement.text)  # its positions count from its own beginning
        before = len(reader.requests)
        reader.statement(f"statement {number}", Tree(own.tag, own.body), Written(own.text))
        digest.update(b"\0" + statement.text.encode())
        reader.requests[before:] = [
            replace(
                r,
                place=reader.place,
                path=r.path or reader.path,
                source=f"{digest.hexdigest()[:24]}:{n}",
            )
            for n, r in enumerate(reader.requests[before:], 1)
        ]
        end = statement.offset + len(statement.text)
    reader.place = NOWHERE
    reader.said("after the last statement", text[end:], "")
    return reader.requests, reader.problems


class _Reader:
    def __init__(self, tables: tuple[Table, ...], schemas: tuple[str, ...]) -> None:
        self.tables = {t.qualified: t for t in tables}
        self.schemas = schemas
        self.names = {t.qualified: (t.schema, t.name) for t in tables}  # with those that this file makes
        self.partitioned = {t.qualified for t in tables if t.partitioned}
        self.options: tuple[tuple[str, str], ...] = ()
        self.side = ""
        self.path: tuple[str, ...] = schemas if len(schemas) == 1 else ()
        self.requests: list[RequestedChange] = []
        self.place = NOWHERE
        self.problems: list[Refusal] = []

    def problem(self, where: str, text: str, *, missing: bool = False) -> None:
        words = text if self.place.number else f"{where}: {text}"
        self.problems.append(Refusal(words, self.place, missing=missing))

    def said(self, where: str, before: str, tag: str) -> None:
        """Take what comments before a statement say about it."""
        found, problems = create_statement.options(before)
        for text in problems:
            self.problem(where, text)
        self.side = found.pop("side", "")
        if self.side not in ("", "classic"):
            self.problem(where, f"'-- migrator: side = {self.side}': only classic can be a side by itself")
        if found and tag != "CreateStmt":
            self.problem(where, "comments '-- migrator: …' stand before CREATE TABLE, and say what the table becomes")
        if self.side and tag == "CreateStmt":
            self.problem(where, "a table that stays on classic is excluded in the plan and made there directly")
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
            case "DropStmt" if node.removeType == "OBJECT_TABLE" and not self.side:
                self._take(where, drop_statement.tables(where, node, self._known, self.path))
            case "RenameStmt" if node.renameType in ("OBJECT_INDEX", "OBJECT_TABCONSTRAINT") and not self.side:
                self._rename_part(where, node)
            case "RenameStmt" if node.renameType in ("OBJECT_TABLE", "OBJECT_COLUMN") and self._known(node.relation):
                self._rename(where, node)
            case _:
                self._whole(where, node, written)

    def _whole(self, where: str, node: Tree, written: Written) -> None:
        path = statements.search_path(node)
        if path is not None:
            self.path = path
        found = statements.read(where, node, written, self.side, self.path)
        if isinstance(found, str):
            words = " ".join(written.whole.split())
            words = words if len(words) <= 60 else f"{words[:59]}…"
            self.problem(where, f"{words} is not possible while tables are being migrated: {found}")
        elif found is not None:
            self.requests.append(found)

    def _known(self, relation: Tree) -> list[str]:
        """Return the captured tables that *relation* may mean; of several without a schema, the first in the path."""
        if relation.schemaname:
            return [q for q in (qualify(relation.schemaname, relation.relname),) if q in self.names]
        found = [q for q, (_, name) in self.names.items() if name == relation.relname]
        for schema in self.path:
            if (first := qualify(schema, relation.relname)) in found:
                return [first]
        return found

    def _rename(self, where: str, node: Tree) -> None:
        table = self._table(where, node.relation)
        if table is None:
            return
        if node.renameType == "OBJECT_TABLE":
            text = recipe.rename_table(table, node.newname)
        else:
            text = recipe.rename_column(self.tables.get(table), table, node.subname, node.newname)
        what = f"column {node.subname} of " if node.renameType == "OBJECT_COLUMN" else ""
        self.problem(where, f"renaming {what}{table} is not possible while it is being migrated: {text}")

    def _rename_part(self, where: str, node: Tree) -> None:
        """Take the renaming of an index or a constraint."""
        lenient, schema = bool(node.missing_ok), node.relation.schemaname or ""
        index = node.renameType == "OBJECT_INDEX"
        table, name = ("", node.relation.relname) if index else (self._table(where, node.relation), node.subname)
        if table is not None:
            self.requests.append(
                RequestedChange(
                    where, Kind.RENAME, table, schema if index else "", name, lenient,
                    renamed=node.newname, condition="i" if index else "",
                )
            )  # fmt: skip

    def _table(self, where: str, relation: Tree) -> str | None:
        """Return the captured table *relation* names; a name without a schema must be unambiguous."""
        found = self._known(relation)
        written = ".".join(filter(None, (relation.schemaname, relation.relname)))
        if not found:
            text = f"{written} is not captured: change it directly, on both sides where it is on both"
            self.problem(where, text, missing=True)
            return None
        if len(found) > 1:
            self.problem(where, f"{written} may be {' or '.join(sorted(found))}: name the schema")
            return None
        return found[0]

    def _schema(self, where: str, schema: str | None, name: str) -> str | None:
        """Return the migrated schema in which *name* is made."""
        if schema is None and self.path and self.path[0] in self.schemas:
            return self.path[0]
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
            enum = qualify(before[-1] if before else schema or "public", name)
            self.problem(
                where, f"type {name}: a value cannot be renamed: {recipe.rename_label(enum, node.oldVal, node.newVal)}"
            )
        elif schema is not None:
            self.requests.append(
                RequestedChange(
                    where, Kind.ADD_LABEL, qualify(schema, name), schema, node.newVal, bool(node.skipIfNewValExists),
                    neighbour=node.newValNeighbor or "", after=bool(node.newValIsAfter or not node.newValNeighbor),
                )
            )  # fmt: skip

    def _alter(self, where: str, node: Tree, written: Written) -> None:
        if all(c.subtype in alter.STORAGE for c in node.cmds) or self.side:
            self._whole(where, node, written)
            return
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
                case "AT_ChangeOwner":
                    self._whole(where, node, written)
                case _ if table:
                    self._take(where, self._altered(where, table, written).parse(command))

    def _altered(self, where: str, table: str, written: Written) -> alter.Altered:
        return alter.Altered(where, table, self.tables.get(table), written, lambda r: self._table(where, r))

    def _take(self, where: str, found: Iterator[alter.Found]) -> None:
        for one in found:
            if isinstance(one, str):
                self.problem(where, one)
            else:
                self.requests.append(one)

    def _add_column(self, where: str, table: str | None, command: Tree, written: Written) -> None:
        column = command.def_
        name = column.colname
        refused = list(_refused_parts(column))
        for reason in refused:
            self.problem(where, f"column {name}: {reason}")
        if refused or table is None:
            return
        by_kind = {c.contype: c for c in column.constraints or ()}
        apart = [c for c in column.constraints or () if c.contype in alter.CONSTRAINTS]
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
        for part in apart:
            self._take(where, self._altered(where, table, written).constraint(part, name))

    def _index(self, where: str, node: Tree, written: Written) -> None:
        table = self._table(where, node.relation)
        problems = []
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
                node.idxname or "",
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
            case kind if kind in alter.CONSTRAINTS or kind.startswith("CONSTR_ATTR"):
                continue  # a change of its own
            case "CONSTR_GENERATED" | "CONSTR_IDENTITY":
                yield "a generated or identity column rewrites the table while writers wait; fill a plain one instead"
            case "CONSTR_PRIMARY":
                yield "the table has a key already, which it is migrated by: say CREATE UNIQUE INDEX"
            case other:
                yield f"{other.removeprefix('CONSTR_')} is not possible here"
