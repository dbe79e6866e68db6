"""A process is forked with a shim in it: each child is a process of its own, and the parent notices nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from migrator.testing import Asked, MemoryShim
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]

Found = list[dict[str, Any]]


def program(world: World, scenario: str, threads: bool = True) -> list[str]:
    told = json.dumps([scenario, world.classic_dsn, world.limitless_dsn, threads])
    return [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.integration.traffic.forking", told]


def run(world: World, scenario: str, threads: bool = True) -> Found:
    done = subprocess.run(
        program(world, scenario, threads), cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [one for one in found if "error" in one]
    return found


def registered(world: World) -> set[str]:
    return {row[0] for row in world.classic.execute("SELECT process_id FROM migrator.process")}


def check_blocks(found: Found) -> None:
    """Each saw its own writes, on sessions that nobody else used."""
    users: dict[int, set[int]] = {}
    for one in found:
        assert one["read"] == f"by {one['number']}"
        for backend in one["backends"]:
            users.setdefault(backend, set()).add(one["pid"])
    assert [pids for pids in users.values() if len(pids) > 1] == []


@pytest.mark.parametrize("threads", [True, False])
def test_children_are_processes_of_their_own(world: World, threads: bool) -> None:
    found = run(world, "children", threads)
    before, silent, _, after = found
    check_blocks(found)
    assert before["process_id"] == after["process_id"]
    assert len({one["process_id"] for one in found}) == 3
    assert set(after["backends"]) & set(before["backends"]), "the parent's sessions were not ended"
    assert registered(world) == {silent["process_id"]}, "which never said goodbye"


def test_children_fork_as_well(world: World) -> None:
    found = run(world, "grandchildren")
    check_blocks(found)
    assert [one["number"] for one in found] == [1, 2, 1, 0]
    assert len({one["process_id"] for one in found}) == 3


def test_a_child_that_leaves_through_its_parents_blocks_closes_its_own(world: World) -> None:
    found = run(world, "unwinding")
    check_blocks(found)
    assert found[0]["process_id"] == found[2]["process_id"]
    assert set(found[0]["backends"]) & set(found[2]["backends"])
    assert registered(world) == set()


def test_blocks_that_were_open_belong_to_the_parent(world: World) -> None:
    found = run(world, "in_blocks")
    assert found[:3] == [{"lost": True}] * 3  # a read that is lost says so when it is used
    check_blocks([one for one in found if "lost" not in one])
    assert world.classic.execute("SELECT body FROM app.note WHERE id = 0").fetchall() == [("parent's",)]


def test_a_shim_that_is_opened_in_each_child_has_an_id_in_each(world: World) -> None:
    *found, refused = run(world, "before_open")
    assert len({one["process_id"] for one in found}) == 2
    assert refused == {"refused": "the shim is not open"}
    assert registered(world) == set()


def test_one_that_was_closed_before_stays_closed(world: World) -> None:
    assert run(world, "closed") == [{"refused": "the shim is closed"}]


def test_a_fork_that_python_was_not_told_of_is_noticed(world: World) -> None:
    before, child, after = run(world, "untold")
    check_blocks([before, child, after])
    assert before["process_id"] == after["process_id"] != child["process_id"]
    assert set(after["backends"]) & set(before["backends"])


def test_workers_of_multiprocessing(world: World) -> None:
    found = run(world, "pool")
    check_blocks(found)
    assert len({one["process_id"] for one in found}) == 1 + len({one["pid"] for one in found[1:-1]})


def test_sessions_of_a_parent_that_dies_end_while_its_child_lives(world: World) -> None:
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrator-shim:web'"
    with subprocess.Popen(
        program(world, "orphan"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        json.loads(parent.stdout.readline())
        child = json.loads(parent.stdout.readline())["child"]
        try:
            assert world.classic.execute(sessions).fetchone() != (0,)
            parent.kill()
            parent.wait()
            eventually(lambda: world.classic.execute(sessions).fetchone() == (0,), "the sessions end")
            os.kill(child, 0)  # it lives
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_a_shim_for_tests_goes_on_with_a_copy_in_a_child() -> None:
    def answers(asked: Asked) -> list[list[Any]]:
        asked.state.append(asked.text)
        return [[len(asked.state)]]

    with MemoryShim(answers, state=[]) as shim:
        shim.run_write("t1", lambda w: w.connection.execute("INSERT INTO note VALUES (1)"))
        shim._pid = shim._usable = os.getpid() - 1  # as a child finds it
        assert shim.run_read("t1", lambda r: r.connection.execute("SELECT").fetchone()) == [2]
