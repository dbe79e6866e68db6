"""Builds the validator's SQL: digests of tenants and buckets, and the rows of buckets that differ. Pure.

Per tenant and table: the number of rows and the sum of a 64-bit hash of each row. Both are exact and independent of
order. Every value is hashed by itself, so that no separator can be mistaken for data, and values are put together by
what the hash takes as its 64-bit seed: it is mixed into the state like data, so that what differs in the seed has
hashes as unrelated as what differs in the text.

* Columns that may be NULL: each is hashed under a seed of its own, NULL is a number of its own, and the results are
  combined by exclusive or. Two rows that differ there agree with probability 2^-64.
* Columns that may not: one after the other, each under the hash of all before it as its seed, the first under the
  result above. A NULL among them, where classic allows none, makes the row's hash 0: still a row, and a difference.

How a value is hashed: its text, byte by byte, but for a few types where something shorter says as much and costs half:
integers are the seed themselves (hashint8extended will not do: it folds its argument to 32 bits first), timestamps
enter as the eight bytes of their binary form, uuids as their sixteen bytes.

Collisions: a set of k differing rows hides only when the sums of their hashes agree, 2^-64 for hashes that behave like
random numbers, and a row of n columns that may not be NULL adds n * 2^-64 at most. A billion comparisons a day for a
year leave a chance of about 2 in 100 million, times the columns of a row, of one wrong "equal".

hashtextextended and uuid_hash_extended give the same number on every server version that has them (PostgreSQL 11 on)
for the same bytes: hash partitioning rests on it. COLLATE "C" keeps nondeterministic collations, which hash their sort
keys, out of it. The text form of values is fixed by the session settings of migrator.db.connect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql

from migrator.model.side import Side
from migrator.model.table import Column, Table, split_qualified

_INTEGERS = ("smallint", "integer", "bigint")
_TIMESTAMP = re.compile(r"^timestamp(\(\d+\))? (with|without) time zone$")
_SEED, _NULL = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # odd and arbitrary: their multiples are all different


def _arbitrary(odd: int, number: int) -> sql.Composed:
    """Return a 64-bit number that is a column's own."""
    return sql.SQL("{}::bigint").format(sql.Literal(((number + 1) * odd + 2**63) % 2**64 - 2**63))


def _name(qualified: str) -> sql.Identifier:
    return sql.Identifier(*split_qualified(qualified))


def _value_hash(column: Column) -> tuple[sql.Composed, sql.Composed]:
    """Return what stands before and behind the seed of the hash of a value of t, which is NULL for NULL.

    Casts are to what the column is on classic: nothing is done where they are, and the statement stays valid on a side
    whose column became another type.
    """
    value = sql.Identifier("t", column.name)
    if column.type in _INTEGERS:
        return sql.SQL("hashtextextended('' COLLATE \"C\", ").format(), sql.SQL(" # {}::bigint)").format(value)
    if column.type == "uuid":
        return sql.SQL("uuid_hash_extended({}::uuid, ").format(value), sql.SQL(")").format()
    if match := _TIMESTAMP.match(column.type):
        form = sql.SQL("timestamptz" if match[2] == "with" else "timestamp")
        text = sql.SQL("encode({form}_send({value}::{form}), 'hex')").format(form=form, value=value)
    else:
        text = sql.SQL("{}::text").format(value)
    before = sql.SQL('hashtextextended({} COLLATE "C", ').format(text)
    if column.type.startswith(("character(", "bpchar")):
        # The cast to text drops trailing blanks; the length of the value itself does not.
        return before, sql.SQL(" # octet_length({}))").format(value)
    return before, sql.SQL(")").format()


def _or_null(column: Column, number: int) -> sql.Composed:
    """Return the hash of a value that may be NULL, unlike that of the same value in another column."""
    if column.type in _INTEGERS:
        hashed = sql.SQL('hashtextextended({} COLLATE "C", {}::bigint)').format(
            sql.Literal(str(number)), sql.Identifier("t", column.name)
        )
    else:
        before, after = _value_hash(column)
        hashed = before + _arbitrary(_SEED, number) + after
    return sql.SQL("coalesce({}, {})").format(hashed, _arbitrary(_NULL, number))


def row_hash(columns: Sequence[Column]) -> sql.Composed:
    """Return the 64-bit hash of *columns* of t, which stand for all of the row or for its key."""
    nullable = [_or_null(column, number) for number, column in enumerate(columns) if not column.not_null]
    if len(nullable) == len(columns):
        return sql.SQL("hashtextextended('' COLLATE \"C\", {})").format(sql.SQL(" # ").join(nullable))
    seed = sql.SQL("({})").format(sql.SQL(" # ").join(nullable)) if nullable else sql.SQL("0::bigint").format()
    # Put together flat: a table may have 1,600 columns, and each encloses all before it.
    chain = [_value_hash(column) for column in columns if column.not_null]
    parts = [*(before for before, _ in reversed(chain)), seed, *(after for _, after in chain)]
    return sql.SQL("coalesce({}, 0)").format(sql.Composed(parts))


def tenant_of(table: Table, side: Side) -> sql.Composable:
    """Return the tenant expression of a row of t."""
    if side is Side.LIMITLESS or not table.derived:
        column = table.tenant_column if side is Side.LIMITLESS else table.tenant_source
        return sql.Identifier("t", column or "")
    return sql.Identifier(f"v{len(table.path) - 1}", table.tenant_source or "")


def rows_from(table: Table, side: Side) -> sql.Composed:
    """Return the FROM list: on classic a derived table needs its parents to know its tenant."""
    parts: list[sql.Composable] = [sql.SQL("{} AS t /* migrator */").format(_name(table.qualified))]
    if side is Side.CLASSIC:
        below = "t"
        for number, hop in enumerate(table.path):
            alias = f"v{number}"
            on = sql.SQL(" AND ").join(
                sql.SQL("{} {} {}").format(sql.Identifier(alias, up), sql.SQL(equals), sql.Identifier(below, down))
                for down, equals, up in hop.links()
            )
            parts.append(sql.SQL("LEFT JOIN {} AS {} ON {}").format(_name(hop.parent), sql.Identifier(alias), on))
            below = alias
    return sql.SQL(" ").join(parts)


_COLLATED = re.compile(r"^(text|character.*|bpchar|name|.*citext)$")


def _tenant_group(table: Table, side: Side) -> sql.Composable:
    """Return the tenant as something to group by: texts byte by byte, whatever their collation calls equal."""
    tenant = tenant_of(table, side)
    return sql.SQL('{}::text COLLATE "C"').format(tenant) if _COLLATED.match(table.tenant_type) else tenant


def _of_tenants(table: Table, side: Side, tenants: Sequence[str] | None) -> sql.Composable:
    if tenants is None or not table.sharded:
        return sql.SQL("")
    return sql.SQL(" WHERE {} = ANY ({}::{}[])").format(
        tenant_of(table, side), sql.Literal(list(tenants)), sql.SQL(table.tenant_type)
    )


def digests(table: Table, side: Side, tenants: Sequence[str] | None) -> sql.Composed:
    """Return the query for (tenant text or NULL, rows, sum of hashes) per tenant; one row for a table without."""
    if not table.sharded:
        return sql.SQL("SELECT NULL::text, count(*), coalesce(sum({}), 0) FROM {}").format(
            row_hash(table.columns), rows_from(table, side)
        )
    tenant = _tenant_group(table, side)
    return sql.SQL("SELECT ({})::text, count(*), coalesce(sum({}), 0) FROM {}{} GROUP BY {}").format(
        tenant, row_hash(table.columns), rows_from(table, side), _of_tenants(table, side, tenants), tenant
    )


def any_row(table: Table, side: Side, tenants: Sequence[str] | None) -> sql.Composed:
    """Return the query for (whether there is a row of these tenants)."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {}{})").format(rows_from(table, side), _of_tenants(table, side, tenants))


def tenant_rows(table: Table, side: Side) -> sql.Composed:
    """Return the query for (tenant text or NULL, rows) of a sharded table, whichever tenant they belong to."""
    tenant = _tenant_group(table, side)
    return sql.SQL("SELECT ({})::text, count(*) FROM {} GROUP BY {}").format(tenant, rows_from(table, side), tenant)


def _tenant_text(table: Table, side: Side) -> sql.Composable:
    """Return the tenant of a row of t as a text that compares byte by byte; '' in a table without."""
    if not table.sharded:
        return sql.SQL("''")
    return sql.SQL('{}::text COLLATE "C"').format(tenant_of(table, side))


def place(table: Table, side: Side) -> sql.Composed:
    """Return the tenant and classic's key of a row of t as an array of texts that compare byte by byte."""
    key = [sql.SQL('{}::text COLLATE "C"').format(sql.Identifier("t", c)) for c in table.key]
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join([_tenant_text(table, side), *key]))


def _bucket(table: Table, buckets: int) -> sql.Composed:
    key = row_hash([table.column(c) for c in table.key])
    return sql.SQL("mod({} & 9223372036854775807, {})").format(key, sql.Literal(buckets))


def bucket_digests(table: Table, side: Side, tenants: Sequence[str] | None, buckets: int) -> sql.Composed:
    """Return the query for (tenant, bucket, rows, sum of hashes): where in the tenants' rows the difference lies."""
    return sql.SQL("SELECT {}, {}, count(*), sum({}) FROM {}{} GROUP BY 1, 2").format(
        _tenant_text(table, side),
        _bucket(table, buckets),
        row_hash(table.columns),
        rows_from(table, side),
        _of_tenants(table, side, tenants),
    )


def bucket_rows(table: Table, side: Side, buckets: int, chosen: Sequence[tuple[str, int]]) -> sql.Composed:
    """Return the query for (place, row hash) of the rows in *chosen* buckets of tenants, in the order of places."""
    where = _of_tenants(table, side, sorted({tenant for tenant, _ in chosen}))
    return sql.SQL("SELECT {}, {} FROM {}{}{} {} || ':' || {} = ANY ({}::text[]) ORDER BY 1").format(
        place(table, side),
        row_hash(table.columns),
        rows_from(table, side),
        where,
        sql.SQL(" AND") if table.sharded else sql.SQL(" WHERE"),
        _tenant_text(table, side),
        _bucket(table, buckets),
        sql.Literal([f"{tenant}:{bucket}" for tenant, bucket in chosen]),
    )


def some_places(table: Table, side: Side, buckets: int, chosen: Sequence[tuple[str, int]], limit: int) -> sql.Composed:
    """Return the query for (place) of up to *limit* rows in *chosen* buckets."""
    return sql.SQL("SELECT place FROM ({}) AS s (place, hash) LIMIT {}").format(
        bucket_rows(table, side, buckets, chosen), sql.Literal(limit)
    )


def row_columns(table: Table, side: Side, tenants: Sequence[str] | None, show_values: bool) -> sql.Composed:
    """Return the query for (place, hash per column, shown text per column) of the rows at given places.

    For a raw cursor ($1, $2...), as names and tenants may hold a percent sign: arrays of texts, the tenants' and one
    per key column, and the salt unless *show_values*. They are cast to the columns' own types, so that an index finds
    the rows. Unless values are asked for they leave the server as hashes, salted so that the hash of a
    guessed value cannot be compared with them.
    """
    aliases = [f"k{i}" for i in range(len(table.key))]
    shown = (
        sql.SQL("{c}::text")
        if show_values
        else sql.SQL("'#' || left(encode(sha256(convert_to({salt}::text || {c}::text, 'UTF8')), 'hex'), 12)")
    )
    salt = sql.SQL(f"${len(aliases) + 2}")
    columns = [sql.Identifier("t", c.name) for c in table.columns]
    links = [
        sql.SQL("{} {} {}::{}").format(
            sql.Identifier("t", c.name),
            sql.SQL(c.equality),
            sql.Identifier("k", a),
            sql.SQL(c.type if side is Side.CLASSIC else c.there),
        )
        for c, a in zip(map(table.column, table.key), aliases, strict=True)
    ]
    if table.sharded:
        links.append(
            sql.SQL("{} = k.tenant::{}").format(tenant_of(table, side), sql.SQL(table.tenant_type)),
        )
    return sql.SQL(
        "SELECT {place}, ARRAY[{hashes}]::bigint[], ARRAY[{shown}]::text[] FROM {rows}"
        " JOIN unnest({arrays}) AS k ({names}) ON {on}{where}"
    ).format(
        place=place(table, side),
        hashes=sql.SQL(", ").join(_or_null(c, number) for number, c in enumerate(table.columns)),
        shown=sql.SQL(", ").join(shown.format(c=c, salt=salt) for c in columns),
        rows=rows_from(table, side),
        arrays=sql.SQL(", ").join(sql.SQL(f"${number}::text[]") for number in range(1, len(aliases) + 2)),
        names=sql.SQL(", ").join(map(sql.Identifier, ["tenant", *aliases])),
        on=sql.SQL(" AND ").join(links),
        # Classic finds rows by their key; on Limitless the tenants say which shards to ask.
        where=_of_tenants(table, side, tenants if side is Side.LIMITLESS else None),
    )


FINGERPRINT = """
SELECT left(encode(sha256(convert_to(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), ''), 'UTF8')),
                   'hex'), 16)
  FROM (SELECT concat_ws('|', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), o.collname)
          FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
          JOIN pg_namespace n ON n.nspname = t.schema
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_collation o ON o.oid = a.attcollation) s (line)
"""
"""What decides how rows compare on one side: names, types and collations of the columns of the given tables.
migrator.classic_fingerprint() says the same of classic, for gates that cannot ask Limitless."""

SHAPE = """
WITH RECURSIVE part (oid) AS (
    SELECT c.oid FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
      JOIN pg_namespace n ON n.nspname = t.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
    UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN part p ON i.inhparent = p.oid)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex')
  FROM (SELECT concat_ws('|', c.oid, c.relfilenode, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation,
                         a.attisdropped)
          FROM part p JOIN pg_class c USING (oid) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0) s (line)
"""
"""Changes whenever tables or their partitions are altered, rewritten, emptied, attached or detached. An earlier
snapshot does not protect from that: what it reads afterwards is not what the table was. Classic's alone: the
numbers are those of one server."""

SHAPE_BY_NAME = """
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex')
  FROM (SELECT concat_ws('|', n.nspname, c.relname, a.attname, tn.nspname, format_type(a.atttypid, a.atttypmod),
                         cn.nspname, o.collname, a.attnotnull, a.attgenerated)
          FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
          JOIN pg_namespace n ON n.nspname = t.schema
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type y ON y.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = y.typnamespace
          LEFT JOIN pg_collation o ON o.oid = a.attcollation
          LEFT JOIN pg_namespace cn ON cn.oid = o.collnamespace) s (line)
"""
"""The same of Limitless, from what all of its routers agree on: each numbers its objects by itself, and no two looks
need to come through one router. That a table was emptied and filled again it does not tell; see check.refilled."""
