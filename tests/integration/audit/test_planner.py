"""Does PostgreSQL's planner agree with the audit? A second opinion on the hand-labelled statements.

The sharded tables are hash-partitioned by the tenant on a plain server: a statement that is on one shard must read one
partition number only, the same in every table. That is the mechanism Limitless documents for single-shard statements,
and the planner knows nothing of our analysis. The other direction does not hold: the planner proves less than it could
about functions, and more where a condition happens to be contradictory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.audit.files import audit_files
from migrator.audit.report.values import StatementReport
from migrator.audit.shardkey.parameters import place
from tests.unit.audit.cases import CASES, verdict_plan

pytestmark = pytest.mark.pg

FOLDER = CASES / "verdicts"
PARTITIONS = 4
SHARDED = ("accounts", "users", "orders", "invoices", "order_items", "notes", "documents", "drafts")
VALUES = {
    "uuid": "00000000-0000-0000-0000-000000000001", "text": "a", "character varying": "a", "bigint": "1",
    "integer": "1", "numeric": "1", "boolean": "true",
    "uuid[]": "{00000000-0000-0000-0000-000000000001}", "bigint[]": "{1}",
    "timestamp with time zone": "2026-01-01", "jsonb": '{"tenant": "a"}', "character": "a",
}  # fmt: skip

# One shard by reasoning that this planner does not follow.
BEYOND_THE_PLANNER = {
    "recursive_keeps_key",  # by induction
    "or_join_in_all_arms",  # the common equality of all arms is not pulled out
    "rls_select",  # the test runs as a superuser, whom no policy binds
}


@pytest.fixture(scope="module")
def statements() -> list[StatementReport]:
    report = audit_files(schema=[FOLDER / "schema.sql"], statements=[FOLDER / "statements.sql"], plan=verdict_plan())
    # LIM-QRY-02 on a statement of one shard says that the planner sees the key at run time only.
    return [
        s
        for s in report.statements
        if s.verdict == "single_shard" and s.function is None and "LIM-QRY-02" not in s.rules
    ]


@pytest.fixture
def partitioned(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The schema of the case with every sharded table split by hash of its tenant."""
    text = (FOLDER / "schema.sql").read_text()
    text = text.replace(
        "CREATE TABLE order_items (id bigserial PRIMARY KEY,", "CREATE TABLE order_items (tenant_id uuid, id bigserial,"
    )
    text = text.replace("slug text NOT NULL UNIQUE", "slug text NOT NULL")
    for name in SHARDED:
        text = re.sub(
            rf"(CREATE TABLE {name} \(.*?\));", r"\1 PARTITION BY HASH (tenant_id);", text, count=1, flags=re.DOTALL
        )
        text = text.replace(
            "CREATE TABLE countries",
            "".join(
                f"CREATE TABLE {name}_p{n} PARTITION OF {name} FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {n});\n"
                for n in range(PARTITIONS)
            )
            + "CREATE TABLE countries",
            1,
        )
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.prepare_threshold = None  # the statements of this test are prepared by name
        conn.execute(text.encode())
        conn.execute("SET plan_cache_mode = force_custom_plan")
        conn.execute("SET app.tenant_id = '00000000-0000-0000-0000-000000000001'")
        conn.execute("SET enable_partition_pruning = on")
        yield conn


def partitions_read(conn: psycopg.Connection[Any], sql: str) -> set[str] | None:
    """Return table_pN of every partition in the plan; None for what cannot be explained."""
    text = place(sql).sql
    if not re.match(r"(?i)\s*(select|update|delete|with)", text) or "merge" in text.lower():
        return None
    try:
        conn.execute(b"DEALLOCATE ALL")
        conn.execute(b"PREPARE q AS " + text.encode())
        row = conn.execute("SELECT parameter_types::text[] FROM pg_prepared_statements").fetchone()
        values = ", ".join("'" + VALUES[t] + "'" for t in (row[0] if row else ()))
        call = f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE q{f'({values})' if values else ''}"
        [[plan]] = conn.execute(call.encode()).fetchall()
    except (psycopg.Error, KeyError):
        return None
    return set(re.findall(r'"Relation Name": "(\w+_p\d)"', json.dumps(plan)))


def test_the_planner_reads_one_partition_where_the_audit_sees_one_shard(
    partitioned: psycopg.Connection[Any], statements: list[StatementReport]
) -> None:
    """No statement is called single_shard that PostgreSQL itself would send to several partitions of one table."""
    wrong, asked = {}, 0
    for statement in statements:
        found = partitions_read(partitioned, statement.sql)
        if found is None:
            continue
        asked += 1
        tables = {name.rpartition("_p")[0] for name in found}
        if len(found) > len(tables) and statement.name not in BEYOND_THE_PLANNER:
            wrong[statement.name] = sorted(found)

    assert wrong == {}
    assert asked > 80
