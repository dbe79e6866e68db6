"""Does a live audit see what happens on classic: open transactions, ages, connections, timeouts?"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.audit.evidence.script import script
from migrator.audit.files import audit_files
from migrator.audit.rules import activity
from migrator.audit.run import audit_live
from migrator.audit.target import Target
from migrator.local.server import programs
from migrator.plan.schema import Plan
from tests.unit.audit.cases import plan

pytestmark = pytest.mark.pg


@pytest.fixture
def conn(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(classic_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (tenant_id int, id int, PRIMARY KEY (tenant_id, id))")
        yield connection


def found(conn: psycopg.Connection[Any], rule: str = "AUD-ACT") -> dict[str, str]:
    report = audit_live(conn, plan({}))
    return {f.object: f.evidence for f in report.findings if f.rule.startswith(rule)}


def test_an_open_transaction_is_named_by_whose_it_is(
    conn: psycopg.Connection[Any], classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "IDLE_S", 0.0)
    opened = {name: psycopg.connect(classic_dsn, application_name=name) for name in ("night job", "migrator copy 7")}
    idle = psycopg.connect(classic_dsn, application_name="between transactions")
    try:
        for other in opened.values():
            other.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
        pid = opened["night job"].info.backend_pid
        seen = found(conn, "AUD-ACT-01")
        monkeypatch.setattr(activity, "IDLE_S", 60.0)
        later = found(conn, "AUD-ACT-01")
    finally:
        for other in (*opened.values(), idle):
            other.close()

    assert list(seen) == ["sessions of role migrator, night job"]
    assert f"pid {pid}: open for" in seen["sessions of role migrator, night job"]
    assert later == {}


def test_an_age_is_held_against_wraparound(conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(conn, "AUD-ACT-02") == {}
    monkeypatch.setattr(activity, "WRAPAROUND", 10)

    seen = found(conn, "AUD-ACT-02")

    assert "age of transaction ids" in seen
    assert "public.orders" in seen["age of transaction ids"] or "pg_catalog." in seen["age of transaction ids"]


def test_connections_are_counted_for_the_server_and_for_the_role(conn: psycopg.Connection[Any]) -> None:
    assert found(conn, "AUD-ACT-03") == {}
    [[most]] = conn.execute("SELECT current_setting('max_connections')::int")
    body = plan({}).model_dump(mode="json")
    body["backfill"]["concurrency"], body["dual_write"]["parts"] = 64, 61
    wide = Plan.model_validate(body)

    seen = {f.object: f.evidence for f in audit_live(conn, wide).findings if f.rule == "AUD-ACT-03"}

    assert Target.of(wide).connections == 388 > most
    assert list(seen) == ["max_connections"]
    assert "the migration takes about 388" in seen["max_connections"]
    role = sql.Identifier('Größe "1"')
    conn.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 5").format(role))
    try:
        conn.execute(sql.SQL("GRANT SELECT ON orders TO {}").format(role))
        conn.execute(sql.SQL("SET ROLE {}").format(role))
        assert "CONNECTION LIMIT 5" in found(conn, "AUD-ACT-03")['role Größe "1"']
    finally:
        conn.execute("RESET ROLE")
        conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
        conn.execute(sql.SQL("DROP ROLE {}").format(role))


def test_timeouts_are_told_by_role_and_by_what_becomes_of_them(conn: psycopg.Connection[Any], classic_dsn: str) -> None:
    database = sql.Identifier(str(conninfo.conninfo_to_dict(classic_dsn)["dbname"]))
    has_it = conn.info.server_version >= 170000
    conn.execute("CREATE ROLE act_reports")
    try:
        conn.execute("ALTER ROLE act_reports SET statement_timeout = '250ms'")
        conn.execute("ALTER ROLE act_reports SET lock_timeout = '30s'")
        conn.execute("ALTER ROLE act_reports SET work_mem = '1GB'")
        conn.execute(sql.SQL("ALTER DATABASE {} SET idle_in_transaction_session_timeout = '5min'").format(database))
        if has_it:
            conn.execute(
                sql.SQL("ALTER ROLE act_reports IN DATABASE {} SET transaction_timeout = '1h'").format(database)
            )
        report = audit_live(conn, plan({}))
    finally:
        conn.execute(sql.SQL("ALTER ROLE act_reports IN DATABASE {} RESET ALL").format(database))
        conn.execute("DROP ROLE act_reports")
    seen = {f.object: (f.severity.value, f.evidence) for f in report.findings if f.rule == "AUD-ACT-04"}

    newer = {
        "transaction_timeout of role act_reports": (
            "warning", "transaction_timeout = 1h: PostgreSQL 16, which Limitless is, does not have it"),
    }  # fmt: skip
    assert seen == {
        "statement_timeout of role act_reports": (
            "warning", "statement_timeout = 250ms: a statement that asks every shard has little time then"),
        "lock_timeout of role act_reports": ("info", "lock_timeout = 30s"),
        "idle_in_transaction_session_timeout of the database": (
            "info", "idle_in_transaction_session_timeout = 5min"),
        **(newer if has_it else {}),
    }  # fmt: skip


def test_the_gather_script_sees_the_same(
    conn: psycopg.Connection[Any], classic_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gather.sql").write_text(script("tenant_id"))
    with psycopg.connect(classic_dsn, application_name="night job") as other:
        other.execute("SELECT 1")
        subprocess.run(
            [programs() / "psql", "-X", "-q", "-f", tmp_path / "gather.sql", "-o", tmp_path / "out.jsonl", classic_dsn],
            check=True,
        )
    monkeypatch.setattr(activity, "IDLE_S", 0.0)
    report = audit_files(gathered=tmp_path / "out.jsonl", target=replace(Target(), connections=10_000))

    assert {json.loads(line)["kind"] for line in (tmp_path / "out.jsonl").read_text().splitlines()} >= {"activity"}
    assert {"sessions of role migrator, night job", "max_connections"} <= {f.object for f in report.findings}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("250", 0.25), ("250ms", 0.25), ("1.5s", 1.5), ("2min", 120.0), ("'1 h'", 3600.0), ("default", None)],
)
def test_the_units_of_a_timeout(value: str, seconds: float | None) -> None:
    assert activity.seconds_of(value) == seconds
