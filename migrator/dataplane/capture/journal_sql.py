"""Builds journals, and the statements that write into them. Pure.

A journal row is (part, xid, tenant_id, key columns): which row changed, never what it contains. `part` says which
mirror reads it, and whether the row moved (see `MOVED`). The slots of the ring inherit from the journal: readers read
them all through it; writers write straight into the slot that the ring names, so that nothing is routed and no
partition constraint is checked.

What every write of an application runs resolves nothing through the session's search_path: functions and types are
qualified, and nothing is used that looks an operator up by name (=, IN, NULLIF, IS DISTINCT FROM).
"""

from __future__ import annotations

from psycopg import sql

from migrator.dataplane.capture import names
from migrator.model.table import Table

MIGRATOR = "migrator"

MOVED = 64
"""Added to `part` of a parent's entry when the row changed its tenant, or may have children that no entry names.

Children written by a transaction that ran beside the move were journalled under the tenant the parent had for that
transaction. So the mirror looks for the children of such a parent itself, on both sides.
"""


def _columns(table: Table) -> list[sql.Composable]:
    found: list[sql.Composable] = []
    if table.sharded:
        found.append(sql.Identifier("tenant_id"))
    return found + [sql.Identifier(names.key_column(i)) for i in range(len(table.key))]


def create_journal(table: Table, table_id: int, slots: int) -> list[sql.Composed]:
    """Return the statements that make *table*'s journal and its ring slots.

    No B-tree: it would cost the writer half again the WAL. Entries arrive almost in xid order, so a BRIN
    index finds what is new; pages not summarised yet (the newest) are always read, which is what we want.
    The mirror summarises full ranges (`migrator.dataplane.capture.ring.summarise`).
    (xid8 has no BRIN operator class, bigint has.)
    """
    types: list[sql.Composable] = []
    if table.sharded:
        types.append(sql.SQL("tenant_id {}").format(sql.SQL(table.tenant_type)))
    for number, column in enumerate(table.key):
        types.append(
            sql.SQL("{} {}").format(sql.Identifier(names.key_column(number)), sql.SQL(table.column(column).type))
        )
    parent = sql.Identifier(MIGRATOR, names.journal(table_id))
    statements = [
        # Nothing empties the parent, so nothing may enter it.
        sql.SQL("CREATE TABLE {} (part smallint NOT NULL, xid bigint NOT NULL, {}, CHECK (false) NO INHERIT)").format(
            parent, sql.SQL(", ").join(types)
        ),
        _index(parent),  # keeps the planner of a reader that avoids sequential scans from seeing one
    ]
    for slot in range(slots):
        name = sql.Identifier(MIGRATOR, names.journal_slot(table_id, slot))
        statements.append(
            sql.SQL("CREATE TABLE {} () INHERITS ({}) WITH (autovacuum_enabled = off)").format(name, parent)
        )
        statements.append(_index(name))
    return statements


def _index(name: sql.Identifier) -> sql.Composed:
    return sql.SQL("CREATE INDEX ON {} USING brin (xid) WITH (pages_per_range = 16)").format(name)


def part_of(tenant: sql.Composable, parts: int) -> sql.Composed:
    """Return the expression for a tenant's mirror partition, 1..parts, or -1 without a tenant.

    The hash runs over the text form under collation "C": a nondeterministic collation hashes its sort keys.
    """
    if parts == 1:
        return sql.SQL("CASE WHEN {} IS NULL THEN -1 ELSE 1 END").format(tenant)
    return sql.SQL(
        "CASE WHEN {t} IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and("
        'pg_catalog.hashtextextended({t}::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), {n}'
        ")::pg_catalog.int4) END"
    ).format(t=tenant, n=sql.Literal(parts))


_KNOWN = "pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8"

_NOTE = f"""CASE WHEN pg_catalog.int8ne(pg_catalog.int8and({_KNOWN}, {{bit}}), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce({_KNOWN}, 0), {{bits}})::pg_catalog.text, true) IS NOT NULL END"""

_ALL_PARTS = 2**63 - 2
"""Every partition of tenants. Not the one of reference tables: it has nothing to apply then, publishes rarely, and a
writer would wait for it without need."""


def _noted(parts: int, *, sharded: bool) -> sql.Composed:
    """Return a condition on x.part that always holds and notes the partition in the setting migrator.parts.

    That is a bit mask of what the transaction touched, never negative; a writer through the shim waits for those.
    Within the INSERT, because that is cheapest: a RETURNING whose rows are read costs more than the whole trigger.
    """
    if not sharded or parts == 1:
        only = sql.Literal(2 if sharded else 1)
        return sql.SQL(_NOTE).format(bit=only, bits=only)
    bit = sql.SQL("pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))")
    bits = sql.SQL("CASE WHEN pg_catalog.int4lt(x.part, 0) THEN {} ELSE {} END").format(sql.Literal(_ALL_PARTS), bit)
    return sql.SQL(_NOTE).format(bit=bit, bits=bits)


def insert(
    table: Table,
    table_id: int,
    slot: int,
    source: sql.Composable,
    parts: int,
    *,
    moves: bool = False,
    noted: bool = False,
) -> sql.Composed:
    """Return the INSERT into one slot of the keys that *source* selects.

    With *moves* it selects after them whether they moved; with *noted* the partitions are left in migrator.parts.
    """
    part: sql.Composable = part_of(sql.Identifier("s", "tenant_id"), parts) if table.sharded else sql.Literal(0)
    columns = _columns(table)
    named = columns
    if moves:
        part = sql.SQL("{} + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN {} ELSE 0 END").format(
            part, sql.Literal(MOVED)
        )
        named = [*columns, sql.Identifier("moved")]
    # OFFSET keeps the planner from writing part's expression out once for each of its uses.
    return sql.SQL(
        "INSERT INTO {slot} (part, xid, {columns})"
        " SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, {values}"
        " FROM (SELECT {part} AS part, {own} FROM ({source}) AS s ({named}) OFFSET 0) AS x{note}"
    ).format(
        slot=sql.Identifier(MIGRATOR, names.journal_slot(table_id, slot)),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(sql.SQL("x.{}").format(c) for c in columns),
        part=part,
        own=sql.SQL(", ").join(sql.SQL("s.{}").format(c) for c in columns),
        source=source,
        named=sql.SQL(", ").join(named),
        note=sql.SQL(" WHERE {}").format(_noted(parts, sharded=table.sharded)) if noted else sql.SQL(""),
    )


def mark_dirty(table: Table, table_id: int, slot: int, parts: int) -> sql.Composed:
    """Return the statement that journals keys given as text arrays: tenants first (sharded), then key columns.

    For a raw cursor ($1, $2...): identifiers may hold a percent sign.
    """
    types = [table.tenant_type] if table.sharded else []
    types += [table.column(c).type for c in table.key]
    arrays = sql.SQL(", ").join(sql.SQL("${}::text[]").format(sql.SQL(str(i + 1))) for i in range(len(types)))
    texts = [f"t{i}" for i in range(len(types))]
    source = sql.SQL("SELECT {} FROM unnest({}) AS u ({})").format(
        sql.SQL(", ").join(
            sql.SQL("u.{}::{}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in zip(texts, types, strict=True)
        ),
        arrays,
        sql.SQL(", ").join(map(sql.Identifier, texts)),
    )
    return insert(table, table_id, slot, source, parts)
