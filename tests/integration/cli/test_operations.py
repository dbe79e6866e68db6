"""What an operator does by hand while a migration runs, or after one was given up; Temporal is not needed for it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator import gates
from migrator.control import workers
from migrator.control.install import install
from migrator.control.phase import phase_state, set_phase
from migrator.control.stopped import set_stopped, stopped
from migrator.control.tables import captured_tables
from migrator.control.tenant import reference_facts
from migrator.dataplane.capture.install import install as capture
from migrator.dataplane.mirror.failure import note_failure
from migrator.db.connect import connect
from migrator.decommission import record
from migrator.decommission.window import Window
from migrator.model.blocker import Blocker
from migrator.model.gate import GateAnswer
from migrator.model.phase import Phase
from migrator.model.route import WriteMode
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.provision import provision
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = pytest.mark.pg

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, name text);
INSERT INTO app.users SELECT i % 3, i, 'u' || i FROM generate_series(1, 30) i;
"""


@pytest.fixture
def dual(tmp_path: Path, classic_dsn: str, limitless_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """A migration in dual write: capture is on, Limitless has its tables; no worker, no Temporal."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(TABLES)
        tables = resolve_tables(classic, plan.tables)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        assert provision(classic, limitless, tables, plan).verdict.go
        capture(classic, tables, plan.dual_write.parts, plan.dual_write.ring_slots)
        write_mode(classic, WriteMode.DUAL, who="test", reason="")
        limitless.execute("INSERT INTO app.users SELECT i % 3, i, 'u' || i FROM generate_series(1, 30) i")
        limitless.execute("INSERT INTO migrator.mirrored (part, tenant_id) VALUES (1, '1')")
        classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, rows)"
            " SELECT i, 1, 'mirrored', 10 FROM generate_series(0, 2) i"
        )
    yield Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_CLASSIC_DSN": classic_dsn})


def one(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(statement).fetchone()
        return row[0] if row else None


def test_the_plan_is_found_on_classic(dual: Operator) -> None:
    """With MIGRATOR_CLASSIC_DSN alone a command uses the plan that runs there."""
    shown = dual("plan", "show", "--json")

    assert shown.code == 0 and shown.json["name"] == "shop"


def test_the_breaker_is_tripped_shown_and_reset(dual: Operator) -> None:
    assert "Closed" in dual("breaker", "show").out
    tripped = dual("breaker", "trip", "--tenant", "1", "--reason", "slow", "--as", "Ada")
    shown = dual("breaker", "show", "--json")
    dry = dual("breaker", "reset", "--tenant", "1", "--dry-run")
    reset = dual("breaker", "reset", "--tenant", "1", "--yes", "--timeout", "0.2")
    nothing = dual("breaker", "reset", "--all", "--yes")

    assert tripped.code == dry.code == 0
    (fallback,) = shown.json["fallbacks"]
    assert (fallback["scope"], fallback["key"], fallback["raised_by"], fallback["held"]) == ("tenant", "1", "Ada", True)
    assert reset.code == 5 and "Not yet: behind" in reset.out, "without a mirror nothing can have caught up"
    assert nothing.code == 0 and "Nothing to do" in nothing.out
    assert dual("breaker", "trip", "--reason", "which?").code == 2


def test_the_backfill_is_throttled(dual: Operator) -> None:
    """Dry run changes nothing; a change names before and after; contradictions are refused."""
    dry = dual("backfill", "throttle", "--mb-per-s", "5", "--dry-run", "--json")
    done = dual("backfill", "throttle", "--mb-per-s", "5", "--pause", "--reason", "month end")
    resumed = dual("backfill", "throttle", "--resume", "--json")

    assert dry.json["changed"] is False and dry.json["before"]["mb_per_s"] is None
    assert "no limit → paused" in done.out
    assert resumed.json["before"] == {"paused": True, "mb_per_s": 5.0, "reason": "month end"}
    assert resumed.json["after"]["mb_per_s"] == 5.0
    assert dual("backfill", "throttle", "--pause", "--resume").code == 2
    assert "not planned" in dual("backfill", "status").out or "Nothing is planned" in dual("backfill", "status").out


def test_an_incident_is_recorded_without_temporal(dual: Operator) -> None:
    """The record on classic is what counts."""
    done = dual("incident", "report", "--reason", "p99", "--as", "Ada", "--json")
    listed = dual("report", "incidents", "--json")

    assert done.code == 0 and done.json == {"recorded": True, "temporal_told": False}
    assert [(i["reason"], i["reported_by"]) for i in listed.json] == [("p99", "Ada")]


def test_status_and_reports_need_no_temporal(dual: Operator) -> None:
    assert dual("status", "--json").json["write_mode"] == "dual"
    assert dual("mirror", "status").code == 0
    assert dual("mirror", "status", "--json").json["journal"]["limit_bytes"] == 4096 * 10**6
    assert dual("report").code == 0
    assert dual("report", "nonsense").code == 2
    assert dual("decommission", "check").code == 3


def test_the_check_of_the_decommission_says_what_its_gate_says(dual: Operator) -> None:
    """Also what is nobody's tenant: a worker of another plan, a workflow that has ended, an incident since the days
    were over. It leaves nothing behind, and the days go on only when the gate itself is asked."""
    plan = load(dual.home / "plan.toml")
    with connect(dual.environment["A"], "test") as classic:
        workers.beat(classic, "old", workers.Loaded(plan.name, "0" * 64, "0"), ["control"])
        set_stopped(classic, ["breaker"], {"breaker": ("terminated", "")})
        record.store_window(classic, Window(deadline_s=1), True, "day 90 of 90")
        record.report_incident(classic, "p99 tripled", "Ada")
        kept = "SELECT kind, body::text, (SELECT count(*) FROM migrator.rights_check) FROM migrator.report ORDER BY id"
        before = classic.execute(kept).fetchall()
        checked = dual("decommission", "check", "--json")
        after = classic.execute(kept).fetchall()
        gate = gates.ask(classic, lambda: connect(dual.environment["B"], "test"), Phase.STABILIZE, plan)
        over = record.stored_window(classic)

    assert checked.code == 3 and checked.json["window"] == "day 90 of 90" and before == after
    assert checked.json["blockers"] == list(gate.blockers)
    assert {"worker.outdated", "workflow.ended", "incident.since"} <= {b.code for b in gate.blockers}
    assert over is not None and not over[1] and gate.again


def test_nobody_is_moved_by_hand_while_writes_may_be_lost(dual: Operator) -> None:
    """As a wave's own gate says it."""
    with connect(dual.environment["A"], "test") as classic:
        classic.execute("INSERT INTO migrator.capture_loss (problems, noticed_by) VALUES ('{a trigger was off}', 't')")
    shown = dual("cutover", "--tenant", "1", "--dry-run", "--json")

    assert shown.code == 3 and shown.json["ready"] == []
    assert any("writes may have passed the journal: a trigger was off" in b for b in shown.json["blockers"])
    assert dual("cutover", "--tenant", "1", "--yes").code == 3


def test_dual_write_is_blocked_when_its_work_has_ended_and_runs_while_it_goes_on(dual: Operator) -> None:
    """However it ended: what the workflow did goes on no more. A mirror that is behind catches up."""
    seen = []
    with connect(dual.environment["A"], "test") as classic:
        for how in ("terminated", "timed out", "failed"):
            set_stopped(classic, ["backfill"], {"backfill": (how, "")})
            gates.note_blockers(classic, Phase.DUAL_WRITE, GateAnswer(blockers=stopped(classic)))
            seen.append(phase_state(classic, "dual_write"))
        classic.execute("UPDATE migrator.position SET lag_s = 9, problem = 'a try failed'")
        late = GateAnswer(blockers=tuple(gates._positions(classic, 1.0)))
        gates.note_blockers(classic, Phase.DUAL_WRITE, late)
        seen.append(phase_state(classic, "dual_write"))
        unit = Blocker(gates.COPY_FAILED, "unit-1", "copy unit-1 is no more")
        gates.note_blockers(classic, Phase.DUAL_WRITE, GateAnswer(blockers=(*late.blockers, unit)))
        seen.append(phase_state(classic, "dual_write"))

    assert late.blockers and all(b.heals_by_itself for b in late.blockers)
    assert seen == ["blocked", "blocked", "blocked", "running", "blocked"]


def test_dual_write_stays_blocked_while_a_mirror_has_failed_for_good(dual: Operator) -> None:
    """Late or not; once it is started again and publishes, it catches up by itself."""
    seen = []
    with connect(dual.environment["A"], "test") as classic:
        set_phase(classic, "dual_write", "running")
        classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, state)"
            " VALUES (1, 0, '1:1:', now(), 'running')"
        )
        note_failure(classic, 1, "MirrorBlocked", "app.users is gone")
        for late_s in (0, 99):
            classic.execute("UPDATE migrator.position SET lag_s = %s, fresh_at = clock_timestamp()", (late_s,))
            answer = GateAnswer(blockers=tuple(b for b in gates._positions(classic, 50.0) if b.subject == "1"))
            gates.note_blockers(classic, Phase.DUAL_WRITE, answer)
            seen.append((phase_state(classic, "dual_write"), [(b.code, b.heals_by_itself) for b in answer.blockers]))
        stopped_text = str(answer.blockers[0])
        classic.execute("UPDATE migrator.position SET state = 'running', problem = NULL")
        answer = GateAnswer(blockers=tuple(b for b in gates._positions(classic, 50.0) if b.subject == "1"))
        gates.note_blockers(classic, Phase.DUAL_WRITE, answer)
        seen.append((phase_state(classic, "dual_write"), [(b.code, b.heals_by_itself) for b in answer.blockers]))

    stands, catches_up = ("blocked", [("mirror.failed", False)]), ("running", [("mirror.lags", True)])
    assert seen == [stands, stands, catches_up]
    assert stopped_text.startswith("mirror partition 1 failed: app.users is gone; ")


LATE = Blocker("mirror.lags", "0", "mirror partition 0 lags 5.1 s (limit 5 s)", True)


@pytest.mark.parametrize("before", [[], [LATE]], ids=["within the limit", "over it"])
def test_the_lag_of_the_reference_tables_is_said_once_and_no_validation_clears_it(
    dual: Operator, before: list[Blocker]
) -> None:
    """However much it grew since the lags of all partitions were read, or if it crossed the limit only then."""
    with connect(dual.environment["A"], "test") as classic:
        classic.execute('UPDATE migrator.captured_table SET descriptor = descriptor || \'{"kind": "reference"}\'')
        classic.execute(
            "INSERT INTO migrator.tenant_verdict"
            " (tenant_id, first_at, last_at, clean, fingerprint, last_fence, rows, divergent)"
            " VALUES (NULL, now(), now(), true, migrator.schema_fingerprint(), '', 1, 0)"
        )
        classic.execute(
            "UPDATE migrator.tenant"
            " SET divergent = 0, clean_at = now(), clean_fingerprint = migrator.schema_fingerprint()"
        )
        classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, lag_s, state)"
            " VALUES (0, 0, '1:1:', now(), 99, 'running')"
        )
        reference = reference_facts(classic)
        answer = gates._then_validated(classic, load(dual.home / "plan.toml"), list(before), False)

    assert reference is not None and reference.divergent == 0 and reference.lag_s >= 99
    assert answer.blockers == tuple(before) and answer.go is not bool(before)
    assert not answer.validate_now


def test_what_only_temporal_can_do_is_try_again(dual: Operator) -> None:
    for words in (
        ("approve", "audit", "--as", "Ada"),
        ("pause", "--reason", "x"),
        ("resume",),
        ("abort", "--reason", "x", "--yes"),
    ):
        done = dual(*words)
        assert done.code == 5 and "temporal" in done.err, words


def test_dual_write_is_undone_and_classic_is_as_before(dual: Operator) -> None:
    """Capture goes, Limitless is emptied, history stays; a second undo finds the first one's work."""
    classic, limitless = dual.environment["A"], dual.environment["B"]
    dry = dual("undo", "dual-write", "--dry-run")
    assert dry.code == 0 and one(limitless, "SELECT count(*) FROM app.users") == 30

    done = dual("undo", "dual-write", "--yes", "--json")
    again = dual("undo", "dual-write", "--yes", "--json")

    assert done.code == again.code == 0 and done.json == again.json
    assert one(limitless, "SELECT count(*) FROM app.users") == 0
    assert one(limitless, "SELECT count(*) FROM migrator.mirrored") == 0
    assert one(classic, "SELECT write_mode FROM migrator.switch") == "classic_only"
    assert one(classic, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'migrator%'") == 0
    assert one(classic, "SELECT count(*) FROM app.users") == 30
    assert "undone" in dual("status").out
    with connect(classic, "test") as conn:
        assert captured_tables(conn) == {}


def test_dual_write_stays_while_somebody_reads_limitless(dual: Operator) -> None:
    """The blockers name what to do first: roll back, then let the mirror end."""
    classic = dual.environment["A"]
    with psycopg.connect(classic, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
            " VALUES ('1', 1, 'limitless', 1, 'test', '')"
        )
        conn.execute("INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (1, 1, '1:1:', now())")

    refused = dual("undo", "dual-write", "--yes", "--json")
    rolled_back = dual("rollback", "--all", "--reason", "undo", "--json")
    with psycopg.connect(classic, autocommit=True) as conn:
        conn.execute("UPDATE migrator.position SET fresh_at = now() - interval '1 hour'")
    done = dual("undo", "dual-write", "--yes")

    assert refused.code == 3 and len(refused.json["blockers"]) == 2
    assert one(classic, "SELECT count(*) FROM migrator.route WHERE level <> 'classic'") == 0
    assert rolled_back.json["changed"] == 1 and done.code == 0


def test_dual_write_is_undone_when_limitless_is_gone(dual: Operator) -> None:
    """Classic is freed first: that is what matters when Limitless has a bad day."""
    done = dual("undo", "dual-write", "--yes", "--json", B="postgresql://u@127.0.0.1:1/db")

    assert done.code == 0 and done.json["done"] == ["undo/capture", "undo/control"]
    assert "run this again" in done.err


def test_provision_is_undone_through_the_command(dual: Operator) -> None:
    refused = dual("undo", "provision", "--yes")
    done = dual("undo", "provision", "--yes", "--with-rows")

    assert refused.code == 3 and "holds rows" in refused.err
    assert done.code == 0 and one(dual.environment["B"], "SELECT to_regclass('app.users') IS NULL") is True


def test_rollback_shows_what_it_would_do(dual: Operator) -> None:
    with psycopg.connect(dual.environment["A"], autocommit=True) as conn:
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT i, 1, 'limitless', 1, 1, 'test', '' FROM generate_series(0, 2) i"
        )

    assert dual("rollback", "--all", "--reason", "x", "--dry-run", "--json").json == {"tenants": ["0", "1", "2"]}
    assert dual("rollback", "--tenant", "1", "--reason", "x", "--dry-run", "--json").json == {"tenants": ["1"]}
    assert dual("rollback", "--tenant", "1", "--reason", "x", "--json").json["changed"] == 1
    assert dual("rollback", "--wave", "1", "--reason", "x", "--json").json["changed"] == 2
    assert dual("rollback", "--wave", "1", "--reason", "x", "--json").json["already"] is True


def test_ctrl_c_is_130_and_no_trace(dual: Operator) -> None:
    """A command that waits ends at once, with one line."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-m", "migrator", "incident", "serve", "--port", "0"],
        env={**os.environ, **dual.environment, "MIGRATOR_INCIDENT_TOKEN": "x" * 20, "MIGRATOR_HOME": str(dual.home)},
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a script lets them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stderr is not None
        first = process.stderr.readline()  # it listens
        process.send_signal(signal.SIGINT)
        try:
            _, rest = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()

    assert "Ctrl-C ends" in first
    assert process.returncode == 130 and "Traceback" not in rest


def test_adopt_lists_what_it_leaves(dual: Operator) -> None:
    """Nothing to do is 0; something that is left is 3, with advice, in the dry run too."""
    nothing = dual("schema", "adopt", "--json")
    with psycopg.connect(dual.environment["A"], autocommit=True) as conn:
        conn.execute("CREATE TABLE app.behind (id int)")
    dry, done = dual("schema", "adopt", "--dry-run", "--json"), dual("schema", "adopt")

    assert (nothing.code, nothing.json) == (0, {"done": [], "left": []})
    assert dry.code == done.code == 3
    assert [one["subject"] for one in dry.json["left"]] == ["table app.behind"]
    assert "left: table app.behind" in done.out


BROKEN = (
    {"TEMPORAL_TLS": "true", "TEMPORAL_TLS_CLIENT_CERT_PATH": "/gone.pem", "TEMPORAL_TLS_CLIENT_KEY_PATH": "/gone"},
    {"TEMPORAL_CONFIG_FILE": "/gone.toml"},
    {"TEMPORAL_PROFILE": "gone"},
    {"TEMPORAL_TLS": "perhaps"},
    {"MIGRATOR_TEMPORAL": "no address"},
    {"TEMPORAL_API_KEY": "x"},
    {"AWS_PROFILE": "gone"},
)


def test_a_rollback_needs_classic_and_nothing_else(dual: Operator) -> None:
    """Limitless, Temporal, its certificates and keys, AWS and approvers are out of reach: reads are back."""
    lost = {
        "limitless": {"dsn": "aws-secret:gone"},
        "temporal": {"address": "127.0.0.1:9", "namespace": "default", "encryption_keys": ["env:GONE"]},
        "governance": {"authentication": "required", "approver": {"Ada": {"key": "aws-secret:gone"}}},
    }
    dsn = dual.environment["A"]
    for broken in BROKEN:
        with psycopg.connect(dsn) as conn:
            conn.execute("UPDATE migrator.plan SET body = body || %s::jsonb", (json.dumps(lost),))
            conn.execute("UPDATE migrator.switch SET epoch = epoch + 1, level = 'limitless'")
            conn.execute(
                "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
                " VALUES ('1', 1, 'limitless', 1, 'ana', 'x') ON CONFLICT DO NOTHING"
            )
        done = Operator(dual.home, {"MIGRATOR_CLASSIC_DSN": dsn, **broken})("rollback", "--all", "--reason", "3 a.m.")

        assert done.code == 0, (broken, done.err)
        assert "Rolled back all tenants" in done.out and "No running workflow was reached" in done.err, broken
        assert one(dsn, "SELECT level FROM migrator.switch") == "classic"

    with psycopg.connect(dsn) as conn:
        conn.execute("ALTER TABLE migrator.plan RENAME COLUMN body TO gone")
    assert Operator(dual.home, {"MIGRATOR_CLASSIC_DSN": dsn})("rollback", "--all", "--reason", "again").code == 0
