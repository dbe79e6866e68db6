"""A rollback drill in production: there and back, measured, stored; no incident, and no tenant is held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from migrator.control import drill as stored
from migrator.control.status import collect
from migrator.drill.rollback import gather, practise, refusals
from migrator.errors import UsageError
from migrator.model.drill import DrillKind, stale
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.shim import Shim
from migrator.traffic.route.move import move, routes
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import World

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
            done = practise(conn, facts, "ana", timeout_s=10)

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

    assert not done.passed and "did not go forward again" in done.problems[0]
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
