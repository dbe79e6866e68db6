"""How is a divergent row brought back? By marking its key dirty, so that the mirror writes classic's state again.

The direction is always classic to Limitless: classic is authoritative until decommission. Going through the
journal keeps the repair in order with live writes; nothing is written to Limitless from here. Where more differs
than is worth naming, a tenant is copied again: the mirror lets go of it, and the backfill copies it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.capture.install import mark_dirty
from migrator.control.log import decide
from migrator.control.tables import captured_tables
from migrator.errors import PreconditionFailed

DIRECTION = "classic → limitless"


def pending(
    conn: psycopg.Connection[Any], tenants: Sequence[str] | None = None
) -> list[tuple[int, str, str | None, dict[str, str]]]:
    """Return divergences not repaired yet, one per row: id, table, tenant, key."""
    rows = conn.execute(
        "SELECT DISTINCT ON (table_name, tenant_id, key) id, table_name, tenant_id, key FROM migrator.divergence"
        " WHERE repaired_at IS NULL AND NOT key ? '*' AND (%(all)s OR tenant_id = ANY (%(tenants)s))"
        " ORDER BY table_name, tenant_id, key, id DESC",
        {"all": tenants is None, "tenants": list(tenants or ())},
    )
    return [(int(i), str(table), tenant, key) for i, table, tenant, key in rows]


def repair(conn: psycopg.Connection[Any], who: str, tenants: Sequence[str] | None = None) -> int:
    """Mark every divergence not repaired yet dirty, in one transaction; returns the rows marked.

    Safe to run twice. Whether the rows are equal afterwards is for the next validation to say.
    """
    with conn.transaction():
        found = pending(conn, tenants)
        row = conn.execute("SELECT max(part) FROM migrator.position").fetchone()
        parts = int(row[0]) if row and row[0] else 1
        by_name = {t.qualified: t for t in captured_tables(conn).values()}
        for name, table in by_name.items():
            keys: list[list[str | None]] = []
            for _, of, tenant, key in found:
                if of == name:
                    keys.append([*([tenant] if table.sharded else []), *(key[c] for c in table.key)])
            mark_dirty(conn, table, keys, parts)
        conn.execute(
            "UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %(who)s"
            " WHERE repaired_at IS NULL AND NOT key ? '*' AND (%(all)s OR tenant_id = ANY (%(tenants)s))",
            {"who": who, "all": tenants is None, "tenants": list(tenants or ())},
        )
        if found:
            decide(conn, who, "divergence.repaired", f"{len(found)} rows", f"{DIRECTION}, marked dirty for the mirror")
    return len(found)


def recopy(conn: psycopg.Connection[Any], who: str, tenants: Sequence[str], reason: str) -> int:
    """Ask that *tenants* be copied again; returns how many were asked for. Safe to run twice.

    The mirror brings their reads back to classic, confirmed, lets go of them, and they are pending; the backfill
    copies them like anybody who signed up. Their verdicts are void until they are validated again.

    Raises:
        PreconditionFailed: a tenant is unknown, or is being copied already.
    """
    with conn.transaction():
        rows = conn.execute(
            "UPDATE migrator.tenant SET recopy = coalesce(recopy, %s)"
            " WHERE tenant_id = ANY (%s) AND state IN ('mirrored', 'quarantined') RETURNING tenant_id",
            (reason, list(tenants)),
        ).fetchall()
        missing = sorted(set(tenants) - {str(t) for (t,) in rows})
        if missing:
            raise PreconditionFailed(f"not mirrored, so there is nothing to copy again: {', '.join(missing)}")
        conn.execute(
            "UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %s"
            " WHERE repaired_at IS NULL AND tenant_id = ANY (%s)",
            (who, list(tenants)),
        )
        decide(conn, who, "tenant.recopied", ", ".join(sorted(tenants)), f"{DIRECTION}: {reason}")
    return len(rows)
