"""Builds the SQL that reads dirty rows on classic and writes them on Limitless. Pure.

Values travel as text, in the one text form that both connections are set to, and are read by their column's
input function: no row is interpreted on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from migrator.dataplane.capture.journal_sql import MOVED
from migrator.dataplane.capture.keys_sql import upward
from migrator.dataplane.capture.names import journal, key_column, table_identifier
from migrator.model.position import Snapshot, earliest
from migrator.model.table import Column, Table


def new_entries(snapshot: Snapshot) -> sql.Composed:
    """Return the condition for journal rows that *snapshot* does not see, on alias j.

    A transaction at or above xmax, or in progress, is not visible in it; every other one is, or left nothing.
    The reading transaction's own snapshot bounds the other end.
    """
    newer = sql.SQL("j.xid >= {}").format(sql.Literal(snapshot.xmax))
    if not snapshot.xip:
        return sql.SQL("({})").format(newer)
    return sql.SQL("({} OR j.xid IN ({}))").format(newer, _running(snapshot.xip))


def any_entries(tables: Sequence[tuple[int, Table]], part: int, snapshot: Snapshot) -> sql.Composed:
    """Return an array expression: ids of the journals that hold new entries for *part*."""
    probes = [
        sql.SQL("CASE WHEN EXISTS (SELECT FROM {} AS j WHERE {} AND {}) THEN {} END").format(
            sql.Identifier("migrator", journal(number)),
            _theirs(table, part, snapshot),
            new_entries(snapshot),
            sql.Literal(number),
        )
        for number, table in tables
    ]
    return sql.SQL("array_remove(ARRAY[{}]::int[], NULL)").format(sql.SQL(", ").join(probes))


def _part(part: int) -> sql.Composed:
    """Entries of the partition; tenants' partitions also read keys whose tenant is not known."""
    if part == 0:
        return sql.SQL("j.part = {}").format(sql.Literal(0))
    return sql.SQL("j.part IN ({}, {}, -1)").format(sql.Literal(part), sql.Literal(part + MOVED))


def _theirs(table: Table, part: int, snapshot: Snapshot) -> sql.Composed:
    """Entries *part* must look at.

    A transaction that was running at *snapshot* may have looked its parent's tenant up before the parent moved, in
    a transaction that ended earlier: its entries may stand in the wrong partition.
    """
    if not table.derived or not snapshot.xip:
        return _part(part)
    return sql.SQL("({} OR j.xid IN ({}))").format(_part(part), _running(snapshot.xip))


def _running(xids: frozenset[int]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Literal, sorted(xids)))


def _key(alias: str, table: Table) -> list[sql.Composable]:
    return [sql.Identifier(alias, key_column(i)) for i in range(len(table.key))]


def read(column: Column) -> sql.Composable:
    """Return how a column of *t* is read, so that its text form is all there is of it."""
    own = sql.Identifier("t", column.name)
    return sql.SQL("{}::{}").format(own, sql.SQL(column.cast)) if column.cast else own


def _state(table: Table, dirty: sql.Composable, *, places: bool = False, displaced: bool = False) -> sql.Composed:
    """Return the SELECT of each dirty key, its tenant of then, its tenant of now, and its columns.

    Output: dirty tenant, present tenant (NULL: no row, or of no tenant), found ('t'/'f'), moved ('t'/'f'), key...,
    columns... Without tenants (reference, standard) both tenant columns are NULL. With *places*, no columns; with
    *displaced* only rows that are not, or may not be, where their entry says.
    """
    joins, tenant = (
        upward("t", table.path, table.tenant_source or "") if table.sharded else (sql.Composed([]), sql.SQL("NULL"))
    )
    columns: list[sql.Composable] = [] if places else [read(c) for c in table.written_columns]
    some: sql.Composable = sql.SQL("")
    if displaced:
        some = sql.SQL(" WHERE t.tableoid IS NULL")
        if table.sharded:
            # As texts, which is how tenants are compared everywhere else: equal ones of some types look different, and
            # some collations call different ones equal.
            same = sql.SQL('{}::text COLLATE "C" = d.tenant_id::text COLLATE "C"').format(tenant)
            some = sql.SQL("{} OR d.moved OR ({}) IS NOT TRUE").format(some, same)
    return sql.SQL(
        "SELECT {dirty_tenant}, {tenant}::text, t.tableoid IS NOT NULL, {moved}, {outputs}"
        " FROM {dirty} AS d LEFT JOIN {table} ON {match}{some}"
    ).format(
        some=some,
        dirty_tenant=sql.SQL("d.tenant_id::text") if table.sharded else sql.SQL("NULL::text"),
        tenant=tenant,
        moved=sql.SQL("d.moved" if table.sharded else "false"),
        outputs=sql.SQL(", ").join([*_key("d", table), *columns]),
        dirty=dirty,
        table=sql.SQL("({} AS t{})" if table.derived else "{} AS t{}").format(table_identifier(table.qualified), joins),
        match=sql.SQL(" AND ").join(
            sql.SQL("{} {} {}").format(sql.Identifier("t", c), sql.SQL(table.column(c).equality), k)
            for c, k in zip(table.key, _key("d", table), strict=True)
        ),
    )


def read_dirty(
    table: Table,
    table_id: int,
    part: int,
    snapshot: Snapshot,
    enrolling: Sequence[tuple[str, Snapshot]] = (),
    *,
    places: bool = False,
    displaced: bool = False,
) -> sql.Composed:
    """Return the query for the present state of every key dirtied since *snapshot* in *part*.

    *enrolling* are tenants copied at their own snapshot: for them, and for keys without a tenant, entries count
    from there. With *places* it says of each row only its place, if it exists. With *displaced* it leaves out the
    rows that exist and did not move: all that they need is to be written.
    """
    conditions: list[sql.Composable] = [
        sql.SQL("{} AND {}").format(_theirs(table, part, snapshot), new_entries(snapshot))
    ]
    if enrolling:
        # From the earliest of their snapshots for all of them: an entry too many does no harm.
        start = earliest([s for _, s in enrolling])
        since: sql.Composable = sql.SQL("{} AND {}").format(_theirs(table, part, start), new_entries(start))
        if table.sharded:
            stray = sql.SQL(" OR NOT {}").format(_part(part)) if table.derived else sql.SQL("")
            since = sql.SQL("(j.tenant_id = ANY (ARRAY[{}]::{}[]) OR j.tenant_id IS NULL{}) AND {}").format(
                sql.SQL(", ").join(sql.Literal(tenant) for tenant, _ in enrolling),
                sql.SQL(table.tenant_type),
                stray,
                since,
            )
        conditions.append(since)
    columns: list[sql.Composable] = _key("j", table)
    if table.sharded:
        # Where the tenant may be out of date, it is one we do not know.
        stale = snapshot.xip.union(*(s.xip for _, s in enrolling)) if table.derived else frozenset()
        known = _part(part)
        if stale:
            known = sql.SQL("{} AND j.xid NOT IN ({})").format(known, _running(stale))
        own = sql.SQL("CASE WHEN {} THEN j.tenant_id END AS tenant_id").format(known)
        columns = [own, sql.SQL("j.part >= {} AS moved").format(sql.Literal(MOVED)), *columns]
    dirty = sql.SQL("(SELECT DISTINCT {} FROM {} AS j WHERE ({}))").format(
        sql.SQL(", ").join(columns),
        sql.Identifier("migrator", journal(table_id)),
        sql.SQL(") OR (").join(conditions),
    )
    return _state(table, dirty, places=places, displaced=displaced)


def read_keys(table: Table, *, places: bool = False) -> sql.Composed:
    """Return the query for the present state of given keys: arrays of tenants, then of key columns."""
    values = [_Value(table.tenant_type), *(_Value(table.column(c).type, table.column(c).listed) for c in table.key)]
    source, casts = _unnested(values)
    outputs = ["tenant_id", *(key_column(i) for i in range(len(table.key)))]
    dirty = sql.SQL("(SELECT false AS moved, {} FROM {})").format(
        sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(cast, sql.Identifier(o)) for cast, o in zip(casts, outputs, strict=True)
        ),
        source,
    )
    return _state(table, dirty, places=places)


def read_children(parent: Table, child: Table, *, places: bool = False) -> sql.Composed:
    """Return the query for the present state of *child*'s rows under given keys of *parent* (arrays)."""
    source, casts = _unnested([_Value(parent.column(c).type, parent.column(c).listed) for c in parent.key])
    dirty = sql.SQL("(SELECT NULL::{} AS tenant_id, false AS moved, {} FROM {} JOIN {} AS p ON {} JOIN {} AS c ON {})")
    return _state(
        child,
        dirty.format(
            sql.SQL(child.tenant_type),
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(sql.Identifier("c", c), sql.Identifier(key_column(i)))
                for i, c in enumerate(child.key)
            ),
            source,
            table_identifier(parent.qualified),
            _equal("p", [(c, parent.column(c).equality) for c in parent.key], casts),
            table_identifier(child.qualified),
            sql.SQL(" AND ").join(
                sql.SQL("p.{} {} c.{}").format(sql.Identifier(up), sql.SQL(equals), sql.Identifier(down))
                for down, equals, up in child.path[0].links()
            ),
        ),
        places=places,
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """A parameter's element: its type, and whether an array of that type can carry it."""

    type: str
    listed: bool = True


def _unnested(values: Sequence[_Value]) -> tuple[sql.Composed, list[sql.Composable]]:
    """Return `unnest(...) AS u (...)` over parameters $1, $2..., and each element in its own type."""
    names = [sql.Identifier(f"a{i}") for i in range(len(values))]
    arrays = [
        sql.SQL("${}::{}[]").format(sql.SQL(str(i)), sql.SQL(v.type if v.listed else "text"))
        for i, v in enumerate(values, 1)
    ]
    source = sql.SQL("unnest({}) AS u ({})").format(sql.SQL(", ").join(arrays), sql.SQL(", ").join(names))
    elements = [
        sql.SQL("u.{}").format(n) if v.listed else sql.SQL("u.{}::{}").format(n, sql.SQL(v.type))
        for n, v in zip(names, values, strict=True)
    ]
    return source, list(elements)


def _equal(alias: str, columns: Sequence[tuple[str, str]], values: Sequence[sql.Composable]) -> sql.Composed:
    """Return the condition that *columns* (name, operator) of *alias* equal *values*."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier(alias, name), sql.SQL(equals), value)
        for (name, equals), value in zip(columns, values, strict=True)
    )


def target_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns written on Limitless; a derived tenant column comes first."""
    if table.derived and table.tenant_column:
        return (Column(table.tenant_column, table.tenant_type), *table.written_columns)
    return table.written_columns


def _there(columns: Sequence[Column]) -> tuple[sql.Composed, list[sql.Composable]]:
    return _unnested([_Value(c.there, c.listed) for c in columns])


def upsert(table: Table) -> sql.Composed:
    """Return the statement that writes whole rows, given as one array per target column.

    A key column is set too where equal keys can look different (1.0 and 1.00); never the shard key.
    """
    columns = target_columns(table)
    source, values = _there(columns)
    fixed = {table.tenant_column, *(c.name for c in columns if c.exact and c.name in table.target_key)}
    rest = [c.name for c in columns if c.name not in fixed]
    action: sql.Composable = sql.SQL("DO NOTHING")
    if rest:
        action = sql.SQL("DO UPDATE SET {}").format(
            sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in rest)
        )
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) {}").format(
        table_identifier(table.qualified),
        sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        sql.SQL(", ").join(values),
        source,
        sql.SQL(", ").join(map(sql.Identifier, table.target_key)),
        action,
    )


def _target_key_columns(table: Table) -> list[Column]:
    known = {c.name: c for c in table.columns}
    if table.tenant_column:
        known.setdefault(table.tenant_column, Column(table.tenant_column, table.tenant_type))
    return [known[name] for name in table.target_key]


def _matching(alias: str, columns: Sequence[Column], values: Sequence[sql.Composable]) -> sql.Composed:
    return _equal(alias, [(c.name, c.equality) for c in columns], values)


def _of_one(alias: str, table: Table, columns: Sequence[Column]) -> sql.Composed:
    """Return the condition, for a statement with one array per column, that *alias* is of the first tenant in it.

    Where all are of one tenant the join says so too, but a router decides by constants which shards to ask. Equality
    with one constant, since a list would multiply the looks into an index.
    """
    for number, column in enumerate(columns, 1):
        if column.name == table.tenant_column and column.listed:
            return sql.SQL(" AND {}.{} {} (${}::{}[])[1]").format(
                *(sql.Identifier(alias), sql.Identifier(column.name), sql.SQL(column.equality)),
                *(sql.SQL(str(number)), sql.SQL(column.there)),
            )
    return sql.Composed([])


def delete(table: Table, *, one_tenant: bool = False) -> sql.Composed:
    """Return the statement that deletes rows, given as one array per target key column; of *one_tenant* all of them."""
    columns = _target_key_columns(table)
    source, values = _there(columns)
    return sql.SQL("DELETE FROM {} AS t USING {} WHERE {}{}").format(
        table_identifier(table.qualified),
        source,
        _matching("t", columns, values),
        _of_one("t", table, columns) if one_tenant else sql.SQL(""),
    )


def find_on_target(table: Table) -> sql.Composed:
    """Return the query for (tenant, key...) of target rows with given classic keys, whichever tenant they belong to.

    It asks every shard. Only keys that were journalled without a tenant need it: nothing else tells whose row on
    Limitless such a key was.
    """
    columns = [table.column(c) for c in table.key]
    source, values = _there(columns)
    return sql.SQL("SELECT t.{}::text, {} FROM {} AS t JOIN {} ON {}").format(
        sql.Identifier(table.tenant_column or ""),
        sql.SQL(", ").join(sql.Identifier("t", c) for c in table.key),
        table_identifier(table.qualified),
        source,
        _matching("t", columns, values),
    )


def without_parent(child: Table, columns: Sequence[str], parent: Table, parent_columns: Sequence[str]) -> sql.Composed:
    """Return the query for (tenant, number) of *child*'s target rows with given target keys that refer to nothing."""
    own = _target_key_columns(child)
    source, values = _there(own)
    return sql.SQL(
        "SELECT {}, count(*) FROM {} AS t JOIN {} ON {} WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})"
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    ).format(
        _tenant_text(child),
        table_identifier(child.qualified),
        source,
        _matching("t", own, values),
        sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("t", c)) for c in columns),
        table_identifier(parent.qualified),
        _equal("p", _with_equality(parent, parent_columns), [sql.Identifier("t", c) for c in columns]),
    )


def still_referring(child: Table, columns: Sequence[str], parent: Table, parent_columns: Sequence[str]) -> sql.Composed:
    """Return the query for (tenant, number) of *child*'s target rows that refer to given target keys of *parent*."""
    own = _target_key_columns(parent)
    source, values = _there(own)
    by_name = {c.name: value for c, value in zip(own, values, strict=True)}
    return sql.SQL("SELECT {}, count(*) FROM {} AS t JOIN {} ON {} GROUP BY 1 ORDER BY 2 DESC, 1").format(
        _tenant_text(child),
        table_identifier(child.qualified),
        source,
        _equal("t", _with_equality(child, columns), [by_name[c] for c in parent_columns]),
    )


def _tenant_text(table: Table) -> sql.Composable:
    return (
        sql.SQL("t.{}::text").format(sql.Identifier(table.tenant_column))
        if table.tenant_column
        else sql.SQL("NULL::text")
    )


def _with_equality(table: Table, columns: Sequence[str]) -> list[tuple[str, str]]:
    known = {c.name: c.equality for c in table.columns}  # a derived tenant column is none of classic's
    return [(c, known.get(c, "=")) for c in columns]


def find_children(parent: Table, child: Table, *, one_tenant: bool = False) -> sql.Composed:
    """Return the query for (tenant, key...) of *child*'s target rows under given target keys of *parent*.

    By the keys alone where they are what the child refers to: the parent's own row may already have been deleted by a
    chunk of a batch that a crash interrupted.
    """
    columns = _target_key_columns(parent)
    source, values = _there(columns)
    by_name = {c.name: value for c, value in zip(columns, values, strict=True)}
    links = [(child.tenant_column or "", "=", parent.tenant_column or ""), *child.path[0].links()]
    above: sql.Composable = sql.SQL("")
    if not all(up in by_name for _, _, up in links):
        above = sql.SQL(" JOIN {} AS p ON {}{}").format(
            table_identifier(parent.qualified),
            _matching("p", columns, values),
            _of_one("p", parent, columns) if one_tenant else sql.SQL(""),
        )
        by_name = {up: sql.Identifier("p", up) for _, _, up in links}
    renamed = [replace(c, name=child.tenant_column or "") if c.name == parent.tenant_column else c for c in columns]
    return sql.SQL("SELECT c.{}::text, {} FROM {}{} JOIN {} AS c ON {}{}").format(
        sql.Identifier(child.tenant_column or ""),
        sql.SQL(", ").join(sql.Identifier("c", name) for name in child.key),
        source,
        above,
        table_identifier(child.qualified),
        sql.SQL(" AND ").join(
            sql.SQL("c.{} {} {}").format(sql.Identifier(down), sql.SQL(equals), by_name[up])
            for down, equals, up in links
        ),
        _of_one("c", child, renamed) if one_tenant else sql.SQL(""),
    )
