"""What a process does once writes are closed, and after the point of no return."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from migrator.errors import PreconditionFailed, WritesClosed
from migrator.model.route import WriteMode
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import QUICK, World, body, get, put

pytestmark = pytest.mark.pg

SETTLED = "INSERT INTO migrator.settled (epoch, write_mode, at, decisions) VALUES (1, 'limitless_only', now(), '')"


def test_writes_wait_while_they_are_closed_and_go_on_when_reopened(world: World) -> None:
    with world.shim() as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        eventually(lambda: shim._current.view.write_mode is WriteMode.CLOSED, "the process knows")
        thread = threading.Thread(target=shim.run_write, args=("t1", put("t1", 1, "hello")))
        thread.start()
        eventually(lambda: shim._current.waiting, "the write waits")
        assert body(world, "t1", 1) is None

        write_mode(world.classic, WriteMode.DUAL, who="test", reason="test")
        thread.join(TIMEOUT_S)

        assert body(world, "t1", 1) == "hello"


def test_closed_writes_give_up_after_their_bound(world: World) -> None:
    with world.shim(settings=replace(QUICK, closed_wait_s=0.1)) as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        eventually(lambda: shim._current.view.write_mode is WriteMode.CLOSED, "the process knows")

        with pytest.raises(WritesClosed):
            shim.write("t1").__enter__()


def test_a_write_that_slipped_through_is_refused_at_its_end(world: World) -> None:
    """The process had not heard that writes were closed; the transaction itself sees it."""
    with world.shim(settings=replace(QUICK, poll_s=0.9)) as shim, pytest.raises(WritesClosed):
        with shim.write("t1") as w:
            put("t1", 1, "late")(w)
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")

    assert body(world, "t1", 1) is None


def test_a_refusal_by_captures_own_triggers_is_retried(world: World) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            w.connection.execute("DO $$ BEGIN RAISE 'writes are closed' USING ERRCODE = 'MG001'; END $$")
        put("t1", 1, "hello")(w)

    with world.shim() as shim:
        shim.run_write("t1", fn)

    assert (calls, body(world, "t1", 1)) == (2, "hello")


def test_after_the_end_classic_is_not_needed(breakable: World, servers: Servers) -> None:
    world = breakable
    with world.shim("web-1", QUICK) as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        world.limitless.execute(SETTLED)
        epoch = write_mode(world.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test")
        eventually(lambda: confirmed(world.classic, epoch).confirmed == 1, "the process confirms the end")
        with pytest.raises(PreconditionFailed):
            roll_back(world.classic, all=True, who="ann", reason="too late")
        servers.classic.kill()

        shim.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")
        with world.shim("web-2", QUICK) as started_without_classic:
            assert started_without_classic.run_read("t1", get("t1", 1)) == ("limitless", "hello")
            started_without_classic.run_write("t1", put("t1", 2, "hello"))
            assert started_without_classic.run_read("t1", get("t1", 2)) == ("limitless", "hello")


def test_a_process_that_missed_the_end_asks_limitless(breakable: World, servers: Servers) -> None:
    """Classic went away before this process heard of it."""
    world = breakable
    with world.shim("web-1", QUICK) as shim:
        servers.classic.kill()
        world.limitless.execute(SETTLED)

        eventually(lambda: shim._current.settled, "it has asked limitless")
        shim.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")
