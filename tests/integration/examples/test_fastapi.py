"""The FastAPI example under uvicorn. tests/workflow/test_flavours.py migrates it under its clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.conftest import world as world
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]


@contextmanager
def served(world: World) -> Iterator[str]:
    """The address of the application, in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = {"NOTES_CLASSIC": world.classic_dsn, "NOTES_LIMITLESS": world.limitless_dsn, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples/fastapi"), "app:app",
         "--fd", str(listener.fileno()), "--log-level", "warning"],
        pass_fds=[listener.fileno()], env={**os.environ, **settings},
    )  # fmt: skip
    address = "http://{}:{}".format(*listener.getsockname())
    try:
        yield address
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        listener.close()


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
