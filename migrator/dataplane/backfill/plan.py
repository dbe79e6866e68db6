"""Counts tenants and their rows, and makes the copy units that are still missing.

Tenants come from the data, not from the plan: a tenant that no list names must be copied too.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog.details import oid_of
from migrator.catalog.read import indexes
from migrator.control import copy_unit, tenant_copy
from migrator.control.copy_unit import StoredUnit
from migrator.control.history import newest_report, set_report
from migrator.control.tables import captured_tables
from migrator.dataplane.backfill import copy_sql
from migrator.dataplane.backfill.throttle import throttled
from migrator.dataplane.backfill.unit import CopyUnit, TenantLoad, group, group_widely, is_huge, split
from migrator.dataplane.capture import orphans
from migrator.dataplane.capture.journal_sql import part_of
from migrator.model.table import Table, parents_first
from migrator.model.tenant import TenantId, TenantSize, hot_tenants
from migrator.plan.schema import Plan

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
        new = tenant_copy.store_sizes(conn, sizes, hot, part_of(sql.Identifier("u", "tenant"), parts))
        set_report(conn, "inventory", counts)
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


_CORRELATION = """
SELECT max(abs(s.correlation)) FROM pg_stats s
 WHERE s.schemaname = %s AND s.tablename = %s AND s.attname = ANY (%s)
"""

_SCATTERED = 0.5
"""Below this correlation between a tenant column and the order of rows, a few tenants are on nearly every page."""


def read_whole(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> dict[str, str]:
    """Return the tables that classic reads whole, or nearly, for every unit, each with the reason.

    A unit's rows are found by its tenants, in a derived table by the key of the parent's rows: if an index starts
    with that column, and if the rows of a tenant are together.
    """
    reasons: dict[str, str] = {}
    for table in parents_first(tuple(t for t in tables if t.sharded)):
        columns = list(table.path[0].columns if table.path else (table.tenant_source or "",))
        there = indexes(conn, relation=oid_of(conn, table.qualified))
        starts = {index.columns[0] for index in there if index.valid and not index.partial}
        row = conn.execute(_CORRELATION, (table.schema, table.name, columns)).fetchone()
        correlation = row[0] if row is not None else None
        if not starts & set(columns):
            reasons[table.qualified] = f"no index starts with {', '.join(columns)}"
        elif table.path and table.path[0].parent in reasons:
            reasons[table.qualified] = f"so is {table.path[0].parent}"
        elif not table.path and correlation is not None and correlation < _SCATTERED:
            reasons[table.qualified] = "rows of all tenants are on the same pages"
    return reasons


def plan_units(
    conn: psycopg.Connection[Any], unit_rows: int, unit_tenants: int, split_rows: int, width: int = 4
) -> list[str]:
    """Make copy units for everything pending; returns the ids of all units not copied yet. Safe to run twice.

    Where classic would read a large table whole for every unit, small tenants go into as few units as *width* copies
    at once have use for.
    """
    with conn.transaction():
        copy_unit.lock_plan(conn)
        tables = list(captured_tables(conn).values())
        covered = copy_unit.covered(conn)
        report = newest_report(conn, "inventory")
        counts: dict[str, dict[str, int]] = report["body"] if report else {}
        loads = [
            TenantLoad(TenantId(tenant), part, counts.get(tenant, {}))
            for tenant, part in tenant_copy.pending(conn)
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
        if any(not t.sharded for t in tables) and not copy_unit.has_reference(conn):
            units.append(CopyUnit(0, (), 0))
        _store(conn, units)
        return copy_unit.to_copy(conn)


def plan_all(conn: psycopg.Connection[Any], plan: Plan) -> list[str]:
    """Make copy units as *plan* says; returns the ids of all units not copied yet."""
    section = plan.backfill
    return plan_units(conn, section.unit_rows, section.unit_tenants, section.split_rows, section.concurrency)


def next_units(conn: psycopg.Connection[Any], plan: Plan, running: Collection[str]) -> list[str]:
    """Return the units that may be copied now beside those that are *running*, in their order; none when throttled."""
    if throttled(conn, plan) is not None:
        return []
    apart = {*running, *(unit for unit, _ in copy_unit.failed_units(conn))}
    return [unit for unit in plan_all(conn, plan) if unit not in apart]


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
    for number, unit in enumerate(units, copy_unit.count(conn) + 1):
        # Limitless may still hold leases of a dual write that was undone: the number alone would come again.
        unit_id = f"unit-{number:05}-{secrets.token_hex(8)}"
        stored = StoredUnit(unit_id, unit.part, unit.tenants, unit.table, unit.but, unit.lower, unit.upper, "pending")
        copy_unit.add(conn, stored, unit.rows)
