"""Builds SELECTs of the keys that a statement dirties, over its transition tables. Pure.

Those of the rows it wrote, and those of rows that change their tenant because a parent did.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.dataplane.capture import names
from migrator.model.table import Hop, Table

NEW_ROWS, OLD_ROWS = sql.Identifier("new_rows"), sql.Identifier("old_rows")
"""The transition tables of our triggers."""


def linked(parent: str, hop: Hop, child: str) -> sql.Composed:
    """Return the condition that joins row *child* to row *parent*."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier(parent, up), sql.SQL(equals), sql.Identifier(child, down))
        for down, equals, up in hop.links()
    )


def upward(alias: str, hops: Sequence[Hop], source: str) -> tuple[sql.Composed, sql.Identifier]:
    """Return the joins from *alias* up to the tenant's owner, and the tenant expression.

    LEFT JOINs: a row whose parent is missing has no tenant, and must still be named.
    """
    joins: list[sql.Composable] = []
    at = alias
    for number, hop in enumerate(hops):
        above = f"{alias}_up{number}"
        joins.append(
            sql.SQL(" LEFT JOIN {} AS {} ON {}").format(
                names.table_identifier(hop.parent),
                sql.Identifier(above),
                linked(above, hop, at),
            )
        )
        at = above
    return sql.Composed(joins), sql.Identifier(at, source)


def own_keys(table: Table, source: sql.Composable) -> sql.Composed:
    """Return the SELECT of (tenant, key) for every row of *source*: a transition table, or a subquery of rows."""
    key = [sql.Identifier("r", c) for c in table.key]
    if not table.sharded:
        return sql.SQL("SELECT {} FROM {} AS r").format(sql.SQL(", ").join(key), source)
    joins, tenant = upward("r", table.path, table.tenant_source or "")
    own = sql.SQL("SELECT {}, {} FROM {} AS r{}").format(tenant, sql.SQL(", ").join(key), source, joins)
    if not table.derived:
        return own
    # The parent this transaction sees may have moved since its snapshot was taken: then every partition looks.
    return sql.SQL(
        "{} UNION ALL SELECT NULL::{}, {} FROM {} AS r"
        " WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')"
    ).format(own, sql.SQL(table.tenant_type), sql.SQL(", ").join(key), source)


def relinked_keys(table: Table) -> sql.Composed:
    """Return keys, without a tenant, of derived rows whose link to the parent changed.

    Their old parent may have moved in the same statement, so its tenant of before cannot be looked up any
    more: without a tenant, every mirror partition looks after the key.
    """
    same = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier("n", c), sql.SQL(table.column(c).equality), sql.Identifier("r", c))
        for c in table.key
    )
    link = sql.SQL(" AND ").join(
        sql.SQL("({n} {equals} {r} OR {n} IS NULL AND {r} IS NULL)").format(
            n=sql.Identifier("n", c), r=sql.Identifier("r", c), equals=sql.SQL(table.column(c).equality)
        )
        for c in table.path[0].columns
    )
    return sql.SQL(
        "SELECT NULL::{}, {} FROM old_rows AS r WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE {} AND {})"
    ).format(sql.SQL(table.tenant_type), sql.SQL(", ").join(sql.Identifier("r", c) for c in table.key), same, link)


def changed_rows(columns: Sequence[str]) -> sql.Composed:
    """Return the source of *columns* of rows that look different before and after an UPDATE, both ways."""
    return sql.SQL(
        "((SELECT {c} FROM old_rows EXCEPT SELECT {c} FROM new_rows)"
        " UNION (SELECT {c} FROM new_rows EXCEPT SELECT {c} FROM old_rows))"
    ).format(c=sql.SQL(", ").join(map(sql.Identifier, columns)))


def deciding(parent: Table, child: Table) -> tuple[str, ...]:
    """Return the columns of *parent* that say which rows of *child* are below it, and whose they are; none: not so."""
    level = next((i for i, h in enumerate(child.path) if h.parent == parent.qualified), None)
    if level is None:
        return ()
    above = child.path[level + 1 :]
    link = above[0].columns if above else (child.tenant_source or "",)
    return tuple(dict.fromkeys((*child.path[level].parent_columns, *link)))


def descendants(parent: Table, child: Table, source: sql.Composable) -> sql.Composed:
    """Return (tenant, key) of the *child* rows below the rows of *parent* in *source*, which has `deciding` columns."""
    level = next(i for i, h in enumerate(child.path) if h.parent == parent.qualified)
    below, above = child.path[: level + 1], child.path[level + 1 :]
    joins: list[sql.Composable] = []
    at = "a"
    for number in range(level, -1, -1):
        hop = below[number]
        lower = child.qualified if number == 0 else below[number - 1].parent
        alias = f"d{number}"
        joins.append(
            sql.SQL(" JOIN {} AS {} ON {}").format(
                names.table_identifier(lower),
                sql.Identifier(alias),
                linked(at, hop, alias),
            )
        )
        at = alias
    upjoins, tenant = upward("a", above, child.tenant_source or "")
    return sql.SQL("SELECT {}, {} FROM {} AS a{}{}").format(
        tenant,
        sql.SQL(", ").join(sql.Identifier(at, c) for c in child.key),
        source,
        upjoins,
        sql.Composed(joins),
    )


def watched(table: Table, others: Sequence[tuple[int, Table]]) -> tuple[str, ...]:
    """Return the columns of *table* that decide the tenant of its derived children: none when it has none."""
    hops = [h for _, child in others for h in child.path if h.parent == table.qualified]
    if not hops:
        return ()
    own = table.path[0].columns if table.path else (table.tenant_source or "",)
    return tuple(dict.fromkeys([*(c for h in hops for c in h.parent_columns), *own]))


def with_moves(table: Table, own: sql.Composed, watched: Sequence[str]) -> sql.Composed:
    """Return *own* (tenant, key) of an UPDATE with a column that says whether the row's children may be elsewhere."""
    columns = sql.SQL(", ").join(sql.Identifier(c) for c in table.key)
    changed = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*table.key, *watched])))
    keys = [sql.Identifier(names.key_column(i)) for i in range(len(table.key))]
    return sql.SQL(
        "SELECT o.*, EXISTS (SELECT FROM (SELECT {columns} FROM (SELECT {changed} FROM old_rows"
        " EXCEPT SELECT {changed} FROM new_rows) AS gone UNION SELECT {columns} FROM (SELECT {changed} FROM new_rows"
        " EXCEPT SELECT {changed} FROM old_rows) AS come) AS m ({keys}) WHERE {same})"
        " FROM ({own}) AS o (tenant_id, {keys})"
    ).format(
        columns=columns,
        changed=changed,
        own=own,
        keys=sql.SQL(", ").join(keys),
        same=sql.SQL(" AND ").join(
            sql.SQL("m.{k} {equals} o.{k}").format(k=k, equals=sql.SQL(table.column(c).equality))
            for k, c in zip(keys, table.key, strict=True)
        ),
    )
