"""A name that does not exist is an error that says what is near, with exit code 2 and nothing done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import known
from migrator.control.install import install, install_limitless
from migrator.dataplane.capture.install import install as capture
from migrator.db.connect import connect
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.traffic.incident.request import parse
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import PLAN, Operator
from workflows.activities.control import _record_approval
from workflows.messages import Approval

pytestmark = pytest.mark.pg

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, name text);
CREATE INDEX ON app.users (tenant_id);
INSERT INTO app.users SELECT 100 + i % 4, i, 'u' || i FROM generate_series(1, 40) i;
"""


@pytest.fixture
def dual(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Iterator[Operator]:
    """Dual write with tenants 100 to 102, of whom 100 and 101 were moved by wave 1; 103 signed up just now."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(TABLES)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        install_limitless(limitless)
        capture(classic, resolve_tables(classic, plan.tables), 2, 3)
        write_mode(classic, WriteMode.DUAL, who="test", reason="")
        classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave)"
            " SELECT i, 1, 'mirrored', CASE WHEN i < 102 THEN 1 END FROM generate_series(100, 102) i"
        )
        classic.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT i, 1, 'limitless', 1, 1, 'cutover', 'wave 1' FROM generate_series(100, 101) i"
        )
        classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at)"
            " SELECT p, 1, pg_current_snapshot()::text, clock_timestamp() FROM generate_series(0, 2) p"
        )
    yield Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_CLASSIC_DSN": classic_dsn})


def state(operator: Operator) -> list[tuple[Any, ...]]:
    """Everything that a command with a wrong name must leave as it is."""
    with psycopg.connect(operator.environment["A"]) as conn:
        return conn.execute(
            "SELECT (SELECT epoch::text || level FROM migrator.switch),"
            " (SELECT string_agg(tenant_id || level, ',' ORDER BY tenant_id) FROM migrator.route),"
            " (SELECT count(*) FROM migrator.fallback), (SELECT count(*) FROM migrator.tenant_hold),"
            " (SELECT count(*) FROM migrator.decision), (SELECT count(*) FROM migrator.incident)"
        ).fetchall()


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "rollback tenant": (("rollback", "--tenant", "10", "--reason", "x"), "no tenant 10; did you mean 10"),
    "rollback one of several": (
        ("rollback", "--tenant", "100", "--tenant", "nope", "--reason", "x"), "no tenant nope; there are: 100, 101",
    ),
    "rollback preview": (("rollback", "--tenant", "nope", "--reason", "x", "--dry-run"), "no tenant nope"),
    "rollback a number written otherwise": (("rollback", "--tenant", "0100", "--reason", "x"), "did you mean 100"),
    "rollback wave": (("rollback", "--wave", "99", "--reason", "x"), "no wave 99; waves so far: 1"),
    "tenant show": (("tenant", "show", "nope"), "no tenant nope"),
    "tenant hold": (("tenant", "hold", "nope", "--reason", "x"), "no tenant nope"),
    "tenant hold preview": (("tenant", "hold", "nope", "--reason", "x", "--dry-run"), "no tenant nope"),
    "tenant release": (("tenant", "release", "nope"), "no tenant nope"),
    "tenant release wave": (("tenant", "release", "--wave", "7"), "no wave 7"),
    "breaker trip part": (("breaker", "trip", "--part", "99", "--reason", "x"), "partition 99; there are: 0, 1, 2"),
    "breaker trip preview": (("breaker", "trip", "--part", "99", "--reason", "x", "--dry-run"), "partition 99"),
    "breaker trip tenant": (("breaker", "trip", "--tenant", "nope", "--reason", "x"), "no tenant nope"),
    "breaker reset part": (("breaker", "reset", "--part", "99", "--yes"), "no mirror partition 99"),
    "breaker reset tenant": (("breaker", "reset", "--tenant", "nope", "--yes"), "no tenant nope"),
    "validate tenant": (("validate", "--tenant", "nope"), "no tenant nope"),
    "validate table": (("validate", "--table", "app.user"), "no captured table app.user; did you mean app.users"),
    "validation history": (("validation", "history", "--tenant", "nope"), "no tenant nope"),
    "mirror retry": (("mirror", "retry", "nope"), "no tenant nope"),
    "mirror retry preview": (("mirror", "retry", "nope", "--dry-run"), "no tenant nope"),
    "cutover tenant": (("cutover", "--tenant", "nope", "--yes"), "no tenant nope"),
    "cutover wave": (("cutover", "--wave", "42", "--yes"), "no wave 42"),
    "approve": (("approve", "cut-ovr", "--as", "Ada"), "no gate cut-ovr; did you mean cutover"),
    "approve preview": (("approve", "wave-0", "--as", "Ada", "--dry-run"), "no gate wave-0"),
    "grant": (("grant", "migratr"), "no role migratr; did you mean migrator"),
    "grant preview": (("grant", "nobody_there", "--dry-run"), "no role nobody_there"),
    "schema change": (("schema", "status", "77"), "no schema change 77; none was applied"),
    "report": (("report", "decision"), "did you mean decisions"),
    "worker queue": (("worker", "--queues", "mirrors"), "no queue mirrors; did you mean mirror"),
    "undo": (("undo", "dual-writ"), "dual-writ"),
}  # fmt: skip


def test_an_unknown_name_is_an_error_that_names_what_is_near(dual: Operator) -> None:
    before = state(dual)

    wrong = {}
    for case, (words, said) in WRONG.items():
        done = dual(*words)
        if done.code != 2 or said not in done.err:
            wrong[case] = done

    assert wrong == {}
    assert state(dual) == before


def test_a_tenant_that_only_the_application_knows_is_known(dual: Operator) -> None:
    """Before its first route and before the tool has met it; also where it is looked at or tripped."""
    done = dual("rollback", "--tenant", "103", "--reason", "their import fails", "--json")
    shown = dual("tenant", "show", "103", "--json")
    tripped = dual("breaker", "trip", "--tenant", "103", "--reason", "x")

    assert (done.code, done.json["already"], done.json["held"]) == (0, True, 1)
    (line,) = shown.json["tenants"]
    assert (line["state"], line["level"], line["held_reason"]) == (None, "classic", "their import fails")
    assert tripped.code == 0


def test_a_rollback_of_everybody_asks_nothing(dual: Operator) -> None:
    """Not even when the application's tables cannot be read at all."""
    with psycopg.connect(dual.environment["A"]) as conn:
        conn.execute("LOCK TABLE app.users IN ACCESS EXCLUSIVE MODE")
        done = dual("rollback", "--all", "--reason", "3 a.m.", "--json")

    assert (done.code, done.json["changed"], done.json["held"]) == (0, 2, 0)


def test_what_cannot_be_found_out_in_time_is_rolled_back_all_the_same(
    dual: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that somebody locks answers nothing: the tenant is held, and the answer says so."""
    monkeypatch.setattr(known, "PATIENCE_S", 0.2)
    with psycopg.connect(dual.environment["A"]) as conn:
        conn.execute("LOCK TABLE app.users IN ACCESS EXCLUSIVE MODE")
        done = dual("rollback", "--tenant", "555", "--reason", "3 a.m.")
        held = dual("tenant", "release", "--all", "--dry-run")

    assert done.code == 0 and "could not be looked up in time: 555" in done.err
    assert "Release tenant 555" in held.out


def test_a_fallback_of_a_partition_nobody_reads_can_be_taken_away(dual: Operator) -> None:
    """However it came about: of a partition that is gone, it has nothing to wait for."""
    with psycopg.connect(dual.environment["A"], autocommit=True) as conn:
        conn.execute("UPDATE migrator.position SET snapshot = '1:9000000000:', fresh_at = clock_timestamp()")
        conn.execute(
            "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch, held)"
            " VALUES ('part', '99', 'classic', 'typing error', 'ann', 1, true)"
        )

    assert dual("breaker", "reset", "--part", "99", "--yes", "--timeout", "5").code == 0
    assert dual("breaker", "show", "--json").json["fallbacks"] == []


def test_a_named_tenant_is_released_by_its_cutover_and_no_other(dual: Operator) -> None:
    """Forward by wave leaves who is held; forward by name is a release, with a line in the decision log."""
    assert dual("rollback", "--wave", "1", "--reason", "drill").code == 0
    wave = dual("cutover", "--wave", "1", "--yes")
    named = dual("cutover", "--tenant", "100", "--yes", "--json")

    assert wave.code == 3 and "2 tenants are held on classic (100, 101)" in wave.err
    assert named.code == 3 and named.json["blockers"] == ["tenant 100 was never validated"], "the gate still asks"
    with psycopg.connect(dual.environment["A"], autocommit=True) as conn:
        conn.execute(
            "UPDATE migrator.tenant SET divergent = 0, clean_at = now(),"
            " clean_fingerprint = migrator.schema_fingerprint()"
        )
    dual("cutover", "--tenant", "100", "--yes")  # no mirror runs here, so it may not arrive; it is released
    log = dual("report", "decisions", "--json").json
    assert [d["subject"] for d in log if d["kind"] == "tenant.released"] == ["tenant/100"]


def test_a_wave_that_does_not_come_next_is_not_approved(dual: Operator, tmp_path: Path) -> None:
    plan = load(tmp_path / "plan.toml")
    with connect(dual.environment["A"], "test") as conn:
        with pytest.raises(Exception, match="the next wave is wave-2"):
            _record_approval(conn, Approval(gate="wave-99", approver="Ada"), plan)
        _record_approval(conn, Approval(gate="wave-2", approver="Ada"), plan)
        assert conn.execute("SELECT gate FROM migrator.approval").fetchall() == [("wave-2",)]


def test_the_webhook_and_the_command_are_one_function(dual: Operator) -> None:
    """What the webhook understood is refused or done by the same rollback."""
    request = parse(json.dumps({"tenants": ["100", "nope"], "reason": "r"}).encode())

    with connect(dual.environment["A"], "test") as conn:
        with pytest.raises(Exception, match="no tenant nope"):
            roll_back(conn, tenants=request.tenants, who=request.who, reason=request.reason)
        done = roll_back(conn, tenants=[TenantId("100")], who="pager", reason="r", timeout_s=1)
    assert (done.changed, done.held) == (1, 1)


def test_a_schema_that_does_not_exist_is_a_problem_of_the_plan(dual: Operator) -> None:
    """Also when another one of the list does."""
    path = dual.home / "other.toml"
    path.write_text(PLAN.replace('["app"]', '["app", "ap"]'))

    done = dual("plan", "check", str(path), "--connect")

    assert done.code == 2 and "tables.schemas: there is no schema ap; did you mean app?" in done.err


@pytest.mark.parametrize(
    ("entry", "code"),
    [("LIM-KEY-1", 2), ("LIM-KEX-01:public.orders", 2), ("LIM-KEY-01", 0), ("LIM-KEY-01:public.orders", 0)],
)
def test_an_accepted_finding_names_a_rule(dual: Operator, entry: str, code: int) -> None:
    path = dual.home / "other.toml"
    path.write_text(PLAN + f'[gates]\nacknowledged = ["{entry}"]\n')

    done = dual("plan", "check", str(path))

    assert done.code == code
    assert code == 0 or "did you mean LIM-KEY-" in done.err


def test_a_variable_that_is_not_set_is_compared_with_those_that_are(dual: Operator) -> None:
    path = dual.home / "other.toml"
    path.write_text(PLAN.replace("env:A", "env:SHOP_CLASIC_DSN"))

    done = dual("plan", "check", str(path), "--connect", SHOP_CLASSIC_DSN="host=secret")

    assert done.code == 2 and "did you mean SHOP_CLASSIC_DSN" in done.err
    assert "secret" not in done.err
