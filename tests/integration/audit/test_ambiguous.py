"""Does PostgreSQL refuse exactly the names that the audit marks, once a derived table has the shard key's column?

Every statement is prepared twice: on the tables as classic has them, where it must be accepted, and on tables of which
the derived one has gained the column, as on Limitless.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.files import audit_files
from tests.unit.audit.cases import plan

pytestmark = pytest.mark.pg

CLASSIC = """
CREATE TABLE public.orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, name text);
CREATE TABLE public.items (id bigint PRIMARY KEY, order_id bigint NOT NULL, sku text);
CREATE TABLE public."Odd Lines" ("Id" bigint PRIMARY KEY, "Item" bigint NOT NULL);
CREATE TABLE public.codes (code text PRIMARY KEY, tenant_id bigint);
CREATE VIEW public.named AS SELECT id, tenant_id, name FROM public.orders;
"""
GAINED = 'ALTER TABLE public.items ADD tenant_id bigint; ALTER TABLE public."Odd Lines" ADD tenant_id bigint'
TABLES = {
    "public.codes": {"kind": "reference"},
    "public.items": {"kind": "sharded", "via": "order_id -> public.orders.id"},
    "public.Odd Lines": {"kind": "sharded", "via": "Item -> public.items.id"},
}

REFUSED = [
    "SELECT name, sku FROM orders o JOIN items i ON i.order_id = o.id WHERE tenant_id = $1",
    "SELECT tenant_id FROM orders o, items i WHERE i.order_id = o.id",
    "SELECT count(*) FROM orders JOIN items ON order_id = orders.id GROUP BY tenant_id",
    "SELECT sku FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id",
    "SELECT max(sku) FROM orders o JOIN items i ON i.order_id = o.id HAVING count(DISTINCT tenant_id) > 1",
    "SELECT sku FROM items i JOIN orders o ON o.id = i.order_id AND tenant_id = $1",
    "UPDATE items i SET sku = 'x' FROM orders o WHERE o.id = i.order_id AND tenant_id = $1",
    "DELETE FROM items i USING orders o WHERE o.id = i.order_id AND tenant_id = $1",
    "DELETE FROM orders o USING items i WHERE o.id = i.order_id AND tenant_id = $1",
    "UPDATE orders o SET name = i.sku FROM items i WHERE o.id = i.order_id RETURNING tenant_id",
    "SELECT 1 FROM (SELECT id, tenant_id FROM orders) o JOIN items i ON i.order_id = o.id WHERE tenant_id = 1",
    "WITH o AS (SELECT * FROM orders) SELECT sku FROM o JOIN items i ON i.order_id = o.id WHERE tenant_id = $1",
    "WITH i AS (SELECT * FROM items) SELECT i.sku FROM orders o JOIN i ON i.order_id = o.id WHERE tenant_id = $1",
    "SELECT i.sku FROM orders o JOIN (SELECT * FROM items) i ON i.order_id = o.id WHERE tenant_id = $1",
    "SELECT i.sku FROM named n JOIN items i ON i.order_id = n.id WHERE tenant_id = $1",
    'SELECT "Id" FROM "Odd Lines" JOIN items i ON i.id = "Item" JOIN orders o ON o.id = order_id WHERE tenant_id = 1',
    "SELECT 1 WHERE EXISTS (SELECT FROM orders o JOIN items i ON i.order_id = o.id WHERE tenant_id = $1)",
    "INSERT INTO codes SELECT sku, tenant_id FROM orders o JOIN items i ON i.order_id = o.id",
    "SELECT name FROM orders o JOIN items i ON i.order_id = o.id WHERE tenant_id = 1 UNION SELECT code FROM codes",
    "SELECT sum(1) OVER (PARTITION BY tenant_id) FROM orders o JOIN items i ON i.order_id = o.id",
    "SELECT * FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id",
    "SELECT o.*, i.* FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id LIMIT 5",
    "SELECT DISTINCT ON (tenant_id) sku FROM orders o JOIN items i ON i.order_id = o.id",
]

ANOTHER_COLUMN = [
    "SELECT name FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND tenant_id = $1)",
    "SELECT name, (SELECT max(sku) FROM items WHERE order_id = o.id AND tenant_id = $1) FROM orders o",
    "SELECT name FROM orders o JOIN LATERAL (SELECT sku FROM items i WHERE i.order_id = tenant_id) q ON true",
]

ACCEPTED = [
    "SELECT o.name, i.sku FROM orders o JOIN items i ON i.order_id = o.id WHERE o.tenant_id = $1",
    "SELECT name FROM orders WHERE tenant_id = $1",
    "SELECT name FROM orders WHERE tenant_id = $1 AND id IN (SELECT order_id FROM items)",
    "SELECT o.tenant_id AS tenant_id, sku FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id",
    "SELECT o.tenant_id, sku FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id",
    "SELECT sku FROM codes c JOIN items i ON c.code = i.sku AND c.tenant_id = $1",
    "WITH i AS (SELECT id, order_id, sku FROM items) SELECT name FROM orders o JOIN i ON i.order_id = o.id"
    " WHERE tenant_id = 1",
    "WITH i (a, b, c) AS (SELECT id, order_id, sku FROM items) SELECT name FROM orders JOIN i ON b = id"
    " WHERE tenant_id = 1",
    "SELECT i.sku FROM items i WHERE i.order_id IN (SELECT id FROM orders WHERE tenant_id = $1)",
    "UPDATE orders SET name = 'x' WHERE tenant_id = $1 AND EXISTS (SELECT FROM items i WHERE i.order_id = orders.id)",
    "INSERT INTO orders (id, tenant_id) VALUES (1, 2) RETURNING tenant_id",
    "SELECT o.* FROM orders o JOIN items i ON i.order_id = o.id ORDER BY tenant_id",
    "SELECT n.name FROM named n JOIN items i ON i.order_id = n.id WHERE n.tenant_id = $1",
    "SELECT count(*) FROM items",
]


def _accepted(conn: psycopg.Connection[Any], text: str) -> str:
    try:
        conn.execute(b"PREPARE p AS " + text.encode())
    except psycopg.Error as error:
        return str(error.sqlstate)
    conn.execute("DEALLOCATE p")
    return ""


def test_what_postgresql_refuses_after_the_move_is_marked_and_nothing_else(classic_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text(CLASSIC)
    every = [*REFUSED, *ACCEPTED, *ANOTHER_COLUMN]
    (tmp_path / "q.sql").write_text("".join(f"{t};\n" for t in every))
    report = audit_files(schema=[tmp_path / "schema.sql"], statements=[tmp_path / "q.sql"], plan=plan(TABLES))
    marked = {s.sql for s in report.statements if "LIM-QRY-11" in s.rules}
    other = {s.sql for s in report.statements if "LIM-QRY-12" in s.rules}
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(CLASSIC.encode())
        assert {t: said for t in every if (said := _accepted(conn, t))} == {}
        conn.execute(GAINED.encode())
        refused = {t for t in every if _accepted(conn, t) == "42702"}

    assert refused == set(REFUSED)
    assert marked == refused
    assert other == set(ANOTHER_COLUMN)
