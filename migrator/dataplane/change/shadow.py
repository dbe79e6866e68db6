"""Tries a view over tables that the same file changes: over the temporary tables that look as they will.

No lock is taken on a migrated table. In the place of the view stands one with the same columns then, without rows, so
that later statements of the file find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.change_sql import temporary
from migrator.dataplane.change.create import as_owner
from migrator.dataplane.change.names import Connection, looked_up_in
from migrator.grammar.parse import walk
from migrator.grammar.tree import Tree
from migrator.grammar.written import Edit, Written, edited, quoted
from migrator.model.table import qualify

_VIEW = "migrator_view"


def tables(node: Tree, path: Sequence[str]) -> Iterator[tuple[str, Tree]]:
    """Yield the qualified names that each relation in a statement may have, where it is none of its WITH."""
    own = {body["ctename"] for kind, body in walk(node.node) if kind == "CommonTableExpr"}
    for kind, body in walk(node.node):
        relation = Tree(kind, body)
        if kind != "RangeVar" or (not relation.schemaname and relation.relname in own):
            continue
        for schema in (relation.schemaname,) if relation.schemaname else path:
            yield qualify(schema, relation.relname), relation


def view(
    conn: Connection, change: Change, node: Tree, schema: str, probes: Mapping[str, sql.Identifier], *, again: bool
) -> None:
    """Try a CREATE VIEW in the caller's transaction; *again*: the file drops a view of this name before.

    Raises:
        psycopg.Error: classic refuses it.
    """
    written = Written(change.statement)
    name = temporary(_VIEW)
    edits = [_renamed(written, node.view, name)]
    for table, relation in tables(node, change.path):
        if table in probes:
            alias = "" if relation.alias is not None else f" AS {quoted(relation.relname)}"
            edits.append(_renamed(written, relation, probes[table], alias))
    try:
        with conn.transaction(), looked_up_in(conn, change.path):
            conn.execute(sql.SQL(edited(written.data, edits)))
    except psycopg.errors.UndefinedTable:  # schema.table.column, say: its step tries it
        return
    columns = details.typed_columns(conn, name)
    conn.execute(sql.SQL("DROP VIEW {}").format(name))
    own = sql.Identifier(schema, node.view.relname)
    if again or details.oid_of(conn, own) is not None:
        return
    empty = sql.SQL(", ").join(sql.SQL("NULL::{} AS {}").format(sql.SQL(t), sql.Identifier(c)) for c, t in columns)
    with as_owner(conn, change.owner):
        conn.execute(sql.SQL("CREATE VIEW {} AS SELECT {} WHERE false").format(own, empty))


def _renamed(written: Written, relation: Tree, name: sql.Identifier, alias: str = "") -> Edit:
    begin: int = relation.location or 0
    end = written.tokens[written.name_end(begin) - 1].end
    return begin, end, name.as_string(None) + alias
