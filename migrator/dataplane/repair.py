"""Repairs divergent rows: marks their keys dirty, so that the mirror writes classic's state again.

The direction is always classic to Limitless: classic is authoritative until decommission. Going through the
journal keeps the repair in order with live writes; nothing is written to Limitless from here. Where more differs
than is worth naming, all of it is copied again. A tenant leaves the mirrored set, and the backfill copies it.
Reference tables concern every tenant and are small: every key of either side is marked. A tenant that only Limitless
has is treated like one that signs up without rows: its copy deletes its rows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import tenant_copy
from migrator.control.log import decide
from migrator.control.partition import partitions
from migrator.control.tables import captured_tables
from migrator.control.validation import set_reference_repaired, set_rows_repaired, set_tenants_repaired, to_repair
from migrator.dataplane.capture.install import mark_dirty
from migrator.dataplane.capture.journal_sql import part_of
from migrator.errors import PreconditionFailed

DIRECTION = "classic → limitless"
_KEYS_AT_ONCE = 10_000

pending = to_repair
"""What `repair` would bring back."""


def repair(conn: psycopg.Connection[Any], who: str, tenants: Sequence[str] | None = None) -> int:
    """Mark every divergence not repaired yet dirty, in one transaction; returns the rows marked.

    Safe to run twice. Whether the rows are equal afterwards is for the next validation to say.
    """
    with conn.transaction():
        divergences = pending(conn, tenants)
        parts = partitions(conn)
        by_name = {t.qualified: t for t in captured_tables(conn).values()}
        for name, table in by_name.items():
            keys: list[list[str | None]] = []
            for _, of, tenant, key in divergences:
                if of == name:
                    keys.append([*([tenant] if table.sharded else []), *(key[c] for c in table.key)])
            mark_dirty(conn, table, keys, parts)
        set_rows_repaired(conn, who, tenants)
        if divergences:
            decide(
                conn,
                who,
                "divergence.repaired",
                f"{len(divergences)} rows",
                f"{DIRECTION}, marked dirty for the mirror",
            )
    return len(divergences)


def recopy(conn: psycopg.Connection[Any], who: str, tenants: Sequence[str], reason: str) -> int:
    """Ask that *tenants* be copied again; returns how many were asked for. Safe to run twice.

    The mirror brings their reads back to classic, confirmed, and takes them out of the mirrored set, which makes them
    pending; the backfill copies them like new tenants. Their verdicts are void until they are validated again.

    Raises:
        PreconditionFailed: a tenant is unknown, or is being copied already.
    """
    with conn.transaction():
        asked = tenant_copy.ask_recopy(conn, tenants, reason)
        missing = sorted(set(tenants) - asked)
        if missing:
            raise PreconditionFailed(f"not mirrored, so there is nothing to copy again: {', '.join(missing)}")
        set_tenants_repaired(conn, who, tenants)
        decide(conn, who, "tenant.recopied", ", ".join(sorted(tenants)), f"{DIRECTION}: {reason}")
    return len(asked)


def recopy_reference(conn: psycopg.Connection[Any], limitless: psycopg.Connection[Any], who: str, reason: str) -> int:
    """Mark every row of the reference tables dirty, on whichever side it is; returns the keys marked.

    Safe to run twice. Rows that classic does not have are deleted on Limitless, all others written again.
    """
    marked = 0
    tables = [t for t in captured_tables(conn).values() if not t.sharded]
    with conn.transaction(), limitless.transaction():
        for table in tables:
            query = sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in table.key),
                sql.Identifier(table.schema, table.name),
            )
            for side in (conn, limitless):
                with side.cursor("migrator_keys") as cursor:
                    cursor.execute(query)
                    while keys := cursor.fetchmany(_KEYS_AT_ONCE):
                        mark_dirty(conn, table, keys, partitions(conn))
                        marked += len(keys)
        set_reference_repaired(conn, who, [t.qualified for t in tables])
        names = ", ".join(t.qualified for t in tables)
        decide(
            conn, who, "divergence.repaired", f"all of {names}", f"{DIRECTION}, marked dirty for the mirror: {reason}"
        )
    return marked


def clear_unknown_tenants(conn: psycopg.Connection[Any], who: str, tenants: Sequence[str], reason: str) -> int:
    """Have the rows on Limitless of *tenants* that classic does not have deleted there.

    They become tenants that are yet to be copied, so that no row of one that signs up at this moment is lost; the
    copy deletes their rows on Limitless, and they are validated like all others. Safe to run twice; returns how many
    were unknown.
    """
    with conn.transaction():
        part = part_of(sql.Identifier("u", "tenant"), partitions(conn))
        new = tenant_copy.add_unknown(conn, tenants, part)
        set_tenants_repaired(conn, who, tenants)
        if new:
            decide(
                conn,
                who,
                "divergence.repaired",
                f"rows of unknown tenants: {', '.join(sorted(new))}",
                f"{DIRECTION}: {reason}",
            )
    return len(new)
