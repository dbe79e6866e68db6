"""What does a schema dump say? DDL text (pg_dump --schema-only, or migrations in order) becomes a catalog.

Every statement is either understood, known to be of no interest, or reported; a broken one does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pglast import ast, parser
from pglast.enums import AlterTableType, ConstrType, ObjectType
from pglast.stream import RawStream

from migrator.audit import dump_objects
from migrator.audit.catalog import (
    Attribute,
    Catalog,
    Check,
    ForeignKey,
    Index,
    Relation,
    RelationKind,
    Sequence,
    Source,
)
from migrator.audit.rows import Evidence
from migrator.audit.statement_file import split

LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
SERIAL = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}


def read_dump(text: str, name: str, evidence: Evidence) -> None:
    """Add the objects of *text* to the catalog of *evidence*; *name* is shown as their source."""
    catalog = evidence.catalog
    reader = Reader(catalog, evidence)
    for piece in split(text):
        reader.source = Source(name, piece.line)
        try:
            for raw in parser.parse_sql(piece.sql):
                reader.statement(raw.stmt, piece.sql)
        except parser.ParseError as error:
            evidence.rejected += 1
            evidence.problems.append(f"{name}: row {piece.line} cannot be read: {error.args[0]}")
        except (
            RecursionError,
            UnicodeEncodeError,
            AttributeError,
            TypeError,
            ValueError,
            NotImplementedError,  # pglast raises it for nodes it cannot print
        ) as error:
            evidence.rejected += 1
            evidence.problems.append(f"{name}: row {piece.line} cannot be read: {type(error).__name__}")
    reader.finish()


def render(node: Any) -> str:
    """Return SQL text of a parse tree."""
    return str(RawStream()(node))


def dotted(names: Any, default: str) -> tuple[str, str]:
    """Return (schema, name) of a list of String nodes."""
    parts = [n.sval for n in names]
    return (parts[-2], parts[-1]) if len(parts) > 1 else (default, parts[-1])


class Reader:
    """Applies DDL statements, in order, to a catalog."""

    def __init__(self, catalog: Catalog, evidence: Evidence) -> None:
        self.catalog = catalog
        self.evidence = evidence
        self.source = Source()
        self.default = "public"
        self.pending_owners: list[tuple[str, str]] = []
        self.handlers: dict[type, Callable[[Any], None]] = {
            ast.CreateStmt: self.create_table,
            ast.CreateForeignTableStmt: self.create_foreign_table,
            ast.AlterTableStmt: self.alter_table,
            ast.IndexStmt: self.create_index,
            ast.CreateSeqStmt: self.create_sequence,
            ast.AlterSeqStmt: self.alter_sequence,
            ast.RenameStmt: self.rename,
            ast.DropStmt: self.drop,
            ast.VariableSetStmt: self.set_path,
            ast.SelectStmt: self.select,
        }

    def statement(self, node: Any, text: str) -> None:
        handler = self.handlers.get(type(node))
        if handler is not None:
            handler(node)
        else:
            dump_objects.apply(self, node, text)

    def finish(self) -> None:
        """Tie up what needs the whole file: owners of sequences, kinds of types, the search path."""
        for column, sequence in self.pending_owners:
            found = self.catalog.sequences.get(sequence)
            table, _, name = column.rpartition(".")
            relation = self.catalog.relations.get(table)
            if found is not None:
                found.owned_by = column
            if relation is not None and name in relation.columns:
                relation.columns[name].sequence = sequence
        for relation in self.catalog.relations.values():
            for attribute in relation.columns.values():
                self._finish_attribute(attribute)
        schemas = dict.fromkeys(("public", *(r.schema for r in self.catalog.relations.values())))
        self.catalog.search_path = tuple(schemas) if len(schemas) <= 2 else ("public",)

    def _finish_attribute(self, attribute: Attribute) -> None:
        bare = attribute.type.split("(")[0].removesuffix("[]")
        kind = next((k for n, k in self.catalog.types.items() if n == bare or n.rpartition(".")[2] == bare), None)
        if attribute.type.endswith("[]"):
            attribute.type_kind = "a"
        elif kind:
            attribute.type_kind = kind
        if attribute.sequence is None and attribute.default and "nextval(" in attribute.default:
            quoted = attribute.default.split("'")
            if len(quoted) > 1:
                name = quoted[1].replace('"', "")
                attribute.sequence = name if "." in name else f"{self.default}.{name}"

    # ---------------------------------------------------------------- tables

    def name_of(self, relation: Any) -> tuple[str, str]:
        return relation.schemaname or self.default, relation.relname

    def known(self, relation: Any) -> Relation | None:
        schema, name = self.name_of(relation)
        return self.catalog.relations.get(f"{schema}.{name}") or self.catalog.find(name, relation.schemaname)

    def create_table(self, node: Any, kind: RelationKind = RelationKind.TABLE) -> None:
        schema, name = self.name_of(node.relation)
        if node.relation.relpersistence == "t":
            return
        if node.partspec is not None:
            kind = RelationKind.PARTITIONED
        relation = Relation(schema, name, kind, source=self.source, unlogged=node.relation.relpersistence == "u")
        parents = tuple(".".join(self.name_of(p)) for p in node.inhRelations or ())
        if node.partbound is not None:
            relation.partition_of = parents[0] if parents else None
        else:
            relation.inherits = parents
        for parent in parents:
            above = self.catalog.relations.get(parent)
            if above is not None:
                relation.columns.update(above.columns)
        relation.options = tuple(
            f"{o.defname}={render(o.arg) if o.arg is not None else 'true'}" for o in node.options or ()
        )
        relation.tablespace = node.tablespacename
        self.catalog.relations[relation.qualified] = relation
        for element in node.tableElts or ():
            if isinstance(element, ast.ColumnDef):
                self.add_column(relation, element)
            elif isinstance(element, ast.Constraint):
                self.add_constraint(relation, element, inline=True)
            elif isinstance(element, ast.TableLikeClause):
                like = self.known(element.relation)
                if like is not None:
                    relation.columns.update(like.columns)

    def create_foreign_table(self, node: Any) -> None:
        self.create_table(node.base if hasattr(node, "base") else node, RelationKind.FOREIGN)

    def add_column(self, relation: Relation, node: Any) -> None:
        type_text = self.type_text(node.typeName)
        attribute = Attribute(node.colname, type_text, not_null=bool(node.is_not_null))
        if type_text in SERIAL:
            attribute.type = SERIAL[type_text]
            attribute.not_null = True
            sequence = Sequence(
                relation.schema,
                f"{relation.name}_{node.colname}_seq",
                attribute.type,
                maximum=LIMITS[attribute.type],
                source=self.source,
                owned_by=f"{relation.qualified}.{node.colname}",
            )
            self.catalog.sequences[sequence.qualified] = sequence
            attribute.sequence = sequence.qualified
            attribute.default = f"nextval('{sequence.qualified}'::regclass)"
        if node.compression:
            attribute.settings = f"compression {node.compression}"
        relation.columns[attribute.name] = attribute
        for constraint in node.constraints or ():
            self.add_column_constraint(relation, attribute, constraint)

    def type_text(self, node: Any) -> str:
        text = render(node).removeprefix("pg_catalog.")
        words = {"int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean"}
        return words.get(text, text)

    def add_column_constraint(self, relation: Relation, attribute: Attribute, node: Any) -> None:
        kind = node.contype
        if kind == ConstrType.CONSTR_NOTNULL:
            attribute.not_null = True
        elif kind == ConstrType.CONSTR_DEFAULT:
            attribute.default = render(node.raw_expr)
        elif kind == ConstrType.CONSTR_IDENTITY:
            attribute.identity = _char(node.generated_when) or "d"
            attribute.not_null = True
        elif kind == ConstrType.CONSTR_GENERATED:
            attribute.generated, attribute.default = "s", render(node.raw_expr)
        else:
            self.add_constraint(relation, node, inline=True, column=attribute.name)

    def add_constraint(self, relation: Relation, node: Any, *, inline: bool, column: str | None = None) -> None:
        kind = node.contype
        columns = tuple(k.sval for k in node.keys or ()) or ((column,) if column else ())
        if kind in (ConstrType.CONSTR_PRIMARY, ConstrType.CONSTR_UNIQUE):
            primary = kind == ConstrType.CONSTR_PRIMARY
            if node.indexname:  # USING INDEX
                for index in relation.indexes:
                    if index.name == node.indexname:
                        index.primary, index.constraint = primary or index.primary, True
                return
            suffix = "pkey" if primary else "_".join((*columns, "key"))
            relation.indexes.append(
                Index(
                    node.conname or f"{relation.name}_{suffix}",
                    columns,
                    unique=True,
                    primary=primary,
                    constraint=True,
                    include=tuple(k.sval for k in node.including or ()),
                    nulls_not_distinct=bool(node.nulls_not_distinct),
                    source=self.source,
                )
            )
            if primary:
                for name in columns:
                    if name in relation.columns:
                        relation.columns[name].not_null = True
        elif kind == ConstrType.CONSTR_FOREIGN:
            self.add_foreign_key(relation, node, columns or tuple(k.sval for k in node.fk_attrs or ()), inline)
        elif kind == ConstrType.CONSTR_CHECK:
            name = node.conname or f"{relation.name}_{column + '_' if column else ''}check"
            relation.checks.append(Check(name, f"CHECK ({render(node.raw_expr)})", self.source))
        elif kind == ConstrType.CONSTR_EXCLUSION:
            relation.exclusions.append(node.conname or f"{relation.name}_excl")

    def add_foreign_key(self, relation: Relation, node: Any, columns: tuple[str, ...], inline: bool) -> None:
        columns = tuple(k.sval for k in node.fk_attrs or ()) or columns
        schema, name = self.name_of(node.pktable)
        parent = self.known(node.pktable)
        qualified = parent.qualified if parent is not None else f"{schema}.{name}"
        parents = tuple(k.sval for k in node.pk_attrs or ()) or (parent.primary_key if parent is not None else ())
        relation.foreign_keys.append(
            ForeignKey(
                name=node.conname or f"{relation.name}_{'_'.join(columns)}_fkey",
                columns=columns,
                parent=qualified,
                parent_columns=parents,
                on_delete=_char(node.fk_del_action) or "a",
                on_update=_char(node.fk_upd_action) or "a",
                match=_char(node.fk_matchtype) or "s",
                deferrable=bool(node.deferrable),
                validated=not node.skip_validation,
                inline=inline,
                source=self.source,
            )
        )

    def alter_table(self, node: Any) -> None:
        relation = self.known(node.relation)
        if relation is None:
            self.alter_unknown(node)
            return
        for command in node.cmds:
            self.alter_command(relation, command)

    def alter_unknown(self, node: Any) -> None:
        """ALTER TABLE also alters sequences and indexes; an unknown table is worth a word."""
        schema, name = self.name_of(node.relation)
        if node.objtype == ObjectType.OBJECT_TABLE and f"{schema}.{name}" not in self.catalog.sequences:
            self.evidence.problems.append(
                f"{self.source}: ALTER TABLE of {schema}.{name}, which the file does not create"
            )

    def alter_command(self, relation: Relation, command: Any) -> None:
        kind, name, definition = command.subtype, command.name, command.def_
        attribute = relation.columns.get(name) if name else None
        if kind == AlterTableType.AT_AddColumn:
            self.add_column(relation, definition)
        elif kind == AlterTableType.AT_AddConstraint:
            self.add_constraint(relation, definition, inline=False)
        elif kind == AlterTableType.AT_DropColumn and name:
            relation.columns.pop(name, None)
            relation.indexes = [i for i in relation.indexes if name not in i.columns]
            relation.foreign_keys = [k for k in relation.foreign_keys if name not in k.columns]
        elif kind == AlterTableType.AT_DropConstraint:
            relation.indexes = [i for i in relation.indexes if i.name != name]
            relation.foreign_keys = [k for k in relation.foreign_keys if k.name != name]
            relation.checks = [c for c in relation.checks if c.name != name]
        elif kind == AlterTableType.AT_EnableRowSecurity:
            relation.row_security = True
        elif kind == AlterTableType.AT_DisableRowSecurity:
            relation.row_security = False
        elif kind == AlterTableType.AT_ForceRowSecurity:
            relation.force_row_security = True
        elif kind == AlterTableType.AT_AttachPartition:
            leaf = self.known(definition.name)
            if leaf is not None:
                leaf.partition_of = relation.qualified
        elif kind == AlterTableType.AT_AddInherit:
            relation.inherits = (*relation.inherits, ".".join(self.name_of(definition)))
        elif kind == AlterTableType.AT_SetRelOptions and relation.is_table:
            relation.options = (*relation.options, *(f"{o.defname}={render(o.arg)}" for o in definition or ()))
        elif kind == AlterTableType.AT_ChangeOwner:
            relation.owner = command.newowner.rolename or ""
        elif attribute is not None:
            self.alter_column(attribute, kind, definition)

    def alter_column(self, attribute: Attribute, kind: Any, definition: Any) -> None:
        if kind == AlterTableType.AT_SetNotNull:
            attribute.not_null = True
        elif kind == AlterTableType.AT_DropNotNull:
            attribute.not_null = False
        elif kind == AlterTableType.AT_ColumnDefault:
            attribute.default = render(definition) if definition is not None else None
            attribute.sequence = None
        elif kind == AlterTableType.AT_AlterColumnType:
            attribute.type = self.type_text(definition.typeName)
        elif kind == AlterTableType.AT_AddIdentity:
            attribute.identity = _char(definition.generated_when) or "d"
        elif kind == AlterTableType.AT_DropIdentity:
            attribute.identity = ""
        elif kind == AlterTableType.AT_SetStatistics:
            attribute.settings = f"statistics {render(definition)}"
        elif kind == AlterTableType.AT_SetOptions:
            attribute.settings = ", ".join(f"{o.defname}={render(o.arg)}" for o in definition or ())
        elif kind == AlterTableType.AT_SetCompression:
            attribute.settings = f"compression {definition.sval}"

    def create_index(self, node: Any) -> None:
        relation = self.known(node.relation)
        if relation is None:
            self.evidence.problems.append(f"{self.source}: index {node.idxname} on an unknown table")
            return
        relation.indexes.append(
            Index(
                node.idxname or f"{relation.name}_idx",
                tuple(p.name for p in node.indexParams),
                unique=bool(node.unique),
                predicate=render(node.whereClause) if node.whereClause is not None else None,
                include=tuple(p.name for p in node.indexIncludingParams or () if p.name),
                custom_opclass=any(p.opclass for p in node.indexParams),
                method=node.accessMethod or "btree",
                nulls_not_distinct=bool(node.nulls_not_distinct),
                definition=render(node),
                source=self.source,
            )
        )

    # ---------------------------------------------------------------- sequences, names

    def create_sequence(self, node: Any) -> None:
        schema, name = self.name_of(node.sequence)
        sequence = Sequence(schema, name, source=self.source, unlogged=node.sequence.relpersistence == "u")
        self.sequence_options(sequence, node.options)
        self.catalog.sequences[sequence.qualified] = sequence

    def alter_sequence(self, node: Any) -> None:
        schema, name = self.name_of(node.sequence)
        sequence = self.catalog.sequences.get(f"{schema}.{name}")
        if sequence is not None:
            self.sequence_options(sequence, node.options)

    def sequence_options(self, sequence: Sequence, options: Any) -> None:
        stated = False
        for option in options or ():
            value = option.arg
            if option.defname == "as":
                sequence.type = self.type_text(value)
            elif option.defname == "cycle":
                sequence.cycle = value is None or bool(value.boolval)
            elif option.defname == "cache":
                sequence.cache = _number(value)
            elif option.defname == "increment":
                sequence.increment = _number(value)
            elif option.defname == "maxvalue" and value is not None:
                sequence.maximum, stated = _number(value), True
            elif option.defname == "owned_by":
                parts = [p.sval for p in value]
                if len(parts) > 1:
                    table = parts if len(parts) > 2 else [self.default, *parts]
                    self.pending_owners.append((".".join(table), sequence.qualified))
        if not stated and sequence.type in LIMITS:
            sequence.maximum = LIMITS[sequence.type]

    def rename(self, node: Any) -> None:
        if node.relation is None:
            return
        relation = self.known(node.relation)
        if relation is None:
            return
        if node.renameType == ObjectType.OBJECT_COLUMN and node.subname in relation.columns:
            attribute = relation.columns[node.subname]
            attribute.name = node.newname
            relation.columns = {
                (node.newname if name == node.subname else name): a for name, a in relation.columns.items()
            }
            for index in relation.indexes:
                index.columns = tuple(node.newname if c == node.subname else c for c in index.columns)
            for key in relation.foreign_keys:
                key.columns = tuple(node.newname if c == node.subname else c for c in key.columns)
        elif node.renameType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW):
            before = relation.qualified
            self.catalog.relations.pop(before, None)
            relation.name = node.newname
            self.catalog.relations[relation.qualified] = relation
            for other in self.catalog.relations.values():
                for key in other.foreign_keys:
                    key.parent = relation.qualified if key.parent == before else key.parent

    def drop(self, node: Any) -> None:
        for item in node.objects or ():
            names = item if isinstance(item, (tuple, list)) else getattr(item, "names", None)
            if not names or not all(hasattr(n, "sval") for n in names):
                continue
            schema, name = dotted(names, self.default)
            qualified = f"{schema}.{name}"
            if node.removeType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW):
                self.catalog.relations.pop(qualified, None)
            elif node.removeType == ObjectType.OBJECT_SEQUENCE:
                self.catalog.sequences.pop(qualified, None)
            elif node.removeType == ObjectType.OBJECT_TYPE:
                self.catalog.types.pop(qualified, None)
            elif node.removeType == ObjectType.OBJECT_INDEX:
                for relation in self.catalog.relations.values():
                    relation.indexes = [i for i in relation.indexes if i.name != name or relation.schema != schema]
            elif node.removeType == ObjectType.OBJECT_TRIGGER and len(names) > 1:
                table = self.catalog.find(names[-2].sval, names[-3].sval if len(names) > 2 else None)
                if table is not None:
                    table.triggers = [t for t in table.triggers if t.name != names[-1].sval]

    def set_path(self, node: Any) -> None:
        if node.name == "search_path" and node.args:
            first = getattr(getattr(node.args[0], "val", None), "sval", None)
            if first and first not in ("$user", "pg_catalog"):
                self.default = first

    def select(self, node: Any) -> None:
        """pg_dump sets the search path to nothing by SELECT set_config; data of a dump may call setval."""


def _char(value: Any) -> str | None:
    """Return a single-character field, which the parser gives as text, as a number, or as NUL for none."""
    if value is None:
        return None
    text = chr(value) if isinstance(value, int) else str(value)
    return None if text in ("", "\x00") else text


def _number(node: Any) -> int:
    value = getattr(node, "ival", None)
    return int(value) if value is not None else int(node.fval)
