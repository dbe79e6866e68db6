"""A process is known by its id and a marker in its command line; who has left holds nothing any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.local import process
from migrator.poll import until
from migrator.rehearse.footprint import descendants, memory_mb

PARENT = """
import subprocess, sys
script = "import sys; print('up', flush=True); sys.stdin.read()"
argv = [sys.executable, "-c", script, "a marker (of ours)"]
child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()  # Popen returns while the new program is being loaded: it may have no command line yet
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that this module did not start through `process.spawn`, and the id of its child."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "the parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())


def test_a_process_is_known_by_its_marker(family: tuple[subprocess.Popen[str], int]) -> None:
    """An id alone may be somebody else's by now."""
    parent, child = family

    assert process.running(child, "a marker (of ours)") and process.running(parent.pid, "the parent")
    assert not process.running(child, "the parent")
    assert not process.running(None, "") and not process.running(0, "") and not process.running(-1, "")


def test_children_and_their_children_are_found(family: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = family

    assert process.children(parent.pid) == [child]
    assert process.children(child) == []
    assert {parent.pid, child} < descendants([os.getpid()])
    assert descendants([parent.pid, child]) == {parent.pid, child}


def test_a_zombie_has_left(family: tuple[subprocess.Popen[str], int]) -> None:
    """Nobody has asked for its end yet; it holds neither memory nor sockets."""
    parent, child = family
    os.kill(child, signal.SIGKILL)  # its parent does not wait for it before its own input ends

    assert process.wait_ended(child, "a marker (of ours)", 10)
    assert child in {*process.children(parent.pid), *descendants([parent.pid])}, "a zombie, not a process that is gone"
    assert memory_mb([child]) is None


def test_who_was_reaped_is_nobody(family: tuple[subprocess.Popen[str], int]) -> None:
    parent, child = family
    parent.communicate("")

    assert not process.running(child, "marker") and process.children(child) == []
    assert descendants([child]) == set() and memory_mb([parent.pid, child]) is None
    assert process.wait_ended(child, "a marker (of ours)", 0)


def test_memory_is_shared_out(family: tuple[subprocess.Popen[str], int]) -> None:
    """What both processes map counts once: less than both resident sizes, more than nothing."""
    import psutil

    parent, child = family
    resident = sum(psutil.Process(pid).memory_info().rss for pid in (parent.pid, child)) / (1 << 20)
    held = memory_mb([parent.pid])

    assert held is not None and 1 < held < resident


def test_a_process_that_will_not_leave_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    log = tmp_path / "log"
    pid = process.spawn([sys.executable, "-c", script, str(tmp_path)], log)
    assert until(lambda: log.read_text() == "up\n", 20, 0.01)

    process.end(pid, tmp_path, signal.SIGTERM, 0.1)

    assert not process.running(pid, tmp_path) and process.exit_code(pid) == -signal.SIGKILL


def test_a_free_port_is_none_of_outgoing_connections_and_none_twice() -> None:
    """What connects anywhere meanwhile cannot take it, and two that are drawn before one is used are two."""
    first = process._first_outgoing_port()

    found = [process.free_port() for _ in range(50)]

    assert len(set(found)) == 50
    assert all(process.LOWEST_PORT <= port < first and process.port_is_free(port) for port in found)
