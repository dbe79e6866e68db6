"""How are dirty rows read on classic and written on Limitless? Pure builders.

Values travel as text, in the one text form that both connections are set to, and are cast back to their
column's type: no row is interpreted on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.capture.journal_sql import upward
from migrator.capture.names import journal, key_column, table_identifier
from migrator.model.position import Snapshot, earliest
from migrator.model.table import Table


def new_entries(snapshot: Snapshot) -> sql.Composed:
    """Return the condition for journal rows that *snapshot* does not see, on alias j.

    A transaction at or above xmax, or in progress, is not visible in it; every other one is, or left nothing.
    The reading transaction's own snapshot bounds the other end.
    """
    newer = sql.SQL("j.xid >= {}").format(sql.Literal(snapshot.xmax))
    if not snapshot.xip:
        return sql.SQL("({})").format(newer)
    running = sql.SQL(", ").join(map(sql.Literal, sorted(snapshot.xip)))
    return sql.SQL("({} OR j.xid IN ({}))").format(newer, running)


def any_entries(tables: Sequence[tuple[int, Table]], part: int, snapshot: Snapshot) -> sql.Composed:
    """Return an array expression: ids of the journals that hold new entries for *part*."""
    probes = [
        sql.SQL("CASE WHEN EXISTS (SELECT FROM {} AS j WHERE {} AND {}) THEN {} END").format(
            sql.Identifier("migrator", journal(number)),
            _part(part),
            new_entries(snapshot),
            sql.Literal(number),
        )
        for number, _ in tables
    ]
    return sql.SQL("array_remove(ARRAY[{}]::int[], NULL)").format(sql.SQL(", ").join(probes))


def _part(part: int) -> sql.Composed:
    """Entries of the partition; tenants' partitions also read keys whose tenant is not known."""
    if part == 0:
        return sql.SQL("j.part = {}").format(sql.Literal(0))
    return sql.SQL("j.part IN ({}, -1)").format(sql.Literal(part))


def _key(alias: str, table: Table) -> list[sql.Composable]:
    return [sql.Identifier(alias, key_column(i)) for i in range(len(table.key))]


def _state(table: Table, dirty: sql.Composable) -> sql.Composed:
    """Return the SELECT of each dirty key, its tenant of then, its tenant of now, and its columns.

    Output: dirty tenant, present tenant (NULL: no row, or of no tenant), found ('t'/'f'), key..., columns...
    Without tenants (reference, standard) both tenant columns are NULL.
    """
    joins, tenant = (
        upward("t", table.path, table.tenant_source or "") if table.sharded else (sql.Composed([]), sql.SQL("NULL"))
    )
    return sql.SQL(
        "SELECT {dirty_tenant}, {tenant}::text, (t.{first} IS NOT NULL), {keys}, {columns}"
        " FROM {dirty} AS d LEFT JOIN {table} ON {match}"
    ).format(
        dirty_tenant=sql.SQL("d.tenant_id::text") if table.sharded else sql.SQL("NULL::text"),
        tenant=tenant,
        first=sql.Identifier(table.key[0]),
        keys=sql.SQL(", ").join(_key("d", table)),
        columns=sql.SQL(", ").join(sql.Identifier("t", c.name) for c in table.written_columns),
        dirty=dirty,
        table=sql.SQL("({} AS t{})" if table.derived else "{} AS t{}").format(table_identifier(table.qualified), joins),
        match=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("t", c), k)
            for c, k in zip(table.key, _key("d", table), strict=True)
        ),
    )


def read_dirty(
    table: Table, table_id: int, part: int, snapshot: Snapshot, joiners: Sequence[tuple[str, Snapshot]] = ()
) -> sql.Composed:
    """Return the query for the present state of every key dirtied since *snapshot* in *part*.

    *joiners* are tenants copied at their own snapshot: for them, and for keys without a tenant, entries count
    from there.
    """
    conditions: list[sql.Composable] = [new_entries(snapshot)]
    if joiners:
        # From the earliest of their snapshots for all of them: an entry too many does no harm.
        since: sql.Composable = new_entries(earliest([s for _, s in joiners]))
        if table.sharded:
            since = sql.SQL("((j.tenant_id = ANY (ARRAY[{}]::{}[]) OR j.tenant_id IS NULL) AND {})").format(
                sql.SQL(", ").join(sql.Literal(tenant) for tenant, _ in joiners), sql.SQL(table.tenant_type), since
            )
        conditions.append(since)
    columns = sql.SQL(", ").join([*([sql.SQL("j.tenant_id")] if table.sharded else []), *_key("j", table)])
    dirty = sql.SQL("(SELECT DISTINCT {} FROM {} AS j WHERE {} AND ({}))").format(
        columns,
        sql.Identifier("migrator", journal(table_id)),
        _part(part),
        sql.SQL(" OR ").join(conditions),
    )
    return _state(table, dirty)


def read_keys(table: Table) -> sql.Composed:
    """Return the query for the present state of given keys: text arrays of tenants, then of key columns."""
    names = [f"a{i}" for i in range(1 + len(table.key))]
    types = [table.tenant_type, *(table.column(c).type for c in table.key)]
    outputs = ["tenant_id", *(key_column(i) for i in range(len(table.key)))]
    dirty = sql.SQL("(SELECT {} FROM unnest({}) AS u ({}))").format(
        sql.SQL(", ").join(
            sql.SQL("u.{}::{} AS {}").format(sql.Identifier(n), sql.SQL(t), sql.Identifier(o))
            for n, t, o in zip(names, types, outputs, strict=True)
        ),
        sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in names),
        sql.SQL(", ").join(map(sql.Identifier, names)),
    )
    return _state(table, dirty)


def target_columns(table: Table) -> tuple[tuple[str, str], ...]:
    """Return (name, type) of the columns written on Limitless; a derived tenant column comes first."""
    own = tuple((c.name, c.type) for c in table.written_columns)
    if table.derived and table.tenant_column:
        return ((table.tenant_column, table.tenant_type), *own)
    return own


def _texts(columns: Sequence[tuple[str, str]]) -> tuple[sql.Composed, list[sql.Composed]]:
    """Return `unnest(...) AS u (...)` over text arrays, and each column cast to its type."""
    names = [f"a{i}" for i in range(len(columns))]
    source = sql.SQL("unnest({}) AS u ({})").format(
        sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in names), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    casts = [
        sql.SQL("u.{}::{}").format(sql.Identifier(name), sql.SQL(kind))
        for name, (_, kind) in zip(names, columns, strict=True)
    ]
    return source, casts


def upsert(table: Table) -> sql.Composed:
    """Return the statement that writes whole rows, given as one text array per target column."""
    columns = target_columns(table)
    source, casts = _texts(columns)
    rest = [name for name, _ in columns if name not in table.target_key]
    action: sql.Composable = sql.SQL("DO NOTHING")
    if rest:
        action = sql.SQL("DO UPDATE SET {}").format(
            sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in rest)
        )
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) {}").format(
        table_identifier(table.qualified),
        sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        sql.SQL(", ").join(casts),
        source,
        sql.SQL(", ").join(map(sql.Identifier, table.target_key)),
        action,
    )


def _target_key_columns(table: Table) -> tuple[tuple[str, str], ...]:
    types = {c.name: c.type for c in table.columns}
    if table.tenant_column:
        types.setdefault(table.tenant_column, table.tenant_type)
    return tuple((name, types[name]) for name in table.target_key)


def delete(table: Table) -> sql.Composed:
    """Return the statement that deletes rows, given as one text array per target key column."""
    columns = _target_key_columns(table)
    source, casts = _texts(columns)
    return sql.SQL("DELETE FROM {} AS t USING {} WHERE {}").format(
        table_identifier(table.qualified),
        source,
        sql.SQL(" AND ").join(
            sql.SQL("t.{} = {}").format(sql.Identifier(name), cast)
            for (name, _), cast in zip(columns, casts, strict=True)
        ),
    )


def find_on_target(table: Table) -> sql.Composed:
    """Return the query for (tenant, key...) of target rows with given classic keys, whoever's they are."""
    columns = tuple((c, table.column(c).type) for c in table.key)
    source, casts = _texts(columns)
    return sql.SQL("SELECT t.{}::text, {} FROM {} AS t JOIN {} ON {}").format(
        sql.Identifier(table.tenant_column or ""),
        sql.SQL(", ").join(sql.Identifier("t", c) for c in table.key),
        table_identifier(table.qualified),
        source,
        sql.SQL(" AND ").join(
            sql.SQL("t.{} = {}").format(sql.Identifier(name), cast)
            for (name, _), cast in zip(columns, casts, strict=True)
        ),
    )


def find_children(parent: Table, child: Table) -> sql.Composed:
    """Return the query for (tenant, key...) of *child*'s target rows under given target keys of *parent*."""
    hop = child.path[0]
    columns = _target_key_columns(parent)
    source, casts = _texts(columns)
    return sql.SQL("SELECT c.{}::text, {} FROM {} JOIN {} AS p ON {} JOIN {} AS c ON {}").format(
        sql.Identifier(child.tenant_column or ""),
        sql.SQL(", ").join(sql.Identifier("c", name) for name in child.key),
        source,
        table_identifier(parent.qualified),
        sql.SQL(" AND ").join(
            sql.SQL("p.{} = {}").format(sql.Identifier(name), cast)
            for (name, _), cast in zip(columns, casts, strict=True)
        ),
        table_identifier(child.qualified),
        sql.SQL(" AND ").join(
            sql.SQL("c.{} = p.{}").format(sql.Identifier(a), sql.Identifier(b))
            for a, b in [
                (child.tenant_column or "", parent.tenant_column or ""),
                *zip(hop.columns, hop.parent_columns, strict=True),
            ]
        ),
    )
