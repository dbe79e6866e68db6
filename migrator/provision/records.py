"""What exists on Limitless by its catalog and the tool's own records; keeps those records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog.details import index_of
from migrator.catalog.values import Catalog, TableShape
from migrator.control import provisioned
from migrator.control.answers import answers
from migrator.control.install import installed_version
from migrator.model.capability import Capability
from migrator.provision.ddl_sql import Record, Step

Conn = psycopg.Connection[Any]

_KINDS = frozenset(("sharded", "reference", "standard"))


def made_here(limitless: Conn) -> list[Record]:
    """Return what provisioning made, newest first."""
    return [Record(*made) for made in provisioned.made(limitless)]


def record_made(limitless: Conn, record: Record) -> None:
    """Record what was made, in the transaction that made it. Safe to run twice."""
    provisioned.record(limitless, _made(record))


def forget_made(limitless: Conn, record: Record) -> None:
    """Delete the record of a dropped object, in the transaction that dropped it."""
    provisioned.forget(limitless, _made(record))


def _made(record: Record) -> provisioned.Made:
    return provisioned.Made(record.kind, record.schema, record.name, record.detail)


def completed_from_records(limitless: Conn, read: Catalog, wanted: Catalog) -> Catalog:
    """Return *read*, with what a router's pg_index does not show taken from the tool's records."""
    visible = answers(limitless).kinds(Capability.INDEX_CATALOG, unasked=_KINDS)
    if visible >= _KINDS or installed_version(limitless) is None:
        return read
    return with_records(read, wanted, made_here(limitless), visible)


def with_records(read: Catalog, wanted: Catalog, made: Collection[Record], visible: Collection[str]) -> Catalog:
    """Give tables whose kind is not *visible* in pg_index the keys and indexes that were *made* as *wanted*. Pure.

    A primary key and UNIQUE constraints come with their table. What was dropped without the tool is not noticed.
    """
    names = {(r.kind, r.schema, r.name) for r in made}

    def seen(name: str, table: TableShape) -> TableShape:
        want = wanted.tables.get(name)
        if table.kind in visible or want is None or ("table", want.schema, want.name) not in names:
            return table
        indexes = [
            index for index in want.indexes if index.constraint or ("index", index.table[0], index.name) in names
        ]
        return replace(
            table,
            primary_key=want.primary_key,
            primary_key_name=want.primary_key_name,
            indexes=(*table.indexes, *(i for i in indexes if i.name not in {t.name for t in table.indexes})),
        )

    return replace(read, tables={name: seen(name, table) for name, table in read.tables.items()})


def concurrent_kinds(limitless: Conn) -> frozenset[str]:
    """Return the kinds of tables whose indexes can be built concurrently, and inspected after an interrupted build."""
    found = answers(limitless)
    return found.kinds(Capability.INDEX_CONCURRENTLY) & found.kinds(Capability.INDEX_CATALOG)


def make_apart(limitless: Conn, step: Step) -> None:
    """Build an index concurrently: writers never wait. One that an earlier build left invalid is dropped first."""
    record = step.record
    name = sql.Identifier(record.schema, record.name)
    there = index_of(limitless, name)
    if there is not None and not there.valid:
        limitless.execute(sql.SQL("DROP INDEX {}").format(name))
        there = None
    if there is None:
        for statement in step.statements:
            limitless.execute(statement)
    record_made(limitless, record)
