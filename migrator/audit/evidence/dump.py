"""Turns DDL text (pg_dump --schema-only, or migrations in order) into a catalog.

Every statement is understood, known to be of no interest, or reported; an invalid one does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from migrator.grammar.parse import Unparsable, parse
from migrator.grammar.tree import Tree
from migrator.grammar.written import Written
from migrator.scripts.statement_file import split


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
            for node in _nodes(reader, piece.sql):
                if not _apply(reader, node, piece.sql):
                    found.left_out.add(node.tag.removesuffix("Stmt"), piece.sql, reader.source)
            continue
        except (Unparsable, dump_block.NotPlpgsql) as error:
            why = str(error)
        except (RecursionError, AttributeError, TypeError, ValueError, LookupError) as error:
            why = type(error).__name__
        found.rejected += 1
        evidence.rejected += 1
        evidence.problems.append(f"{name}: row {piece.line} cannot be read: {why}")
    found.wanted = found.read
    _undone(reader, name)
    reader.finish()


def _nodes(reader: Reader, text: str) -> list[Tree]:
    """Return the statements of *text*, which the reader cuts parts out of."""
    reader.written = Written(text)
    return [Tree(p.tag, p.body) for p in parse(text)]


def _undone(reader: Reader, name: str) -> None:
    """A file that drops the tables it made may hold its own way back without a marker."""
    undone = [n for n in reader.made if n in reader.dropped and n not in reader.catalog.relations]
    if undone:
        shown = ", ".join(undone[:3]) + (" and more" if len(undone) > 3 else "")
        said = f"{name} creates {shown} and drops what it created: does it hold its own way back?"
        if all(n in undone for n in reader.made):
            reader.evidence.doubts.append((name, f"{said} Give the way forward alone, or acknowledge this finding"))
        else:
            reader.evidence.problems.append(said)


def _apply(reader: Reader, node: Any, text: str) -> bool:
    """Apply one statement; return whether it holds anything that the audit keeps."""
    if node.tag == "CreateSchemaStmt" and node.schemaElts:
        default, reader.default = reader.default, node.schemaname or reader.default
        for element in node.schemaElts:
            _apply(reader, element, text)
        reader.default = default
        return True
    if node.tag == "DoStmt":
        return _do(reader, node)
    handler = HANDLERS.get(node.tag)
    if handler is None:
        return dump_objects.apply(reader, node, text)
    handler(reader, node)
    return node.tag not in ("VariableSetStmt", "SelectStmt")


def _do(reader: Reader, node: Any) -> bool:
    """Apply what a DO block would do if it ran through: migrations guard their statements with one."""
    statements, dynamic = dump_block.block_statements(node)
    if dynamic:
        reader.evidence.problems.append(f"{reader.source}: a DO block runs {dynamic} texts that are built when it runs")
    for text in statements:
        for inner in _nodes(reader, text):
            _apply(reader, inner, text)
    return bool(statements)


def _rename(reader: Reader, node: Any) -> None:
    if node.renameType == "OBJECT_SCHEMA":
        reader.catalog.move(lambda r: (node.newname, r.name) if r.schema == node.subname else None)
        return
    if node.relation is None:
        return
    relation = reader.known(node.relation)
    if relation is None:
        return
    if node.renameType == "OBJECT_COLUMN" and node.subname in relation.columns:
        reader.catalog.rename_column(relation, node.subname, node.newname)
    elif node.renameType in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"):
        reader.catalog.move(lambda r: (r.schema, node.newname) if r is relation else None)
    elif node.renameType == "OBJECT_TABCONSTRAINT":
        named: tuple[Any, ...] = (*relation.indexes, *relation.foreign_keys, *relation.checks)
        for constraint in named:
            constraint.name = node.newname if constraint.name == node.subname else constraint.name


def _set_schema(reader: Reader, node: Any) -> None:
    relation = reader.known(node.relation) if node.relation is not None else None
    if relation is not None:
        reader.catalog.move(lambda r: (node.newschema, r.name) if r is relation else None)


def _drop(reader: Reader, node: Any) -> None:
    for item in node.objects or ():
        if node.removeType == "OBJECT_SCHEMA":
            for qualified in [n for n, r in reader.catalog.relations.items() if r.schema == item.sval]:
                reader.catalog.remove(qualified)
            reader.catalog.functions = [f for f in reader.catalog.functions if f.schema != item.sval]
            continue
        if isinstance(item, Tree) and item.tag == "ObjectWithArgs":
            _drop_function(reader, item)
            continue
        names = item if isinstance(item, tuple) else item.names
        if not names or not all(n.tag == "String" for n in names):
            continue
        schema, name = dotted(names, reader.default)
        qualified = f"{schema}.{name}"
        if node.removeType in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"):
            if reader.catalog.remove(qualified):
                reader.dropped.append(qualified)
        elif node.removeType == "OBJECT_SEQUENCE":
            reader.catalog.sequences.pop(qualified, None)
        elif node.removeType in ("OBJECT_TYPE", "OBJECT_DOMAIN"):
            reader.catalog.types.pop(qualified, None)
        elif node.removeType == "OBJECT_INDEX":
            for relation in reader.catalog.relations.values():
                relation.indexes = [i for i in relation.indexes if i.name != name or relation.schema != schema]
        elif node.removeType == "OBJECT_TRIGGER" and len(names) > 1:
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
        _path(reader, [a.text or "" for a in node.args])


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
        call = target.val
        if call.tag == "FuncCall" and call.funcname[-1].sval == "set_config" and len(call.args or ()) > 1:
            name, value = (a.text for a in call.args[:2])
            if name == "search_path" and value:
                _path(reader, [part.strip().strip('"') for part in value.split(",")])


def _create_as(reader: Reader, node: Any) -> None:
    if node.objtype == "OBJECT_MATVIEW":
        dump_objects.apply(reader, node, "")
    else:
        made_by_query(reader, node.into.rel, node.query)


HANDLERS: dict[str, Callable[[Reader, Any], None]] = {
    "CreateStmt": create_table,
    "CreateForeignTableStmt": create_foreign_table,
    "AlterTableStmt": alter_table,
    "IndexStmt": create_index,
    "CreateSeqStmt": create_sequence,
    "AlterSeqStmt": alter_sequence,
    "CreateTableAsStmt": _create_as,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _set_schema,
    "DropStmt": _drop,
    "VariableSetStmt": _set_path,
    "SelectStmt": _select,
}
