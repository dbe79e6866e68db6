"""Whose word is an audit for the gate? The migration's own, with what its plan accepts; nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control.install import install
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.schema import Plan
from tests.fixtures.operator import Operator
from workflows.activities.base import Context
from workflows.activities.gates import _audit
from workflows.activities.prepare import PrepareActivities

pytestmark = pytest.mark.pg

ACCEPTED = 'acknowledged = ["LIM-KEY-02", "AUD-EVD-05:statements"]'
PLAN = f"""
name = "shop"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[tables]
schemas = ["app"]
[gates]
audit = "auto"
{ACCEPTED}
"""
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, mail text UNIQUE);
"""


@pytest.fixture
def begun(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Iterator[tuple[Operator, Plan, Any]]:
    """A migration whose plan accepts the one blocker there is: a unique key without the tenant."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    with connect(classic_dsn, "test") as conn:
        conn.execute(TABLES)
        install(conn, plan.name, digest(plan), dump(plan), shim_settings(plan))
        yield Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_PLAN": str(path)}), plan, conn


def test_a_run_by_hand_says_what_the_phase_says(
    begun: tuple[Operator, Plan, psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same plan, the same verdict: what the plan accepts does not shut the gate again."""
    operator, plan, conn = begun
    monkeypatch.setenv("A", operator.environment["A"])
    PrepareActivities(Context(plan))._audit()
    phase = _audit(conn, plan)

    assert operator("audit").code == 0
    by_hand = _audit(conn, plan)

    assert (phase.go, phase.blockers) == (by_hand.go, by_hand.blockers) == (True, ())


def test_another_plan_or_other_inputs_are_no_verdict_of_the_migration(
    begun: tuple[Operator, Plan, psycopg.Connection[Any]], tmp_path: Path
) -> None:
    """Their report is kept, under a name of its own; the gate stays as it was."""
    operator, plan, conn = begun
    assert operator("audit").code == 0
    other, statements = tmp_path / "other.toml", tmp_path / "q.sql"
    other.write_text(PLAN.replace(ACCEPTED, "") + "[waves]\nsizes = [7]\n")
    statements.write_text("CREATE RULE r AS ON UPDATE TO app.users DO INSTEAD NOTHING;")

    runs = [
        operator("audit", "--plan", str(other)),
        operator("audit", "--statements", str(statements)),
        operator("audit", "--engine-version", "16.9-limitless"),
        operator("audit", "--uses", "rds-proxy"),
    ]

    assert all("does not count for the running migration" in run.err for run in runs)
    assert _audit(conn, plan).go
    kinds = dict(conn.execute("SELECT kind, count(*) FROM migrator.report GROUP BY kind").fetchall())
    assert kinds == {"audit": 1, "audit.verdict": 1, "audit.by_hand": 4}


def test_a_new_blocker_shuts_the_gate_whoever_finds_it(
    begun: tuple[Operator, Plan, psycopg.Connection[Any]],
) -> None:
    operator, plan, conn = begun
    conn.execute("CREATE TABLE app.loose (tenant_id bigint, id bigint PRIMARY KEY)")
    conn.execute("INSERT INTO app.loose VALUES (NULL, 1)")

    assert operator("audit").code == 0

    assert any(b.startswith("app.loose: rows without a tenant") for b in _audit(conn, plan).blockers)


def test_an_acceptance_of_nothing_keeps_the_gate_shut(
    begun: tuple[Operator, Plan, psycopg.Connection[Any]],
) -> None:
    """A mistyped rule accepts nothing; entries that other gates understand are not the audit's."""
    operator, plan, conn = begun
    conn.execute(
        "UPDATE migrator.plan SET body = jsonb_set(body, '{gates,acknowledged}',"
        ' \'["LIM-KEY-02", "AUD-EVD-05:statements", "LIM-KEY-0", "OTHER-1:app.users"]\')'
    )

    assert operator("audit").code == 0

    (blocker,) = _audit(conn, plan).blockers
    assert blocker.startswith("gates.acknowledged: there is no rule LIM-KEY-0; did you mean LIM-KEY-")
