"""What capture journals is the same in every session: whatever names it hides and whatever it has set.

Functions that fire for each statement of tables without parents and children have no SET clauses, since each costs
every call (see `migrator.dataplane.capture.trigger_sql`). So nothing in them may be looked up by name, and nothing may depend on a
setting: tried with a trap in the place of every operator, function and type that they could mean.
"""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.control.install import install
from migrator.dataplane.capture import install as capture
from migrator.db.connect import connect
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from tests.fixtures.postgres import Machines
from tests.integration.dataplane.test_settings import TURNS, choice, hostile_settings

pytestmark = pytest.mark.pg

SCHEMA = """
CREATE SCHEMA k;
CREATE TABLE k.plain (tenant_id bigint NOT NULL, a numeric NOT NULL, "b c" text NOT NULL, note text,
    PRIMARY KEY (a, "b c"));
CREATE TABLE k.written (tenant_id bigint NOT NULL, at timestamptz, d interval, f float8, b bytea, g float4, note text,
    PRIMARY KEY (at, d, f, b, g));
CREATE TABLE k.rate (code text PRIMARY KEY, value int);
CREATE TABLE k.event (tenant_id bigint NOT NULL, id bigint, at date, note text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE k.event_24 PARTITION OF k.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE k.event_25 PARTITION OF k.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE k.parent (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, note text);
CREATE TABLE k.child (id uuid PRIMARY KEY, parent bigint REFERENCES k.parent ON UPDATE CASCADE ON DELETE CASCADE, note text);
"""

# One row at most in each table, so that no condition is needed: its operator would be a trap too.
STATEMENTS = """
INSERT INTO k.plain VALUES (1, 1.50, 'x')
UPDATE k.plain SET note = 'n'
UPDATE k.plain SET a = 2, tenant_id = 2
UPDATE k.plain SET a = 2.00
DELETE FROM k.plain
INSERT INTO k.written VALUES (3, '2024-05-06 07:08:09+00', '1 mon 2 days', 0.1, pg_catalog.decode('ff00', 'hex'), 0.3)
UPDATE k.written SET note = 'n'
UPDATE k.written SET at = '2025-06-05 00:00:00+00', f = 1e300
DELETE FROM k.written
INSERT INTO k.rate VALUES ('EUR', 1)
UPDATE k.rate SET value = 2
UPDATE k.rate SET code = 'USD'
DELETE FROM k.rate
INSERT INTO k.event VALUES (4, 1, '2024-05-06')
UPDATE k.event SET note = 'n'
UPDATE k.event SET at = '2025-05-06', tenant_id = 5
UPDATE k.event_25 SET note = 'leaf'
DELETE FROM k.event
INSERT INTO k.parent VALUES (6, 1)
INSERT INTO k.child VALUES ('6b2f1c7e-0000-4000-8000-000000000001', 1)
UPDATE k.child SET note = 'n'
UPDATE k.parent SET note = 'n'
UPDATE k.parent SET tenant_id = 7
UPDATE k.parent SET id = 2
UPDATE k.child SET parent = NULL
UPDATE k.child SET parent = 2
DELETE FROM k.parent
""".strip().split("\n")

SHADOWED = ("int2", "int4", "int8", "text", "numeric", "uuid", "timestamptz", "bool", "xid8", "record")

TRAPS = """
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
DO $do$
DECLARE o record; t text; n int := 0;
BEGIN
    FOR o IN SELECT oprname, format_type(oprleft, NULL) AS l, format_type(oprright, NULL) AS r, oprresult::regtype AS res
               FROM pg_operator
              WHERE oprleft IN (SELECT oid FROM pg_type WHERE typname = ANY ({types}))
                AND oprright IN (SELECT oid FROM pg_type WHERE typname = ANY ({types})) LOOP
        n := n + 1;
        EXECUTE format('CREATE FUNCTION trap.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS {body}', n, o.l, o.r, o.res);
        EXECUTE format('CREATE OPERATOR trap.%s (FUNCTION = trap.operator_%s, LEFTARG = %s, RIGHTARG = %s)', o.oprname, n, o.l, o.r);
    END LOOP;
    FOR o IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS a, pg_get_function_result(p.oid) AS res
               FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ({functions})
                AND p.prokind = 'f' LOOP
        EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS {body}', o.proname, o.a, o.res);
    END LOOP;
    FOREACH t IN ARRAY {types}::text[] LOOP
        EXECUTE format('CREATE DOMAIN trap.%I AS pg_catalog.text CHECK (false)', t);
    END LOOP;
END $do$;
CREATE TABLE trap.new_rows (tenant_id bigint, a numeric, "b c" text);
CREATE TABLE trap.old_rows (tenant_id bigint, a numeric, "b c" text);
"""
BODY = "$b$ BEGIN RAISE EXCEPTION USING MESSAGE = $m$sprung$m$; END $b$"


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Captured tables of every shape."""
    plan = Plan.model_validate(
        {
            "name": "k",
            "classic": {"writer": "local:classic"},
            "limitless": {"dsn": "local:limitless"},
            "tables": {
                "schemas": ["k"],
                "table": {
                    "k.rate": {"kind": "reference"},
                    "k.child": {"kind": "sharded", "via": "parent -> k.parent.id"},
                },
            },
        }
    )
    with connect(classic_dsn, "test") as conn:
        conn.execute(SCHEMA)
        install(conn, plan.name, "digest", {}, {})
        capture.install(conn, resolve_tables(conn, plan.tables), 4, 3)
        yield conn


def trap(conn: psycopg.Connection[Any]) -> list[str]:
    """Put a trap where each name of capture's functions could be looked up; return the functions without search_path."""
    rows = conn.execute(
        "SELECT p.proname::text, p.prosrc FROM pg_proc p WHERE p.pronamespace = 'migrator'::regnamespace"
        " AND p.prorettype = 'trigger'::regtype AND p.proconfig IS NULL ORDER BY 1"
    ).fetchall()
    called = {name.lower() for _, body in rows for name in re.findall(r"(\w+)\s*\(", body)}
    values = {"types": list(SHADOWED), "functions": sorted(called)}
    conn.execute(
        sql.SQL(TRAPS).format(body=sql.SQL(BODY), **{name: sql.Literal(value) for name, value in values.items()})
    )
    return [name for name, _ in rows]


def entries(classic: psycopg.Connection[Any]) -> list[str]:
    """All entries of all journals, without the transaction; they are taken away."""
    found = []
    for number, name in classic.execute(
        "SELECT table_id, qualified FROM migrator.captured_table ORDER BY 1"
    ).fetchall():
        journal = sql.Identifier("migrator", f"journal_{number}")
        rows = classic.execute(sql.SQL("SELECT to_jsonb(j) - 'xid' FROM {} j").format(journal)).fetchall()
        found += sorted(f"{name} {entry}" for (entry,) in rows)
        classic.execute(sql.SQL("DELETE FROM {}").format(journal))
    return found


def write(
    classic: psycopg.Connection[Any], dsn: str, settings: Mapping[str, str]
) -> list[tuple[str, object, list[str]]]:
    """Run every statement in a session with *settings*; return what each left, and the partitions it noted."""
    found: list[tuple[str, object, list[str]]] = []
    with psycopg.connect(dsn, autocommit=True) as conn:
        for name, value in settings.items():
            conn.execute("SELECT pg_catalog.set_config(%s::pg_catalog.text, %s::pg_catalog.text, false)", (name, value))
        for statement in STATEMENTS:
            conn.execute("BEGIN")
            conn.execute(statement.encode())
            noted = conn.execute(
                "SELECT pg_catalog.current_setting('migrator.parts', true)::pg_catalog.int8"
            ).fetchone()
            conn.execute("COMMIT")
            found.append((statement, noted, entries(classic)))
    return found


def test_no_name_means_what_a_session_says(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    expected = write(classic, classic_dsn, {})
    unpinned = trap(classic)
    with psycopg.connect(classic_dsn, autocommit=True, options="-c search_path=trap,pg_catalog") as conn:
        for springs in ("SELECT 1 = 1", "SELECT pg_current_xact_id()", "SELECT 'x'::pg_catalog.text::int8"):
            with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.CheckViolation)):
                conn.execute(springs.encode())

    assert len(unpinned) >= 10, "those of plain tables"
    assert write(classic, classic_dsn, {"search_path": "trap, pg_catalog"}) == expected
    assert all(left for statement, _, left in expected), "each statement names a row"


ITS_OWN = {
    "session_replication_role": "says that no foreign key is checked, so that more is journalled",
    "default_transaction_isolation": "lets keys be named without a tenant too, as the parent that is seen may have moved",
    "default_transaction_read_only": "lets nobody write",
}
"""Settings that change what a statement does, or may."""


@pytest.mark.parametrize("turn", [pytest.param(n, marks=() if n < 2 else pytest.mark.slow) for n in range(TURNS)])
def test_no_setting_of_a_session_changes_an_entry(
    classic: psycopg.Connection[Any], classic_dsn: str, machines: Machines, turn: int
) -> None:
    """One hostile value of every setting at once."""
    expected = write(classic, classic_dsn, {})
    with psycopg.connect(machines.classic_admin) as conn:
        settings = choice([s for s in hostile_settings(conn) if s.name not in ITS_OWN], turn)

    assert write(classic, classic_dsn, settings) == expected


def test_every_other_function_says_where_its_names_are(classic: psycopg.Connection[Any]) -> None:
    """By search_path, or because the names were looked up when it was made; two read the session's own statement, and
    two, which every write calls, have each name with its schema."""
    rows = classic.execute(
        "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'migrator'::regnamespace"
        " AND p.prosqlbody IS NULL AND p.proname !~ '^capture_[0-9]+_'"
        " AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%') ORDER BY 1"
    ).fetchall()

    assert rows == [("before_commit",), ("client_token",), ("guard_detach",), ("guard_leaf",)]


def test_how_a_session_reads_literals_opens_no_guard(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    """The guard looks for names in the session's own statement, so it has to read it the same in every session."""
    classic.execute("INSERT INTO k.event VALUES (4, 1, '2024-05-06')")
    entries(classic)
    with psycopg.connect(classic_dsn, autocommit=True, options="-c standard_conforming_strings=off") as conn:
        with pytest.raises(psycopg.Error, match="CONCURRENTLY of k"):
            conn.execute("ALTER TABLE k.event DETACH PARTITION k.event_24 CONCURRENTLY")
        conn.execute("DROP TABLE /* retention */ IF EXISTS k . event_24")

    assert len(entries(classic)) == 1, "the row that went with its leaf"
