"""Which tenants are there, and which copy units are still to be made for them?

The inventory comes from the data, not from the plan: a tenant nobody listed must be copied too.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.backfill import copy_sql
from migrator.backfill.unit import CopyUnit, TenantLoad, group, group_widely, is_huge, split
from migrator.capture import orphans
from migrator.capture.journal_sql import part_of
from migrator.control.tables import captured_tables
from migrator.model.table import Table, parents_first
from migrator.model.tenant import TenantId, TenantSize, hot_tenants

_SPLITTABLE = ("smallint", "integer", "bigint", "uuid")
"""Key types that compare the same on both servers; a text range depends on the collation."""


def take_inventory(conn: psycopg.Connection[Any], parts: int, hot_ratio: float) -> int:
    """Store every tenant found in a captured table, with its rows; returns how many are new. Safe to run twice.

    Rows of derived tables are spread by the sizes of their parents: counting them would join the largest tables.
    """
    counts: dict[str, dict[str, int]] = {}
    writes: dict[str, int] = {}
    tables = [t for t in captured_tables(conn).values() if t.sharded]
    orphans.look(conn, tables)
    for table in tables:
        if not table.derived:
            for tenant, rows, recent in conn.execute(copy_sql.count_tenants(table)):
                counts.setdefault(str(tenant), {})[table.qualified] = int(rows)
                writes[str(tenant)] = writes.get(str(tenant), 0) + int(recent)
    totals = {t.qualified: sum(c.get(t.qualified, 0) for c in counts.values()) for t in tables}
    for table in tables:
        if table.derived:
            _spread(conn, table, counts, totals)
    sizes = [TenantSize(TenantId(t), sum(c.values()), writes=writes.get(t, 0)) for t, c in counts.items()]
    hot = hot_tenants(sizes, hot_ratio)
    with conn.transaction():
        cursor = conn.execute(
            sql.SQL(
                "INSERT INTO migrator.tenant AS t (tenant_id, part, rows, writes, hot)"
                " SELECT u.tenant, {part}, u.rows, u.writes, u.hot"
                " FROM unnest(%(tenants)s::text[], %(rows)s::bigint[], %(writes)s::bigint[], %(hot)s::boolean[])"
                "   AS u (tenant, rows, writes, hot)"
                " ON CONFLICT (tenant_id) DO UPDATE SET rows = EXCLUDED.rows, writes = EXCLUDED.writes,"
                " hot = EXCLUDED.hot"
                " RETURNING (xmax = 0)"
            ).format(part=part_of(sql.Identifier("u", "tenant"), parts)),
            {
                "tenants": [s.tenant_id for s in sizes],
                "rows": [s.rows for s in sizes],
                "writes": [s.writes for s in sizes],
                "hot": [s.tenant_id in hot for s in sizes],
            },
        )
        new = sum(1 for (inserted,) in cursor if inserted)
        conn.execute("DELETE FROM migrator.report WHERE kind = 'inventory'")
        conn.execute("INSERT INTO migrator.report (kind, body) VALUES ('inventory', %s)", (json.dumps(counts),))
    return new


def _spread(
    conn: psycopg.Connection[Any], table: Table, counts: dict[str, dict[str, int]], totals: dict[str, int]
) -> None:
    row = conn.execute(
        "SELECT greatest(c.reltuples, 0)::bigint FROM pg_class c WHERE c.oid = to_regclass(%s)",
        (copy_sql.name(table.qualified).as_string(conn),),
    ).fetchone()
    rows, owner = int(row[0]) if row else 0, table.path[-1].parent
    for tenant in counts.values():
        share = tenant.get(owner, 0) / totals[owner] if totals.get(owner) else 0.0
        tenant[table.qualified] = round(rows * share)


_FOUND_BY = """
SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE i.indrelid = to_regclass(%(table)s) AND i.indisvalid AND i.indpred IS NULL
                  AND a.attname = ANY (%(columns)s)),
       (SELECT max(abs(s.correlation)) FROM pg_stats s
         WHERE s.schemaname = %(schema)s AND s.tablename = %(name)s AND s.attname = ANY (%(columns)s))
"""

_SCATTERED = 0.5
"""Below this correlation between a tenant column and the order of rows, a few tenants are on nearly every page."""


def read_whole(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> dict[str, str]:
    """Return the tables that classic reads whole, or nearly, for every unit, each with the reason.

    A unit's rows are found by its tenants, in a derived table by the key of the parent's rows: if an index starts
    with that column, and if the rows of a tenant are together.
    """
    found: dict[str, str] = {}
    for table in parents_first(tuple(t for t in tables if t.sharded)):
        columns = list(table.path[0].columns if table.path else (table.tenant_source or "",))
        row = conn.execute(
            _FOUND_BY,
            {
                "table": copy_sql.name(table.qualified).as_string(conn),
                "schema": table.schema,
                "name": table.name,
                "columns": columns,
            },
        ).fetchone()
        indexed, correlation = row if row is not None else (True, None)
        if not indexed:
            found[table.qualified] = f"no index starts with {', '.join(columns)}"
        elif table.path and table.path[0].parent in found:
            found[table.qualified] = f"so is {table.path[0].parent}"
        elif not table.path and correlation is not None and correlation < _SCATTERED:
            found[table.qualified] = "rows of all tenants are on the same pages"
    return found


def plan_units(
    conn: psycopg.Connection[Any], unit_rows: int, unit_tenants: int, split_rows: int, width: int = 4
) -> list[str]:
    """Make copy units for everything pending; returns the ids of all units not copied yet. Safe to run twice.

    Where classic would read a large table whole for every unit, small tenants go into as few units as *width* copies
    at once have use for.
    """
    with conn.transaction():
        conn.execute("LOCK TABLE migrator.copy_unit IN SHARE ROW EXCLUSIVE MODE")
        tables = list(captured_tables(conn).values())
        covered = {
            str(t) for (t,) in conn.execute("SELECT unnest(tenants) FROM migrator.copy_unit WHERE state <> 'joined'")
        }
        report = conn.execute("SELECT body FROM migrator.report WHERE kind = 'inventory' ORDER BY id DESC").fetchone()
        counts: dict[str, dict[str, int]] = report[0] if report else {}
        loads = [
            TenantLoad(TenantId(tenant), part, counts.get(tenant, {}))
            for tenant, part in conn.execute("SELECT tenant_id, part FROM migrator.tenant WHERE state = 'pending'")
            if tenant not in covered
        ]
        units: list[CopyUnit] = []
        for load in loads:
            if is_huge(load, split_rows):
                units += split(load, _cuts(conn, load, tables, split_rows))
        small = [load for load in loads if not is_huge(load, split_rows)]
        whole = read_whole(conn, tables)
        if any(sum(load.rows.get(name, 0) for load in small) > unit_rows for name in whole):
            units += group_widely(small, unit_rows, width)
        else:
            units += group(small, unit_rows, unit_tenants)
        reference = conn.execute("SELECT count(*) FROM migrator.copy_unit WHERE part = 0 AND NOT superseded").fetchone()
        if any(not t.sharded for t in tables) and not (reference and reference[0]):
            units.append(CopyUnit(0, (), 0))
        _store(conn, units)
        rows = conn.execute(
            "SELECT unit_id FROM migrator.copy_unit WHERE state IN ('pending', 'copying', 'failed')"
            " ORDER BY part <> 0, rows DESC, unit_id"
        )
        return [str(unit) for (unit,) in rows]


def _cuts(
    conn: psycopg.Connection[Any], load: TenantLoad, tables: Sequence[Table], split_rows: int
) -> dict[str, list[str]]:
    found = {}
    for table in tables:
        rows = load.rows.get(table.qualified, 0)
        if rows > split_rows and table.column(table.key[0]).type in _SPLITTABLE:
            query = copy_sql.cuts(table, load.tenant_id, -(-rows // split_rows))
            found[table.qualified] = [str(cut) for cut, _ in conn.execute(query)]
    return found


def _store(conn: psycopg.Connection[Any], units: Sequence[CopyUnit]) -> None:
    row = conn.execute("SELECT count(*) FROM migrator.copy_unit").fetchone()
    number = int(row[0]) if row else 0
    for unit in units:
        number += 1
        conn.execute(
            "INSERT INTO migrator.copy_unit"
            " (unit_id, part, tenants, table_name, but_tables, lower_key, upper_key, rows)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                # Limitless may still hold leases of a dual write that was undone: the number alone would come again.
                f"unit-{number:05}-{secrets.token_hex(8)}",
                unit.part,
                list(unit.tenants),
                unit.table,
                list(unit.but),
                unit.lower,
                unit.upper,
                unit.rows,
            ),
        )
