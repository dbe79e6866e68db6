"""One column of every kind of value, and for each the smallest change that must not go unseen.

Columns named n_ cannot be NULL; the digest treats them in a way of its own.
"""

from __future__ import annotations

# name, type, a value, another one that differs as little as possible
KINDS: list[tuple[str, str, str, str]] = [
    ("c_smallint", "smallint", "12", "13"),
    ("c_integer", "integer", "-7", "-8"),
    ("c_bigint", "bigint", "4611686018427387904", "4611686018427387905"),
    ("n_smallint", "smallint", "12", "13"),
    ("n_integer", "integer", "2147483647", "2147483646"),
    ("n_bigint", "bigint", "'-9223372036854775808'", "'-9223372036854775807'"),
    ("n_high", "bigint", "4294967297", "0"),
    ("n_uuid", "uuid", "'00000000-0000-0000-0000-000000000000'", "'80000000-0000-0000-0000-000000000000'"),
    ("n_timestamptz", "timestamptz", "'2024-01-01 00:00:00+00'", "'2024-01-01 00:00:00.000001+00'"),
    ("n_timestamp", "timestamp(3)", "'2024-01-01 00:00:00'", "'2024-01-01 00:00:00.001'"),
    ("n_text", "text", "''", "' '"),
    ("n_char", "character(5)", "'ab'", "'ac'"),
    ("n_numeric", "numeric", "'1.1'", "'1.10'"),
    ("c_numeric", "numeric", "'1.1'", "'1.10'"),
    ("c_numeric_last", "numeric", "'0.000000000000000001'", "'0.000000000000000003'"),
    ("c_numeric_nan", "numeric", "'NaN'", "NULL"),
    ("c_numeric_fixed", "numeric(12,2)", "10.00", "10.01"),
    ("c_real", "real", "1.1", "1.1000001"),
    ("c_double", "double precision", "0.1", "0.10000000000000002"),
    ("c_zero", "double precision", "0.0", "'-0'"),
    ("c_infinite", "double precision", "'Infinity'", "'-Infinity'"),
    ("c_boolean", "boolean", "true", "false"),
    ("c_text", "text", "'abc'", "'abb'"),
    ("c_case", "text", "'abc'", "'abC'"),
    ("c_blank", "text", "'abc'", "'abc '"),
    ("c_null", "text", "NULL", "''"),
    ("c_tilde", "text", "NULL", "'~'"),
    ("c_bars", "text", "'a|b'", "'a||b'"),
    ("c_accent", "text", "U&'\\00e9'", "U&'e\\0301'"),
    ("c_varchar", "character varying(20)", "'abc'", "'abc  '"),
    ("c_char", "character(5)", "'ab'", "'ac'"),
    ("c_char_null", "character(5)", "NULL", "''"),
    ("c_bytea", "bytea", "'\\x00ff'", "'\\x01ff'"),
    ("c_uuid", "uuid", "'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'"),
    ("c_date", "date", "'2024-02-29'", "'2024-03-01'"),
    ("c_time", "time", "'12:00:00.000001'", "'12:00:00.000002'"),
    ("c_timetz", "time with time zone", "'12:00+00'", "'13:00+01'"),
    ("c_timestamp", "timestamp", "'2024-01-01 00:00:00'", "'2024-01-01 00:00:00.000001'"),
    ("c_timestamp_end", "timestamp", "'infinity'", "'294276-12-31 23:59:59.999999'"),
    ("c_timestamptz_begin", "timestamptz", "'-infinity'", "'4713-01-01 00:00:00+00 BC'"),
    ("c_timestamptz", "timestamptz", "'2024-01-01 00:00:00+00'", "'2024-01-01 00:00:00.000001+00'"),
    ("c_interval", "interval", "'1 day'", "'24 hours'"),
    ("c_json", "json", '\'{"a":1}\'', '\'{"a": 1}\''),
    ("c_json_order", "json", '\'{"a":1,"b":2}\'', '\'{"b":2,"a":1}\''),
    ("c_jsonb", "jsonb", "'{\"a\":1}'", "'{\"a\":1.0}'"),
    ("c_array", "integer[]", "'{1,2}'", "'{1,2,NULL}'"),
    ("c_array_bounds", "integer[]", "'[0:1]={1,2}'", "'{1,2}'"),
    ("c_array_null", "text[]", "'{NULL}'", "'{\"NULL\"}'"),
    ("c_array_deep", "integer[]", "'{{1,2}}'", "'{1,2}'"),
    ("c_array_scale", "numeric[]", "'{1.0}'", "'{1.00}'"),
    ("c_enum", "kinds.mood", "'ok'", "'sad'"),
    ("c_pair", "kinds.pair", "'(1,a)'", "'(1,)'"),
    ("c_pair_empty", "kinds.pair", "'(1,)'", "'(1,\"\")'"),
    ("c_inet", "inet", "'10.0.0.1/24'", "'10.0.0.1/25'"),
    ("c_cidr", "cidr", "'10.0.0.0/8'", "'10.0.0.0/9'"),
    ("c_macaddr", "macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:02'"),
    ("c_bit", "bit(8)", "B'10101010'", "B'10101011'"),
    ("c_varbit", "bit varying(8)", "B'1010'", "B'10100'"),
    ("c_range", "numrange", "'[1.0,2]'", "'[1.00,2]'"),
    ("c_multirange", "int4multirange", "'{[1,3),[5,7)}'", "'{[1,3),[5,8)}'"),
    ("c_tsvector", "tsvector", "'a:1 b:2'", "'a:1 b:3'"),
    ("c_point", "point", "'(1,2)'", "'(1,2.0000000000000004)'"),
]  # fmt: skip

TYPES = """
CREATE SCHEMA kinds;
CREATE TYPE kinds.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE kinds.pair AS (n int, word text);
"""

COLUMNS = ", ".join(f"{name} {kind}{' NOT NULL' if name.startswith('n_') else ''}" for name, kind, _, _ in KINDS)
VALUES = ", ".join(f"{value}::{kind}" for _, kind, value, _ in KINDS)
NAMES = ", ".join(name for name, *_ in KINDS)

SCHEMA = f"{TYPES} CREATE TABLE kinds.sample (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, {COLUMNS});"


def fill(rows: int) -> str:
    """Return the statement that makes rows 1 to *rows*, all with the same values, for tenants 1 to 3."""
    return (
        f"INSERT INTO kinds.sample (id, tenant_id, {NAMES})"
        f" SELECT g, 1 + g % 3, {VALUES} FROM generate_series(1, {rows}) g"
    )


def corruption(number: int) -> str:
    """Return the statement that changes kind *number* in the row of that id."""
    name, kind, _, other = KINDS[number]
    return f"UPDATE kinds.sample SET {name} = {other}::{kind} WHERE id = {number}"
