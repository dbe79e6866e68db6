"""What an operator sees of shadow reads, of who still uses classic, and of the decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import sighting
from migrator.control.history import add_report
from migrator.control.install import install, install_limitless
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, load, shim_settings
from tests.fixtures.operator import PLAN, Operator

pytestmark = [pytest.mark.pg, pytest.mark.once]

ODD = "Größe \x1b[2J' \u202e"
AUDIT: dict[str, Any] = {
    "database": "shop",
    "created_at": "2026-11-01T10:00:00Z",
    "findings": [],
    "summary": {
        "findings": {"blocker": 3, "rewrite": 4},
        "statements": {"single_shard": {"statements": 8, "calls": 800.0, "total_ms": 1.0}},
        "tables": {"sharded": 5},
    },
    "tenants": {"count": 12, "largest": [{"share": 0.01, "write_share": None}]},
    "runway": {"cpu": 0.86, "monthly_growth": 0.15},
    "sizing": {},
}


@pytest.fixture
def shop(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Iterator[Operator]:
    path = tmp_path / "plan.toml"
    path.write_text(f"{PLAN}\n[shim]\nshadow_ratio = 0.1\n")
    plan = load(path)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute("CREATE SCHEMA app")
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        install_limitless(limitless)
    yield Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_PLAN": str(path)})


@pytest.fixture
def classic(classic_dsn: str, shop: Operator) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        yield conn


def found(conn: psycopg.Connection[Any], name: str, tenant: str, differing: int) -> None:
    conn.execute(
        "INSERT INTO migrator.shadow_read_sample"
        " (process_id, fingerprint, tenant_id, statement, note, compared, differing, reordered, undecided)"
        " VALUES ('p', %s, %s, 'SELECT a FROM t WHERE b = ?', 'classic: 1 row; Limitless: 2 rows', 9, %s, 1, 2)",
        (name, tenant, differing),
    )


def test_reads_that_differ_end_with_the_code_of_a_divergence(shop: Operator, classic: psycopg.Connection[Any]) -> None:
    assert shop("reads").code == 0 and "0 reads compared" in shop("reads").out
    found(classic, "good", "", 0)
    assert shop("reads", "--json").json["totals"]["compared"] == 9
    found(classic, "bad", ODD, 2)

    done = shop("reads", "--json")
    assert done.code == 4 and done.json["exit_code"] == 4
    assert [(s["fingerprint"], s["blocks"]) for s in done.json["statements"]] == [("bad", True), ("good", False)]
    assert done.json["statements"][0]["tenants"] == [ODD]
    shown = shop("reads")
    assert shown.code == 4 and "reads.differ:bad" in shown.out and "\x1b" not in shown.out
    classic.execute("UPDATE migrator.plan SET body = jsonb_set(body, '{gates,acknowledged}', '[\"reads.differ:bad\"]')")
    assert shop("reads").code == 0 and "accepted" in shop("reads").out


def test_readers_are_listed_until_none_is_left(shop: Operator, classic: psycopg.Connection[Any]) -> None:
    assert "No worker has looked" in shop("readers").out
    seen = {
        sighting.Who("session", "app", "bi", "Metabase", "10.0.0.1", True): 3,
        sighting.Who("session", "app", "bi", "Metabase", "10.0.0.1", False): 1,
        sighting.Who("session", "app", "web", "migrator-shim:web-1", "10.0.0.2", True): 1,
        sighting.Who("session", "app", ODD, ODD, ""): 1,
    }
    classic.execute("INSERT INTO migrator.process (process_id, name, staleness_s) VALUES ('p', 'web-1', 3)")
    sighting.add(classic, sighting.WRITER, seen, 4)

    done = shop("readers", "--json")
    assert done.code == 0 and done.json["left"] == 2
    lines = {line["application"]: line for line in done.json["readers"]}
    assert (lines["Metabase"]["kind"], lines["Metabase"]["share"], lines["Metabase"]["left"]) == ("bi", 0.75, True)
    assert (lines["migrator-shim:web-1"]["kind"], lines["migrator-shim:web-1"]["left"]) == ("shim", False)
    assert len(shop("readers", "--left", "--json").json["readers"]) == 2
    assert "\x1b" not in shop("readers").out and "go past the shims" in shop("readers").out

    classic.execute("UPDATE migrator.sighting SET last_at = last_at - interval '8 days'")
    assert shop("readers", "--json").json["left"] == 0
    short = shop("readers").out
    assert "No one was seen" in short and "watched only since" in short and "The last look" not in short
    classic.execute("UPDATE migrator.sighting_hour SET at = at - interval '8 days'")
    gone = shop("readers").out
    assert "The last look at the writer was" in gone and "watched only since" not in gone


def test_a_decision_names_what_is_missing_and_rests_on_what_is_given(shop: Operator, tmp_path: Path) -> None:
    assert shop("decide").code == 2 and "no audit" in shop("decide").err
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(AUDIT))
    missing = shop("decide", "--audit", str(path))
    assert missing.code == 2 and "--vcpus" in missing.err and "--cpu-pct" not in missing.err
    assert shop("decide", "--audit", str(path), "--vcpus", "64", "--cpu-pct", "300").code == 2
    assert shop("decide", "--audit", str(tmp_path / "none.json")).code == 2
    path.write_text("[]")
    assert shop("decide", "--audit", str(path)).code == 2
    path.write_text(json.dumps(AUDIT))

    done = shop("decide", "--audit", str(path), "--vcpus", "64", "--json")
    assert done.code == 0 and done.json["proposed"] == "limitless"
    assert {o["option"] for o in done.json["options"]} == {"stay", "manual", "limitless", "citus"}
    assert done.json["figures"]["vcpus"]["basis"] == "given"
    assert done.json["figures"]["engineer_month_usd"]["basis"] == "assumption"
    text = shop("decide", "--audit", str(path), "--vcpus", "64").out
    assert "What would change the answer" in text and "assumption" in text


def test_a_decision_reads_the_audit_that_classic_keeps(shop: Operator, classic: psycopg.Connection[Any]) -> None:
    add_report(classic, "audit", AUDIT)
    assert shop("decide", "--vcpus", "64", "--json").json["proposed"] == "limitless"
    assert shop("decide", "--vcpus", "64", "--growth-pct", "0", "--json").json["proposed"] == "stay"


def test_a_shadow_run_that_cannot_be_read_is_said_to_be_so(shop: Operator, classic: psycopg.Connection[Any]) -> None:
    add_report(classic, "shadow", {"statements": "none"})
    done = shop("shadow", "report")
    assert done.code == 2 and "cannot be read" in done.err and "migrator shadow run" in done.err


def test_the_gate_before_dual_write_shows_what_was_not_asked_for(shop: Operator) -> None:
    done = shop("gate", "provision", "--json")
    assert any("no shadow run" in note for note in done.json["notes"])
    assert "Note: there is no load test" in shop("gate", "provision").out
