"""Does the runner for whole applications see what the audit says wrongly, and agree where it is right?

python -m tests.applications schema.sql --statements queries/ --tenant-key tenant_id
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.evidence.rows import RawStatement
from migrator.audit.files import read_statements
from migrator.audit.run import audit_live as run_audit
from tests.applications.held import Held, hold_all, load_schema, proposed_plan
from tests.applications.source_code import statements as in_code

pytestmark = pytest.mark.pg

SCHEMA = """
CREATE TYPE state AS ENUM ('open', 'paid');
CREATE TABLE tenants (id uuid PRIMARY KEY, name text);
CREATE TABLE orders (
    id bigserial PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES tenants, code text UNIQUE, state state
);
CREATE TABLE items (id bigserial PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, sku text);
CREATE SCHEMA "Größen";
CREATE TABLE "Größen"."Log Lines" (tenant_id uuid NOT NULL, at timestamptz NOT NULL, "Text" text,
    PRIMARY KEY (tenant_id, at)) PARTITION BY RANGE (at);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid';
CREATE MATERIALIZED VIEW counts AS SELECT tenant_id, count(*) FROM orders GROUP BY 1;
CREATE FUNCTION tenant_of(o orders) RETURNS uuid LANGUAGE sql IMMUTABLE AS 'SELECT o.tenant_id';
"""

QUERIES = """
-- name: Order :one
SELECT sqlc.embed(o), c.code FROM orders o JOIN countries c ON c.code = o.code WHERE o.tenant_id = @tenant_id;
-- name: Paid :many
SELECT * FROM paid WHERE tenant_id = sqlc.arg(tenant_id) AND id = ANY (sqlc.slice('ids')::bigint[]);
-- name: ById :one
SELECT * FROM orders WHERE id = $1;
-- name: Several :many
SELECT * FROM orders WHERE tenant_id IN ($1, $2);
-- name: Log :exec
INSERT INTO "Größen"."Log Lines" (tenant_id, at, "Text") VALUES ($1, now(), $2);
-- name: Counts :many
SELECT * FROM counts;
-- name: Upsert :exec
INSERT INTO orders (tenant_id, code) VALUES ($1, $2) ON CONFLICT (code) DO NOTHING;
-- name: Grouped :many
SELECT o.id, o.code FROM orders o JOIN items i ON i.order_id = o.id WHERE o.tenant_id = $1 GROUP BY o.id;
-- name: Ambiguous :many
SELECT sku FROM orders o JOIN items i ON i.order_id = o.id WHERE tenant_id = $1;
-- name: Strange :many
SELECT * FROM nothing;
-- name: Copies :exec
INSERT INTO orders (tenant_id, code) SELECT unnest($1::uuid[]), 'x';
"""

GO = """
package store
const byTenant = "SELECT id FROM orders " +
    "WHERE tenant_id = $1 -- \\"quoted\\"\\n"
const all = `
  SELECT count(*) FROM orders`
var made = "SELECT * FROM " + name // not a statement that anybody can read
const word = "selected"
"""


@pytest.fixture
def conn(classic_dsn: str, tmp_path: Path) -> Iterator[psycopg.Connection[Any]]:
    (tmp_path / "schema.sql").write_text(SCHEMA)
    with psycopg.connect(classic_dsn, autocommit=True, prepare_threshold=None) as connection:
        assert load_schema(connection, [tmp_path / "schema.sql"]) == []
        yield connection


def statements(tmp_path: Path) -> list[RawStatement]:
    (tmp_path / "queries.sql").write_text(QUERIES)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "store.go").write_text(GO)
    (tmp_path / "code" / "query-1.json").write_text(json.dumps({"query": "DELETE FROM orders WHERE tenant_id = $1"}))
    return [*read_statements([tmp_path / "queries.sql"], ()).statements, *in_code(tmp_path / "code")]


def run(conn: psycopg.Connection[Any], tmp_path: Path) -> Held:
    return hold_all(conn, proposed_plan(conn, "tenant_id", {"tenants": "id"}), statements(tmp_path))[0]


def test_the_audit_is_right_about_an_application(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    held = run(conn, tmp_path)

    assert (held.crossing, held.alarms, held.refused) == ([], [], [])
    assert held.asked == {"single_shard": 5, "multi_shard_keys": 1, "cross_shard": 3, "reference_only": 1}
    assert (held.statements, held.one_shard, held.announced) == (14, 5, 3)
    assert held.not_asked == {"invalid on its own schema: 42P01": ['Strange: relation "nothing" does not exist']}


@pytest.mark.parametrize(
    ("name", "verdict", "where"),
    [
        ("ById", "single_shard", "crossing"),
        ("Copies", "single_shard", "crossing"),
        ("Paid", "reference_only", "crossing"),
        ("Order", "cross_shard", "alarms"),
        ("Paid", "multi_shard_keys", "several"),
    ],
)
def test_a_wrong_verdict_is_seen(
    conn: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    verdict: str,
    where: str,
) -> None:
    audit = run_audit

    def wrong(*given: Any, **more: Any) -> Any:
        report = audit(*given, **more)
        told = [replace(s, verdict=verdict, rules=()) if s.name == name else s for s in report.statements]
        return replace(report, statements=tuple(told))

    monkeypatch.setattr("tests.applications.held.audit_live", wrong)

    assert [n for n, _ in getattr(run(conn, tmp_path), where)] == [name]


def test_what_is_refused_and_not_said_is_seen(
    conn: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.applications.held.ANNOUNCED", {})

    assert [n for n, _ in run(conn, tmp_path).refused] == ["Upsert", "Grouped", "Ambiguous"]


def test_a_view_that_groups_by_a_widened_key_is_kept(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Made with the key in GROUP BY, and with its options; the audit says that it must be."""
    conn.execute(
        "CREATE VIEW grouped WITH (security_barrier) AS SELECT o.id, o.code, count(*) FROM orders o GROUP BY o.id"
    )

    held = run(conn, tmp_path)

    assert (held.refused, held.announced) == ([], 4)
    [[options, definition]] = conn.execute(
        "SELECT reloptions, pg_get_viewdef(oid) FROM pg_class WHERE relname = 'grouped'"
    ).fetchall()
    assert options == ["security_barrier=true"]
    assert "GROUP BY tenant_id, id" in definition.replace("o.", "")
