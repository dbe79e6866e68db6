"""Is the verdict on the many ways of writing one condition PostgreSQL's planner's, also where a value is NULL?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.rows import Evidence
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.shardkey.verdict import is_flat, judge
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import parse

pytestmark = pytest.mark.pg

TABLES = ("a", "c", "k")
SCHEMA = """
CREATE TABLE a (t bigint NOT NULL, id int, b boolean, x text);
CREATE TABLE c (t bigint NOT NULL, id int, b boolean, x text);
CREATE TABLE k (t text NOT NULL, id int);
CREATE TABLE r (id int PRIMARY KEY, t bigint);
"""

CONDITIONS = (
    "(t = $1) = true", "true = (t = $1)", "(t = $1) <> false", "NOT (t = $1) = false", "(t <> $1) = false",
    "(t = $1) = false", "(t = $1) <> true", "((t = $1) = true) = true", "(t = $1) = 't'", "(t = $1) = ' TRUE '",
    "(t = $1)::boolean", "(t = $1) = (1 = 1)", "(t = $1 AND id = 3) = true", "(t = $1 OR id = 3) = true",
    "(t = $1 OR id = 3) = false", "(t <> $1 OR id = 3) = false", "(t <> $1 AND id = 3) = false",
    "(t = $1) IS TRUE", "(t = $1) IS NOT FALSE", "(t = $1) > false", "(t IN ($1)) = true", "coalesce(t = $1, false)",
    "t = $1 OR false", "t = $1 OR 1 = 2", "t = $1 OR NULL", "t = $1 OR 1 = 1", "t = $1 OR 'a' = 'b'",
    "t = $1 OR 10 = 9.0",    "(1 = 0 AND id = 3) OR t = $1", "NOT (t <> $1 OR 1 = 0)", "NOT (t <> $1 OR 1 = 1)",
    "NOT (t <> $1 AND 1 = 1)",
    "NOT (NULL AND t <> $1)", "NOT (NULL OR t <> $1)", "NOT (1 = 1) OR t = $1", "false", "1 = 0", "NULL", "NOT true",
    "id = $1 AND 1 > 2", "id = 1 AND NULL", "1 <> 1", "true = false",
    "t = ANY (ARRAY[5])", "t = ANY ('{5,5}')", "t = ANY ('{NULL}')", "t IN (5, NULL)", "t = ANY (ARRAY[5, NULL])",
    "t = ANY (ARRAY[$1]::bigint[])", "t = SOME (ARRAY[$1::bigint])", "t IN ($1, $1)", "t IN ($1, NULL)", "t IN ($1)",
    "NOT t <> ALL (ARRAY[$1]::bigint[])", "t = ALL (ARRAY[$1]::bigint[])", "NOT t <> ANY (ARRAY[$1]::bigint[])",
    "t <> ALL (ARRAY[$1]::bigint[])", "t <> ANY (ARRAY[$1]::bigint[])", "NOT t = ALL (ARRAY[$1]::bigint[])",
    "NOT ROW(t, id) <> ROW($1, 3)", "NOT ROW(t, id) = ROW($1, 3)", "NOT (id <> 3 OR ROW(t, id) <> ROW($1, 3))",
    "t::bigint::bigint = $1", "t::bigint::text = $1", "(t::bigint)::int = $1",
)  # fmt: skip
OF_TEXT = ("t::text = $1", "t::varchar = $1", "t::varchar(10) = $1", "t::varchar(10)::text = $1", "t::char(10) = $1")
STATEMENTS = (
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1",
    "SELECT * FROM a FULL JOIN c USING (t, id) WHERE t = $1",
    "SELECT * FROM a FULL JOIN c USING (t) FULL JOIN a d USING (t) WHERE t = $1",
    "SELECT * FROM a FULL JOIN (c FULL JOIN a d USING (t)) USING (t) WHERE t = $1",
    "SELECT t FROM a FULL JOIN c USING (t) GROUP BY t HAVING t = $1",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE (t = $1) = true",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 OR t = $1",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = ANY (ARRAY[5])",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND a.id = 3",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND a.id = 3 AND c.id = 3",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND (a.id = 3 OR a.id = 4)",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND NOT a.id = 3",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND a.b",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND abs(a.id) = 3",
    "SELECT * FROM a FULL JOIN c USING (t) WHERE t = $1 AND (a.id, 3) = (3, c.id)",
    "SELECT * FROM a FULL JOIN c USING (t) LEFT JOIN a d USING (t) WHERE a.t = $1",
    "SELECT * FROM a FULL JOIN c USING (t) JOIN a d USING (t) WHERE a.t = $1",
    "SELECT * FROM (a LEFT JOIN c USING (t)) FULL JOIN a d USING (t) WHERE d.t = $1",
    "SELECT * FROM a RIGHT JOIN c USING (t) LEFT JOIN a d USING (t) WHERE t = $1",
    "SELECT * FROM a RIGHT JOIN c USING (t) LEFT JOIN a d USING (t) WHERE c.t = $1",
    "SELECT * FROM a LEFT JOIN c USING (t) RIGHT JOIN a d USING (t) WHERE a.t = $1",
    "SELECT * FROM a LEFT JOIN c ON false WHERE a.t = $1",
    "SELECT * FROM a LEFT JOIN c ON 1 = 0 AND c.id = a.id WHERE a.t = $1",
    "SELECT * FROM a RIGHT JOIN c ON 1 > 2 WHERE c.id = 3",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t AND false",
    "SELECT * FROM a JOIN c ON (a.t = c.t) = true WHERE a.t = $1",
    "SELECT * FROM a JOIN c ON a.t = c.t OR false WHERE a.t = $1",
    "SELECT * FROM a JOIN c ON (a.t = c.t) IS TRUE WHERE a.t = $1",
    "SELECT * FROM a WHERE id = 3 AND 1 = 0 UNION ALL SELECT * FROM c WHERE t = $1",
    "SELECT * FROM a WHERE NOT EXISTS (SELECT 1 FROM c WHERE false)",
    "SELECT * FROM a WHERE t = $1 AND NOT EXISTS (SELECT 1 FROM c WHERE 1 = 0)",
    "SELECT (SELECT count(*) FROM c WHERE false) FROM a WHERE t = $1",
    "SELECT id, count(*) FROM a GROUP BY id HAVING false",
    "SELECT id, count(*) FROM a WHERE false GROUP BY ROLLUP (id)",
    "WITH w AS MATERIALIZED (SELECT * FROM a WHERE 1 = 0) SELECT * FROM c, w WHERE c.t = $1",
    "WITH w AS (DELETE FROM a WHERE false RETURNING *) SELECT * FROM c WHERE c.t = $1",
    "DELETE FROM a WHERE 1 = 0",
    "UPDATE a SET id = 3 WHERE id = 4 AND false",
)


@pytest.fixture
def conn(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(classic_dsn, autocommit=True, prepare_threshold=None) as connection:
        for line in filter(None, SCHEMA.split(";\n")):
            named = re.search(r"TABLE (\w+)", line)
            if named is None or named[1] not in TABLES:
                connection.execute(line.encode())
                continue
            connection.execute(f"{line} PARTITION BY HASH (t)".encode())
            for part in range(4):
                connection.execute(
                    f"CREATE TABLE {named[1]}_{part} PARTITION OF {named[1]}"
                    f" FOR VALUES WITH (MODULUS 4, REMAINDER {part})".encode()
                )
        yield connection


@pytest.fixture(scope="module")
def context() -> Context:
    evidence = Evidence(Catalog())
    read_dump(SCHEMA, "schema.sql", evidence)
    return Context(evidence.catalog, shapes_of_key(evidence.catalog, "t", {}), volatility.known(evidence.catalog))


def shards(conn: psycopg.Connection[Any], text: str) -> tuple[int, int]:
    """Return how many shards the planner reads with a value for each parameter, and the most with NULL for some."""
    conn.execute("DEALLOCATE ALL")
    conn.execute(b"PREPARE q AS " + text.encode())
    [[types]] = conn.execute("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'q'").fetchall()
    conn.execute("SET plan_cache_mode = force_custom_plan")
    read = []
    for values in (["'5'"] * len(types), ["NULL"] * len(types)):
        given = f"({', '.join(values)})" if values else ""
        [[plan]] = conn.execute(f"EXPLAIN (FORMAT JSON) EXECUTE q{given}".encode()).fetchall()
        read.append(_parts(plan))
    return read[0], max(read)


def _parts(plan: Any) -> int:
    found, stack = set(), [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    while stack:
        node = stack.pop()
        stack += node.get("Plans", [])
        if leaf := re.fullmatch(r"[ack]_(\d)", node.get("Relation Name", "")):
            found.add(leaf[1])
    return len(found)


def test_no_way_of_writing_a_condition_is_called_single_that_crosses_or_alarms_in_vain(
    conn: psycopg.Connection[Any], context: Context
) -> None:
    texts = [f"SELECT * FROM a WHERE {condition}" for condition in CONDITIONS]
    texts += [f"SELECT * FROM k WHERE {condition}" for condition in OF_TEXT]
    wrong = []
    for text in (*texts, *STATEMENTS):
        [parsed] = parse(text)
        judged = judge(context, parsed.tag, parsed.body, flat=is_flat(parsed))
        assert judged.analysis is not None
        with_values, most = shards(conn, text)
        expected = {
            "single_shard": with_values <= 1 and (most <= 1 or bool(judged.analysis.late)),
            "reference_only": most == 0,
            "cross_shard": with_values > 1 or most > 1,
        }
        if not expected[judged.verdict.value]:
            wrong.append(f"{text}: {judged.verdict} ({judged.analysis.late}), {with_values} and {most} shards")

    assert wrong == []
