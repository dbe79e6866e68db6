"""What is a tenant's digest, and how is it computed? Pure builders of the validator's own SQL.

Per tenant and table: the number of rows and the sum of a 64-bit hash of each row's text. Both are exact and
independent of order. The text of a row is unambiguous: NULL is '~', values that cannot contain the separator stand
before '|', all others carry their length in bytes.

Collisions: two different rows share a 64-bit hash with probability 2^-64, and a set of k differing rows hides
only when the sums of their hashes agree, again 2^-64 for hashes that behave like random numbers. A billion
comparisons a day for a year leave a chance of about 2 in 100 million of one wrong "equal".

hashtextextended gives the same number on every server version that has it (PostgreSQL 11 on) for the same bytes;
COLLATE "C" keeps nondeterministic collations, which hash their sort keys, out of it. The text form of values is
fixed by the session settings of migrator.db.connect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql

from migrator.model.side import Side
from migrator.model.table import Table

_NO_SEPARATOR = re.compile(
    r"^(smallint|integer|bigint|numeric(\(.*\))?|real|double precision|boolean|uuid|date|oid|bytea|pg_lsn|inet|cidr|"
    r"macaddr8?|money|timestamp.*|time .*|time|interval.*|bit.*|\"char\"\[0\])$"
)
"""Types whose text never contains '|' or starts with '~'."""


def _name(qualified: str) -> sql.Identifier:
    schema, _, name = qualified.partition(".")
    return sql.Identifier(schema, name)


def _column_text(column: sql.Composable, kind: str) -> sql.Composed:
    if _NO_SEPARATOR.match(kind):
        return sql.SQL("coalesce({}::text, '~') || '|'").format(column)
    if kind.startswith(("character(", "bpchar")):
        # The cast to text drops trailing blanks; the length of the value itself does not.
        return sql.SQL("coalesce(octet_length({c})::text || ':' || {c}::text, '~')").format(c=column)
    return sql.SQL("coalesce(octet_length({c}::text)::text || ':' || {c}::text, '~')").format(c=column)


def row_text(table: Table) -> sql.Composed:
    """Return the text of a row of t, without the tenant column that exists on Limitless only."""
    return sql.SQL(" || ").join(_column_text(sql.Identifier("t", c.name), c.type) for c in table.columns)


def _hash(text: sql.Composable) -> sql.Composed:
    return sql.SQL('hashtextextended(({}) COLLATE "C", 0)').format(text)


def tenant_of(table: Table, side: Side) -> sql.Composable:
    """Return the tenant expression of a row of t."""
    if side is Side.LIMITLESS or not table.derived:
        column = table.tenant_column if side is Side.LIMITLESS else table.tenant_source
        return sql.Identifier("t", column or "")
    return sql.Identifier(f"v{len(table.path) - 1}", table.tenant_source or "")


def rows_from(table: Table, side: Side) -> sql.Composed:
    """Return the FROM list: on classic a derived table needs its parents to know its tenant."""
    parts: list[sql.Composable] = [sql.SQL("{} AS t").format(_name(table.qualified))]
    if side is Side.CLASSIC:
        below = "t"
        for number, hop in enumerate(table.path):
            alias = f"v{number}"
            on = sql.SQL(" AND ").join(
                sql.SQL("{} = {}").format(sql.Identifier(alias, up), sql.Identifier(below, down))
                for up, down in zip(hop.parent_columns, hop.columns, strict=True)
            )
            parts.append(sql.SQL("LEFT JOIN {} AS {} ON {}").format(_name(hop.parent), sql.Identifier(alias), on))
            below = alias
    return sql.SQL(" ").join(parts)


def _of_tenants(table: Table, side: Side, tenants: Sequence[str] | None) -> sql.Composable:
    if tenants is None or not table.sharded:
        return sql.SQL("")
    return sql.SQL(" WHERE {} = ANY (ARRAY[{}]::{}[])").format(
        tenant_of(table, side), sql.SQL(", ").join(map(sql.Literal, tenants)), sql.SQL(table.tenant_type)
    )


def digests(table: Table, side: Side, tenants: Sequence[str] | None) -> sql.Composed:
    """Return the query for (tenant text or NULL, rows, sum of hashes) per tenant; one row for a table without."""
    if not table.sharded:
        return sql.SQL("SELECT NULL::text, count(*), coalesce(sum({}), 0) FROM {}").format(
            _hash(row_text(table)), rows_from(table, side)
        )
    tenant = tenant_of(table, side)
    return sql.SQL("SELECT {}::text, count(*), coalesce(sum({}), 0) FROM {}{} GROUP BY {}").format(
        tenant, _hash(row_text(table)), rows_from(table, side), _of_tenants(table, side, tenants), tenant
    )


def key_text(table: Table) -> sql.Composed:
    """Return classic's key of a row of t as an array of texts."""
    return sql.SQL("ARRAY[{}]::text[]").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", c)) for c in table.key)
    )


def _bucket(table: Table, buckets: int) -> sql.Composed:
    text = sql.SQL(" || ").join(_column_text(sql.Identifier("t", c), table.column(c).type) for c in table.key)
    return sql.SQL("mod({} & 9223372036854775807, {})").format(_hash(text), sql.Literal(buckets))


def bucket_digests(table: Table, side: Side, tenant: str | None, buckets: int) -> sql.Composed:
    """Return the query for (bucket, rows, sum of hashes): where in a tenant's table the difference lies."""
    return sql.SQL("SELECT {}, count(*), sum({}) FROM {}{} GROUP BY 1").format(
        _bucket(table, buckets),
        _hash(row_text(table)),
        rows_from(table, side),
        _of_tenants(table, side, None if tenant is None else [tenant]),
    )


def bucket_rows(table: Table, side: Side, tenant: str | None, buckets: int, chosen: Sequence[int]) -> sql.Composed:
    """Return the query for (key, row hash, hash per column) of the rows in *chosen* buckets."""
    where = _of_tenants(table, side, None if tenant is None else [tenant])
    return sql.SQL("SELECT {}, {}, ARRAY[{}] FROM {}{}{} {} IN ({})").format(
        key_text(table),
        _hash(row_text(table)),
        sql.SQL(", ").join(_hash(_column_text(sql.Identifier("t", c.name), c.type)) for c in table.columns),
        rows_from(table, side),
        where,
        sql.SQL(" AND" if tenant is not None and table.sharded else " WHERE"),
        _bucket(table, buckets),
        sql.SQL(", ").join(map(sql.Literal, chosen)),
    )


def row_values(table: Table, side: Side, tenant: str | None) -> sql.Composed:
    """Return the query for the column texts of one row, whose key texts are the parameter."""
    where = _of_tenants(table, side, None if tenant is None else [tenant])
    return sql.SQL("SELECT ARRAY[{}]::text[] FROM {}{}{} {} = %s::text[]").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", c.name)) for c in table.columns),
        rows_from(table, side),
        where,
        sql.SQL(" AND" if tenant is not None and table.sharded else " WHERE"),
        key_text(table),
    )


def tenantless(table: Table) -> sql.Composed:
    """Return the query that counts classic rows of a sharded table that belong to no tenant."""
    return sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL").format(
        rows_from(table, Side.CLASSIC), tenant_of(table, Side.CLASSIC)
    )


def tenants_on_limitless(table: Table) -> sql.Composed:
    """Return the query for (tenant, rows) of a table on Limitless, whoever they are."""
    return sql.SQL("SELECT {c}::text, count(*) FROM {t} AS t GROUP BY 1").format(
        c=sql.Identifier("t", table.tenant_column or ""), t=_name(table.qualified)
    )
