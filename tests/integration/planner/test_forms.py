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

TABLES = ("a", "c", "k", "p", "e", "h")
SCHEMA = """
CREATE TABLE a (t bigint NOT NULL, id int, b boolean, x text);
CREATE TABLE c (t bigint NOT NULL, id int, b boolean, x text);
CREATE TABLE k (t text NOT NULL, id int);
CREATE TABLE p (t boolean NOT NULL, id int);
CREATE TABLE e (t bigint NOT NULL, id int);
CREATE TABLE h (t bigint NOT NULL, z int);
CREATE TABLE r (id int PRIMARY KEY);
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

OF_LATER_PLANNERS = (
    "SELECT * FROM a FULL JOIN c USING (t) FULL JOIN a d USING (t) WHERE t = $1",
    "SELECT * FROM a FULL JOIN (c FULL JOIN a d USING (t)) USING (t) WHERE t = $1",
)
"""PostgreSQL 18 reads one shard, and 15 all of them."""
FULL_JOINS = (
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t)) s WHERE s.t = $1",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t) WHERE t = $1 OFFSET 0) s",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t) OFFSET 0) s WHERE s.t = $1",
    "SELECT * FROM (SELECT t, count(*) FROM a FULL JOIN c USING (t) GROUP BY t) s WHERE s.t = $1",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t)) s JOIN e ON e.t = s.t WHERE e.t = $1",
    "SELECT * FROM (SELECT t, a.id FROM a FULL JOIN c USING (t)) s WHERE s.t = $1 AND s.id = 3",
    "SELECT * FROM (SELECT t, a.id FROM a FULL JOIN c USING (t) WHERE t = $1) s WHERE s.id = 3",
    "SELECT * FROM (SELECT t, a FROM a FULL JOIN c USING (t)) s WHERE s.t = $1 AND (s.a).id = 3",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t)) s FULL JOIN e ON s.t = e.t WHERE s.t = $1",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t)) s FULL JOIN e USING (t) WHERE t = $1",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t) UNION ALL SELECT t FROM e) s WHERE s.t = $1",
    "SELECT * FROM (SELECT t FROM a FULL JOIN c USING (t)) s WHERE t = $1 AND EXISTS (SELECT 1 FROM e WHERE e.t = s.t)",
    "WITH w AS (SELECT t FROM a FULL JOIN c USING (t)) SELECT * FROM w WHERE t = $1",
    "WITH w AS MATERIALIZED (SELECT t FROM a FULL JOIN c USING (t) WHERE t = $1) SELECT * FROM w",
    "SELECT t FROM a FULL JOIN c USING (t) WHERE t = $1 UNION ALL SELECT t FROM e WHERE t = $1",
    "SELECT * FROM r WHERE EXISTS (SELECT 1 FROM a FULL JOIN c USING (t) WHERE t = $1)",
    "SELECT * FROM r WHERE id IN (SELECT a.id FROM a FULL JOIN c USING (t) WHERE t = $1)",
    "SELECT * FROM r WHERE id = (SELECT max(a.id) FROM a FULL JOIN c USING (t) WHERE t = $1)",
    "SELECT * FROM r WHERE NOT EXISTS (SELECT 1 FROM a FULL JOIN c USING (t) WHERE t = $1 AND a.id = r.id)",
    "SELECT * FROM r, LATERAL (SELECT t FROM a FULL JOIN c USING (t) WHERE t = $1) s",
    "SELECT * FROM e WHERE t IN (SELECT t FROM a FULL JOIN c USING (t)) AND t = $1",
    "SELECT array(SELECT a.id FROM a FULL JOIN c USING (t) WHERE t = $1)",
    "INSERT INTO r (id) SELECT a.id FROM a FULL JOIN c USING (t) WHERE t = $1",
    "UPDATE e SET id = 3 FROM (SELECT t FROM a FULL JOIN c USING (t)) s WHERE s.t = e.t AND e.t = $1",
    "SELECT * FROM e NATURAL FULL JOIN h WHERE t = $1",
    "SELECT * FROM e NATURAL FULL JOIN h WHERE t = $1 AND z = 3",
    "SELECT * FROM (SELECT t FROM e NATURAL FULL JOIN h) s WHERE t = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t WHERE $1 = coalesce(a.t, c.t) AND coalesce(a.id, c.id) = 3",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t WHERE coalesce(c.t, a.t) = $1",
    "SELECT * FROM a FULL JOIN c ON c.t = a.t WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t AND a.id = c.id WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a FULL JOIN c ON a.id = c.id WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t WHERE coalesce(a.t, c.t, 0) = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t WHERE coalesce(a.t, c.t) = $1 AND a.id = 3",
    "SELECT * FROM a LEFT JOIN c ON a.t = c.t WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a JOIN c ON a.t = c.t WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM a FULL JOIN c ON a.t = c.t FULL JOIN e ON coalesce(a.t, c.t) = e.t WHERE coalesce(a.t, c.t) = $1",
    "SELECT * FROM (SELECT coalesce(a.t, c.t) AS t FROM a FULL JOIN c ON a.t = c.t) s WHERE s.t = $1",
    "SELECT coalesce(a.t, c.t) FROM a FULL JOIN c ON a.t = c.t GROUP BY 1 HAVING coalesce(a.t, c.t) = $1",
)
WHOLE_ROWS = (
    "SELECT * FROM a AS z WHERE (z).t = $1",
    "SELECT * FROM a JOIN c ON (a).t = (c).t WHERE a.t = $1",
    "SELECT * FROM a LEFT JOIN c ON (a).t = (c).t WHERE a.t = $1",
    "SELECT * FROM a FULL JOIN c ON true WHERE (c).t = $1 AND a.t = $1",
    "SELECT * FROM a RIGHT JOIN c ON (a).t = (c).t AND (a).t = $1",
    "SELECT * FROM a WHERE t = $2 AND (a).t = $1",
    "SELECT * FROM a WHERE ((a).t, id) = ($1, 3)",
    "SELECT * FROM a WHERE EXISTS (SELECT 1 FROM c WHERE (c).t = (a).t) AND a.t = $1",
    "SELECT * FROM (SELECT * FROM a OFFSET 0) s WHERE (s).t = $1",
    "SELECT * FROM (SELECT (a).t AS t, count(*) FROM a GROUP BY 1) s WHERE s.t = $1",
    "UPDATE a SET id = 3 FROM c WHERE (a).t = $1 AND (c).t = (a).t",
)
BOOLEAN_KEYS = (
    "SELECT * FROM p WHERE t",
    "SELECT * FROM p WHERE NOT p.t AND id = 3",
    "SELECT * FROM p WHERE t IS TRUE",
    "SELECT * FROM p WHERE t IS FALSE",
    "SELECT * FROM p WHERE t = $1",
    "SELECT * FROM p WHERE t OR id = 3",
    "SELECT * FROM p WHERE t = t",
    "SELECT * FROM p WHERE t = (id = 3)",
    "SELECT * FROM p WHERE (t AND id = 3) OR (t AND id = 4)",
    "SELECT * FROM p WHERE t AND NOT t",
    "SELECT * FROM p JOIN p q ON p.t = q.t WHERE p.t",
    "SELECT * FROM p JOIN p q ON p.t = q.t WHERE p.t = true",
    "SELECT * FROM p JOIN p q ON p.t = q.t WHERE p.t = $1",
    "SELECT * FROM p JOIN p q USING (t) WHERE t = $1",
    "SELECT * FROM p JOIN p q ON p.t = q.t WHERE p.t = $1 AND q.t = $1",
    "SELECT * FROM p, p q, (SELECT true AS t) s WHERE p.t = s.t AND q.t = p.t",
    "SELECT * FROM p WHERE EXISTS (SELECT 1 FROM p q WHERE q.t = p.t) AND p.t = $1",
    "SELECT * FROM p WHERE t IN (SELECT t FROM p q WHERE q.t = $1)",
    "SELECT * FROM p FULL JOIN p q USING (t) WHERE t = $1",
    "SELECT * FROM (SELECT * FROM p OFFSET 0) s WHERE s.t",
    "SELECT * FROM (SELECT t, count(*) FROM p GROUP BY t) s WHERE s.t",
    "SELECT * FROM p LEFT JOIN p q ON q.t WHERE p.t",
    "DELETE FROM p WHERE NOT t",
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
    for values in (["'t'" if kind == "boolean" else "'5'" for kind in types], ["NULL"] * len(types)):
        given = f"({', '.join(values)})" if values else ""
        [[plan]] = conn.execute(f"EXPLAIN (FORMAT JSON) EXECUTE q{given}".encode()).fetchall()
        read.append(_parts(plan))
    return read[0], max(read)


def _parts(plan: Any) -> int:
    found, stack = set(), [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    while stack:
        node = stack.pop()
        stack += node.get("Plans", [])
        if leaf := re.fullmatch(r"[a-z]_(\d)", node.get("Relation Name", "")):
            found.add(leaf[1])
    return len(found)


def test_no_way_of_writing_a_condition_is_called_single_that_crosses_or_alarms_in_vain(
    conn: psycopg.Connection[Any], context: Context
) -> None:
    texts = [f"SELECT * FROM a WHERE {condition}" for condition in CONDITIONS]
    texts += [f"SELECT * FROM k WHERE {condition}" for condition in OF_TEXT]
    wrong = []
    for text in (*texts, *STATEMENTS, *FULL_JOINS, *WHOLE_ROWS, *BOOLEAN_KEYS):
        [parsed] = parse(text)
        judged = judge(context, parsed.tag, parsed.body, flat=is_flat(parsed))
        assert judged.analysis is not None
        with_values, most = shards(conn, text)
        expected = {
            "single_shard": bool(judged.analysis.late) or (with_values <= 1 and most <= 1),
            "reference_only": most == 0,
            "cross_shard": with_values > 1 or most > 1,
        }
        if not expected[judged.verdict.value]:
            wrong.append(f"{text}: {judged.verdict} ({judged.analysis.late}), {with_values} and {most} shards")

    assert wrong == []


def test_what_only_later_planners_see_is_not_called_single(context: Context) -> None:
    for text in OF_LATER_PLANNERS:
        [parsed] = parse(text)
        assert judge(context, parsed.tag, parsed.body).verdict.value == "cross_shard", text
