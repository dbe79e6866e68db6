"""`audit --explain` asks a cluster for plans, runs nothing, and says where it and the audit differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

import psycopg
import pytest

from migrator.audit.explain.ask import _one_statement, explain
from migrator.audit.files import audit_files
from migrator.audit.report.terminal import summary
from migrator.audit.report.values import AuditReport
from migrator.db.connect import connect
from migrator.errors import UsageError
from tests.fixtures.operator import Operator

pytestmark = [pytest.mark.pg, pytest.mark.routers]

STATE = "CREATE TYPE public.state AS ENUM ('open', 'paid')"
SHARDED = (
    "CREATE TABLE public.orders (tenant_id uuid, id bigint, v text, state public.state, tags text[],"
    " amount numeric(9,2), PRIMARY KEY (tenant_id, id))",
    "CREATE TABLE public.lines (tenant_id uuid, order_id bigint, n int, PRIMARY KEY (tenant_id, order_id, n))",
)
STANDARD = "CREATE TABLE public.colours (id int PRIMARY KEY, name text)"
SCHEMA = ";".join((STATE, *SHARDED, STANDARD, ""))

STATEMENTS = {
    "by_key": "SELECT * FROM orders WHERE tenant_id = $1 AND state = $2 AND tags && $3 AND amount > $4",
    "join": "SELECT * FROM orders o JOIN lines l USING (tenant_id) WHERE o.tenant_id = %s AND l.order_id = o.id",
    "insert": "INSERT INTO orders (tenant_id, id, v) VALUES (:tenant, :id, 'grün')",
    "update": "UPDATE orders SET v = ? WHERE tenant_id = ? AND id = ?",
    "delete": "DELETE FROM lines WHERE tenant_id = $1",
    "everybody": "SELECT count(*) FROM orders WHERE v = $1",
    "keys": "SELECT * FROM orders WHERE tenant_id = ANY ($1)",
    "colours": "SELECT * FROM colours WHERE id = $1",
    "merge": "MERGE INTO orders o USING lines l ON o.tenant_id = l.tenant_id WHEN MATCHED THEN DELETE",
}


@pytest.fixture
def cluster(limitless_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A cluster with the tables, in a schema that is not on the tool's own search path."""
    with psycopg.connect(limitless_dsn, autocommit=True) as conn:
        conn.execute(STATE)
        conn.execute(STANDARD)
        with conn.transaction():
            conn.execute("SET LOCAL rds_aurora.limitless_create_table_mode = 'sharded'")
            conn.execute("SET LOCAL rds_aurora.limitless_create_table_shard_key = '{\"tenant_id\"}'")
            for text in SHARDED:
                conn.execute(text)
    with connect(limitless_dsn, "test", statement_timeout_s=10) as conn:
        yield conn


def report_of(folder: Path, statements: dict[str, str], schema: str = SCHEMA) -> AuditReport:
    (folder / "schema.sql").write_text(schema)
    (folder / "q.sql").write_text("".join(f"-- name: {name}\n{text};\n" for name, text in statements.items()))
    return audit_files(schema=[folder / "schema.sql"], statements=[folder / "q.sql"], tenant_key="tenant_id")


def judged(report: AuditReport, verdicts: dict[str, str]) -> AuditReport:
    """The report with other verdicts, as if the audit had been wrong."""
    return replace(
        report,
        statements=tuple(replace(s, verdict=verdicts.get(s.name, s.verdict)) for s in report.statements),
    )


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in found]


def test_right_verdicts_are_borne_out_whatever_the_placeholders(
    cluster: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Enums, arrays, numerics, two-byte letters; each kind of verdict; every statement is accounted for."""
    report = report_of(tmp_path, STATEMENTS)
    found = explain(report, cluster, "here").explain

    assert {s.name: s.verdict for s in report.statements}["merge"] != "unparsable"
    assert found is not None
    assert (found["differences"], found["reasons"]) == ([], [])
    assert (found["asked"], found["agreed"], found["not_answered"]) == (len(STATEMENTS), len(STATEMENTS), 0)


def test_a_wrong_verdict_is_a_difference_and_a_finding(cluster: psycopg.Connection[Any], tmp_path: Path) -> None:
    """What costs more than the audit said is a finding, comes first and shows its plan; what costs less is none."""
    report = judged(report_of(tmp_path, STATEMENTS), {"by_key": "cross_shard", "everybody": "single_shard"})
    wrong = replace(report, statements=tuple(replace(s, rules=()) for s in report.statements))
    told = explain(wrong, cluster, "here")
    assert told.explain is not None

    assert names(told.explain["differences"]) == ["everybody", "by_key"]
    first = told.explain["differences"][0]
    assert (first["verdict"], first["answer"], first["contradicts"]) == ("single_shard", "several_shards", True)
    assert any("orders_fs00002" in line for line in first["plan"])
    assert [f.object for f in told.findings if f.rule == "AUD-EXP-01"] == ["statement everybody"]
    assert told.summary()["findings"]["warning"] == report.summary()["findings"]["warning"] + 1
    assert summary(told).index("EXPLAIN  here answered") < summary(told).index("STATEMENTS  ")


def test_two_keys_are_not_taken_for_one(cluster: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Of twelve statements with two keys none looks like one shard because its keys happen to share it."""
    pattern = Template("SELECT v FROM orders WHERE id IN (0, $others) AND (tenant_id = $$1 OR tenant_id = $$$last)")
    several = {
        f"q{n}": pattern.substitute(last=n, others=", ".join(f"${k}" for k in range(2, n))) for n in range(3, 15)
    }
    wrong = judged(report_of(tmp_path, several), dict.fromkeys(several, "single_shard"))
    found = explain(replace(wrong, statements=tuple(replace(s, rules=()) for s in wrong.statements)), cluster, "x")

    assert found.explain is not None
    assert found.explain["differs"] == len(several)


def test_nothing_is_executed_whatever_a_text_holds(cluster: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Writes, functions that write when they are planned, EXPLAIN ANALYZE, several statements in one text."""
    cluster.execute("CREATE SEQUENCE public.drawn")
    cluster.execute(
        "CREATE FUNCTION public.spoil() RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN RETURN nextval(''public.drawn''); END'"
    )
    spoils = {
        "insert": "INSERT INTO colours VALUES (1, 'red')",
        "planned": "SELECT * FROM colours WHERE id = spoil()",
        "analyze": "EXPLAIN ANALYZE INSERT INTO colours VALUES (1, 'red')",
        "command": "TRUNCATE colours",
        "endless": "SELECT pg_sleep(30) FROM colours",
    }
    report = report_of(tmp_path, spoils, f"{SCHEMA} CREATE FUNCTION spoil() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    two = replace(report.statements[0], name="two", sql="SELECT 1; COMMIT; DROP TABLE colours")
    hidden = replace(two, name="hidden", sql="SELECT $1; DROP TABLE colours; --")
    told = explain(replace(report, statements=(*report.statements, two, hidden)), cluster, "x")

    with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
        _one_statement(cluster, "SELECT 1; DROP TABLE public.colours")
    assert told.explain is not None
    assert told.explain["asked"] + told.explain["not_answered"] == len(spoils) + 2
    assert {r["first"]: r["why"] for r in told.explain["reasons"]}["planned"].startswith("25006: ")
    assert cluster.execute("SELECT count(*) FROM public.colours").fetchone() == (0,)
    assert cluster.execute("SELECT is_called FROM public.drawn").fetchone() == (False,)
    assert cluster.execute("SELECT count(*) FROM pg_catalog.pg_prepared_statements").fetchone() == (0,)


def test_what_cannot_be_asked_is_counted_with_its_reason(cluster: psycopg.Connection[Any], tmp_path: Path) -> None:
    """A table that is not provisioned, a text cut in the report, what has no plan, what does not parse."""
    schema = f"{SCHEMA} CREATE TABLE invoices (tenant_id uuid, id int);"
    report = report_of(
        tmp_path,
        {
            "missing": "SELECT * FROM invoices WHERE tenant_id = $1",
            "long": "SELECT * FROM colours WHERE name = 'x'" + " " * 21_000 + "AND true",
            "command": "VACUUM colours",
            "broken": "SELECT FROM WHERE",
            "contradictory": "SELECT * FROM orders WHERE tenant_id = $1 AND false",
        },
        schema,
    )
    told = explain(report, cluster, "x").explain

    assert told is not None
    reasons = {r["first"]: r["why"] for r in told["reasons"]}
    assert reasons["missing"] == '42P01: relation "invoices" does not exist'
    assert "cut" in reasons["long"] and "grammar" in reasons["broken"] and "no plan" in reasons["command"]
    assert "reads no shard" in reasons["contradictory"]
    assert (told["asked"], told["not_answered"]) == (0, 5)


def test_classic_is_never_asked(classic_dsn: str, tmp_path: Path) -> None:
    """Its plans would say nothing; the refusal names the server without its password."""
    with connect(classic_dsn, "test") as conn, pytest.raises(UsageError, match="is not Aurora Limitless"):
        explain(report_of(tmp_path, STATEMENTS), conn, "classic")


def test_the_command_asks_the_cluster_that_is_named(
    cluster: psycopg.Connection[Any], limitless_dsn: str, tmp_path: Path
) -> None:
    """Without a plan by --limitless; its password is in no output."""
    secret = psycopg.conninfo.conninfo_to_dict(limitless_dsn).get("password")
    report_of(tmp_path, STATEMENTS)
    schema, queries, out = (tmp_path / name for name in ("schema.sql", "q.sql", "out.json"))
    files = ("--schema", str(schema), "--statements", str(queries), "--tenant-key", "tenant_id")
    operator = Operator(tmp_path, {"CLUSTER": limitless_dsn})
    done = operator("audit", *files, "--explain", "--limitless", "env:CLUSTER", "--json", str(out))

    told = json.loads(out.read_text())["explain"]
    assert done.code == 0
    assert (told["asked"], told["differs"]) == (len(STATEMENTS), 0)
    assert isinstance(secret, str) and secret not in done.out + done.err + out.read_text()
    alone = operator("audit", *files, "--limitless", "env:CLUSTER")
    assert alone.code == 2 and "--explain" in alone.err
