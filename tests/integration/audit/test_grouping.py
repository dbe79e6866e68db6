"""Does PostgreSQL refuse exactly the GROUP BYs that the audit marks, once the primary keys hold the tenant?

Every statement is prepared twice: on the tables as classic has them, where it must be accepted, and on tables whose
primary keys gained the shard key, as Limitless has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.files import audit_files
from tests.unit.audit.cases import plan

pytestmark = pytest.mark.pg

CLASSIC = """
CREATE TABLE public.orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, name text, code text UNIQUE, at date);
CREATE TABLE public.items (id bigint PRIMARY KEY, order_id bigint NOT NULL, sku text, price numeric);
CREATE TABLE public.pairs (a int, b int, tenant_id bigint NOT NULL, note text, PRIMARY KEY (a, b));
CREATE TABLE public.ledger (tenant_id bigint, id bigint, amount numeric, PRIMARY KEY (tenant_id, id));
CREATE TABLE public.codes (code text PRIMARY KEY, label text);
CREATE VIEW public.order_codes AS SELECT o.id, o.tenant_id, c.label
    FROM public.orders o JOIN public.codes c USING (code);
"""
TABLES = {
    "public.codes": {"kind": "reference"},
    "public.items": {"kind": "sharded", "via": "order_id -> public.orders.id"},
}

STATEMENTS = [
    # grouped by the key, another column used
    "SELECT o.id, o.name, count(*) FROM orders o JOIN items i ON i.order_id = o.id GROUP BY o.id",
    "SELECT o.*, count(i.id) FROM orders o LEFT JOIN items i ON i.order_id = o.id GROUP BY o.id",
    "SELECT * FROM orders GROUP BY id",
    "SELECT o FROM orders o GROUP BY o.id",
    "SELECT id, upper(name) FROM orders GROUP BY id",
    "SELECT id FROM orders GROUP BY id HAVING min(at) < now() AND name <> 'x'",
    "SELECT id FROM orders GROUP BY id ORDER BY name",
    "SELECT id AS k, name FROM orders GROUP BY k",
    "SELECT id, name FROM orders GROUP BY 1",
    "SELECT orders.id, orders.tenant_id FROM public.orders GROUP BY orders.id",
    "SELECT public.orders.id, public.orders.name FROM public.orders GROUP BY public.orders.id",
    "SELECT a, b, note FROM pairs GROUP BY a, b",
    "SELECT a, b, note FROM pairs GROUP BY (a, b)",
    "SELECT i.id, i.sku FROM items i GROUP BY i.id",
    "SELECT o.id, (SELECT count(*) FROM items i WHERE i.sku = o.name) FROM orders o GROUP BY o.id",
    "SELECT o.id, rank() OVER (ORDER BY o.name) FROM orders o GROUP BY o.id",
    "SELECT DISTINCT ON (name) id FROM orders GROUP BY id",
    "WITH x AS (SELECT id, name FROM orders GROUP BY id) SELECT * FROM x",
    "SELECT 1 WHERE EXISTS (SELECT id, name FROM orders GROUP BY id)",
    "SELECT id, name FROM orders GROUP BY id UNION ALL SELECT id, sku FROM items",
    "SELECT id, sku FROM items UNION SELECT id, name FROM orders GROUP BY id",
    "INSERT INTO codes SELECT name, code FROM orders GROUP BY id",
    "UPDATE codes SET label = (SELECT max(q.name) FROM (SELECT id, name FROM orders GROUP BY id) q)",
    "SELECT order_id, o.name FROM orders o JOIN (SELECT order_id FROM items) q ON q.order_id = o.id GROUP BY o.id, 1",
    "SELECT id, name FROM orders GROUP BY id, GROUPING SETS ((at), ())",
    "SELECT id, name FROM orders GROUP BY GROUPING SETS ((id), (id, at))",
    "SELECT id, name FROM orders JOIN (SELECT id FROM items) i USING (id) GROUP BY id",
    "SELECT id, name FROM (SELECT id FROM items) i RIGHT JOIN orders USING (id) GROUP BY id",
    "SELECT id, string_agg(code, ',') FILTER (WHERE at IS NULL), name || code FROM orders GROUP BY id",
    "SELECT CASE WHEN name = 'x' THEN 1 END FROM orders GROUP BY id",
    "SELECT o.id, p.name FROM orders o, orders p WHERE o.id = p.id GROUP BY o.id, p.id, o.tenant_id",
    "SELECT o.id, l.n FROM orders o, LATERAL (SELECT o.name AS n) l GROUP BY o.id, o.tenant_id, l.n",
    # not: the new key is grouped, nothing else is used, an expression is, the key does not change, or no table's key
    "SELECT o.id, o.name FROM orders o GROUP BY o.id, o.tenant_id",
    "SELECT id, count(*) FROM orders GROUP BY id",
    "SELECT id, max(name), min(at) FROM orders GROUP BY id HAVING max(code) > 'a' ORDER BY max(name)",
    "SELECT id, name FROM orders GROUP BY id, name",
    "SELECT id, lower(name) FROM orders GROUP BY id, lower(name)",
    "SELECT id, lower(name) || 'x' FROM orders GROUP BY 1, lower(name)",
    "SELECT tenant_id, id, amount FROM ledger GROUP BY id, tenant_id",
    "SELECT c.code, c.label, count(*) FROM codes c JOIN orders o USING (code) GROUP BY c.code",
    "SELECT a, b, count(note) FROM pairs GROUP BY a, b",
    "SELECT x.id FROM (SELECT id FROM orders) x GROUP BY x.id",
    "WITH orders AS (SELECT 1 AS id, 'x' AS name) SELECT id, max(name) FROM orders GROUP BY id",
    "SELECT id, (SELECT max(o.sku) FROM items o WHERE o.order_id = orders.id) FROM orders GROUP BY id",
    "SELECT id AS name FROM orders GROUP BY id ORDER BY name",
    "SELECT id, rank() OVER (ORDER BY count(*)) FROM orders GROUP BY id",
    "SELECT id FROM orders GROUP BY id ORDER BY count(name)",
    "SELECT i.id, o.name FROM orders o JOIN items i ON i.order_id = o.id GROUP BY i.id, o.name",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM orders GROUP BY tenant_id",
    "SELECT label, count(*) FROM order_codes GROUP BY label",
]  # fmt: skip

LIMITLESS = """
ALTER TABLE public.orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE public.items ADD COLUMN tenant_id bigint, DROP CONSTRAINT items_pkey, ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE public.pairs DROP CONSTRAINT pairs_pkey, ADD PRIMARY KEY (tenant_id, a, b);
"""


@pytest.fixture
def conn(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("SET search_path = public")
        conn.execute(CLASSIC)
        yield conn


def _refused(conn: psycopg.Connection[Any], statement: str) -> str | None:
    """Return the SQLSTATE with which the server refuses a statement, None when it takes it."""
    try:
        conn.execute(b"PREPARE q AS " + statement.encode())
    except psycopg.Error as error:
        return error.sqlstate
    conn.execute("DEALLOCATE q")
    return None


def _marked(tmp_path: Path, schema: str, statements: list[str]) -> dict[str, list[str]]:
    """Return object → evidence of the rule, by an audit of files."""
    (tmp_path / "schema.sql").write_text(schema)
    text = "".join(f"-- name: s{n}\n{s};\n" for n, s in enumerate(statements))
    (tmp_path / "q.sql").write_text(text)
    report = audit_files(schema=[tmp_path / "schema.sql"], statements=[tmp_path / "q.sql"], plan=plan(TABLES))
    assert [s.verdict for s in report.statements].count("unparsable") == 0
    found: dict[str, list[str]] = {}
    for finding in report.findings:
        if finding.rule == "LIM-QRY-10":
            found.setdefault(finding.object, []).append(finding.evidence)
    return found


def test_the_audit_marks_what_the_server_refuses(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Each statement works on classic; it is marked when and only when the composite keys break it."""
    assert {s: _refused(conn, s) for s in STATEMENTS} == dict.fromkeys(STATEMENTS)
    conn.execute(LIMITLESS)
    broken = {s for s in STATEMENTS if _refused(conn, s) == "42803"}
    assert 10 < len(broken) < len(STATEMENTS)

    marked = _marked(tmp_path, CLASSIC, STATEMENTS)

    assert {s for n, s in enumerate(STATEMENTS) if f"statement s{n}" in marked} == broken


def test_a_view_on_such_a_grouping_cannot_be_created(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    """The view is named itself, whether a statement reads it or not; classic's catalog shows it as the file does."""
    views = [
        "CREATE VIEW public.busy AS SELECT o.id, o.name, count(i.id) AS n FROM public.orders o"
        " JOIN public.items i ON i.order_id = o.id GROUP BY o.id;",
        "CREATE VIEW public.quiet AS SELECT o.id, count(*) AS n FROM public.orders o GROUP BY o.id;",
    ]
    for view in views:
        conn.execute(view.encode())

    marked = _marked(tmp_path, CLASSIC + "\n".join(views), ["SELECT 1"])

    assert list(marked) == ["public.busy"]
    conn.execute("DROP VIEW public.busy, public.quiet")
    conn.execute(LIMITLESS)
    with pytest.raises(psycopg.errors.GroupingError):
        conn.execute(views[0].encode())
    conn.execute(views[1].encode())
