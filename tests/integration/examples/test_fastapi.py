"""The FastAPI example under uvicorn. tests/workflow/test_flavours.py migrates it under its clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.conftest import world as world
from tests.integration.traffic.world import World, ids

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]


@contextmanager
def served(world: World, *options: str) -> Iterator[str]:
    """The address of the application, in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = {"NOTES_CLASSIC": world.classic_dsn, "NOTES_LIMITLESS": world.limitless_dsn, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples/fastapi"), "app:app",
         "--fd", str(listener.fileno()), "--log-level", "warning", *options],
        pass_fds=[listener.fileno()], env={**os.environ, **settings},
    )  # fmt: skip
    address = "http://{}:{}".format(*listener.getsockname())
    try:
        yield address
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        listener.close()


def registered(world: World) -> int:
    row = world.classic.execute("SELECT count(*) FROM migrator.process").fetchone()
    assert row is not None
    return int(row[0])


def test_each_worker_is_a_process_of_its_own(world: World) -> None:
    """Whichever of them answers: a caller sees its own note, and after a rollback all read classic."""

    options: Any = {"timeout": TIMEOUT_S, "verify": False}  # no certificates are read for each request

    def written_and_read(number: int) -> str:
        path = f"{address}/t1/notes/{number}"
        wrote = httpx.put(path, json={"body": str(number)}, **options).raise_for_status()
        found = httpx.get(path, cookies=wrote.cookies, **options).raise_for_status().json()
        assert found["body"] == str(number)
        return str(found["side"])

    def seen_by_another(number: int) -> str:
        return str(httpx.get(f"{address}/t1/notes/{number}", **options).raise_for_status().json()["side"])

    with served(world, "--workers", "2") as address, world.mirror(), ThreadPoolExecutor(4) as clients:
        eventually(lambda: registered(world) == 2, "both are there")
        assert set(clients.map(written_and_read, range(20))) == {"classic"}
        moved = promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S)
        assert moved.done, moved
        seen = set(clients.map(written_and_read, range(20, 40)))
        assert seen <= {"classic", "limitless"}
        eventually(lambda: set(clients.map(seen_by_another, range(20))) == {"limitless"}, "it has moved")
        assert roll_back(world.classic, all=True, who="test", reason="test", timeout_s=TIMEOUT_S).complete
        assert set(clients.map(written_and_read, range(60, 80))) == {"classic"}
    eventually(lambda: registered(world) == 0, "both have said goodbye")


def test_it_answers_what_is_not_there_and_a_damaged_cookie_and_leaves_the_register(world: World) -> None:
    with served(world) as address, world.mirror(), httpx.Client(base_url=address, timeout=TIMEOUT_S) as browser:
        eventually(lambda: _answers(browser), "the application answers", every_s=0.05)
        assert browser.get("/t1/notes/0").status_code == 404
        assert browser.put("/t1/notes/0", json={"body": "x"}, headers={"cookie": "writes=nonsense"}).is_success
        assert browser.get("/t1/notes/0").json() == {"body": "x", "side": "classic"}
        assert browser.get("/health").json()["reads"]["classic"] > 0
    row = world.classic.execute("SELECT count(*) FROM migrator.process").fetchone()
    assert row == (0,), "it has taken itself off the register"


def _answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/health").is_success
    except httpx.HTTPError:
        return False
