"""Does PostgreSQL take every rewrite that the audit proposes, and does it mean the same for one tenant?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.explain.prepared import prepared
from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.run import audit_live
from tests.unit.audit.cases import CASES, plan, verdict_plan

pytestmark = pytest.mark.pg

SCHEMA = """
CREATE TABLE public.orders (tenant_id int NOT NULL, id int, state text, total numeric, PRIMARY KEY (tenant_id, id));
CREATE TABLE public.items (tenant_id int NOT NULL, id int, order_id int, sku text, qty int,
    PRIMARY KEY (tenant_id, id));
CREATE TABLE public."Große Kiste" ("tenant_id" int NOT NULL, "Nr" int, PRIMARY KEY (tenant_id, "Nr"));
CREATE TABLE public.parents (id int PRIMARY KEY, tenant_id int NOT NULL);
CREATE TABLE public.lines (id int PRIMARY KEY, parent_id int NOT NULL REFERENCES public.parents, sku text);
"""
ON_LIMITLESS = """
ALTER TABLE public.lines ADD COLUMN tenant_id int NOT NULL, DROP CONSTRAINT lines_pkey,
    ADD PRIMARY KEY (tenant_id, id);
"""
TABLES = {"public.lines": {"kind": "sharded", "via": "parent_id -> public.parents.id"}}

SAME_FOR_ONE_TENANT = [
    "SELECT o.id, i.sku FROM orders o LEFT JOIN items i ON i.order_id = o.id WHERE o.tenant_id = 1",
    "SELECT o.id, i.sku FROM items i RIGHT JOIN orders o ON i.order_id = o.id WHERE o.tenant_id = 1",
    "SELECT o.id, j.qty FROM orders o LEFT JOIN (items i JOIN items j ON j.id = i.id) ON i.order_id = o.id"
    " WHERE o.tenant_id = 1",
    "SELECT o.id, i.id, k.id FROM orders o LEFT JOIN items i ON i.order_id = o.id LEFT JOIN items k ON k.id = i.id + 1"
    " WHERE o.tenant_id = 1 AND (o.id = 1 OR o.state = 'x')",
    "SELECT a.id FROM orders a, orders b WHERE a.id = b.id AND a.tenant_id = 1",
    "SELECT o.id, (SELECT 1) FROM orders o JOIN items i ON i.order_id = o.id LEFT JOIN items j ON j.id = i.id"
    " WHERE i.tenant_id = 1 AND o.tenant_id = 1",
]
TAKEN = [
    "INSERT INTO items (tenant_id, id, order_id) SELECT tenant_id, id, id FROM orders WHERE state = 'x'",
    "INSERT INTO items (tenant_id, id) SELECT tenant_id, id FROM orders WHERE id = $1 ON CONFLICT DO NOTHING",
    "INSERT INTO items (tenant_id, id) SELECT o.tenant_id, o.id FROM orders o WHERE o.id = $1 OR o.state = 'x'"
    " ON CONFLICT (tenant_id, id) DO UPDATE SET sku = excluded.sku WHERE items.qty > 0 RETURNING id",
    "INSERT INTO lines (id, parent_id) VALUES ($1, $2), ($3, (4))",
    "INSERT INTO lines (id, parent_id) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET sku = 'y' RETURNING id",
    "INSERT INTO lines (id, parent_id, sku) SELECT p.id, p.id, 'x' FROM parents p WHERE p.id = :id",
    "WITH n AS (INSERT INTO lines (id, parent_id) VALUES ($1, 2) RETURNING id) SELECT * FROM n",
    "UPDATE items i SET sku = o.state FROM orders o WHERE o.id = i.order_id AND o.tenant_id = $1",
    "DELETE FROM items i USING orders o WHERE i.order_id = o.id AND o.id = 7",
    'SELECT count(*) FROM "Große Kiste" WHERE "Nr" = 5 -- where it is',
    "SELECT * FROM lines l JOIN parents p ON p.id = l.parent_id WHERE p.tenant_id = $1 FOR UPDATE OF l SKIP LOCKED",
    "SELECT id FROM orders WHERE id NOT IN (SELECT order_id FROM items WHERE sku = $1) ORDER BY 1 LIMIT 3",
]
NONE = [
    "SELECT * FROM orders o FULL JOIN items i ON i.order_id = o.id WHERE o.id = 4",
    "SELECT o.id FROM orders o LEFT JOIN items i USING (id) WHERE o.tenant_id = $1",
    "SELECT o.id FROM orders o LEFT JOIN items i ON i.order_id = o.id OR i.id = 5 WHERE o.tenant_id = $1",
    "SELECT j.a FROM (orders o JOIN items i ON i.order_id = o.id) AS j(a, b) WHERE b IS NOT NULL",
    "INSERT INTO lines VALUES (1, 2, 'x')",
    "INSERT INTO lines (id, parent_id) SELECT id, id FROM parents UNION SELECT 1, 2",
]


def rewritten(tmp_path: Path, statements: list[str], schema: str = SCHEMA) -> AuditReport:
    paths = tmp_path / "s.sql", tmp_path / "q.sql"
    paths[0].write_text(schema)
    paths[1].write_text("".join(f"{text}\n;\n" for text in statements))
    return audit_files(schema=[paths[0]], statements=[paths[1]], plan=plan(TABLES))


@pytest.fixture
def limitless(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The tables as Limitless will have them."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(f"SET search_path = public; {SCHEMA} {ON_LIMITLESS}".encode())
        yield conn


def test_every_rewrite_is_taken(limitless: psycopg.Connection[Any], tmp_path: Path) -> None:
    """By PostgreSQL, on tables that have the tenant key; each statement here has a rewrite, and none is dropped."""
    report = rewritten(tmp_path, [*SAME_FOR_ONE_TENANT, *TAKEN])

    asked = prepared(report, limitless, "limitless")

    assert [s.sql for s in asked.statements if s.rewrite is None] == []
    assert {s.rewrite_basis for s in report.statements} == {"schema"}
    assert {s.rewrite_basis for s in asked.statements} == {"limitless"}
    assert asked.evidence["rewrites"] == {"limitless": 0}


def test_a_rewrite_means_the_same_for_one_tenant(limitless: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Rows that an outer join keeps stay: tried on rows of one tenant, some of them without a partner."""
    limitless.execute("INSERT INTO orders SELECT 1, n, 's' FROM generate_series(1, 6) n")
    limitless.execute("INSERT INTO items SELECT 1, n, n / 2, 's', n FROM generate_series(1, 5) n")

    for statement in rewritten(tmp_path, SAME_FOR_ONE_TENANT).statements:
        assert statement.rewrite is not None, statement.sql
        both = [sorted(map(repr, limitless.execute(text.encode()))) for text in (statement.sql, statement.rewrite)]
        assert both[0] == both[1] != [], statement.rewrite


def test_what_has_no_simple_rewrite_gets_none(tmp_path: Path) -> None:
    """Rather none than one that PostgreSQL refuses, or that means something else."""
    report = rewritten(tmp_path, NONE)

    assert [(s.sql, s.rewrite) for s in report.statements] == [(text, None) for text in NONE]


def test_the_corpus_of_rewrites_is_taken(classic_dsn: str) -> None:
    """Every rewrite of the hand-labelled statements, on the case's schema with the derived key."""
    schema = CASES / "verdicts" / "schema.sql"
    report = audit_files(schema=[schema], statements=[CASES / "verdicts" / "statements.sql"], plan=verdict_plan())
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("SET search_path = public")
        conn.execute(schema.read_bytes())
        conn.execute("ALTER TABLE order_items ADD COLUMN tenant_id uuid")

        asked = prepared(report, conn, "limitless")

    basis = [s.rewrite_basis for s in asked.statements if s.rewrite and s.function is None]
    assert asked.evidence["rewrites"] == {"limitless": 0}
    assert basis.count("limitless") > 40
    # Others call functions that do not exist, before and after: pick_tenant, and max of a uuid on older servers.
    assert {s.name for s in asked.statements if s.rewrite_basis == "schema" and s.function is None} <= {
        "from_subquery_group_other", "group_by_other_position", "unknown_function",
    }  # fmt: skip


def test_what_classic_refuses_is_not_shown(classic_dsn: str, tmp_path: Path) -> None:
    """A live audit prepares what it proposes; what rests on a key that is only on Limitless says so."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(f"{SCHEMA}; CREATE EXTENSION pg_stat_statements".encode())
        conn.execute("SET search_path = public")
        conn.execute("SELECT pg_stat_statements_reset()")
        conn.execute("SELECT count(*) FROM orders WHERE state = 'x'")
        conn.execute("SELECT count(*) FROM lines WHERE sku = 'x'")
        report = audit_live(conn, plan(TABLES))
        found = {s.sql: (s.rewrite, s.rewrite_basis) for s in report.statements if s.rewrite}
        broken = "SELECT nothing FROM orders"
        [wrong] = [s for s in report.statements if "FROM orders" in s.sql]
        object.__setattr__(wrong, "rewrite", broken)
        again = prepared(report, conn, "classic")
        later = audit_live(conn, plan(TABLES))

    assert found["SELECT count(*) FROM orders WHERE state = $1"] == (
        "SELECT count(*) FROM orders WHERE orders.tenant_id = $2 AND state = $1", "classic",
    )  # fmt: skip
    assert found["SELECT count(*) FROM lines WHERE sku = $1"][1] == "schema"
    assert broken not in {s.rewrite for s in again.statements}
    assert again.evidence["rewrites"] == {"classic": 1}
    assert not [s.sql for s in later.statements if "migrator" in s.sql]
