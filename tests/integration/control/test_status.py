"""Status answers from classic alone, and agrees with what processes do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import psycopg
import pytest
from rich.console import Console

from migrator.cli.status_view import print_once, render, unreachable
from migrator.control.cost import Hour, put, seen
from migrator.control.history import decisions, newest_report, reports
from migrator.control.install import install
from migrator.control.log import decide, decide_each
from migrator.control.phase import set_phase
from migrator.control.plan import store
from migrator.control.status import collect, copy_units
from migrator.control.tenant import tenant_facts
from migrator.control.throttle import Throttle, read_throttle, set_throttle
from migrator.dataplane.capture.backlog import holds
from migrator.db.connect import connect
from migrator.model.cost import Basis
from migrator.model.effective import Fallback, effective
from migrator.model.route import FallbackScope, Level, Route
from migrator.model.standing import conditions
from migrator.model.tenant import TenantId
from migrator.plan.load import dump
from migrator.traffic.incident.rollback import moved_tenants
from tests.fixtures.world import plan_of

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]
BODY = {"shim": {"max_lag_s": 3.0}, "dual_write": {"journal_limit_mb": 4096}}


@pytest.fixture
def bare(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "test") as conn:
        yield conn


@pytest.fixture
def classic(bare: Connection) -> Connection:
    install(bare, "shop", "digest", BODY, {})
    return bare


def test_a_cluster_where_nothing_runs_says_how_to_start(bare: Connection) -> None:
    status = collect(bare)

    assert (status.installed, status.phase) == (False, None)
    assert "migrator run" in status.next_steps[0]
    assert moved_tenants(bare, None, []) == []


def test_a_fresh_migration_waits_for_its_first_phase(classic: Connection) -> None:
    status = collect(classic)

    assert (status.plan, status.phase, status.phase_state, status.tenants) == ("shop", "audit", "pending", 0)
    assert [p.phase for p in status.phases] == [
        "audit", "provision", "dual_write", "cutover", "stabilize", "decommission",
    ]  # fmt: skip
    assert status.blockers == () and status.lag_s is None


def test_the_current_phase_is_the_first_that_is_not_done(classic: Connection) -> None:
    set_phase(classic, "audit", "done")
    set_phase(classic, "provision", "blocked", "no", ["users: no key"], "correct the cause, then: migrator resume")

    status = collect(classic)

    assert (status.phase, status.phase_state) == ("provision", "blocked")
    assert status.blockers == ("users: no key",)
    assert status.next_steps == ("correct the cause, then: migrator resume",)


def test_a_phase_that_begins_again_is_timed_again(classic: Connection) -> None:
    set_phase(classic, "audit", "running")
    first = collect(classic).phases[0].started_at
    set_phase(classic, "audit", "done")
    assert collect(classic).phases[0].started_at == first
    set_phase(classic, "audit", "running")

    again = collect(classic).phases[0]

    assert first is not None and again.started_at is not None
    assert again.started_at > first and again.finished_at is None


def test_levels_agree_with_the_model(classic: Connection) -> None:
    """The statement's effective level is the model's, for every route under every switch and fallback."""
    routes = {
        TenantId(f"t{i}"): Route(TenantId(f"t{i}"), part, level, 100, 1)
        for i, (part, level) in enumerate(product((1, 2), Level))
    }
    for route in routes.values():
        classic.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
            " VALUES (%s, %s, %s, 1, 'test', '')",
            (route.tenant_id, route.part, route.level.value),
        )
        classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%s, %s, 'mirrored')",
            (route.tenant_id, route.part),
        )
    classic.execute("INSERT INTO migrator.tenant (tenant_id, part) VALUES ('unrouted', 1)")
    fallbacks = [None, *product(((FallbackScope.ALL, ""), (FallbackScope.PART, "1"), (FallbackScope.PART, "0"),
                                 (FallbackScope.TENANT, "t2")), (Level.CLASSIC, Level.JOINING))]  # fmt: skip

    for switch, found in product(Level, fallbacks):
        classic.execute("UPDATE migrator.switch SET level = %s", (switch.value,))
        classic.execute("DELETE FROM migrator.fallback")
        active = []
        if found is not None:
            (scope, key), level = found
            active = [Fallback(scope, key, level, 1)]
            classic.execute(
                "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
                " VALUES (%s, %s, %s, 'slow', 'test', 1)",
                (scope.value, key, level.value),
            )
        expected = [effective(route, switch, active).value for route in routes.values()] + ["classic"]

        assert dict(collect(classic).by_level) == {level.value: expected.count(level.value) for level in Level}


def fill(conn: Connection) -> None:
    """A migration in the middle of everything."""
    set_phase(conn, "audit", "done")
    set_phase(conn, "provision", "done")
    set_phase(conn, "dual_write", "running", "copying")
    conn.execute("UPDATE migrator.switch SET write_mode = 'dual'")
    conn.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, wave, reason, divergent, validated_at, clean_at) VALUES"
        " ('1', 1, 'mirrored', 1, NULL, 0, now(), now()),"
        " ('2', 1, 'quarantined', 1, 'row too large', NULL, NULL, NULL),"
        " ('3', 2, 'copying', NULL, NULL, 2, now(), NULL)"
    )
    conn.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason) VALUES"
        " ('1', 1, 'limitless', 1, 1, 'cutover', ''), ('2', 1, 'classic', 1, 1, 'guard', 'suffered')"
    )
    conn.execute(
        "INSERT INTO migrator.copy_unit"
        " (unit_id, part, tenants, state, rows, copied_rows, started_at, finished_at, problem)"
        " VALUES ('u1', 1, '{1}', 'joined', 100, 100, now() - interval '10 s', now(), NULL),"
        " ('u2', 2, '{3}', 'copying', 300, 50, now() - interval '10 s', NULL, NULL),"
        " ('u3', 2, '{3}', 'failed', 50, 0, now(), NULL, 'disk full')"
    )
    conn.execute("INSERT INTO migrator.hold (holder, keep_xid) VALUES ('u2', 5)")
    conn.execute(
        "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, lag_s, depth, problem) VALUES"
        " (1, 1, '10:20:', now(), 0.2, 7, NULL), (2, 1, '10:20:', now() - interval '1 minute', 0.1, 0, 'refused')"
    )
    conn.execute(
        "INSERT INTO migrator.validation (run_id, kind, finished_at, rows, divergent, fence_pause_ms)"
        " VALUES (gen_random_uuid(), 'scheduled', now(), 1000, 2, 12.5)"
    )
    conn.execute(
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch, held)"
        " VALUES ('tenant', '3', 'classic', 'slow', 'ada', 1, true)"
    )
    conn.execute(
        "INSERT INTO migrator.process (process_id, name, seen_at, applied_epoch, staleness_s) VALUES"
        " ('p1', 'web-1', now(), 5, 3), ('p2', 'web-2', now() - interval '1 minute', 5, 3)"
    )
    conn.execute(
        "INSERT INTO migrator.breaker_trip (process_id, scope, scope_key, reason) VALUES ('p1', 'all', '', 'errors')"
    )
    conn.execute(  # one statement: an act's lines have one moment, which twenty statements need not have
        "INSERT INTO migrator.decision (at, who, kind, subject, reason)"
        " SELECT date_trunc('second', now()), 'cutover', 'route.moved', 'tenant/' || n, 'wave 1'"
        " FROM generate_series(0, 19) n"
    )


def test_everything_is_counted(classic: Connection) -> None:
    """Tenants, waves, lag, copy, validation, processes, and what stands in the way."""
    fill(classic)

    status = collect(classic)

    assert dict(status.by_state) == {"mirrored": 1, "quarantined": 1, "copying": 1}
    assert status.wave == 1
    (wave,) = status.waves
    assert (wave.tenants, wave.limitless, wave.classic, wave.rolled_back) == (2, 1, 1, 1)
    assert status.lag_s is not None and status.lag_s > 59, "a mirror that stands still lags by the age of its position"
    assert [p.live for p in status.processes] == [True, False]
    assert status.backfill is not None and status.validation is not None
    copy = status.backfill
    assert (copy.units, copy.done, copy.copying, copy.failed, copy.copied_rows) == (3, 1, 1, 1, 150)
    assert copy.eta_s is not None and copy.problems == ("u3: disk full",)
    assert (status.validation.divergent, status.validation.never, status.validation.divergent_tenants) == (2, 1, 1)
    assert [(e.subject, e.reason) for e in status.events] == [("20 tenants", "wave 1")], "a wave is one line"
    text = "\n".join(status.blockers)
    for part in ("tenant 2 is quarantined: row too large", "rows of 1 tenant differ", "1 copy unit failed",
                 "mirror partition 2 has a problem: refused", "tenant 3 reads classic for now"):  # fmt: skip
        assert part in text
    assert moved_tenants(classic, None, []) == ["1"] and moved_tenants(classic, 2, []) == []
    assert [u["unit_id"] for u in copy_units(classic)] == ["u3", "u2", "u1"], "what needs care comes first"
    assert [h["holder"] for h in holds(classic)] == ["u2"]


def test_each_act_is_one_line_however_many_tenants_it_moved(classic: Connection) -> None:
    """Those of an earlier version too, whose lines are of several moments; what came before stays in sight."""
    decide(classic, "ann", "gate.approved", "audit", "fine")
    classic.execute(
        "INSERT INTO migrator.decision (at, who, kind, subject, reason)"
        " SELECT date_trunc('second', now()) + make_interval(secs => g / 1e4), 'cutover', 'route.moved',"
        "        'tenant/' || g, 'w' FROM generate_series(1, 700) g"
    )
    decide(classic, "guard", "route.moved", "tenant/3", "slow")
    decide_each(classic, "ann", "tenant.held", "slow", {f"tenant/{n}": None for n in range(900)}, {"wave": 1})
    decide_each(classic, "ann", "tenant.released", "slow", {})

    lines = [(e.who, e.kind, e.subject) for e in collect(classic).events]
    assert lines == [
        ("ann", "tenant.held", "900 tenants"),
        ("guard", "route.moved", "tenant/3"),
        ("cutover", "route.moved", "700 tenants"),
        ("ann", "gate.approved", "audit"),
    ]
    assert [e.kind for e in collect(classic, events=2).events] == ["tenant.held", "route.moved"]


def test_lists_of_tenants_are_bounded_and_counted(classic: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state)"
        " SELECT 't' || g, 1, CASE WHEN g <= 130 THEN 'quarantined' ELSE 'mirrored' END FROM generate_series(1, 300) g;"
        "INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by)"
        " SELECT tenant_id, 'no', 'ann' FROM migrator.tenant;"
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " SELECT 'tenant', tenant_id, 'classic', 'no', 'ann', 1 FROM migrator.tenant"
    )
    status = collect(classic)

    assert (len(status.held), status.held_count, len(status.fallbacks), status.fallback_count) == (100, 300, 100, 300)
    assert len(status.quarantined) == 100 and dict(status.by_state)["quarantined"] == 130
    text = "\n".join(status.blockers)
    assert "and 125 more tenants are quarantined" in text and "and 280 more fallbacks" in text
    print_once(status)
    assert "300 tenants stay on classic" in capsys.readouterr().out


def test_a_gate_looks_at_the_schemas_once_for_all_tenants(classic: Connection) -> None:
    classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, clean_at, clean_fingerprint)"
        " SELECT 't' || g, 1, 'mirrored', now(), migrator.schema_fingerprint() FROM generate_series(1, 500) g"
    )
    names = [TenantId(f"t{n}") for n in range(1, 501)]
    classic.execute("SET track_functions = 'all'")
    tenant_facts(classic, names)
    classic.execute("SELECT pg_stat_force_next_flush()")
    calls = classic.execute("SELECT calls FROM pg_stat_user_functions WHERE funcname = 'schema_fingerprint'").fetchone()

    assert calls is not None and calls[0] <= 2


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (60, 20)])
def test_the_view_fits_its_screen(classic: Connection, width: int, height: int) -> None:
    """What is blocked is there on any screen; nothing scrolls away on a usual one."""
    fill(classic)
    status = collect(classic)
    screen = Console(width=width, height=height, color_system=None, highlight=False)
    with screen.capture() as captured:
        screen.print(render(status, screen))
    lines = captured.get().rstrip().splitlines()

    assert max(map(len, lines)) <= width
    assert "blocked: " in lines[1]
    if height >= 40:
        assert len(lines) <= height and any("20 tenants" in line for line in lines)


def test_in_a_pipe_the_status_is_plain_lines(classic: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """No frame, nothing folded and nothing cut: grep finds a blocker and an event whole, however long they are."""
    long = "postgresql://" + "x" * 300
    set_phase(classic, "audit", "blocked", "no", [f"{long} refuses us"], "mend it")
    set_throttle(classic, Throttle(True, 5.0, f"because of {long}"), who="ada")
    print_once(collect(classic))

    lines = capsys.readouterr().out.splitlines()
    assert f"✗ {long} refuses us" in lines and "→ mend it" in lines and "blocked: 1" in lines
    assert [line for line in lines if "throttle.changed" in line and line.endswith(f"because of {long}")]
    assert not any(set(line) & set("│╭─╯") or line != line.rstrip() for line in lines)


def test_the_view_says_when_classic_is_gone(classic: Connection) -> None:
    """The last known status stays, marked as old."""
    screen = Console(width=100, color_system=None)
    with screen.capture() as captured:
        screen.print(unreachable(collect(classic), psycopg.OperationalError("server closed the connection")))
        screen.print(unreachable(None, psycopg.OperationalError("refused")))
    text = captured.get()

    assert (
        "classic does not answer: the connection was lost: server closed the connection" in text
        and "Last known status" in text
    )


def test_the_throttle_is_set_and_logged(classic: Connection) -> None:
    assert read_throttle(classic) == Throttle()
    set_throttle(classic, Throttle(True, 5.0, "month end"), who="ada")

    assert read_throttle(classic) == Throttle(True, 5.0, "month end")
    (line,) = decisions(classic, 10)
    assert (line["who"], line["kind"], line["before"]["paused"], line["after"]["paused"]) == (
        "ada", "throttle.changed", False, True,
    )  # fmt: skip


def test_reports_are_listed_and_the_newest_is_shown(classic: Connection) -> None:
    classic.execute("""INSERT INTO migrator.report (kind, body) VALUES ('audit', '{"n": 1}'), ('audit', '{"n": 2}')""")

    assert [(r["kind"], r["reports"]) for r in reports(classic)] == [("audit", 2)]
    newest = newest_report(classic, "audit")
    assert newest is not None and newest["body"] == {"n": 2}
    assert newest_report(classic, "cost") is None


def test_cost_breaches_and_missing_workers_are_part_of_it(classic: Connection) -> None:
    """What wakes somebody is judged from the status alone (migrator.model.standing)."""
    calm = collect(classic)
    assert (calm.breaches, calm.lost_workers, len(calm.unserved_queues)) == ((), (), 4)
    assert calm.bill is None, "the stored plan is none"

    priced = plan_of("shop", cost={"acu_hour_usd": 0.2, "projected_monthly_usd": 1.0})
    store(classic, "shop", "digest", dump(priced), {})
    now = seen(classic).now.replace(minute=0, second=0, microsecond=0)
    put(classic, [Hour(now - timedelta(hours=n), 26 / 730 / 0.2) for n in range(1, 30)], Basis.CLOUDWATCH)
    classic.execute(
        "INSERT INTO migrator.slo_breach (tenant_id, first_at, last_at, reason, recorded_at)"
        " VALUES ('a', now(), now(), 'p99', now()), ('b', now(), now(), 'not long enough', NULL)"
    )
    classic.execute(
        "INSERT INTO migrator.worker (worker_id, plan_id, digest, shim, version, queues, seen_at) VALUES"
        " ('h:1', 'shop', 'digest', '{}', '1', '{control,mirror}', now()),"
        " ('h:2', 'shop', 'digest', '{}', '1', '{bulk}', now() - interval '5 minutes'),"
        " ('h:3', 'shop', 'digest', '{}', '1', '{bulk}', now() - interval '5 hours')"
    )
    found = collect(classic)

    assert found.bill is not None and found.bill.basis is Basis.CLOUDWATCH
    assert found.bill.ratio is not None and found.bill.ratio == pytest.approx(26.0)
    assert [b.tenant for b in found.breaches] == ["a"]
    assert (found.workers, found.lost_workers, found.unserved_queues) == (1, ("h:2",), ("incident", "bulk"))
    assert {"slo_breach/tenants", "cost_over_projection", "worker_gone/queues", "worker_gone/lost"} <= {
        c.name for c in conditions(found)
    }
