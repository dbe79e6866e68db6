"""What does a schema dump say? DDL text (pg_dump --schema-only, or migrations in order) becomes a catalog.

Every statement is either understood, known to be of no interest, or reported; a broken one does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pglast import ast, parser
from pglast.enums import ObjectType

from migrator.audit import dump_objects
from migrator.audit.catalog import Source
from migrator.audit.dump_reader import Reader, dotted
from migrator.audit.dump_sequences import alter_sequence, create_sequence
from migrator.audit.dump_tables import alter_table, create_foreign_table, create_index, create_table
from migrator.audit.rows import Evidence
from migrator.audit.statement_file import split


def read_dump(text: str, name: str, evidence: Evidence) -> None:
    """Add the objects of *text* to the catalog of *evidence*; *name* is shown as their source."""
    catalog = evidence.catalog
    reader = Reader(catalog, evidence)
    for piece in split(text):
        reader.source = Source(name, piece.line)
        try:
            for raw in parser.parse_sql(piece.sql):
                _apply(reader, raw.stmt, piece.sql)
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


def _apply(reader: Reader, node: Any, text: str) -> None:
    handler = HANDLERS.get(type(node))
    if handler is not None:
        handler(reader, node)
    else:
        dump_objects.apply(reader, node, text)


def _rename(reader: Reader, node: Any) -> None:
    if node.relation is None:
        return
    relation = reader.known(node.relation)
    if relation is None:
        return
    if node.renameType == ObjectType.OBJECT_COLUMN and node.subname in relation.columns:
        attribute = relation.columns[node.subname]
        attribute.name = node.newname
        relation.columns = {(node.newname if name == node.subname else name): a for name, a in relation.columns.items()}
        for index in relation.indexes:
            index.columns = tuple(node.newname if c == node.subname else c for c in index.columns)
        for key in relation.foreign_keys:
            key.columns = tuple(node.newname if c == node.subname else c for c in key.columns)
    elif node.renameType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW):
        before = relation.qualified
        reader.catalog.relations.pop(before, None)
        relation.name = node.newname
        reader.catalog.relations[relation.qualified] = relation
        for other in reader.catalog.relations.values():
            for key in other.foreign_keys:
                key.parent = relation.qualified if key.parent == before else key.parent


def _drop(reader: Reader, node: Any) -> None:
    for item in node.objects or ():
        names = item if isinstance(item, (tuple, list)) else getattr(item, "names", None)
        if not names or not all(hasattr(n, "sval") for n in names):
            continue
        schema, name = dotted(names, reader.default)
        qualified = f"{schema}.{name}"
        if node.removeType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW):
            reader.catalog.relations.pop(qualified, None)
        elif node.removeType == ObjectType.OBJECT_SEQUENCE:
            reader.catalog.sequences.pop(qualified, None)
        elif node.removeType == ObjectType.OBJECT_TYPE:
            reader.catalog.types.pop(qualified, None)
        elif node.removeType == ObjectType.OBJECT_INDEX:
            for relation in reader.catalog.relations.values():
                relation.indexes = [i for i in relation.indexes if i.name != name or relation.schema != schema]
        elif node.removeType == ObjectType.OBJECT_TRIGGER and len(names) > 1:
            table = reader.catalog.find(names[-2].sval, names[-3].sval if len(names) > 2 else None)
            if table is not None:
                table.triggers = [t for t in table.triggers if t.name != names[-1].sval]


def _set_path(reader: Reader, node: Any) -> None:
    if node.name == "search_path" and node.args:
        first = getattr(getattr(node.args[0], "val", None), "sval", None)
        if first and first not in ("$user", "pg_catalog"):
            reader.default = first


def _select(reader: Reader, node: Any) -> None:
    """pg_dump sets the search path to nothing by SELECT set_config; data of a dump may call setval."""


HANDLERS: dict[type, Callable[[Reader, Any], None]] = {
    ast.CreateStmt: create_table,
    ast.CreateForeignTableStmt: create_foreign_table,
    ast.AlterTableStmt: alter_table,
    ast.IndexStmt: create_index,
    ast.CreateSeqStmt: create_sequence,
    ast.AlterSeqStmt: alter_sequence,
    ast.RenameStmt: _rename,
    ast.DropStmt: _drop,
    ast.VariableSetStmt: _set_path,
    ast.SelectStmt: _select,
}
