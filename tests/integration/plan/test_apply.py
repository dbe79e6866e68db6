"""The plan changes while its migration runs: by the command, on a real classic; without worker and Temporal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import plan_change, upkeep
from migrator.control.install import install
from migrator.dataplane.capture.install import install as capture
from migrator.db.connect import connect
from migrator.errors import PreconditionFailed
from migrator.model.route import WriteMode
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import PLAN, Operator

pytestmark = pytest.mark.pg

TABLES = "CREATE SCHEMA app; CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, name text)"


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        yield conn


@pytest.fixture
def operator(tmp_path: Path, classic_dsn: str, limitless_dsn: str, classic: psycopg.Connection[Any]) -> Operator:
    """Capture is on."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    classic.execute(TABLES.encode())
    install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    capture(classic, resolve_tables(classic, plan.tables), plan.dual_write.parts, plan.dual_write.ring_slots)
    write_mode(classic, WriteMode.DUAL, who="test", reason="")
    return Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_CLASSIC_DSN": classic_dsn})


def written(operator: Operator, more: str, name: str = "new.toml") -> str:
    path = operator.home / name
    path.write_text(PLAN + more)
    return str(path)


def stored(classic: psycopg.Connection[Any]) -> tuple[object, ...]:
    """Everything that a change writes."""
    row = classic.execute(
        "SELECT p.digest, p.body::text, p.shim::text, p.earlier, (SELECT count(*) FROM migrator.report),"
        " (SELECT count(*) FROM migrator.decision), (SELECT mb_per_s FROM migrator.throttle) FROM migrator.plan p"
    ).fetchone()
    assert row is not None
    return tuple(row)


def test_values_change_with_a_diff_a_decision_and_a_history(
    operator: Operator, classic: psycopg.Connection[Any]
) -> None:
    """Old and new stay readable, also when reports are thrown away; applying twice is applying once."""
    file = written(operator, "[waves]\nsoak_s = 90000\n[backfill]\nmb_per_s = 5\n[shim]\nack_wait_s = 2\n")
    before = stored(classic)
    diff = operator("plan", "diff", file)
    dry = operator("plan", "apply", file, "--reason", "r", "--dry-run", "--json")
    assert stored(classic) == before
    done = operator("plan", "apply", file, "--reason", "a longer soak", "--as", "Ada", "--yes")
    again = operator("plan", "apply", file, "--reason", "a longer soak", "--as", "Ada", "--yes")
    while upkeep.prune(classic):
        pass

    assert (diff.code, dry.code, done.code, again.code) == (0, 0, 0, 0), done.err
    assert "waves.soak_s: 86400.0 s → 90000.0 s" in diff.out and "the soak that is running, too" in diff.out
    assert len(dry.json["changes"]) == 3 and dry.json["blockers"] == []
    assert "Nothing to do" in again.out
    after = stored(classic)
    assert after[0] == digest(load(file)) and after[3] == [before[0]] and after[6] == 5
    assert json.loads(str(after[2]))["ack_wait_s"] == 2
    history = operator("plan", "history", "--json").json
    assert [(v["version"], v["who"], len(v["changed"])) for v in history] == [(1, "", 0), (2, "Ada", 3)]
    first, second = (operator("plan", "show", "--version", n, "--json").json for n in "12")
    assert (first["waves"]["soak_s"], second["waves"]["soak_s"]) == (86_400, 90_000)
    assert operator("plan", "show", "--version", "3").code == 2
    [(who, reason, was, now)] = classic.execute(
        "SELECT who, reason, before, after FROM migrator.decision WHERE kind = 'plan.changed'"
    ).fetchall()
    assert (who, reason, was["waves.soak_s"], now["waves.soak_s"]) == ("Ada", "a longer soak", 86_400, 90_000)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[waves]\nsoak_s = 60\n", ["waves.soak_s: 86400.0 s → 60.0 s loosens a guard", "--as NAME"]),
        ("[dual_write]\nparts = 5\n[waves]\nsoak_s = 60\n", ["dual_write.parts: 2 → 5", "undo dual-write", "loosens"]),
        ('[tables.table."app.users"]\nkind = "excluded"\n', ["captured as something else"]),
        ('[tables.table."app.more"]\nkind = "reference"\n', ["schema apply"]),
    ],
)
def test_what_may_not_change_is_refused_and_changes_nothing(
    operator: Operator, classic: psycopg.Connection[Any], more: str, words: list[str]
) -> None:
    before = stored(classic)

    done = operator("plan", "apply", written(operator, more), "--reason", "r", "--yes")

    assert done.code == 3 and all(word in done.err for word in words), done.err
    assert stored(classic) == before


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (PLAN + "[waves]\nsoak_s = -1\nsoak = 3\n", 2),
        (PLAN.replace('"shop"', '"other"'), 3),
        (PLAN + '[gates]\nacknowledged = ["AUD-EVD-99"]\n', 2),
        (PLAN.replace("env:A", "env:C") + "[waves]\nsoak_s = 99999\n", 3),
    ],
    ids=["schema", "another plan", "no such finding", "another classic"],
)
def test_bad_input_is_refused(operator: Operator, classic: psycopg.Connection[Any], text: str, code: int) -> None:
    before, path = stored(classic), operator.home / "bad.toml"
    path.write_text(text)

    done = operator("plan", "apply", str(path), "--reason", "r", "--as", "Ada", "--yes")

    assert done.code == code, done.err
    assert stored(classic) == before


def test_an_old_file_goes_back_only_when_it_is_meant(operator: Operator, classic: psycopg.Connection[Any]) -> None:
    """The file of before, with another value edited: the value that changed since is noticed."""
    operator("plan", "apply", written(operator, "[waves]\nsoak_s = 90000\n"), "--reason", "r", "--yes")
    old = written(operator, "[validation]\ntenants_per_fence = 7\n", "old.toml")

    refused = operator("plan", "apply", old, "--reason", "r", "--as", "Ada", "--yes")
    forced = operator("plan", "apply", old, "--reason", "r", "--as", "Ada", "--yes", "--force")

    assert refused.code == 3 and "goes back to version 1" in refused.err and forced.code == 0
    body = plan_change.versions(classic)[-1].body
    assert (body["waves"]["soak_s"], body["validation"]["tenants_per_fence"]) == (86_400, 7)


def test_run_is_no_way_around_an_approval(operator: Operator, classic: psycopg.Connection[Any]) -> None:
    """Neither for values that the digest leaves out nor for others."""
    before = stored(classic)
    for more in ("[shim]\nmax_lag_s = 500\n", "[waves]\nsoak_s = 1\n", '[gates]\nacknowledged = ["AUD-EVD-05"]\n'):
        done = operator("run", "--plan", written(operator, more), "--yes")

        assert done.code == 3 and "migrator plan apply" in done.err
    assert stored(classic) == before


def test_of_two_at_once_the_second_looks_again(
    operator: Operator, classic_dsn: str, classic: psycopg.Connection[Any]
) -> None:
    """Each looked before either stored: one change is stored whole, the other is told who was first."""
    files = [written(operator, f"[waves]\nsoak_s = 9000{n}\n", f"{n}.toml") for n in range(2)]
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def change(file: str) -> None:
        with connect(classic_dsn, "test") as conn:
            seen = plan_change.look(conn, load(file))
            barrier.wait()
            try:
                plan_change.apply(conn, seen, who=file, reason="r", approver=None, force=False)
                outcomes.append("stored")
            except PreconditionFailed as error:
                outcomes.append(str(error))

    threads = [threading.Thread(target=change, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes)[0] == "stored" or sorted(outcomes)[1] == "stored"
    assert any("changed meanwhile: version 2, by" in o for o in outcomes) and len(plan_change.versions(classic)) == 2


@pytest.mark.parametrize("table", ["report", "plan", "throttle", "decision"])
def test_a_change_that_breaks_off_at_any_step_left_nothing(
    operator: Operator, classic_dsn: str, classic: psycopg.Connection[Any], table: str
) -> None:
    """The session is killed in the middle of each statement that writes; running it again does it all."""
    classic.execute(
        "CREATE FUNCTION public.end_it() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
    )
    classic.execute(
        f"CREATE TRIGGER end_it AFTER INSERT OR UPDATE ON migrator.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.end_it()".encode()
    )
    file, before = written(operator, "[waves]\nsoak_s = 90000\n[backfill]\nmb_per_s = 5\n"), stored(classic)

    killed = operator("plan", "apply", file, "--reason", "r", "--yes")
    between = stored(classic)
    classic.execute(f"DROP TRIGGER end_it ON migrator.{table}".encode())
    done = operator("plan", "apply", file, "--reason", "r", "--yes")

    assert (killed.code, done.code) == (5, 0), killed.err
    assert between == before and len(plan_change.versions(classic)) == 2 and stored(classic)[6] == 5


def test_while_writes_are_closed_for_a_hand_over_nothing_changes(
    operator: Operator, classic: psycopg.Connection[Any]
) -> None:
    classic.execute("UPDATE migrator.switch SET write_mode = 'closed'")

    done = operator("plan", "apply", written(operator, "[waves]\nsoak_s = 90000\n"), "--reason", "r", "--yes")

    assert done.code == 3 and "writes are closed" in done.err
