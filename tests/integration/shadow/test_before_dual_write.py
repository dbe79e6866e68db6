"""Phase 2: from a server's own log, or its statistics, on tenants that are copied for the run and removed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator.dataplane.capture.install import install as capture
from migrator.db.connect import connect
from migrator.local.server import Server
from migrator.model import trace as traces
from migrator.model.route import WriteMode
from migrator.model.trace import Call
from migrator.shadow import from_log
from migrator.shadow import run as shadow
from migrator.shadow.sampling import Sample
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import PLAN as TEXT
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines
from tests.fixtures.rows import value
from tests.fixtures.world import World, build, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.once]

PLAN = plan_of("app")
DDL = """
CREATE SCHEMA app;
CREATE TABLE app.parcel (tenant_id text NOT NULL, id bigint PRIMARY KEY, "select" text, sent timestamptz, tags text[]);
CREATE INDEX ON app.parcel (tenant_id);
INSERT INTO app.parcel SELECT 'Größe ' || g % 3, g, 'it''s ' || g, '2026-01-01'::timestamptz + g * interval '1 h',
    ARRAY['a', g::text] FROM generate_series(1, 300) g;
"""
ONE, OTHER = "Größe 1", "Größe 2"

BY_ID = 'SELECT "select", sent FROM app.parcel WHERE tenant_id = $1 AND id = $2'
COUNTED = "SELECT count(*) FROM app.parcel WHERE tenant_id = $1 AND tags @> $2 AND sent < $3"
CHANGED = 'UPDATE app.parcel SET "select" = $2 WHERE tenant_id = $1 AND id = ANY($3)'


@pytest.fixture
def world(machines: Machines) -> Iterator[World]:
    dsns = machines.new_pair("shadow copies", lambda classic, limitless: build(classic, limitless, PLAN, DDL))
    with World.opened(*dsns, PLAN) as opened:
        yield opened
    machines.drop_pair(dsns)


@pytest.fixture
def operator(world: World, tmp_path: Path) -> Operator:
    (tmp_path / "plan.toml").write_text(TEXT.replace('"shop"', '"app"'))
    dsns = {"A": world.classic_dsn, "B": world.limitless_dsn, "MIGRATOR_CLASSIC_DSN": world.classic_dsn}
    return Operator(tmp_path, {**dsns, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")})


def trace(tmp_path: Path) -> Path:
    """A trace of two tenants, forty calls each."""
    path = tmp_path / "trace.jsonl"
    calls = [Call(BY_ID, (tenant, str(3 * n + number)), session="s") for n in range(40)
             for number, tenant in ((1, ONE), (2, OTHER))]  # fmt: skip
    traces.write(path, "log", [*calls, Call(CHANGED, (ONE, "x", "{1,4}")), Call("SELECT count(*) FROM app.parcel")])
    return path


def there(world: World) -> object:
    return value(world.limitless, "SELECT count(*) FROM app.parcel")


def test_a_server_logs_what_can_be_repeated(world: World, machines: Machines, tmp_path: Path) -> None:
    """With parameters of the extended protocol, and statements of the simple one, from the log of a real server."""
    assert isinstance(machines.classic, Server)
    mark = machines.classic.log.stat().st_size
    with psycopg.connect(world.classic_dsn, autocommit=True, application_name="web") as conn:
        conn.execute("SET log_min_duration_statement = 0")
        conn.execute('SELECT id FROM app.parcel WHERE tenant_id = %s AND "select" = %s', (ONE, "it's\n1"))
        psycopg.ClientCursor(conn).execute("SELECT id FROM app.parcel WHERE tenant_id = %s", (OTHER,))
        conn.execute("SET log_parameter_max_length = 3")
        conn.execute("SELECT sent FROM app.parcel WHERE tenant_id = %s", (OTHER,))
    with machines.classic.log.open("rb") as stream:
        stream.seek(mark)
        (tmp_path / "x.log").write_bytes(stream.read())
    sample = Sample()
    from_log.read([tmp_path / "x.log"], sample)
    found = [call for call in sample.calls() if "app.parcel" in call.sql]

    assert [(call.sql, call.values) for call in found] == [
        ('SELECT id FROM app.parcel WHERE tenant_id = $1 AND "select" = $2', (ONE, "it's\n1")),
        (f"SELECT id FROM app.parcel WHERE tenant_id = '{OTHER}'", ()),
    ]
    assert len({call.session for call in found}) == 1
    assert all(call.ms is not None and call.at_s is not None for call in found)
    assert sample.left_out[from_log.CUT] == 1


def test_tenants_are_copied_for_the_run_and_removed_again(world: World, operator: Operator, tmp_path: Path) -> None:
    world.limitless.execute(
        "INSERT INTO app.parcel (tenant_id, id, \"select\") VALUES (%s, 1, 'of an interrupted run')", (ONE,)
    )
    path = trace(tmp_path)
    words = ("shadow", "run", str(path), "--copy", "--tenant", ONE, "--speed", "0", "--rate", "2000",
             "--stop-ms", "5000", "--as", "Ada")  # fmt: skip

    planned = operator(*words, "--dry-run", "--json").json
    assert planned["calls"] == 41
    assert {action["id"] for action in planned["actions"]} >= {"shadow/copy", "shadow/delete"}
    done = operator(*words, "--yes", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["findings"] == [] and found["stopped"] == ""
    by_text = {one["text"]: one for one in found["statements"]}
    assert by_text[BY_ID]["compared"] == 20 and by_text[BY_ID]["differing"] == 0
    calls = by_text[BY_ID]["calls"]  # more than there are where it was open whether they are slower
    assert calls >= 40 and calls % 40 == 0 and by_text[BY_ID]["shards"] == "1"
    assert by_text[CHANGED]["classic"] is None and by_text[CHANGED]["limitless_errors"] == {}
    assert sum(found["left_out"].values()) == found["skipped"] == 41
    assert there(world) == 0 and not path.exists()
    assert "it's" not in json.dumps(found) and ONE not in json.dumps(found)

    page = tmp_path / "shadow.html"
    assert operator("shadow", "report", "--html", str(page)).code == 0
    assert 'class="verdict bad"' not in page.read_text() and "rolled back" in page.read_text()
    shown = operator.on_terminal(80, "shadow", "report").out
    assert "q-" in shown and max(map(len, shown.splitlines())) <= 80
    [run] = operator("shadow", "status", "--json").json
    assert (run["who"], run["source"], run["findings"], run["calls"]) == ("Ada", "log", 0, calls + 1)


def test_statistics_with_values_of_a_tenants_rows(world: World, operator: Operator, tmp_path: Path) -> None:
    """What is looked for is found: the values of one call come from one row of the tenant."""
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        conn.execute("SELECT pg_stat_statements_reset()")
        for text, values in (
            (BY_ID, ("nobody", 1)), (COUNTED, ("nobody", ["a"], "2026-01-01")), (CHANGED, ("nobody", "x", [1]))
        ):  # fmt: skip
            psycopg.RawCursor(conn).execute(text, values)
        conn.execute("SELECT pg_sleep(0)")
    path = tmp_path / "t.jsonl"
    done = operator("shadow", "capture", str(path), "--statistics", "--tenant", ONE, "--calls", "30", "--json")
    assert done.code == 0, done.err
    found = [call for call in traces.read([path]) if "app.parcel" in call.sql]

    assert {call.sql for call in found} == {BY_ID, COUNTED, CHANGED}
    for call in found:
        assert call.values[0] == call.tenant == ONE
    for call in found:
        rows = psycopg.RawCursor(world.classic).execute(call.sql, call.values).fetchall() if call.sql == BY_ID else [()]
        assert len(rows) == 1
    run = operator("shadow", "run", str(path), "--copy", "--tenant", ONE, "--speed", "0", "--yes", "--keep", "--json",
                   "--rate", "2000", "--stop-ms", "5000")  # fmt: skip
    assert run.code == 0, run.err
    assert run.json["findings"] == [] and run.json["source"] == "pg_stat_statements"
    assert path.exists()


def test_what_cannot_be_done_is_said_at_once(world: World, operator: Operator, tmp_path: Path) -> None:
    path = trace(tmp_path)
    run = ("shadow", "run", str(path))

    for words, code, text in (
        ((*run, "--yes"), 3, "--copy --tenant ID"),
        ((*run, "--copy", "--yes"), 2, "no tenants to copy"),
        ((*run, "--copy", "--tenant", "Größe 7", "--tenant", "none"), 2, "no tenant"),
        ((*run, "--copy", "--tenant", ONE), 2, "--yes"),
        (("shadow", "run", str(tmp_path / "plan.toml"), "--copy", "--tenant", ONE), 2, "is no trace"),
        (("shadow", "capture", str(path), "--log", str(path)), 2, "exists already"),
        (("shadow", "capture", str(tmp_path / "new")), 2, "--log"),
        (("shadow", "capture", str(tmp_path / "new"), "--log", str(tmp_path / "none")), 2, "no such file"),
        (("shadow", "capture", str(tmp_path / "new"), "--statistics", "--tenant", "none"), 2, "no tenant"),
        (("shadow", "report"), 2, "no shadow run"),
    ):
        done = operator(*words)
        assert (done.code, text in done.err) == (code, True), (words, done)
    with connect(world.classic_dsn, "test") as other, shadow.alone(other):
        done = operator(*run, "--copy", "--tenant", ONE, "--yes")
    assert (done.code, "another shadow run" in done.err) == (3, True), done
    for mode in (WriteMode.DUAL, WriteMode.CLOSED):
        write_mode(world.classic, mode, who="test", reason="")
    done = operator(*run, "--copy", "--tenant", ONE, "--yes")
    assert (done.code, "classic is at its end" in done.err) == (3, True), done
    write_mode(world.classic, WriteMode.DUAL, who="test", reason="")
    capture(world.classic, world.tables, 2, 3)
    done = operator(*run, "--copy", "--tenant", ONE, "--yes")
    assert (done.code, "Leave --copy out" in done.err) == (3, True), done
    assert there(world) == 0 and path.exists() and not (tmp_path / "new").exists()
