"""Builds the SQL that reads a unit's rows, writes them, and removes leftovers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.dataplane.capture.names import table_identifier
from migrator.model.table import Table
from migrator.model.tenant import RECENT_XIDS


def name(qualified: str) -> sql.Identifier:
    """Return the quoted name of a table known by its `Table.qualified`."""
    return table_identifier(qualified)


def is_binary(table: Table) -> bool:
    """Whether binary COPY means the same on both servers for every column."""
    return all(c.binary_safe and not c.cast for c in table.written_columns)


def _format(table: Table, binary: bool) -> sql.SQL:
    return sql.SQL("(FORMAT binary)") if binary and is_binary(table) else sql.SQL("(FORMAT text)")


def _tenants(tenants: Sequence[str], kind: str) -> sql.Composed:
    return sql.SQL("ARRAY[{}]::{}[]").format(sql.SQL(", ").join(map(sql.Literal, tenants)), sql.SQL(kind))


def _range(alias: str, table: Table, lower: str | None, upper: str | None) -> list[sql.Composable]:
    column, kind = sql.Identifier(alias, table.key[0]), sql.SQL(table.column(table.key[0]).type)
    found: list[sql.Composable] = []
    if lower is not None:
        found.append(sql.SQL("{} >= {}::{}").format(column, sql.Literal(lower), kind))
    if upper is not None:
        found.append(sql.SQL("{} < {}::{}").format(column, sql.Literal(upper), kind))
    return found


def _owner(table: Table) -> tuple[sql.Composed, sql.Identifier]:
    """Return the inner joins from t to the tenant's owner, and the tenant column."""
    joins: list[sql.Composable] = []
    at = "t"
    for number, hop in enumerate(table.path):
        parent = f"p{number}"
        joins.append(
            sql.SQL(" JOIN {} AS {} ON {}").format(
                name(hop.parent),
                sql.Identifier(parent),
                sql.SQL(" AND ").join(
                    sql.SQL("{} {} {}").format(sql.Identifier(parent, up), sql.SQL(equals), sql.Identifier(at, down))
                    for down, equals, up in hop.links()
                ),
            )
        )
        at = parent
    return sql.Composed(joins), sql.Identifier(at, table.tenant_source or "")


def copy_out(
    table: Table, tenants: Sequence[str], lower: str | None = None, upper: str | None = None, *, binary: bool = True
) -> sql.Composed:
    """Return the COPY that reads a unit's rows of *table* on classic; a derived tenant column comes first.

    *binary* says whether Limitless takes that form at all.
    """
    columns: list[sql.Composable] = [
        sql.SQL("t.{}::{}").format(sql.Identifier(c.name), sql.SQL(c.cast)) if c.cast else sql.Identifier("t", c.name)
        for c in table.written_columns
    ]
    where: list[sql.Composable] = _range("t", table, lower, upper)
    joins = sql.Composed([])
    if table.sharded:
        joins, tenant = _owner(table)
        where.append(sql.SQL("{} = ANY ({})").format(tenant, _tenants(tenants, table.tenant_type)))
        if table.derived:
            columns.insert(0, tenant)
    return sql.SQL("COPY (SELECT {} FROM {} AS t /* migrator */{}{}) TO STDOUT {}").format(
        sql.SQL(", ").join(columns),
        name(table.qualified),
        joins,
        sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(where)) if where else sql.SQL(""),
        _format(table, binary),
    )


def copy_in(table: Table, *, binary: bool = True) -> sql.Composed:
    """Return the COPY that writes them on Limitless, in the form they were read in."""
    columns = [c.name for c in table.written_columns]
    if table.derived and table.tenant_column:
        columns.insert(0, table.tenant_column)
    return sql.SQL("COPY {} ({}) FROM STDIN {}").format(
        name(table.qualified), sql.SQL(", ").join(map(sql.Identifier, columns)), _format(table, binary)
    )


def remove(table: Table, tenants: Sequence[str], lower: str | None = None, upper: str | None = None) -> sql.Composed:
    """Return the DELETE of what an interrupted try, or an earlier copy of the tenant, left on Limitless."""
    return sql.SQL("DELETE {}").format(_left(table, tenants, lower, upper))


def is_left(table: Table, tenants: Sequence[str], lower: str | None = None, upper: str | None = None) -> sql.Composed:
    """Return the expression that says whether `remove` would find a row."""
    return sql.SQL("EXISTS (SELECT {})").format(_left(table, tenants, lower, upper))


def held(
    table: Table, tenant: str, lower: str | None, upper: str | None, parts: Sequence[str], condition: str | None
) -> sql.Composed:
    """Return the query for the values, as texts, of *parts* (columns or expressions) of a range's rows on classic.

    Args:
        condition: of rows that count, as an index has it.
    """
    joins, owner = _owner(table)
    where = [
        *_range("t", table, lower, upper),
        sql.SQL("{} = ANY ({})").format(owner, _tenants([tenant], table.tenant_type)),
    ]
    return sql.SQL("SELECT DISTINCT {} FROM (SELECT t.* FROM {} AS t /* migrator */{} WHERE {}) AS t{}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.SQL(part)) for part in parts) if parts else sql.SQL("NULL"),
        name(table.qualified),
        joins,
        sql.SQL(" AND ").join(where),
        sql.SQL(" WHERE {}").format(sql.SQL(condition)) if condition else sql.SQL(""),
    )


def free(
    table: Table,
    tenant: str,
    lower: str | None,
    upper: str | None,
    parts: Sequence[tuple[str, str]],
    condition: str | None,
    *,
    nulls_equal: bool,
) -> sql.Composed:
    """Return the DELETE of a tenant's rows outside of a range on Limitless whose *parts* (each with its type) have
    given values, as arrays of texts, one per part."""
    names = [sql.Identifier(f"migrator_{i}") for i in range(max(len(parts), 1))]
    kinds = [kind if not kind.endswith("]") else "text" for _, kind in parts] or ["text"]  # no array of arrays
    equals = sql.SQL(" IS NOT DISTINCT FROM " if nulls_equal else " = ")
    where: list[sql.Composable] = [
        sql.SQL("t.{} = ANY ({})").format(
            sql.Identifier(table.tenant_column or ""), _tenants([tenant], table.tenant_type)
        ),
        sql.SQL("NOT ({})").format(sql.SQL(" AND ").join(_range("t", table, lower, upper))),
        *(
            sql.SQL("{}{}v.{}::{}").format(sql.SQL(part), equals, column, sql.SQL(kind))
            for (part, kind), column in zip(parts, names, strict=False)
        ),
    ]
    if condition:
        where.append(sql.SQL("({})").format(sql.SQL(condition)))
    return sql.SQL("DELETE FROM {} AS t /* migrator */ USING unnest({}) AS v ({}) WHERE {}").format(
        name(table.qualified),
        sql.SQL(", ").join(
            sql.SQL("${}::{}[]").format(sql.SQL(str(n)), sql.SQL(kind)) for n, kind in enumerate(kinds, 1)
        ),
        sql.SQL(", ").join(names),
        sql.SQL(" AND ").join(where),
    )


def _left(table: Table, tenants: Sequence[str], lower: str | None, upper: str | None) -> sql.Composed:
    where = _range("t", table, lower, upper)
    if table.sharded:
        where.append(
            sql.SQL("{} = ANY ({})").format(
                sql.Identifier("t", table.tenant_column or ""), _tenants(tenants, table.tenant_type)
            )
        )
    return sql.SQL("FROM {} AS t /* migrator */{}").format(
        name(table.qualified), sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(where)) if where else sql.SQL("")
    )


def count_tenants(table: Table) -> sql.Composed:
    """Return the query for (tenant text, rows, rows written by recent transactions) of a table that has its own tenant
    column."""
    return sql.SQL(
        "SELECT t.{c}::text, count(*), count(*) FILTER (WHERE age(t.xmin) BETWEEN 0 AND {recent})"
        " FROM {t} AS t /* migrator */"
        " WHERE t.{c} IS NOT NULL GROUP BY t.{c}"
    ).format(c=sql.Identifier(table.tenant_source or ""), t=name(table.qualified), recent=sql.Literal(RECENT_XIDS))


def cuts(table: Table, tenant: str, ranges: int) -> sql.Composed:
    """Return the query for the key texts that cut a tenant's rows of *table* into *ranges* equal ranges."""
    joins, owner = _owner(table)
    fractions = sql.SQL(", ").join(sql.Literal(i / ranges) for i in range(1, ranges))
    return sql.SQL(
        "SELECT DISTINCT cut::text AS shown, cut FROM unnest((SELECT percentile_disc(ARRAY[{}]::float8[])"
        " WITHIN GROUP (ORDER BY t.{}) FROM {} AS t /* migrator */{} WHERE {} = {}::{})) AS cut ORDER BY cut"
    ).format(
        fractions,
        sql.Identifier(table.key[0]),
        name(table.qualified),
        joins,
        owner,
        sql.Literal(tenant),
        sql.SQL(table.tenant_type),
    )
