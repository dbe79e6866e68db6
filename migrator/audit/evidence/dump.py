"""What does a schema dump say? DDL text (pg_dump --schema-only, or migrations in order) becomes a catalog.

Every statement is either understood, known to be of no interest, or reported; a broken one does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pglast import ast, parser
from pglast.enums import ObjectType

from migrator.audit.catalog import Source
from migrator.audit.evidence import dump_block, dump_objects
from migrator.audit.evidence.dump_reader import Reader, dotted, type_text
from migrator.audit.evidence.dump_sequences import alter_sequence, create_sequence
from migrator.audit.evidence.dump_tables import (
    alter_table,
    create_foreign_table,
    create_index,
    create_table,
    made_by_query,
)
from migrator.audit.evidence.enough import Input
from migrator.audit.evidence.rows import Evidence
from migrator.audit.evidence.statement_file import split


def read_dump(text: str, name: str, evidence: Evidence, found: Input | None = None) -> None:
    """Add the objects of *text* to the catalog of *evidence*.

    Args:
        name: shown as their source.
        found: counts the statements, and those left out by sort.
    """
    found = found if found is not None else Input("statements")
    reader = Reader(evidence.catalog, evidence)
    for piece in split(text):
        reader.source = Source(name, piece.line)
        found.read += 1
        try:
            for raw in parser.parse_sql(piece.sql):
                if not _apply(reader, raw.stmt, piece.sql):
                    found.left_out.add(type(raw.stmt).__name__.removesuffix("Stmt"), piece.sql, reader.source)
            continue
        except parser.ParseError as error:
            why = str(error.args[0])
        except dump_block.NotPlpgsql as error:
            why = str(error)
        except (
            RecursionError,
            UnicodeEncodeError,
            AttributeError,
            TypeError,
            ValueError,
            LookupError,
            NotImplementedError,  # the parser's printer raises it for nodes it does not know
        ) as error:
            why = type(error).__name__
        found.rejected += 1
        evidence.rejected += 1
        evidence.problems.append(f"{name}: row {piece.line} cannot be read: {why}")
    found.wanted = found.read
    _undone(reader, name)
    reader.finish()


def _undone(reader: Reader, name: str) -> None:
    """A file that drops the tables it made may hold its own way back, told by no marker."""
    undone = [n for n in reader.made if n in reader.dropped and n not in reader.catalog.relations]
    if undone:
        shown = ", ".join(undone[:3]) + (" and more" if len(undone) > 3 else "")
        said = f"{name} creates {shown} and drops what it created: does it hold its own way back?"
        if all(n in undone for n in reader.made):
            reader.evidence.doubts.append((name, f"{said} Give the way forward alone, or acknowledge this finding"))
        else:
            reader.evidence.problems.append(said)


def _apply(reader: Reader, node: Any, text: str) -> bool:
    """Apply one statement; return whether it says anything that the audit keeps."""
    if isinstance(node, ast.CreateSchemaStmt) and node.schemaElts:
        default, reader.default = reader.default, node.schemaname or reader.default
        for element in node.schemaElts:
            _apply(reader, element, text)
        reader.default = default
        return True
    if isinstance(node, ast.DoStmt):
        return _do(reader, node)
    handler = HANDLERS.get(type(node))
    if handler is None:
        return dump_objects.apply(reader, node, text)
    handler(reader, node)
    return not isinstance(node, (ast.VariableSetStmt, ast.SelectStmt))


def _do(reader: Reader, node: Any) -> bool:
    """Apply what a DO block would do if it ran through: migrations guard their statements with one."""
    statements, dynamic = dump_block.block_statements(node)
    if dynamic:
        reader.evidence.problems.append(f"{reader.source}: a DO block runs {dynamic} texts that are built when it runs")
    for text in statements:
        for raw in parser.parse_sql(text):
            _apply(reader, raw.stmt, text)
    return bool(statements)


def _rename(reader: Reader, node: Any) -> None:
    if node.renameType == ObjectType.OBJECT_SCHEMA:
        reader.catalog.move(lambda r: (node.newname, r.name) if r.schema == node.subname else None)
        return
    if node.relation is None:
        return
    relation = reader.known(node.relation)
    if relation is None:
        return
    if node.renameType == ObjectType.OBJECT_COLUMN and node.subname in relation.columns:
        reader.catalog.rename_column(relation, node.subname, node.newname)
    elif node.renameType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW):
        reader.catalog.move(lambda r: (r.schema, node.newname) if r is relation else None)
    elif node.renameType == ObjectType.OBJECT_TABCONSTRAINT:
        named: tuple[Any, ...] = (*relation.indexes, *relation.foreign_keys, *relation.checks)
        for constraint in named:
            constraint.name = node.newname if constraint.name == node.subname else constraint.name


def _set_schema(reader: Reader, node: Any) -> None:
    relation = reader.known(node.relation) if node.relation is not None else None
    if relation is not None:
        reader.catalog.move(lambda r: (node.newschema, r.name) if r is relation else None)


def _drop(reader: Reader, node: Any) -> None:
    for item in node.objects or ():
        if node.removeType == ObjectType.OBJECT_SCHEMA:
            for qualified in [n for n, r in reader.catalog.relations.items() if r.schema == item.sval]:
                reader.catalog.remove(qualified)
            reader.catalog.functions = [f for f in reader.catalog.functions if f.schema != item.sval]
            continue
        if isinstance(item, ast.ObjectWithArgs):
            _drop_function(reader, item)
            continue
        names = item if isinstance(item, (tuple, list)) else getattr(item, "names", None)
        if not names or not all(hasattr(n, "sval") for n in names):
            continue
        schema, name = dotted(names, reader.default)
        qualified = f"{schema}.{name}"
        if node.removeType in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW):
            if reader.catalog.remove(qualified):
                reader.dropped.append(qualified)
        elif node.removeType == ObjectType.OBJECT_SEQUENCE:
            reader.catalog.sequences.pop(qualified, None)
        elif node.removeType in (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN):
            reader.catalog.types.pop(qualified, None)
        elif node.removeType == ObjectType.OBJECT_INDEX:
            for relation in reader.catalog.relations.values():
                relation.indexes = [i for i in relation.indexes if i.name != name or relation.schema != schema]
        elif node.removeType == ObjectType.OBJECT_TRIGGER and len(names) > 1:
            table = reader.catalog.find(names[-2].sval, names[-3].sval if len(names) > 2 else None)
            if table is not None:
                table.triggers = [t for t in table.triggers if t.name != names[-1].sval]


def _drop_function(reader: Reader, item: Any) -> None:
    schema, name = dotted(item.objname, reader.default)
    types = None if item.args_unspecified else tuple(type_text(a) for a in item.objargs or ())
    gone = [
        f
        for f in reader.catalog.functions
        if (f.schema, f.name) == (schema, name) and types in (None, f.argument_types)
    ]
    reader.catalog.functions = [f for f in reader.catalog.functions if f not in gone]
    if any(f.returns == "trigger" for f in gone):
        for relation in reader.catalog.relations.values():  # CASCADE, or there was none
            kept = [t for t in relation.triggers if t.function not in (name, f"{schema}.{name}")]
            relation.triggers = kept


def _set_path(reader: Reader, node: Any) -> None:
    if node.name in ("search_path", None) and not node.args:
        reader.default = "public"  # RESET, SET … TO DEFAULT
    elif node.name == "search_path":
        _path(reader, [getattr(getattr(a, "val", None), "sval", None) or "" for a in node.args])


def _path(reader: Reader, names: list[str]) -> None:
    kept = [n for n in names if n and n not in ("$user", "pg_catalog")]
    if kept:
        reader.default = kept[0]
        reader.catalog.search_path = tuple(dict.fromkeys(kept))


def _select(reader: Reader, node: Any) -> None:
    """pg_dump sets the search path by SELECT set_config, to nothing; data of a dump may call setval."""
    if node.intoClause is not None:
        made_by_query(reader, node.intoClause.rel, node)
        return
    for target in node.targetList or ():
        call: Any = target.val
        if not isinstance(call, ast.FuncCall):
            continue
        named: Any = call  # the grammar always fills its name
        if named.funcname[-1].sval == "set_config" and len(named.args or ()) > 1:
            name, value = (getattr(getattr(a, "val", None), "sval", None) for a in named.args[:2])
            if name == "search_path" and value:
                _path(reader, [part.strip().strip('"') for part in value.split(",")])


def _create_as(reader: Reader, node: Any) -> None:
    if node.objtype == ObjectType.OBJECT_MATVIEW:
        dump_objects.apply(reader, node, "")
    else:
        made_by_query(reader, node.into.rel, node.query)


HANDLERS: dict[type, Callable[[Reader, Any], None]] = {
    ast.CreateStmt: create_table,
    ast.CreateForeignTableStmt: create_foreign_table,
    ast.AlterTableStmt: alter_table,
    ast.IndexStmt: create_index,
    ast.CreateSeqStmt: create_sequence,
    ast.AlterSeqStmt: alter_sequence,
    ast.CreateTableAsStmt: _create_as,
    ast.RenameStmt: _rename,
    ast.AlterObjectSchemaStmt: _set_schema,
    ast.DropStmt: _drop,
    ast.VariableSetStmt: _set_path,
    ast.SelectStmt: _select,
}
