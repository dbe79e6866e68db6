"""Which statements of a migration are about the tool's own table, and which only frame the others? Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from migrator.grammar.parse import Parsed, names, walk

TABLES = frozenset(
    {
        "django_migrations", "alembic_version", "schema_migrations", "ar_internal_metadata", "flyway_schema_history",
        "goose_db_version", "gorp_migrations", "_prisma_migrations", "databasechangelog", "databasechangeloglock",
        "_sqlx_migrations", "__diesel_schema_migrations", "pgmigrations", "refinery_schema_history",
        "atlas_schema_revisions", "__drizzle_migrations", "knex_migrations", "knex_migrations_lock", "sequelizemeta",
        "__efmigrationshistory", "mikro_orm_migrations", "doctrine_migration_versions", "phinxlog", "play_evolutions",
        "versioninfo", "_yoyo_migration", "_yoyo_log", "piccolo_migration", "aerich",
    }
)  # fmt: skip
"""Tables in which tools note what they did, in lower case; names that an application may use itself are not here."""

_OF_A_RUN = frozenset({"databasechangeloglock", "knex_migrations_lock", "ar_internal_metadata"})
"""Tables about a run of the tool, and where it ran: nothing that it did."""
_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_SHAPES = frozenset({"CreateStmt", "AlterTableStmt", "IndexStmt"})
_FRAME = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_COMMIT"})


class Part(StrEnum):
    """What a statement is to a migration."""

    CHANGE = "change"  # what the migration is for
    NOTE = "note"  # the tool notes in its table what it did
    SHAPE = "shape"  # the tool makes its table
    FRAME = "frame"  # BEGIN and COMMIT, and what the tool writes about its run: it does not run then


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a statement is about; `schema` is empty where none was written."""

    schema: str
    name: str


def target(statement: Parsed) -> Target | None:
    """Return the table that a statement writes or shapes; None for another sort of statement."""
    if statement.tag not in _WRITES | _SHAPES:
        return None
    relation = statement.body.get("relation", {})
    return Target(relation.get("schemaname", ""), relation.get("relname", ""))


def part_of(statement: Parsed, tables: Collection[str] = TABLES) -> Part:
    """Return what *statement* is, where the tool's own table has one of the names *tables* (lower case)."""
    if statement.tag == "TransactionStmt":
        return Part.FRAME if statement.body.get("kind", "TRANS_STMT_BEGIN") in _FRAME else Part.CHANGE
    found = target(statement)
    if found is None or found.name.lower() not in tables:
        return Part.CHANGE
    if statement.tag in _SHAPES:
        return Part.FRAME if found.name.lower() in _OF_A_RUN else Part.SHAPE
    writes = [body for tag, body in walk({statement.tag: statement.body}) if tag in _WRITES]
    if len(writes) > 1 or _calls(statement):
        return Part.CHANGE  # it hides another one
    return Part.FRAME if found.name.lower() in _OF_A_RUN else Part.NOTE


_HARMLESS = frozenset(
    {"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "coalesce", "max", "min", "count",
     "lower", "upper", "concat", "to_timestamp", "gen_random_uuid", "date_trunc", "timezone", "row_number", "md5"}
)  # fmt: skip


def _calls(statement: Parsed) -> bool:
    """Return whether it calls a function that may do more than compute a value."""
    called = (names(body.get("funcname")) for tag, body in walk({statement.tag: statement.body}) if tag == "FuncCall")
    return any(parts[-1] not in _HARMLESS for parts in called if parts)
