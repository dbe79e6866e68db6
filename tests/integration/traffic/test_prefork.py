"""Servers that fork their workers: gunicorn, with the application loaded before and after the fork, and Celery."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World, ids

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

MODULE = "tests.integration.traffic.prefork"
WORDS: dict[str, Any] = {"who": "test", "reason": "test", "timeout_s": TIMEOUT_S}


@contextmanager
def server(world: World, where: Path, command: list[str], **told: Any) -> Iterator[subprocess.Popen[bytes]]:
    at = where / "told.json"
    at.write_text(json.dumps({"classic": world.classic_dsn, "limitless": world.limitless_dsn, **told}))
    log = where / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "TOLD": str(at)}
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


class _Local(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def ask(path: Path, number: int) -> Any:
    connection = _Local(path)
    try:
        connection.request("GET", f"/{number}")
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())
    finally:
        connection.close()


def answers(path: Path) -> bool:
    try:
        ask(path, 0)
    except OSError:
        return False
    return True


def registered(world: World) -> set[str]:
    return {row[0] for row in world.classic.execute("SELECT process_id FROM migrator.process")}


@pytest.mark.parametrize(
    "options, opened",
    [
        (["--preload"], True),
        (["--preload"], False),
        ([], True),
        (["-k", "gthread", "--threads", "4", "--preload"], True),
    ],
    ids=["opened before the fork", "opened in each worker", "loaded in each worker", "workers with threads"],
)
def test_gunicorn(world: World, tmp_path: Path, options: list[str], opened: bool) -> None:
    at = tmp_path / "http"
    command = ["gunicorn", "-w", "2", "-b", f"unix:{at}", "-c", f"python:{MODULE}", *options, f"{MODULE}:application"]
    with server(world, tmp_path, command, open=opened):
        eventually(lambda: answers(at), "it serves")
        found: list[dict[str, Any]] = []

        def both_read(side: str) -> bool:
            """Ask several times at once, so that both have something to do."""
            numbers = range(len(found), len(found) + 8)
            now = list(clients.map(partial(ask, at), numbers))
            found.extend(now)
            return {(one["pid"], one["side"]) for one in now} == {(pid, side) for pid in {one["pid"] for one in found}}

        with ThreadPoolExecutor(8) as clients, world.mirror():
            eventually(lambda: both_read("classic") and len({one["pid"] for one in found}) == 2, "both have answered")
            assert promote_reads(world.classic, tenants=ids("t1"), **WORDS).done
            eventually(lambda: both_read("limitless"), "both read limitless")
            assert roll_back(world.classic, all=True, **WORDS).complete
            before = len(found)
            eventually(lambda: both_read("classic"), "both read classic")
            assert {one["side"] for one in found[before:]} == {"classic"}
        for number, one in enumerate(found):
            assert one["body"] == f"by {number}"
        assert len({one["process_id"] for one in found}) == len({one["pid"] for one in found}) == 2
        assert {one["process_id"] for one in found} <= registered(world)
    assert registered(world) == set(), "workers and parent said goodbye"


def test_celery(world: World, tmp_path: Path) -> None:
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    command = ["celery", "-A", f"{MODULE}:celery", "worker", "-P", "prefork", "-c", "2", "--without-gossip",
               "--without-mingle", "--without-heartbeat", "-l", "WARNING"]  # fmt: skip
    with server(world, tmp_path, command, open=True, folder=str(tmp_path)):
        program = (
            f"from {MODULE} import task, shim\nimport json\nsent = [task.delay(n) for n in range(12)]\n"
            f"print(json.dumps([one.get(timeout={TIMEOUT_S}) for one in sent]))\nshim.close()"
        )
        environment = {**os.environ, "TOLD": str(tmp_path / "told.json")}
        tasks = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
        )
        found = json.loads(tasks.stdout)
        assert [one["body"] for one in found] == [f"by {n}" for n in range(12)]
        assert len({one["process_id"] for one in found}) == len({one["pid"] for one in found})
        assert {one["process_id"] for one in found} <= registered(world)
    assert registered(world) == set(), "workers and parent said goodbye"
