"""What an operator sees and may do at the end: preflight, drills, what became of classic, its deletion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.control import retirement, sighting
from migrator.control.install import install, install_limitless
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, load, shim_settings
from tests.fixtures.operator import PLAN, Operator

pytestmark = pytest.mark.pg

TABLE = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id));
INSERT INTO app.users SELECT 't' || i % 3, i FROM generate_series(1, 30) i;
"""
COPY = "orders-before-decommission"


@pytest.fixture
def shop(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Iterator[Operator]:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(TABLE)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        install_limitless(limitless)
    environment = {"A": classic_dsn, "B": limitless_dsn, "COPY": classic_dsn, "MIGRATOR_PLAN": str(path)}
    yield Operator(tmp_path, environment)


def test_preflight_names_who_uses_classic_and_how_to_accept_it(shop: Operator, classic_dsn: str) -> None:
    who = sighting.Who("session", "app", "bi", "Metabase v1", "10.0.0.1")
    with connect(classic_dsn, "test") as classic:
        sighting.add(classic, sighting.WRITER, {who: 3}, 3)

    found = shop("preflight", "--json")
    assert found.code == 3 and not found.json["go"] and found.json["asked_by_gates"]
    (one,) = [f for f in found.json["findings"] if f["code"] == "preflight.session"]
    assert one["name"] == "preflight.session:bi/Metabase v1" and one["blocks"]
    assert "looks like Metabase" in shop("preflight").out
    before = shop("preflight", "--before", "dual-write", "--json").json["findings"]
    assert not [f for f in before if f["code"] == "preflight.session" and f["blocks"]]
    wrong = shop("preflight", "--before", "lunch")
    assert wrong.code == 2 and "dual-write" in wrong.err


def test_a_drill_at_a_moment_that_is_none_is_refused_with_every_reason(shop: Operator) -> None:
    refused = shop("drill", "rollback", "--tenant", "t1", "--yes")
    assert refused.code == 3
    for words in ("the write mode is", "does not read from Limitless", "no process runs the shim"):
        assert words in refused.err
    assert shop("drill", "rollback", "--yes").code == 2
    assert shop("drill", "rollback", "--tenant", "nope", "--yes").code == 2
    shown = shop("drill", "status", "--json")
    assert shown.code == 0 and shown.json["drills"] == []


def test_a_copy_that_somebody_restored_is_compared(shop: Operator, limitless_dsn: str) -> None:
    """Before the hand-over it is read; then compared, and kept where the deletion asks for it."""
    plan = load(Path(shop.environment["MIGRATOR_PLAN"]))
    read = shop("drill", "restore", "--restored", "env:COPY", "--as", "ana", "--yes", "--json")
    assert read.code == 0 and read.json["passed"] and not read.json["exact"]

    with connect(limitless_dsn, "test") as limitless, connect(shop.environment["A"], "test") as classic:
        from migrator.decommission import fingerprint
        from migrator.plan.tables import resolve_tables

        retirement.begin(limitless, "aws", "orders")
        retirement.extend(limitless, "decommission", "last copy", copy=COPY)
        retirement.stamp(limitless, "copied_at")
        fingerprint.keep(classic, limitless, resolve_tables(classic, plan.tables))
    assert shop("decommission", "delete", "--as", "ana", "--yes").code == 3
    same = shop("drill", "restore", "--restored", "env:COPY", "--as", "ana", "--yes", "--json")
    assert same.code == 0 and same.json["exact"] and same.json["rows"] == 30
    assert [d["passed"] for d in shop("drill", "status", "--json").json["drills"]] == [True, True]

    with connect(shop.environment["A"], "test") as classic:
        classic.execute("DELETE FROM app.users WHERE id = 7")
    other = shop("drill", "restore", "--restored", "env:COPY", "--as", "ana", "--yes")
    assert other.code == 3 and "has 29 rows, classic had 30" in other.out


def test_deletion_is_approved_by_name_and_taken_back(shop: Operator, limitless_dsn: str) -> None:
    assert "No attempt to retire classic" in shop("decommission", "status").out
    unnamed = shop("decommission", "delete", "--yes")
    assert unnamed.code == 2 and "without a name" in unnamed.err
    early = shop("decommission", "delete", "--as", "ana", "--yes")
    assert early.code == 3 and "not retired yet" in early.err
    with connect(limitless_dsn, "test") as limitless:
        retirement.begin(limitless, "aws", "orders")
        restored = {"passed": True, "copy": COPY, "who": "ana", "at": "2026-11-01T10:00:00+00:00"}
        retirement.extend(limitless, "decommission", "last copy", copy=COPY, restored=restored)
        retirement.stamp(limitless, "copied_at")
        running = shop("decommission", "delete", "--as", "ana", "--yes")
        assert running.code == 3 and "stopped before it is deleted" in running.err
        retirement.stamp(limitless, "stopped_at")
    dry = shop("decommission", "delete", "--as", "ana", "--dry-run")
    assert dry.code == 0 and "POINT OF NO RETURN" in dry.out
    assert shop("decommission", "status", "--json").json["retirement"]["approved_by"] == ""

    approved = shop("decommission", "delete", "--as", "ana", "--yes", "--json")
    assert approved.code == 0 and approved.json["approved_by"] == "ana" and not approved.json["told"]
    shown = shop("decommission", "status")
    assert shown.code == 0 and "approved by ana" in shown.out and "Restored: equal" in shown.out
    back = shop("decommission", "delete", "--as", "bob", "--withdraw")
    assert back.code == 0 and "it stays" in back.out
    gone = shop("decommission", "status", "--json", A="host=127.0.0.1 port=9 connect_timeout=2")
    assert gone.code == 0 and gone.json["classic_answers"] is False
    assert [e["who"] for e in gone.json["retirement"]["events"]] == ["decommission", "ana", "bob"]
