"""A rollback drill in production: there and back, measured, stored; no incident, and no tenant is held."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import psycopg
import pytest

from migrator.control import drill as stored
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.drill.rollback import gather, practise, refusals
from migrator.errors import NoGo, UsageError
from migrator.model.drill import STALE, DrillKind, stale
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.model.wave import NextWave
from migrator.shim import Shim
from migrator.traffic.cutover import wave
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.move import move, routes, watch
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.plans import small_plan
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World
from workflows.activities.cutover import _advance, _finish
from workflows.messages import WaveStep

pytestmark = pytest.mark.pg

T1, T2 = TenantId("t1"), TenantId("t2")


@contextmanager
def reading(shim: Shim, tenant: str) -> Iterator[list[Exception]]:
    """An application that reads one tenant until left; what it meets."""
    stop, errors = threading.Event(), list[Exception]()

    def read() -> None:
        while not stop.wait(0.01):
            try:
                shim.run_read(tenant, lambda r: r.connection.execute("SELECT 1").fetchall())
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


def promote(world: World, *tenants: TenantId, wave: int | None = 1) -> None:
    done = promote_reads(world.classic, tenants=tenants, who="cutover", reason="wave 1", wave=wave)
    assert done.done


def test_there_and_back_again(world: World) -> None:
    with world.mirror(), world.shim("web-1") as shim, world.shim("web-2"), reading(shim, "t1") as errors:
        promote(world, T1, T2)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            facts = gather(conn, [T1], None)
            assert refusals(facts) == ()
            done = practise(conn, facts, "ana", timeout_s=TIMEOUT_S, hold_s=TIMEOUT_S)

    assert done.passed, done.problems
    assert errors == []
    assert done.forward is not None
    assert len(done.back.confirmed_s) == len(done.forward.confirmed_s) == 2
    assert done.classic.reads and done.classic.errors == done.limitless.errors == 0
    assert all(route.level is Level.LIMITLESS for route in routes(world.classic))
    status = collect(world.classic)
    assert (status.incidents, status.held_count) == (0, 0)
    (line,) = status.drills
    assert line.newest.kind is DrillKind.ROLLBACK and line.newest.who == "ana" and line.newest.passed
    assert line.newest.body["back"]["processes"] == 2
    assert stale(status.drills, 1) is None
    logged = world.classic.execute("SELECT who FROM migrator.decision WHERE kind = 'drill.ended'").fetchall()
    assert logged == [("ana",)]


def test_reads_that_do_not_come_forward_again_are_a_drill_that_did_not_pass(world: World) -> None:
    """The mirror stops: tenants stay on classic, where nothing is lost, and the gate of the next wave stays shut."""
    with world.shim("web-1"):
        with world.mirror():
            promote(world, T1)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            facts = gather(conn, [T1], None)

            def write() -> dict[str, bool]:
                world.classic.execute("INSERT INTO app.note VALUES ('t1', 77, 'not mirrored')")
                return {}

            done = practise(conn, facts, "ana", timeout_s=0.3, hold_s=0.1, meanwhile=write)

    assert not done.passed and any("did not go forward again" in problem for problem in done.problems)
    (route,) = [r for r in routes(world.classic) if r.tenant_id == T1]
    assert route.level is not Level.LIMITLESS
    assert stale(stored.newest(world.classic), 30) is not None


def test_what_it_refuses(world: World) -> None:
    def codes(*tenants: TenantId, wave: int | None = None) -> list[str]:
        return [b.code for b in refusals(gather(world.classic, tenants, wave))]

    assert codes(T1) == ["drill.not_there", "drill.no_process"]
    with world.mirror(), world.shim("web-1"):
        promote(world, T1)
        assert eventually(lambda: codes(T1) == [])
        world.classic.execute(
            "INSERT INTO migrator.decision (who, kind, subject, reason) VALUES ('c', 'wave.chosen', 'wave-1', 'x')"
        )
        assert codes(T1) == ["drill.wave_under_way"]
        world.classic.execute(
            "INSERT INTO migrator.decision (who, kind, subject, reason) VALUES ('c', 'wave.finished', 'wave-1', 'x')"
        )
        assert codes(T1) == []
        assert codes(T1, T2) == ["drill.not_there"]
        move(world.classic, [T1], Level.CLASSIC, who="ana", reason="trouble")
        assert codes(T1) == ["drill.not_there"]
    with pytest.raises(UsageError):
        gather(world.classic, [TenantId("Größe")], None)
    with pytest.raises(UsageError):
        gather(world.classic, [], 99)


def test_no_wave_but_the_first_begins_without_a_drill(world: World) -> None:
    def next_one(**sections: Any) -> NextWave:
        waves = {"sizes": [1], "soak_s": 0.2, "baseline_s": 0.2, "hot_ratio": 1000.0}
        return wave.next_wave(world.classic, small_plan(waves=waves, **sections), False)

    asked = {"max_age_days": 30}
    first = next_one(drill=asked)
    assert first.wave is not None and not first.held
    with world.mirror():
        _advance(world.classic, small_plan(), WaveStep(plan="p", number=1))
    _finish(world.classic, WaveStep(plan="p", number=1))

    second = next_one(drill=asked)
    assert second.wave is None and second.held and [b.code for b in second.blockers] == [STALE]
    stored.add(world.classic, DrillKind.ROLLBACK, "ana", "t1", False, 1.0, {})
    assert next_one(drill=asked).held  # it did not pass
    stored.add(world.classic, DrillKind.ROLLBACK, "ana", "t1", True, 1.0, {})
    assert next_one(drill=asked).wave is not None
    world.classic.execute("UPDATE migrator.drill SET at = at - interval '31 days'")
    accepted = {**small_plan().gates.model_dump(), "acknowledged": [STALE]}
    assert next_one(drill=asked).wave is None
    assert next_one(drill=asked, gates=accepted).wave is not None


def test_temporal_is_not_needed(world: World, tmp_path: Path) -> None:
    """The command itself, led to where nothing listens; processes and reads as always."""
    (tmp_path / "plan.toml").write_text(PLAN)
    dsns = {"A": world.classic_dsn, "B": world.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    operator = Operator(tmp_path, dsns)
    with world.mirror(), world.shim("web-1") as shim, reading(shim, "t1") as errors:
        promote(world, T1)
        assert eventually(lambda: refusals(gather(world.classic, [T1], None)) == ())
        done = operator("drill", "temporal", "--tenant", "t1", "--as", "ana", "--yes", "--json")

    assert done.code == 0, done
    assert done.json["passed"] and errors == []
    (line,) = stored.newest(world.classic)
    assert line.newest.kind is DrillKind.TEMPORAL
    assert line.newest.body["temporal"]["reached"] is False


def test_a_killed_drill_leaves_its_tenants_on_classic_until_a_person_goes_forward(world: World, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    dsns = {"A": world.classic_dsn, "B": world.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    operator = Operator(tmp_path, dsns)
    words = ("drill", "rollback", "--tenant", "t1", "--as", "ana", "--yes")
    with world.mirror(), world.shim("web-1") as shim:
        promote(world, T1)
        with psycopg.connect(world.classic_dsn) as busy:
            busy.execute("LOCK TABLE migrator.read_sample IN ACCESS EXCLUSIVE MODE")  # it cannot see reads on classic
            killed = subprocess.Popen(
                [sys.executable, "-m", "migrator", *words], env=operator.everything({}), stdout=DEVNULL, stderr=DEVNULL
            )
            eventually(lambda: routes(world.classic)[0].level is Level.CLASSIC, "the drill is on its way back")
            killed.kill()
            killed.wait()
        again = operator(*words)
        status = operator("status", "--json").json
        promote(world, T1)
        with reading(shim, "t1") as errors:
            passed = operator(*words)

    assert again.code == 3 and "does not read from Limitless" in again.out + again.err
    assert status["incidents"] == 0 and status["held_count"] == 0
    assert passed.code == 0 and errors == [], passed
    assert routes(world.classic)[0].level is Level.LIMITLESS


def test_sampling_that_begins_or_ends_meanwhile_is_no_move(world: World) -> None:
    """Whose reads are sampled changes by turns, at any moment, and gives their routes another epoch."""
    with world.mirror(), world.shim("web-1"):
        promote(world, T1, T2)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            facts = gather(conn, [T1, T2], None)

            def turn() -> dict[str, bool]:
                watch(world.classic, [T1], False, who="guard")
                return {}

            done = practise(conn, facts, "ana", timeout_s=TIMEOUT_S, hold_s=0.2, meanwhile=turn)

    assert done.passed, done.problems
    assert all(route.level is Level.LIMITLESS for route in routes(world.classic))


def test_what_others_do_meanwhile_stays(world: World) -> None:
    """A tenant that a person rolls back during the drill stays on classic, the others go forward; it did not pass."""
    with world.mirror(), world.shim("web-1"):
        promote(world, T1, T2)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            facts = gather(conn, [T1, T2], None)

            def hold() -> dict[str, bool]:
                roll_back(world.classic, tenants=[T2], who="bob", reason="slow")
                return {}

            done = practise(conn, facts, "ana", timeout_s=TIMEOUT_S, hold_s=0.2, meanwhile=hold)

    assert not done.passed and "t2 held or moved by others meanwhile" in done.problems[0]
    assert {r.tenant_id: r.level for r in routes(world.classic)} == {T1: Level.LIMITLESS, T2: Level.CLASSIC}
    assert not stored.newest(world.classic)[0].newest.passed


def test_a_rollback_of_all_meanwhile_is_no_drill_that_passed(world: World) -> None:
    with world.mirror(), world.shim("web-1"):
        promote(world, T1)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            facts = gather(conn, [T1], None)

            def everything() -> dict[str, bool]:
                roll_back(world.classic, all=True, who="bob", reason="p99")
                return {}

            done = practise(conn, facts, "ana", timeout_s=TIMEOUT_S, hold_s=0.2, meanwhile=everything)
            assert "all reads were rolled back" in done.problems[0]
            with pytest.raises(NoGo, match=r"reads\.rolled_back|rolled back to classic already"):  # time passed, too
                practise(conn, facts, "ana", timeout_s=1, hold_s=0.1)


def test_one_drill_at_a_time_and_a_failure_in_between_leaves_nobody_on_classic(world: World) -> None:
    with world.mirror(), world.shim("web-1"):
        promote(world, T1, T2)
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn, connect(world.classic_dsn, "test") as other:
            facts = gather(conn, [T1], None)

            def second() -> dict[str, bool]:
                practise(other, gather(other, [T2], None), "bob", timeout_s=TIMEOUT_S, hold_s=0.1)
                return {}

            done = practise(conn, facts, "ana", timeout_s=TIMEOUT_S, hold_s=0.2, meanwhile=second)
            assert "another drill runs" in done.problems[-1]
            assert {r.level for r in routes(world.classic)} == {Level.LIMITLESS}
            assert practise(other, gather(other, [T2], None), "bob", timeout_s=TIMEOUT_S, hold_s=0.1).passed
