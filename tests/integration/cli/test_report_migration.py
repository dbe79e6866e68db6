"""migrator report migration: from classic alone, in one snapshot, whatever there is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import cost, migration, series
from migrator.control.install import VERSION, install
from migrator.control.phase import set_phase
from migrator.control.status import collect_here as status_of
from migrator.db.connect import connect
from migrator.model.cost import Basis
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from tests.fixtures.operator import Operator

pytestmark = pytest.mark.pg

PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "env:A"},
        "limitless": {"dsn": "env:B"},
        "waves": {"sizes": [2, 4]},
        "cost": {"acu_hour_usd": 0.2, "projected_monthly_usd": 6000},
    }
)
HOSTILE = "<script>alert(1)</script>\n'\"; --16 \u202e"


@pytest.fixture
def operator(classic_dsn: str, tmp_path: Path) -> Operator:
    """A shell that knows classic; there is neither a Limitless nor a Temporal."""
    return Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn})


def begin(conn: psycopg.Connection[Any]) -> None:
    """Install, and go as far as the first wave; of six tenants two read from Limitless."""
    install(conn, "shop", "digest", dump(PLAN), {})
    for phase in ("audit", "provision", "dual_write"):
        set_phase(conn, phase, "done")
    set_phase(conn, "cutover", "running", "wave 1")
    conn.execute("UPDATE migrator.switch SET write_mode = 'dual'")
    conn.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, rows, state, wave, reason, validated_at, clean_at, divergent)"
        " SELECT %s || n, 1, 10, CASE WHEN n = 6 THEN 'quarantined' ELSE 'mirrored' END, CASE WHEN n < 3 THEN 1 END,"
        " %s, now(), now(), 0 FROM generate_series(1, 6) n",
        (HOSTILE, HOSTILE),
    )
    conn.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
        " SELECT tenant_id, 1, 'limitless', 1, 1, 'cutover', 'wave' FROM migrator.tenant WHERE wave = 1"
    )
    conn.execute(
        "INSERT INTO migrator.decision (who, kind, subject, reason) VALUES ('cutover', 'wave.chosen', 'wave-1', '2'),"
        " (%(it)s, 'gate.approved', 'dual_write', %(it)s), ('cutover', 'route.moved', 'route/1', 'wave'),"
        " ('ana', 'rollback.decided', 'route/1', %(it)s), ('ana', 'rollback.decided', 'route/2', %(it)s)",
        {"it": HOSTILE},
    )
    conn.execute(
        "INSERT INTO migrator.validation (run_id, kind, finished_at) VALUES (gen_random_uuid(), 'scheduled', now())"
    )
    now = cost.seen(conn).now.replace(minute=0, second=0, microsecond=0)
    cost.put(conn, [cost.Hour(now - timedelta(hours=n), 64.0, bytes=10.0**12) for n in range(1, 49)], Basis.MODEL)
    series.add(conn)


def test_before_anything_is_installed(operator: Operator) -> None:
    """It says so, and what to do; the page too."""
    said = operator("report", "migration")
    html = operator.home / "page.html"
    written = operator("report", "migration", "--html", str(html))

    assert said.code == 0 and said.out.startswith("Not begun. Nothing has begun on this cluster.")
    assert "migrator run" in said.out and operator("report", "migration", "--json").json["standing"]["answers"] == []
    assert written.code == 0 and "Nothing has begun on this cluster." in html.read_text()


def test_tables_of_another_version_are_no_crash(operator: Operator, classic_dsn: str) -> None:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", "digest", dump(PLAN), {})
        conn.execute("INSERT INTO migrator.installed (version) VALUES (%s)", (VERSION + 1,))
    found = operator("report", "migration", "--json")

    assert found.code == 0 and found.json["standing"]["state"] == "Not readable"
    assert str(VERSION + 1) in found.json["standing"]["sentence"]


def test_in_the_middle_with_limitless_and_temporal_gone(operator: Operator, classic_dsn: str) -> None:
    """The sentence, the answers, the page and the JSON come from what is on classic."""
    with connect(classic_dsn, "test") as conn:
        begin(conn)
    html = operator.home / "page.html"
    found = operator("report", "migration", "--json", "--html", str(html))
    said = operator("report", "migration")
    body, page = found.json, html.read_text()

    assert found.code == 0 and "page.html written" in found.err
    assert body["standing"]["sentence"].startswith(
        "Week 1 of 24: cutover, wave 1; 2 of 6 tenants (33%) read from Limitless, 1 quarantined; validated "
    )
    assert re.search(r"\$[0-9,]+ a month, 1\.[0-9] times the projection, as a model;", body["standing"]["sentence"])
    assert len(body["costs"]) >= 2 and f"${body['costs'][0]['monthly_usd']:,.0f}" in page
    assert body["standing"]["sentence"].split("; validated")[0] in said.out and "What waits for whom?" in said.out
    assert (body["waiting"], body["waiting_hot"]) == (3, 0), "neither the quarantined one nor those that moved"
    assert [leg["seconds"] for leg in body["standing"]["outlook"]["legs"]][1:] == [90 * 86_400.0, 0]
    assert 2 * 86_400 - 60 < body["standing"]["outlook"]["legs"][0]["seconds"] <= 2 * 86_400
    assert {act["kind"] for act in body["acts"]} == {"gate.approved", "wave.chosen"}
    assert [act["subject"] for act in body["rollbacks"]] == ["2 routes"]
    assert body["series"]["values"]["limitless"][-1] == 2 and body["series"]["values"]["quarantined"][-1] == 1
    assert "<script>alert" not in page and "\u202e" not in page and "&lt;script&gt;alert(1)" in page
    assert "postgresql://" not in page + found.out and "password" not in page + found.out


def test_it_is_one_snapshot(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others commit while it is read is in none of its parts."""
    with connect(classic_dsn, "test") as conn, connect(classic_dsn, "test") as other:
        begin(conn)

        def then_others(*args: Any, **kw: Any) -> Any:
            status = status_of(*args, **kw)
            other.execute("INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('reported', 'x', 'ana')")
            other.execute("DELETE FROM migrator.state_sample")
            return status

        monkeypatch.setattr(migration, "collect_here", then_others)
        found = migration.facts(conn)

        assert found.incident_count == 0 == found.status.incidents
        assert found.series is not None and found.series.values["mirrored"][-1] == 5
        assert migration.facts(conn).incident_count == 1


def test_what_cannot_be_is_refused(operator: Operator) -> None:
    """A page of something else, and a file that cannot be written."""
    other = operator("report", "audit", "--html", "x.html")
    nowhere = operator("report", "migration", "--html", str(operator.home / "no" / "page.html"))

    assert other.code == 2 and "migrator report migration --html" in other.err
    assert nowhere.code == 2 and "cannot be written: No such file or directory" in nowhere.err
