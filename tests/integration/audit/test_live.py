"""Does the audit of a live server see what the audit of its schema file sees, and what only a server knows?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.audit.evidence.script import script
from migrator.audit.files import audit_files
from migrator.audit.plan_init import plan_text, survey
from migrator.audit.report.accepted import verdict_of
from migrator.audit.report.values import AuditReport
from migrator.audit.run import audit_live
from migrator.control.history import keep_audit, last_audit
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.local.server import programs
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.tables import resolve_tables
from tests.unit.audit.cases import CASES, verdict_plan

pytestmark = pytest.mark.pg

SCHEMA = CASES / "verdicts" / "schema.sql"
ONLY_LIVE = ("LIM-VER", "LIM-SES-04", "AUD-", "LIM-OBJ-11", "LIM-DML", "LIM-KEY-10")


@pytest.fixture
def shop(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The case's schema with rows of three tenants, one of them large, and some traffic in the statistics."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("SET search_path = public")
        conn.execute(SCHEMA.read_bytes())
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        for number, orders in ((1, 5), (2, 7), (3, 900)):
            tenant = f"00000000-0000-0000-0000-00000000000{number}"
            conn.execute("INSERT INTO accounts VALUES (%s, 'n', %s)", (tenant, f"slug{number}"))
            conn.execute(
                "INSERT INTO orders (tenant_id, id) SELECT %s, n FROM generate_series(%s::int, %s::int) n",
                (tenant, number * 1000, number * 1000 + orders - 1),
            )
        conn.execute("INSERT INTO order_items (order_id, sku) SELECT id, 'x' FROM orders")
        conn.execute("ANALYZE")
        conn.execute("SELECT pg_stat_statements_reset()")
        conn.execute("SELECT count(*) FROM orders WHERE state = %s", ("open",))
        conn.execute("SELECT count(*) FROM orders WHERE tenant_id = %s", ("00000000-0000-0000-0000-000000000001",))
    with connect(classic_dsn, "test") as conn:
        yield conn


def _ids(report: AuditReport) -> set[str]:
    return {f.id for f in report.findings if not f.rule.startswith(ONLY_LIVE) and "statement q-" not in f.object}


def test_a_live_audit_sees_what_the_schema_file_says(shop: psycopg.Connection[Any]) -> None:
    """The same findings on the same objects, whether the catalog or the dump is read."""
    live = audit_live(shop, verdict_plan())
    file = audit_files(schema=[SCHEMA], plan=verdict_plan())

    # A dump knows that a key was written inside CREATE TABLE; a catalog does not.
    assert _ids(live) == {i for i in _ids(file) if not i.startswith("LIM-FK-01")}
    assert {(t.name, t.kind, t.key, t.via) for t in live.tables} == {
        (t.name, t.kind, t.key, t.via) for t in file.tables
    }


def test_statements_come_with_their_weight(shop: psycopg.Connection[Any]) -> None:
    """pg_stat_statements gives calls and time; this tool's own statements are not among them."""
    report = audit_live(shop, verdict_plan())
    found = {s.sql: s for s in report.statements}

    cross = found["SELECT count(*) FROM orders WHERE state = $1"]
    assert (cross.verdict, cross.calls, cross.source_file) == ("cross_shard", 1, "pg_stat_statements")
    assert cross.total_ms is not None and cross.total_ms > 0
    assert cross.extra_shard_calls == 3
    assert found["SELECT count(*) FROM orders WHERE tenant_id = $1"].verdict == "single_shard"
    assert not [text for text in found if "pg_class" in text or "migrator" in text]


def test_tenants_are_counted_in_every_table(shop: psycopg.Connection[Any]) -> None:
    """Derived tables count through their parent; the large tenant is hot, with the reason."""
    tenants = audit_live(shop, verdict_plan()).tenants

    assert tenants["count"] == 3
    assert tenants["exact"]
    assert tenants["rows"] == 3 + 2 * 912
    assert [h["tenant"][-1] for h in tenants["hot"]] == ["3"]
    items = next(t for t in tenants["tables"] if t["table"] == "public.order_items")
    assert (items["rows"], items["tenants"], items["derived"], items["method"]) == (912, 3, True, "exact")


def test_rows_without_a_tenant_keep_the_gate_closed(shop: psycopg.Connection[Any]) -> None:
    """NULL tenants are a blocker, missing parents and strangers are said."""
    shop.execute("CREATE TABLE public.loose (tenant_id uuid, id int PRIMARY KEY)")
    shop.execute("INSERT INTO public.loose VALUES (NULL, 1), ('00000000-0000-0000-0000-000000000009', 2)")
    shop.execute("INSERT INTO public.order_items (order_id) VALUES (424242)")

    report = audit_live(shop, verdict_plan())

    assert any(b.startswith("public.loose: rows without a tenant. 1 row") for b in report.blockers())
    assert "AUD-TEN-01:public.loose" not in " ".join(report.blockers(["AUD-TEN-01:public.loose"]))
    found = {f.id: f.evidence for f in report.findings}
    assert found["AUD-TEN-03:public.order_items"] == "1 row whose parent is missing"
    assert "1 tenant that public.accounts does not have" in found["AUD-TEN-02:public.loose"]


def test_a_sample_says_that_it_is_one(shop: psycopg.Connection[Any]) -> None:
    """Above the limit a table is read in part, and the report says so."""
    tenants = audit_live(shop, verdict_plan(), sample_above_rows=100).tenants

    assert not tenants["exact"]
    assert any(t["method"].startswith("sample of") for t in tenants["tables"])


def test_the_tools_own_objects_are_no_findings(shop: psycopg.Connection[Any]) -> None:
    """With the control schema installed, nothing of it appears."""
    plan = verdict_plan()
    before = _ids(audit_live(shop, plan))
    install(shop, plan.name, digest(plan), dump(plan), shim_settings(plan))

    report = audit_live(shop, plan)

    assert _ids(report) == before
    assert not [f for f in report.findings if "migrator" in f.object]
    assert keep_audit(shop, report.to_json(), partial(verdict_of, report))
    stored = last_audit(shop)
    assert stored is not None
    assert stored["findings"] == report.to_json()["findings"]


def test_the_gather_script_sees_the_same(shop: psycopg.Connection[Any], classic_dsn: str, tmp_path: Path) -> None:
    """Plain psql, read-only, gives the evidence that a connection gives, tenants included."""
    psql = programs() / "psql"
    path, output = tmp_path / "gather.sql", tmp_path / "evidence.jsonl"
    path.write_text(script("tenant_id"))
    done = subprocess.run(
        [psql, "-X", "-f", path, "-o", output, classic_dsn],
        capture_output=True,
        text=True,
        env={**os.environ, "PGOPTIONS": "-c default_transaction_read_only=on"},
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr

    live = audit_live(shop, verdict_plan())
    gathered = audit_files(gathered=output, plan=verdict_plan())

    assert _ids(gathered) == _ids(live)
    assert gathered.evidence["input_rejected"] == 0
    assert gathered.tenants["count"] == 3
    assert {s.sql for s in live.statements} & {s.sql for s in gathered.statements}


def test_without_statistics_the_rest_goes_on(classic_dsn: str) -> None:
    """No extension: a finding says so, and the schema is audited."""
    with connect(classic_dsn, "test") as conn:
        conn.execute("CREATE TABLE public.orders (tenant_id uuid NOT NULL, id int PRIMARY KEY)")

        report = audit_live(conn, verdict_plan())

    assert any("pg_stat_statements is not installed" in f.evidence for f in report.findings if f.rule == "AUD-EVD-01")
    assert "LIM-KEY-01:public.orders" in {f.id for f in report.findings}


def test_a_user_with_few_rights_gets_what_it_may_see(shop: psycopg.Connection[Any], classic_dsn: str) -> None:
    """Hidden texts are counted and said; refused tables too; nothing fails."""
    shop.execute("DROP ROLE IF EXISTS audit_guest")
    shop.execute("CREATE ROLE audit_guest LOGIN PASSWORD 'guest'")
    try:
        shop.execute("GRANT USAGE ON SCHEMA public TO audit_guest")
        with connect(conninfo.make_conninfo(classic_dsn, user="audit_guest", password="guest"), "test") as guest:
            report = audit_live(guest, verdict_plan())
    finally:
        shop.execute("DROP OWNED BY audit_guest")
        shop.execute("DROP ROLE audit_guest")

    assert "LIM-KEY-02:public.accounts.accounts_slug_key" in {f.id for f in report.findings}
    said = " ".join(f.evidence for f in report.findings if f.rule == "AUD-EVD-01")
    assert "tenants of public.orders cannot be counted" in said
    assert "hidden from this role" in said
    assert report.evidence["hidden_statements"] > 0


def test_a_plan_is_written_for_a_live_database(shop: psycopg.Connection[Any], tmp_path: Path) -> None:
    """It loads, names every table, and its tables can be resolved on that very database."""
    report = survey(shop, schemas=["public"], tenant_key="tenant_id", aliases={})
    path = tmp_path / "plan.toml"
    text = plan_text(report, name="shop", classic="env:CLASSIC", limitless="env:LIMITLESS")
    path.write_text(text.replace('"DECIDE ', '"'))

    plan = load(path)

    assert set(plan.tables.table) == {t.name for t in report.tables}
    assert plan.tables.table["public.countries"].kind == "reference"
    assert {t.qualified for t in resolve_tables(shop, plan.tables) if t.sharded} >= {"public.orders", "public.users"}


def test_a_partitioned_table_counts_as_one(classic_dsn: str) -> None:
    """Leaves are no tables of their own; their rows count for the root."""
    with connect(classic_dsn, "test") as conn:
        conn.execute(
            "CREATE TABLE public.events (tenant_id int NOT NULL, at date NOT NULL, PRIMARY KEY (tenant_id, at))"
            " PARTITION BY RANGE (at)"
        )
        for year in (2024, 2025):
            conn.execute(
                sql.SQL("CREATE TABLE {} PARTITION OF public.events FOR VALUES FROM ({}) TO ({})").format(
                    sql.Identifier("public", f"events_{year}"), f"{year}-01-01", f"{year + 1}-01-01"
                )
            )
        conn.execute("INSERT INTO public.events SELECT 1, date '2024-06-01' + n FROM generate_series(1, 300) n")

        report = audit_live(conn, verdict_plan())

    assert [t.name for t in report.tables] == ["public.events"]
    assert report.tenants["rows"] == 300
    found = {f.id: f.evidence for f in report.findings}
    assert found["LIM-TBL-01:public.events"] == "partitioned, 2 partitions"


def test_nothing_seen_keeps_the_gate_closed(shop: psycopg.Connection[Any], classic_dsn: str) -> None:
    """No statistics, statistics without the application, a schema that is not there, and what the plan accepts."""
    plan = verdict_plan()
    elsewhere = plan.model_copy(update={"tables": plan.tables.model_copy(update={"schemas": ["app"]})})
    gates = plan.gates.model_copy(update={"acknowledged": ["AUD-EVD-05:statements"]})
    closed = "AUD-EVD-05:statements]"

    assert not any(b.endswith(closed) for b in audit_live(shop, plan).blockers())
    assert any("AUD-EVD-05:tables" in b for b in audit_live(shop, elsewhere).blockers())
    with psycopg.connect(classic_dsn, autocommit=True) as application:
        application.execute("SELECT pg_stat_statements_reset()")
        application.execute("SELECT 1")
        assert any(b.endswith(closed) for b in audit_live(shop, plan).blockers())
        application.execute("DROP EXTENSION pg_stat_statements")
    assert any(b.endswith(closed) for b in audit_live(shop, plan).blockers())
    assert not any(b.endswith(closed) for b in audit_live(shop, plan.model_copy(update={"gates": gates})).blockers())


def test_the_stored_verdict_knows_what_the_plan_accepts(shop: psycopg.Connection[Any]) -> None:
    """An audit by hand writes the same verdict as the one of the phase: it does not shut a gate that was open."""
    plan = verdict_plan()
    install(shop, plan.name, digest(plan), dump(plan), shim_settings(plan))
    found = [f.id for f in audit_live(shop, plan).findings if f.severity.value == "blocker"]
    gates = plan.gates.model_copy(update={"acknowledged": found})
    assert found

    accepted = audit_live(shop, plan.model_copy(update={"gates": gates}))
    keep_audit(shop, accepted.to_json(), partial(verdict_of, accepted))

    row = shop.execute("SELECT body FROM migrator.report WHERE kind = 'audit.verdict' ORDER BY id DESC").fetchone()
    assert row is not None and row[0] == {"blockers": []}
