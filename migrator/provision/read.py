"""What does a cluster hold? Reads the catalog of either side into `migrator.provision.catalog` values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from migrator.control.answers import answers
from migrator.db.named import load
from migrator.model.capability import Capability
from migrator.model.limits import parse_engine, supported_extensions
from migrator.model.table import qualify
from migrator.provision.catalog import (
    Catalog,
    Check,
    Collation,
    Column,
    ForeignKey,
    Index,
    Name,
    Routine,
    TableShape,
    Type,
)
from migrator.provision.catalog import Sequence as SequenceShape

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_RANGE_OPTIONS = ("subtype", "subtype_opclass", "collation", "subtype_diff", "multirange_type_name")
_STORAGE = re.compile(r" WITH \((?:[^()']|'[^']*')*\)")
_HASH_KEY = re.compile(r"^HASH \((?P<columns>.*)\)$")

_SQL = load("migrator.provision", "read.sql")


def is_limitless(conn: psycopg.Connection[Any]) -> bool:
    """Return whether *conn*'s server is Limitless (or stands in for it).

    Source: the test the AWS ODBC driver uses.
    """
    row = conn.execute("SELECT to_regclass('rds_aurora.limitless_subclusters') IS NOT NULL").fetchone()
    return bool(row and row[0])


def read(conn: psycopg.Connection[Any], schemas: Sequence[str]) -> Catalog:
    """Return what *conn*'s side holds in *schemas*, in one snapshot; owns its transaction."""
    inside = conn.info.transaction_status is not pq.TransactionStatus.IDLE
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        if not inside:  # a caller's transaction has its snapshot already
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

        def rows(name: str) -> list[dict[str, Any]]:
            cursor.execute(_SQL[name], {"schemas": list(schemas)})
            return cursor.fetchall()

        limitless = is_limitless(conn)
        placement = _placement(cursor) if limitless else {}
        by_view = limitless and answers(conn).works(Capability.SEQUENCE_LIMITS)
        sequences = rows("distributed_sequences" if by_view else "sequences")
        columns, primary, checks, indexes = _columns(rows("columns")), {}, _checks(rows("checks")), defaultdict(list)
        for row in rows("indexes"):
            table = (row["schema"], row["table_name"])
            if row["is_primary"]:
                primary[table] = (tuple(row["columns"]), row["name"])
            else:
                indexes[table].append(_index(row))
        tables = {}
        for row in rows("tables"):
            name: Name = (row["schema"], row["name"])
            kind, shard_key, group = placement.get(name, ("standard", (), None))
            key, key_name = primary.get(name, ((), None))
            tables[qualify(*name)] = TableShape(
                schema=name[0],
                name=name[1],
                columns=tuple(columns[name]),
                primary_key=key,
                primary_key_name=key_name,
                indexes=tuple(indexes[name]),
                checks=tuple(checks[name]),
                kind=kind,
                shard_key=shard_key,
                group=group,
            )
        extensions = {row["name"]: row["schema"] for row in rows("extensions")}
        return Catalog(
            schemas=frozenset(row["name"] for row in rows("schemas")),
            extensions=extensions,
            needed_extensions=frozenset(row["name"] for row in rows("needed_extensions")),
            collations=tuple(Collation(**row) for row in rows("collations")),
            types=tuple(
                Type(
                    row["schema"],
                    row["name"],
                    tuple(row["labels"] or ()),
                    tuple(zip(row["attribute_names"] or (), row["attribute_types"] or (), strict=True)),
                    tuple((option, row[option]) for option in _RANGE_OPTIONS if row[option]),
                )
                for row in rows("types")
            ),
            sequences=tuple(SequenceShape(**row) for row in sequences),
            tables=tables,
            foreign_keys=tuple(_foreign_key(row) for row in rows("foreign_keys")),
            routines=tuple(Routine(**row) for row in rows("routines")),
            left_behind=tuple(row["note"] for row in rows("left_behind")),
        )


def available_extensions(conn: psycopg.Connection[Any], engine_version: str = "") -> frozenset[str]:
    """Return the extensions that Limitless has and *conn*'s server can create.

    Args:
        engine_version: of the plan; without it, every version counts.
    """
    there = (str(name) for (name,) in conn.execute("SELECT name::text FROM pg_available_extensions"))
    return supported_extensions(there, parse_engine(engine_version or "16.99"))


def routers(conn: psycopg.Connection[Any]) -> int:
    """Return how many routers Limitless has now."""
    row = conn.execute(
        "SELECT count(*) FROM rds_aurora.limitless_subclusters WHERE subcluster_type = 'router'"
    ).fetchone()
    return int(row[0]) if row else 1


def _placement(cursor: psycopg.Cursor[Any]) -> dict[Name, tuple[str, tuple[str, ...], str | None]]:
    """Return kind, shard key and collocation group of every table, from the views Limitless documents."""
    cursor.execute(_SQL["placement"])
    found = {}
    for row in cursor.fetchall():
        match = _HASH_KEY.match(row["distribution_key"] or "")
        key = tuple(part.strip().strip('"') for part in match["columns"].split(",")) if match else ()
        group = str(row["collocation_id"]) if row["collocation_id"] is not None else None
        found[(row["schema_name"], row["table_name"])] = (row["table_type"], key, group)
    return found


def _columns(rows: Iterable[dict[str, Any]]) -> dict[Name, list[Column]]:
    found: dict[Name, list[Column]] = defaultdict(list)
    for row in rows:
        quoted = row["quoted"]
        found[(row["schema"], row["table_name"])].append(
            Column(
                name=row["name"],
                type=row["type"],
                not_null=row["not_null"],
                default=row["default_text"],
                generated=row["generated"],
                identity=row["identity"],
                collation=(row["collation_schema"], row["collation_name"]) if row["collation_name"] else None,
                checks=tuple(
                    (name, _over_column(text, quoted))
                    for name, text in zip(row["check_names"] or (), row["check_texts"] or (), strict=True)
                ),
            )
        )
    return found


def _over_column(condition: str, quoted: str) -> str:
    """Return a domain's CHECK text over a column instead of VALUE; string literals and quoted names stay."""
    parts = re.split(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""", condition)
    return "".join(part if i % 2 else re.sub(r"\bVALUE\b", lambda _: quoted, part) for i, part in enumerate(parts))


def _checks(rows: Iterable[dict[str, Any]]) -> dict[Name, list[Check]]:
    found: dict[Name, list[Check]] = defaultdict(list)
    for row in rows:
        found[(row["schema"], row["table_name"])].append(Check(row["name"], row["condition"], row["validated"]))
    return found


def _index(row: dict[str, Any]) -> Index:
    tail = row["definition"].split(f" USING {row['method_text']} ", 1)[1]
    if row["has_options"]:
        tail = _STORAGE.sub("", tail, count=1)  # Limitless: STORAGE PARAMETER is not supported
    return Index(
        name=row["name"],
        table=(row["schema"], row["table_name"]),
        unique=row["is_unique"],
        columns=tuple(row["columns"]),
        method=row["method"],
        tail=tail,
        constraint=row["is_constraint"],
        deferrable=row["deferrable"],
        partial=row["is_partial"],
        valid=row["is_valid"],
    )


def _foreign_key(row: dict[str, Any]) -> ForeignKey:
    return ForeignKey(
        name=row["name"],
        table=(row["schema"], row["table_name"]),
        columns=tuple(row["columns"]),
        parent=(row["parent_schema"], row["parent_name"]),
        parent_columns=tuple(row["parent_columns"]),
        on_delete=_ACTIONS[row["on_delete"]],
        on_update=_ACTIONS[row["on_update"]],
        match_full=row["match_full"],
        deferrable=row["is_deferrable"],
        deferred=row["is_deferred"],
        validated=row["validated"],
    )
