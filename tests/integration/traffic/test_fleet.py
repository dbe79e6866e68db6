"""Hundreds of processes beside each other: each asks classic for little, and loses nothing by it."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.control import partition
from migrator.db.connect import connect_async
from migrator.model.route import FallbackScope, Level
from migrator.shim import Shim
from migrator.shim import statements as st
from migrator.shim.routing import Token
from migrator.shim.steps import at_once
from migrator.shim.view import ALL_PARTS
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import move
from migrator.traffic.route.switch import switch
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.test_refresh_order import a_watcher, due, seen
from tests.integration.traffic.world import CALM, World, get, ids, put, up

pytestmark = pytest.mark.pg

SELDOM = replace(CALM, poll_s=60.0)
WORDS: dict[str, Any] = {"who": "test", "reason": "test"}


@contextmanager
def told(world: World) -> Iterator[list[str]]:
    """What is said on the channel that processes listen on."""
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        conn.execute(f"LISTEN {st.CHANNEL}".encode())
        heard: list[str] = []
        yield heard
        conn.execute("NOTIFY migrator, 'the end'")
        for one in conn.notifies(timeout=TIMEOUT_S):
            if one.payload == "the end":
                break
            heard.append(one.payload)


def watched(shim: Shim) -> psycopg.Connection[Any]:
    """The connection of its watcher."""
    assert shim._watcher is not None and shim._watcher._link is not None
    return shim._watcher._link.conn


async def test_no_process_is_woken_by_a_mirror(world: World) -> None:
    """Each of a thousand cycles a second would wake each of hundreds of processes."""
    with told(world) as heard:
        async with await connect_async(world.classic_dsn, "test") as conn:
            for number in range(3):
                await partition.publish(
                    conn, 1, 1, "100:100:", age_s=0.0, lag_s=0.0, rows=1, applied=number, rows_per_s=1.0
                )
    assert heard == []
    position = world.classic.execute("SELECT snapshot, applied FROM migrator.position WHERE part = 1").fetchone()
    assert position == ("100:100:", 2)


def test_a_change_says_whether_it_is_urgent(world: World) -> None:
    """Going down is; so is everything but routes that only go up."""
    with told(world) as up_only:
        up(world, "t1", "t2")
    assert up_only == ["route up 2", "route up 2"]
    with told(world) as urgent:
        move(world.classic, ids("t1"), Level.CLASSIC, **WORDS)
        raise_fallback(world.classic, FallbackScope.PART, "1", by="test", reason="test")
        switch(world.classic, Level.CLASSIC, **WORDS)
        roll_back(world.classic, tenants=ids("t2"), **WORDS, timeout_s=TIMEOUT_S)
    assert urgent == ["route"] * 4


def test_what_was_said_during_a_statement_is_heard(world: World) -> None:
    """It arrives together with the answer to something else."""
    with world.shim(settings=SELDOM) as shim:
        watcher = shim._watcher
        assert watcher is not None
        watcher._stop.set()  # its thread ends; the test is in its place
        watcher.wake()
        assert watcher._thread is not None
        watcher._thread.join(TIMEOUT_S)
        assert watcher._routes_due_s > 0
        epoch = switch(world.classic, Level.CLASSIC, **WORDS)
        watched(shim).execute("SELECT")
        assert (watcher._routes_due_s, watcher._news) == (0.0, True)
        watcher._work()
        assert shim._current.view.epoch == epoch


def test_threads_that_wait_share_the_looks_of_their_process(world: World) -> None:
    """As many looks with a dozen waiting threads as with one, and no more than the fleet's size allows."""
    up(world, "t1")
    with world.shim(settings=SELDOM) as shim:
        board = shim._current
        watcher = shim._watcher
        assert watcher is not None
        eventually(lambda: watcher._count_due_s > 0, "it has counted the processes")
        watcher._count_due_s = float("inf")
        board.pace.fleet = 1000  # ten looks a second
        never = Token(1 << 40, ALL_PARTS, board.view.epoch, board.view.mark or "")
        wanted = shim._ack
        assert wanted is not None
        began_s, before = board.now_s(), board.looks

        def wait() -> None:
            at_once(wanted.wait(ids("t1")[0], never))

        threads = [threading.Thread(target=wait, daemon=True) for _ in range(12)]
        for thread in threads:
            thread.start()
        eventually(lambda: board.looks >= before + 5, "positions are looked at")
        looks, took_s = board.looks - before, board.now_s() - began_s
        assert looks <= took_s / (0.9 * 0.1) + 2
        world.classic.execute("UPDATE migrator.position SET snapshot = %s", (f"{2 << 40}:{2 << 40}:",))
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert not any(thread.is_alive() for thread in threads)


def test_a_session_that_a_pooler_lends_is_worked_with_as_it_is(world: World) -> None:
    """What was prepared is gone, in the middle of a heartbeat too; or it is there already, made by another process."""
    with a_watcher(world) as (watcher, board):
        link = watcher._link
        assert link is not None and watcher._prepared
        link.conn.execute("DEALLOCATE ALL")
        due(watcher)
        before, until_s = seen(world), board.view.valid_until_s
        watcher._refresh()
        assert not watcher._prepared
        assert seen(world) > before and board.view.valid_until_s > until_s
        world.publish()
        watcher._positions()
        assert {str(s) for s in board.view.positions.values()} == {
            s for (s,) in world.classic.execute("SELECT snapshot FROM migrator.position")
        }

        link.conn.execute(st.PREPARE)
        watcher._adopt(link)
        assert not watcher._prepared
        watcher._refresh()


def test_without_listening_a_change_is_found_by_looking(world: World) -> None:
    up(world, "t1")
    with world.shim(listen=False) as shim, world.mirror():
        shim.run_write("t1", put("t1", 1, "seen"))
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "seen")
        down = roll_back(world.classic, tenants=ids("t1"), **WORDS, timeout_s=TIMEOUT_S)
        assert wait_confirmed(world.classic, down.epoch, TIMEOUT_S).confirmed == 1
        assert shim.run_read("t1", get("t1", 1)) == ("classic", "seen")
    with world.shim(listen=False) as shim:
        assert shim._watcher is not None
        shim._watcher._stop.set()
        shim._watcher.wake()
        assert shim._watcher._thread is not None
        shim._watcher._thread.join(TIMEOUT_S)
        ours = "SELECT (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements)"
        assert watched(shim).execute(ours).fetchone() == (0, 0)


def test_a_process_without_reads_writes_no_samples(world: World) -> None:
    with world.shim() as shim:
        watcher = shim._watcher
        assert watcher is not None
        eventually(lambda: shim._current.looks > 3, "it is at work")
        assert shim._flush(watcher._link) == 0  # type: ignore[arg-type]
    assert world.classic.execute("SELECT count(*) FROM migrator.read_sample").fetchone() == (0,)


def routes_of(world: World, tenants: int) -> None:
    """Make *tenants* tenants that read Limitless, as waves leave them."""
    world.classic.execute("SET synchronous_commit = off")
    world.classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
        " SELECT 'customer-' || n, 1 + n %% 2, 'limitless', n / 1000, 1 + n / 1000, 'cutover', 'wave'"
        " FROM generate_series(1, %s) n",
        (tenants,),
    )
    world.classic.execute("UPDATE migrator.switch SET epoch = 1000")
    world.classic.execute("ANALYZE migrator.route")


@pytest.mark.parametrize("tenants", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_process_starts_with_all_routes_and_goes_on_with_what_changed(world: World, tenants: int) -> None:
    """The answer is as long as the tenants' names, and what is kept is bounded."""
    routes_of(world, tenants)
    gc.collect()
    tracemalloc.start()
    try:
        with world.shim(settings=SELDOM) as shim:
            kept, peak = tracemalloc.get_traced_memory()
            view = shim._current.view
            expected = {
                (t, p, pct, e)
                for t, p, pct, e in world.classic.execute(
                    "SELECT tenant_id, part, reads_pct, epoch FROM migrator.route"
                )
            }
            assert {(r.tenant_id, r.part, r.reads_pct, r.epoch) for r in view.routes.values()} == expected
            assert kept < 400 * tenants + 2e6 and peak < 800 * tenants + 4e6, (kept, peak)

            moved = move(world.classic, ids("customer-7"), Level.CLASSIC, **WORDS)
            assert wait_confirmed(world.classic, moved, TIMEOUT_S).confirmed == 1
            now = shim._current.view
            assert now.level(ids("customer-7")[0]) is Level.CLASSIC
            assert sum(now.routes[t] is not view.routes[t] for t in now.routes) == 1, "the others were not read again"
    finally:
        tracemalloc.stop()
