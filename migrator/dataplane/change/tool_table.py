"""What do migration tools keep in their tables on classic, and how is another migration noted there? Pure.

Only tools whose migrations are files of SQL: what others print says itself what they note.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import LiteralString

from migrator.scripts.migration import Migration

_NUMBER = re.compile(r"^(\d+)")
_FLYWAY = re.compile(r"^(?:V(?P<version>\d+(?:[._]\d+)*)|R)__(?P<description>.*?)(?:\.sql)?$")
_CHANGESET = re.compile(r"::(?P<id>[^:]*(?::[^:]+)*)::(?P<author>.*)$")

Rows = Mapping[str, str]
"""What a table holds: what it calls a migration → checksum, '' where it keeps none."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and its table.

    Attributes:
        columns: by which its table is known from another tool's of that name.
        fits: whether a migration may be one of its.
        key: what the table calls a migration.
        checksum: of a migration, as the table keeps it; '' where it cannot be compared.
        done: the query for (what it calls it, checksum) of what is done, in order.
        add: the statement that notes one; {table} stands for the table, parameters are `values`.
        dirty: a query that says what was left half done.
        up_to: the table holds the last one alone; those before it are done.
    """

    name: str
    table: str
    columns: frozenset[str]
    fits: Callable[[Migration], bool]
    key: Callable[[Migration], str]
    done: LiteralString
    add: LiteralString
    checksum: Callable[[Migration], str] = lambda _: ""
    schema: str = ""
    dirty: LiteralString = ""
    up_to: bool = False

    def values(self, migration: Migration) -> dict[str, str]:
        """Return the parameters of `add`."""
        path = PurePath(migration.path)
        flyway = _FLYWAY.match(path.name)
        changeset = _CHANGESET.search(migration.name)
        return {
            "key": self.key(migration).partition(":")[2] if self.name == "Flyway" else self.key(migration),
            "checksum": self.checksum(migration),
            "file": path.name,
            "path": migration.path,
            "words": _words(flyway["description"] if flyway else _NUMBER.sub("", _stem(path)).strip("_-.")),
            "id": changeset["id"] if changeset else "",
            "author": changeset["author"] if changeset else "",
        }

    def is_done(self, migration: Migration, rows: Rows) -> bool:
        """Return whether *rows*, its table's, hold *migration*."""
        key = self.key(migration)
        if self.up_to:
            return any(int(key) <= int(last) for last in rows)
        if self.name == "Flyway" and key.startswith("V:"):
            base = max((_parts(k) for k in rows if k.startswith("B:")), default=())
            return any(_parts(k) == _parts(key) for k in rows if k.startswith("V:")) or _parts(key) <= base
        if key not in rows:
            return False
        return not (migration.again and self.is_changed(migration, rows))

    def is_changed(self, migration: Migration, rows: Rows) -> bool:
        """Return whether it is another than the table's checksum says."""
        kept, now = rows.get(self.key(migration), ""), self.checksum(migration)
        return bool(kept and now and kept != now)


def _parts(key: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.findall(r"\d+", key)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _words(text: str) -> str:
    return text.replace("_", " ")


def _stem(path: PurePath) -> str:
    return path.name.removesuffix(".sql").removesuffix(".up")


def _number(migration: Migration) -> str:
    found = _NUMBER.match(PurePath(migration.path).name)
    return str(int(found[1])) if found else ""


def _digits(migration: Migration) -> str:
    found = _NUMBER.match(PurePath(migration.path).name)
    return found[1] if found else ""


def _numbered(migration: Migration) -> bool:
    return bool(_number(migration))


def _folder(migration: Migration) -> str:
    return PurePath(migration.path).parent.name


def _flyway_key(migration: Migration) -> str:
    found = _FLYWAY.match(PurePath(migration.path).name)
    if found is None:
        return ""
    if found["version"]:
        return "V:" + found["version"].replace("_", ".")
    return "R:" + _words(found["description"])


def flyway_checksum(data: bytes) -> str:
    """Return Flyway's checksum: CRC32 of the lines without their ends, as a signed number."""
    text = data.decode("utf-8-sig", "replace")
    value = 0
    for line in re.split(r"\r\n|\n|\r", text.removesuffix("\n").removesuffix("\r")):
        value = zlib.crc32(line.encode(), value)
    return str(value - (1 << 32) if value >= 1 << 31 else value)


def _marked(mark: bytes) -> Callable[[Migration], bool]:
    return lambda migration: mark in re.sub(rb"--\s+", b"--", migration.data).lower()


TOOLS: tuple[Tool, ...] = (
    Tool(
        "Flyway",
        "flyway_schema_history",
        frozenset({"installed_rank", "version", "script", "checksum", "success"}),
        lambda m: _FLYWAY.match(PurePath(m.path).name) is not None,
        _flyway_key,
        "SELECT CASE WHEN type LIKE '%%BASELINE' THEN 'B:' || version WHEN version IS NULL THEN 'R:' || description"
        " ELSE 'V:' || version END, coalesce(checksum::text, '') FROM {table}"
        " WHERE success AND type NOT LIKE 'UNDO%%' AND type <> 'DELETE' ORDER BY installed_rank",
        "INSERT INTO {table} (installed_rank, version, description, type, script, checksum, installed_by,"
        " execution_time, success) SELECT coalesce(max(installed_rank), 0) + 1, nullif(CASE WHEN %(file)s LIKE 'R%%'"
        " THEN '' ELSE %(key)s END, ''), %(words)s, 'SQL', %(file)s, %(checksum)s::integer, current_user, 0, true"
        " FROM {table}",
        checksum=lambda m: flyway_checksum(m.data),
        dirty="SELECT 'script ' || script || ' failed' FROM {table} WHERE NOT success",
    ),
    Tool(
        "goose",
        "goose_db_version",
        frozenset({"version_id", "is_applied"}),
        _numbered,
        _number,
        "SELECT version_id::text, '' FROM (SELECT DISTINCT ON (version_id) version_id, is_applied FROM {table}"
        " ORDER BY version_id, id DESC) AS last WHERE is_applied",
        "INSERT INTO {table} (version_id, is_applied) VALUES (%(key)s::bigint, true)",
    ),
    Tool(
        "golang-migrate",
        "schema_migrations",
        frozenset({"version", "dirty"}),
        _numbered,
        _number,
        "SELECT version::text, '' FROM {table} WHERE version >= 0",
        "WITH set AS (UPDATE {table} SET version = %(key)s::bigint, dirty = false RETURNING 1)"
        " INSERT INTO {table} (version, dirty) SELECT %(key)s::bigint, false WHERE NOT EXISTS (SELECT FROM set)",
        dirty="SELECT 'version ' || version || ' is dirty' FROM {table} WHERE dirty",
        up_to=True,
    ),
    Tool(
        "dbmate",
        "schema_migrations",
        frozenset({"version"}),
        lambda m: _numbered(m) and _marked(b"--migrate:up")(m),
        _digits,
        "SELECT version::text, '' FROM {table}",
        "INSERT INTO {table} (version) VALUES (%(key)s)",
    ),
    Tool(
        "Supabase",
        "schema_migrations",
        frozenset({"version", "name", "statements"}),
        _numbered,
        _digits,
        "SELECT version::text, '' FROM {table}",
        "INSERT INTO {table} (version, name) VALUES (%(key)s, replace(%(words)s, ' ', '_'))",
        schema="supabase_migrations",
    ),
    Tool(
        "sql-migrate",
        "gorp_migrations",
        frozenset({"id", "applied_at"}),
        lambda m: _marked(b"--+migrate")(m) or _numbered(m),
        lambda m: PurePath(m.path).name,
        "SELECT id::text, '' FROM {table}",
        "INSERT INTO {table} (id, applied_at) VALUES (%(key)s, now())",
    ),
    Tool(
        "Prisma",
        "_prisma_migrations",
        frozenset({"id", "checksum", "migration_name", "finished_at", "rolled_back_at"}),
        lambda m: PurePath(m.path).name == "migration.sql",
        _folder,
        "SELECT migration_name, checksum FROM {table} WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
        "INSERT INTO {table} (id, checksum, migration_name, started_at, finished_at, applied_steps_count)"
        " VALUES (gen_random_uuid()::text, %(checksum)s, %(key)s, now(), now(), 1)",
        checksum=lambda m: hashlib.sha256(m.data).hexdigest(),
        dirty="SELECT 'migration ' || migration_name || ' failed' FROM {table}"
        " WHERE finished_at IS NULL AND rolled_back_at IS NULL",
    ),
    Tool(
        "sqlx",
        "_sqlx_migrations",
        frozenset({"version", "description", "success", "checksum", "execution_time"}),
        _numbered,
        _number,
        "SELECT version::text, encode(checksum, 'hex') FROM {table} WHERE success",
        "INSERT INTO {table} (version, description, success, checksum, execution_time)"
        " VALUES (%(key)s::bigint, %(words)s, true, decode(%(checksum)s, 'hex'), -1)",
        checksum=lambda m: hashlib.sha384(m.data).hexdigest(),
        dirty="SELECT 'version ' || version || ' failed' FROM {table} WHERE NOT success",
    ),
    Tool(
        "Diesel",
        "__diesel_schema_migrations",
        frozenset({"version", "run_on"}),
        lambda m: PurePath(m.path).name == "up.sql",
        lambda m: _folder(m).partition("_")[0].replace("-", ""),
        "SELECT version::text, '' FROM {table}",
        "INSERT INTO {table} (version) VALUES (%(key)s)",
    ),
    Tool(
        "node-pg-migrate",
        "pgmigrations",
        frozenset({"name", "run_on"}),
        _numbered,
        lambda m: PurePath(m.path).name.rpartition(".")[0],
        "SELECT name::text, '' FROM {table}",
        "INSERT INTO {table} (name, run_on) VALUES (%(key)s, now())",
    ),
    Tool(
        "tern",
        "schema_version",
        frozenset({"version"}),
        _numbered,
        _number,
        "SELECT version::text, '' FROM {table}",
        "UPDATE {table} SET version = %(key)s::integer",
        up_to=True,
    ),
    Tool(
        "MyBatis",
        "changelog",
        frozenset({"id", "applied_at", "description"}),
        lambda m: _numbered(m) and b"@undo" in m.data.lower(),
        _number,
        "SELECT id::text, '' FROM {table}",
        "INSERT INTO {table} (id, applied_at, description) VALUES (%(key)s::numeric, now()::text, %(words)s)",
    ),
    Tool(
        "Liquibase",
        "databasechangelog",
        frozenset({"id", "author", "filename", "orderexecuted", "exectype", "md5sum"}),
        lambda m: _CHANGESET.search(m.name) is not None,
        lambda m: m.name.partition("::")[2],
        "SELECT id || '::' || author, '' FROM {table}",
        # Liquibase computes a checksum that is missing. It knows a changeset by its file as well: as it named others.
        "INSERT INTO {table} (id, author, filename, dateexecuted, orderexecuted, exectype, description)"
        " SELECT %(id)s, %(author)s, coalesce((SELECT filename FROM {table} WHERE filename = %(file)s"
        " OR right(filename, length(%(file)s) + 1) = '/' || %(file)s ORDER BY orderexecuted DESC LIMIT 1),"
        " (SELECT regexp_replace(filename, '[^/]*$', '') || %(file)s FROM {table} ORDER BY orderexecuted DESC LIMIT 1),"
        " %(path)s), now(), (SELECT coalesce(max(orderexecuted), 0) + 1 FROM {table}), 'EXECUTED', 'sql'",
    ),
)  # fmt: skip
