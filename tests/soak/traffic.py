"""Writes to every table of a schema that it learns from the catalog, and goes on while the schema changes.

Like an application, it uses what a migration adds once that is done, and may meet what is missing before.
"""

from __future__ import annotations

import json
import random
import string
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from tests.soak.entries import Conn, Entry, identifier, owned, search_path

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS needed,
       a.attidentity <> '' OR a.attgenerated <> '' AS computed,
       CASE WHEN a.atttypmod > 4 AND b.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 END,
       CASE WHEN b.typtype = 'e' THEN (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder)
                                         FROM pg_enum e WHERE e.enumtypid = b.oid) END,
       coalesce(i.indkey @> ARRAY[a.attnum], false)
  FROM pg_attribute a JOIN pg_type d ON d.oid = a.atttypid
  JOIN pg_type b ON b.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
  LEFT JOIN (SELECT indrelid, indkey::int2[] AS indkey FROM pg_index WHERE indisprimary) i ON i.indrelid = a.attrelid
 WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""
_LINKS = """
SELECT m.nspname || '.' || p.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, o)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, o)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o)
  FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace m ON m.oid = p.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = %s::regclass
 ORDER BY k.conname
"""
_PASSING = (
    psycopg.errors.DatabaseError,  # a constraint, a type or a rule of the application says no: another row will do
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    base: str
    category: str
    needed: bool
    computed: bool
    length: int | None
    labels: list[str] | None
    key: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key: its parent, the columns here and there."""

    parent: str
    columns: list[str]
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as writers see it."""

    columns: tuple[Column, ...]
    links: tuple[Link, ...]

    @property
    def linked(self) -> set[str]:
        return {c for link in self.links for c in link.columns}


@dataclass
class Traffic:
    """One writer. What the database refuses is counted in `refused`, by table and SQLSTATE; what it took in `written`.

    Attributes:
        entries: what each table becomes; replaced when tables come or go.
        tenant: the tenant column.
        values, schemas: see `Application`.
    """

    dsn: str
    entries: Mapping[str, Entry]
    tenant: str
    values: Mapping[str, Mapping[str, tuple[str, ...]]]
    schemas: tuple[str, ...]
    seed: int = 1
    tenants: int = 6
    written: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._stop_writing = threading.Event()
        self._writing = threading.Lock()
        self._random = random.Random(self.seed)
        self._shapes: dict[str, Shape] = {}
        self._pool: dict[str, list[str]] = {}

    def _write(self) -> None:
        with self._connected() as conn:
            while not self._stop_writing.wait(0.01):
                with self._writing:
                    self._one(conn, self._random.choice(list(self.entries)))

    def fill(self, rows: int) -> None:
        """Insert about *rows* rows into every table, parents first as they come."""
        with self._connected() as conn:
            for _ in range(rows):
                for table in self.entries:
                    self._attempt(conn, table, self._insert)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is being written meanwhile."""
        with self._writing:
            yield

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Write in a thread until left."""
        thread = threading.Thread(target=self._write, name="traffic", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop_writing.set()
            thread.join()

    def forget(self) -> None:
        """Look tables up again: their schema changed."""
        self._shapes = {}

    def _connected(self) -> Conn:
        conn = psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)
        conn.execute(search_path(self.schemas))
        return conn

    def _one(self, conn: Conn, table: str) -> None:
        if self.entries[table]["kind"] == "excluded":
            return
        act = self._random.choices((self._insert, self._update, self._delete), (5, 5, 1))[0]
        self._attempt(conn, table, act)

    def _attempt(self, conn: Conn, table: str, act: Callable[[Conn, str], int]) -> None:
        try:
            self.written[table] += act(conn, table)
        except _PASSING as error:
            if conn.broken:
                raise
            self.refused[(table, error.sqlstate or "")] += 1
            if (error.sqlstate or "").startswith("42"):
                self._shapes.pop(table, None)  # what it knows of the table is gone

    def _shape(self, conn: Conn, table: str) -> Shape:
        if table not in self._shapes:
            name = identifier(table).as_string(conn)
            columns = tuple(Column(*row) for row in conn.execute(_COLUMNS, (name,)))
            self._shapes[table] = Shape(columns, tuple(Link(*row) for row in conn.execute(_LINKS, (name,))))
        return self._shapes[table]

    def _insert(self, conn: Conn, table: str) -> int:
        shape = self._shape(conn, table)
        entry = self.entries[table]
        own = entry.get("tenant_column") or (self.tenant if entry["kind"] == "sharded" and "via" not in entry else None)
        tenant = self._some_tenant(shape, own)
        row: dict[str, Any] = {}
        for link in shape.links:
            parent = self._parent(conn, link, tenant) if link.parent in self.entries else None
            needed = any(c.needed for c in shape.columns if c.name in link.columns)
            if parent is None and needed:
                return 0
            row |= dict.fromkeys(link.columns) if parent is None else dict(zip(link.columns, parent, strict=True))
        if own is not None and row.get(own) is None:
            row[own] = tenant
        for column in shape.columns:
            if column.computed or column.name in row or (not column.needed and self._random.random() < 0.3):
                continue
            row[column.name] = self._value(table, column)
        return self._execute_insert(conn, table, shape, row)

    def _execute_insert(self, conn: Conn, table: str, shape: Shape, row: dict[str, Any]) -> int:
        types = {c.name: c.type for c in shape.columns}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(_placed(types[c]) for c in row),
        )
        return conn.execute(statement, list(row.values())).rowcount if row else 0

    def _update(self, conn: Conn, table: str) -> int:
        shape = self._shape(conn, table)
        own = self.entries[table].get("tenant_column") or self.tenant
        free = [c for c in shape.columns if not c.key and not c.computed and c.name not in shape.linked | {own}]
        key = [c.name for c in shape.columns if c.key]
        if not free or not key:
            return 0
        column = self._random.choice(free)
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE ({}) IN ({})").format(
            identifier(table), sql.Identifier(column.name), _placed(column.type), _list(key), self._some_row(table, key)
        )
        return conn.execute(statement, (self._value(table, column),)).rowcount

    def _delete(self, conn: Conn, table: str) -> int:
        key = [c.name for c in self._shape(conn, table).columns if c.key]
        if not key:
            return 0
        statement = sql.SQL("DELETE FROM {0} WHERE ({1}) IN ({2}) AND (SELECT count(*) > 8 FROM {0})").format(
            identifier(table), _list(key), self._some_row(table, key)
        )
        return conn.execute(statement).rowcount

    def _some_row(self, table: str, key: list[str]) -> sql.Composable:
        return sql.SQL("SELECT {} FROM {} ORDER BY random() LIMIT 1").format(_list(key), identifier(table))

    def _parent(self, conn: Conn, link: Link, tenant: str) -> list[str] | None:
        """Return the key of a row of the parent that belongs to *tenant*, or to nobody; as text."""
        where = owned(link.parent, self.entries, self.tenant)
        keys = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", k)) for k in link.keys)
        sharded = self.entries[link.parent]["kind"] == "sharded"
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY random() LIMIT 1").format(
            keys, where.source, sql.SQL("{} = {}").format(where.tenant, tenant) if sharded else sql.SQL("true")
        )
        found = conn.execute(statement).fetchone()
        return None if found is None else list(found)

    def _some_tenant(self, shape: Shape, own: str | None) -> str:
        """Return a tenant, in a value of the tenant column's type; the same few are used all along."""
        kinds = {c.name: c for c in shape.columns}
        base = kinds[own].base if own in kinds else next(iter(self._pool), "text")
        if base not in self._pool and own in kinds:
            self._pool[base] = [
                str(n) if kinds[own].category == "N" else str(uuid.UUID(int=n)) if base == "uuid" else f"tenant {n}"
                for n in range(1, self.tenants + 1)
            ]
        return self._random.choice(self._pool.get(base) or next(iter(self._pool.values()), ["1"]))

    def _value(self, table: str, column: Column) -> str | None:
        named = self.values.get(table, {}).get(column.name)
        if named:
            return self._random.choice(named)
        return None if not column.needed and self._random.random() < 0.1 else self._text(column)

    def _text(self, column: Column) -> str | None:
        r = self._random
        if column.labels:
            return r.choice(column.labels)
        match column.base, column.category:
            case "int2", _:
                return str(r.randint(0, 30_000))
            case "int4" | "oid", _:
                return str(r.randint(0, 2_000_000_000))
            case "int8", _:
                return str(r.randint(0, 2**62))
            case _, "N":
                return f"{r.random() * 90:.2f}"
            case "bool", _:
                return r.choice(("true", "false"))
            case "uuid", _:
                return str(uuid.UUID(int=r.getrandbits(128)))
            case "json" | "jsonb", _:
                return json.dumps({"n": r.random(), "of": ["ä", None]})
            case "bytea", _:
                return r"\x" + r.randbytes(5).hex()
            case "interval", _:
                return f"{r.randint(0, 10**6)} seconds"
            case "time" | "timetz", _:
                return f"{r.randint(0, 23):02}:00:{r.random() * 59:09.6f}"
            case _, "D":
                return f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02} 12:{r.randint(0, 59):02}:00+00"
            case _, "A":
                return "{}"
            case "inet" | "cidr", _:
                return f"10.0.0.{r.randint(0, 255)}"
            case _, "S":
                return "".join(r.choices(string.ascii_lowercase + "éß ", k=min(column.length or 10, 10)))
        return None


def _list(names: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _placed(type_text: str) -> sql.Composable:
    """A parameter of a type."""
    return sql.SQL("%s::" + type_text.replace("%", "%%"))
