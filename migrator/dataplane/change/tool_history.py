"""Asks a tool's own table on classic which migrations are done, and notes there what is done here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import columns
from migrator.dataplane.change.progress import Connection
from migrator.dataplane.change.tool_table import TOOLS, Rows, Tool
from migrator.db.error_text import server_message
from migrator.grammar.parse import parse
from migrator.model.table import qualify, split_qualified
from migrator.scripts.bookkeeping import target
from migrator.scripts.migration import Migration, Note


@dataclass(frozen=True, slots=True)
class History:
    """A tool's table on classic, as it was read. `problems`: what it says was left half done."""

    tool: Tool
    schema: str
    table: str
    rows: Rows
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> tuple[str, str]:
        return self.schema, self.table

    @property
    def words(self) -> str:
        return f"{self.tool.name}'s table {qualify(self.schema, self.table)}"


def read_history(
    conn: Connection, schemas: Sequence[str], migrations: Sequence[Migration], tables: Sequence[str] = ()
) -> History | None:
    """Return the table of the tool that *migrations* belong to by their names; None where there is none.

    Args:
        schemas: where it may be.
        tables: names that it may have besides the usual one.
    """
    known = [m for m in migrations if m.known]
    for tool in TOOLS:
        if not known or not all(tool.fits(m) and tool.key(m) for m in known):
            continue
        names = [(s, tool.table) for s in ((tool.schema,) if tool.schema else schemas)]
        names += [_named(name, s) for name in tables for s in schemas]
        for schema, name in names:
            found = _columns(conn, schema, name)
            # Several tools call their table schema_migrations: it is the one whose columns these are.
            if _is_its(tool, found):
                return _read(conn, tool, schema, name)
    return None


def _is_its(tool: Tool, found: frozenset[str]) -> bool:
    """Return whether a table with the columns *found* is the tool's: no other of its name has more of them."""
    others = (t.columns for t in TOOLS if t.table == tool.table)
    return (
        tool.columns <= found
        and (len(tool.columns) > 1 or tool.columns == found)
        and not any(tool.columns < columns <= found for columns in others)
    )


def _named(table: str, schema: str) -> tuple[str, str]:
    """Return schema and name of a table that an operator named, in *schema* unless it says another."""
    try:
        return split_qualified(table)
    except ValueError:
        return schema, table.strip('"')


def _columns(conn: Connection, schema: str, name: str) -> frozenset[str]:
    oid = details.oid_of(conn, sql.Identifier(schema, name))
    return frozenset() if oid is None else frozenset(c.name for cs in columns(conn, relation=oid).values() for c in cs)


def _read(conn: Connection, tool: Tool, schema: str, name: str) -> History:
    table = sql.Identifier(schema, name)
    rows = {str(key): str(checksum) for key, checksum in conn.execute(sql.SQL(tool.done).format(table=table), ())}
    halves = [str(row[0]) for row in conn.execute(sql.SQL(tool.dirty).format(table=table), ())] if tool.dirty else []
    history = History(tool, schema, name, rows)
    problems = tuple(f"{history.words}: {half}: finish or repair it with {tool.name} first" for half in halves)
    return History(tool, schema, name, rows, problems)


def note(conn: Connection, migration: Migration, history: History | None, schemas: Sequence[str]) -> None:
    """Note in the tool's table, in the caller's transaction, that *migration* is done; with its own statements first.

    Raises:
        LookupError: a statement changes nothing, or names a table that is not there or ambiguous.
        psycopg.Error: classic refuses it.
    """
    for one in migration.notes:
        _run(conn, one, schemas)
    if history is None or not migration.known:
        return
    if not migration.notes or not history.tool.is_done(migration, _read(conn, history.tool, *history.name).rows):
        statement = sql.SQL(history.tool.add).format(table=sql.Identifier(history.schema, history.table))
        conn.execute(statement, history.tool.values(migration))


def _run(conn: Connection, one: Note, schemas: Sequence[str]) -> None:
    [statement] = parse(one.text)
    found = target(statement)
    assert found is not None  # it is a note because of its table
    places = [found.schema] if found.schema else list(schemas)
    there = [s for s in places if details.oid_of(conn, sql.Identifier(s, found.name)) is not None]
    if not there:
        raise LookupError(
            f"classic has no table {found.name} in {' or '.join(places)}: let its tool make it, or name the one it uses"
            " with --tool-table SCHEMA.NAME"
        )
    if len(there) > 1:
        raise LookupError(f"{found.name} may be {' or '.join(qualify(s, found.name) for s in there)}: name the schema")
    if one.shapes:
        return  # it has its table
    with _in_schema(conn, there[0]):
        changed = conn.execute(sql.SQL(one.text)).rowcount
    if changed == 0:
        raise LookupError(f"{found.name} does not hold what it expects, so it changes nothing")


@contextmanager
def _in_schema(conn: Connection, schema: str) -> Iterator[None]:
    """Let names without a schema be those of *schema*, in the caller's transaction."""
    path = sql.Identifier(schema).as_string(conn)
    conn.execute("SELECT set_config('search_path', %s, true)", (path,))
    yield
    conn.execute("SELECT set_config('search_path', 'pg_catalog', true)")


def try_notes(
    conn: Connection, migrations: Sequence[Migration], history: History | None, schemas: Sequence[str]
) -> list[tuple[Migration, str]]:
    """Return what classic would say against noting *migrations* one after the other; nothing is changed."""
    found = []
    with conn.transaction(force_rollback=True):
        for migration in migrations:
            try:
                with conn.transaction():
                    note(conn, migration, history, schemas)
            except LookupError as error:
                found.append((migration, str(error)))
            except psycopg.errors.UniqueViolation:
                found.append((migration, "its tool has noted it as done already"))
            except psycopg.Error as error:
                found.append((migration, f"classic refuses to note it: {server_message(error)}"))
    return found
