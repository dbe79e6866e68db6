"""A deployment that makes something new of every kind, traffic that uses it at once, and what both sides then hold."""

from __future__ import annotations

import random
import threading
import time

import psycopg

from tests.fixtures.shop import Shop

FILE = """
ALTER TYPE shop.mood ADD VALUE 'meh' BEFORE 'ok';
ALTER TYPE shop.mood ADD VALUE IF NOT EXISTS 'over the moon';
CREATE TYPE shop.channel AS ENUM ('web', 'app');
CREATE SEQUENCE shop.ticket START 1000 INCREMENT 2;

CREATE TABLE shop.invoice (
    id bigserial PRIMARY KEY,
    tenant_id bigint NOT NULL,
    purchase_id bigint REFERENCES shop.purchase ON DELETE CASCADE,
    number bigint NOT NULL DEFAULT nextval('shop.ticket'),
    channel shop.channel NOT NULL DEFAULT 'web',
    mood shop.mood,
    CHECK (number > 0));

-- The tenant comes from the line.
-- migrator: via = line_id -> shop.line.id
CREATE TABLE shop.parcel (
    line_id bigint NOT NULL REFERENCES shop.line ON DELETE CASCADE,
    "No." int NOT NULL,
    weight numeric(8, 2) GENERATED ALWAYS AS (grams / 1000.0) STORED,
    grams int,
    PRIMARY KEY (line_id, "No."));

-- migrator: via = invoice_id -> shop.invoice.id
CREATE TABLE shop.reminder (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id bigint NOT NULL REFERENCES shop.invoice ON DELETE CASCADE,
    body text);

-- migrator: kind = reference
CREATE TABLE shop.country (code char(2) PRIMARY KEY, name text);

CREATE INDEX invoice_purchase ON shop.invoice (purchase_id);
CREATE INDEX reminder_invoice ON shop.reminder (invoice_id);
ALTER TABLE shop.reminder ADD COLUMN sent_at timestamptz DEFAULT now();
"""

TABLES = ("shop.invoice", "shop.parcel", "shop.reminder", "shop.country")

# Where a row belongs and what it holds; written down apart from the product.
OWNED = {
    "shop.invoice": "SELECT i.tenant_id::text, to_jsonb(i) FROM shop.invoice i",
    "shop.parcel": "SELECT p.tenant_id::text, to_jsonb(c) FROM shop.parcel c JOIN shop.line l ON l.id = c.line_id"
    " JOIN shop.purchase p ON p.id = l.purchase_id",
    "shop.reminder": "SELECT i.tenant_id::text, to_jsonb(r) FROM shop.reminder r"
    " JOIN shop.invoice i ON i.id = r.invoice_id",
    "shop.country": "SELECT NULL, to_jsonb(c) FROM shop.country c",
}
DERIVED = ("shop.parcel", "shop.reminder")


def differences(shop: Shop) -> dict[str, list[object]]:
    """Up to five rows of each new table that only one side holds."""
    found = {}
    for table, query in OWNED.items():
        minus = " - 'tenant_id'" if table in DERIVED else ""
        owner = "NULL" if table == "shop.country" else "t.tenant_id::text"
        here = set(shop.classic.execute(f"SELECT q::text FROM ({query}) q"))
        there = set(
            shop.limitless.execute(f"SELECT q::text FROM (SELECT {owner}, to_jsonb(t){minus} FROM {table} t) q")
        )
        if here != there:
            found[table] = sorted(here ^ there)[:5]
    return found


class Traffic(threading.Thread):
    """Writes new tables and values from the moment they are there, and moves their parents between tenants."""

    STATEMENTS = (
        "INSERT INTO shop.invoice (tenant_id, purchase_id) SELECT tenant_id, id FROM shop.purchase WHERE id = %(n)s",
        'INSERT INTO shop.parcel (line_id, "No.", grams) SELECT id, %(n)s, 5 FROM shop.line'
        " WHERE purchase_id IS NOT NULL AND id = %(n)s ON CONFLICT DO NOTHING",
        "INSERT INTO shop.reminder (invoice_id, body) SELECT id, 'pay!' FROM shop.invoice ORDER BY id DESC LIMIT 1",
        "INSERT INTO shop.country VALUES (left(%(n)s::text, 2), 'land') ON CONFLICT (code)"
        " DO UPDATE SET name = EXCLUDED.name || %(n)s",
        "UPDATE shop.purchase SET mood = 'meh' WHERE id = %(n)s",
        "UPDATE shop.invoice SET tenant_id = 1 + %(n)s %% 7 WHERE id %% 50 = %(n)s %% 50",
        "UPDATE shop.line SET purchase_id = 1 + %(n)s WHERE id = %(n)s AND %(n)s < 500",
        "DELETE FROM shop.invoice WHERE id %% 97 = %(n)s %% 97",
        "UPDATE shop.parcel SET grams = grams + 1 WHERE line_id = %(n)s",
    )
    MISSING = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidTextRepresentation)

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn, self.stop, self.written = dsn, threading.Event(), dict.fromkeys(self.STATEMENTS, 0)

    def run(self) -> None:
        r = random.Random(3)
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            while not self.stop.is_set():
                for statement in self.STATEMENTS:
                    try:
                        self.written[statement] += conn.execute(statement, {"n": r.randint(1, 700)}).rowcount
                    except self.MISSING:
                        time.sleep(0.002)  # not there yet
                    except (psycopg.errors.DeadlockDetected, psycopg.errors.ForeignKeyViolation):
                        pass

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()
