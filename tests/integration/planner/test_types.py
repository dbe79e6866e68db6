"""Does an equality between two types find the shard? The planner is asked for every pair of types it compares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.rows import Evidence
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.compared import bound_else
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.shardkey.verdict import StatementVerdict, judge
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import parse

pytestmark = pytest.mark.pg

KEYS = (
    "smallint", "integer", "bigint", "numeric", "real", "double precision", "text", "varchar(8)", "char(8)", "uuid",
    "oid", "date", "timestamptz", "bytea",
)  # fmt: skip
VALUES = (*KEYS, "name", "regclass", "boolean")
OF_BIGINT = (
    "5.0", "5", "5000000000", "99999999999999999999", "1e3", "-5", "-5.5", "'5'", "$1", "($1)::int",
    "$1::numeric::bigint", "coalesce($1, 3.0)", "coalesce($1, 3)", "nullif($1, 0.5)",
    "greatest($1, 2.5)", "CASE WHEN $1 THEN 1 ELSE 2.5 END",
    "floor($1::float8)", "round($1::numeric)", "abs($1::numeric)", "abs($1::int)", "mod($1::numeric, 3)",
    "length($1)", "$1::int * 1.5", "$1::int + 1", "to_number($1, '99')",
    "($1::jsonb ->> 't')::bigint", "($1::jsonb ->> 't')::numeric",
)  # fmt: skip
OF_TEXT = (
    "$1", "lower($1)", "current_user", "session_user::text", "current_database()", "lower(current_user)",
    "$1::text || 'a'",
    "$1 COLLATE \"C\"", "'a' COLLATE \"default\"", "$1::jsonb ->> 't'",
)  # fmt: skip
LITERALS = {
    "uuid": "'00000000-0000-0000-0000-000000000001'", "boolean": "true", "regclass": "'pg_class'",
    "jsonb": "'{\"t\": 1}'", "date": "'2026-01-01'", "timestamp with time zone": "'2026-01-01'",
}  # fmt: skip


def schema(partitioned: bool) -> str:
    by = " PARTITION BY HASH (tenant_id)" if partitioned else ""
    made = [f"CREATE TABLE t{n} (tenant_id {kind} NOT NULL, id int){by};" for n, kind in enumerate(KEYS)]
    if partitioned:
        made += [
            f"CREATE TABLE t{n}_{part} PARTITION OF t{n} FOR VALUES WITH (MODULUS 4, REMAINDER {part});"
            for n, part in product(range(len(KEYS)), range(4))
        ]
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(VALUES))
    return "\n".join([*made, f"CREATE TABLE r (id int PRIMARY KEY, {columns});"])


@pytest.fixture
def conn(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(classic_dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(schema(partitioned=True).encode())
        connection.execute("SET jit = off; SET plan_cache_mode = force_custom_plan")
        yield connection


@pytest.fixture(scope="module")
def context() -> Context:
    evidence = Evidence(Catalog())
    read_dump(schema(partitioned=False), "schema.sql", evidence)
    return Context(
        evidence.catalog, shapes_of_key(evidence.catalog, "tenant_id", {}), volatility.known(evidence.catalog)
    )


def shards(conn: psycopg.Connection[Any], text: str) -> int | None:
    """Return how many shards the planner reads; None when PostgreSQL does not take the statement."""
    conn.execute("DEALLOCATE ALL")
    try:
        conn.execute(b"PREPARE q AS " + text.encode())
    except psycopg.errors.Error:
        return None
    [[types]] = conn.execute("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'q'").fetchall()
    values = ", ".join(LITERALS.get(t, "'5'") for t in types)
    plan = conn.execute(f"EXPLAIN EXECUTE q{f'({values})' if values else ''}".encode()).fetchall()
    return len({m[0] for (line,) in plan for m in re.finditer(r"\bt\d+_\d\b(?= )", line) if " on " in line})


def wrong(conn: psycopg.Connection[Any], context: Context, texts: list[str]) -> tuple[int, list[str]]:
    """Return how many statements PostgreSQL took, and those whose verdict is not what its planner says."""
    asked, found = 0, []
    for text in texts:
        read = shards(conn, text)
        if read is None:
            continue
        asked += 1
        [parsed] = parse(text)
        judged = judge(context, parsed.tag, parsed.body)
        if (judged.verdict == StatementVerdict.SINGLE_SHARD) is not (read == 1):
            found.append(f"{text}: {judged.verdict}, and {read} shards: {judged.reasons}")
    return asked, found


def test_the_verdict_on_an_equality_with_a_value_is_the_planners_for_every_pair_of_types(
    conn: psycopg.Connection[Any], context: Context
) -> None:
    texts = [f"SELECT * FROM t{n} WHERE tenant_id = $1::{kind}" for n, kind in product(range(len(KEYS)), VALUES)]
    asked, found = wrong(conn, context, texts)
    assert found == []
    assert asked > 60


def test_the_verdict_on_a_join_is_the_planners_for_every_pair_of_types(
    conn: psycopg.Connection[Any], context: Context
) -> None:
    texts = [
        f"SELECT * FROM t{n} JOIN r ON r.c{m} = t{n}.tenant_id WHERE r.c{m} = $1"
        for n, m in product(range(len(KEYS)), range(len(VALUES)))
    ]
    asked, found = wrong(conn, context, texts)
    assert found == []
    assert asked > 60


def test_the_verdict_on_an_expression_goes_by_the_type_that_it_has(
    conn: psycopg.Connection[Any], context: Context
) -> None:
    bigint, text = KEYS.index("bigint"), KEYS.index("text")
    texts = [f"SELECT * FROM t{bigint} WHERE tenant_id = {value}" for value in OF_BIGINT]
    texts += [f"SELECT * FROM t{bigint} WHERE id = 1 AND tenant_id IN ({value})" for value in OF_BIGINT]
    texts += [f"SELECT * FROM (SELECT {value} AS x) p JOIN t{bigint} ON tenant_id = p.x" for value in OF_BIGINT[:6]]
    texts += [f"SELECT * FROM t{text} WHERE tenant_id = {value}" for value in OF_TEXT]
    asked, found = wrong(conn, context, texts)
    assert found == []
    assert asked == len(texts)


@pytest.mark.parametrize("key", [n for n, kind in enumerate(KEYS) if bound_else(kind)], ids=lambda n: KEYS[n])
def test_what_a_driver_must_not_bind_reads_every_shard(conn: psycopg.Connection[Any], key: int) -> None:
    """A parameter has the type that the driver gives it, and each type that is named converts the column."""
    for kind in (KEYS[key], *bound_else(KEYS[key])):
        conn.execute("DEALLOCATE ALL")
        conn.execute(f"PREPARE q ({kind}) AS SELECT * FROM t{key} WHERE tenant_id = $1".encode())
        value = LITERALS["date"] if "time" in kind else LITERALS.get(kind, "'5'")
        plan = conn.execute(f"EXPLAIN EXECUTE q ({value})".encode())
        read = {m[0] for (line,) in plan.fetchall() for m in re.finditer(r"\bt\d+_\d\b(?= )", line) if " on " in line}
        assert (kind, len(read) == 1) == (kind, kind == KEYS[key])
