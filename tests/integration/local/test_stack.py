"""Two servers and Temporal, up between commands, whatever was killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client

from migrator.errors import UsageError
from migrator.local import standin
from migrator.local.stack import Stack, attach, destroy, down, status, up

PARTS = ("classic", "limitless", "routers", "temporal")

pytestmark = [pytest.mark.pg, pytest.mark.temporal]


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A stack made by another process that has ended since."""
    path = Path(tempfile.mkdtemp(prefix="migrator-tests-"))
    path.chmod(0o755)
    script = (
        "import sys; from pathlib import Path; from migrator.local.stack import up;"
        "up(Path(sys.argv[1]), shards=3, pg_bin=Path(sys.argv[2]) if sys.argv[2] else None)"
    )
    subprocess.run([sys.executable, "-c", script, path, request.config.getoption("pg_bin") or ""], check=True)
    yield path
    destroy(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def stack(home: Path) -> Stack:
    return up(home)


def alive(home: Path) -> dict[str, bool]:
    return {name: part["running"] for name, part in status(home)["parts"].items()}


def test_servers_outlive_the_command_that_started_them(home: Path) -> None:
    """The process of the fixture is gone, its servers are not."""
    assert alive(home) == dict.fromkeys(PARTS, True)


@pytest.mark.usefixtures("stack")
def test_up_twice_keeps_every_process(home: Path) -> None:
    """The second `up` finds the first one's servers and agrees with them."""
    pids = {name: part["pid"] for name, part in status(home)["parts"].items()}
    up(home)

    assert {name: part["pid"] for name, part in status(home)["parts"].items()} == pids


def test_the_file_says_where_everything_is(home: Path, stack: Stack) -> None:
    """Connection strings work; only the owner may read them."""
    facts = json.loads((home / "local.json").read_text())
    with psycopg.connect(facts["classic"]) as classic, psycopg.connect(facts["limitless"]) as limitless:
        found = standin.is_limitless(classic), standin.is_limitless(limitless)
        shards = limitless.execute(
            "SELECT count(*) FROM rds_aurora.limitless_subclusters WHERE subcluster_type = 'shard'"
        ).fetchone()

    assert found == (False, True)
    assert shards == (3,)
    assert (home / "local.json").stat().st_mode & 0o777 == 0o600
    assert facts["pids"] == {name: part["pid"] for name, part in status(home)["parts"].items()}
    assert stack.classic.password not in json.dumps(status(home))


@pytest.mark.parametrize("part", PARTS)
def test_what_was_killed_comes_back_on_its_port(home: Path, stack: Stack, part: str) -> None:
    """kill -9 of one part: the others stay, `up` brings it back where it was."""
    before = status(home)["parts"]
    os.kill(before[part]["pid"], signal.SIGKILL)
    while status(home)["parts"][part]["running"]:
        pass
    assert alive(home) == {name: name != part for name in before}

    up(home)

    after = status(home)["parts"]
    assert {name: each["port"] for name, each in after.items()} == {n: e["port"] for n, e in before.items()}
    assert {name: each["pid"] for name, each in after.items() if name != part} == {
        name: each["pid"] for name, each in before.items() if name != part
    }
    assert all(each["running"] for each in after.values())


async def test_workflow_history_survives_a_kill(stack: Stack) -> None:
    """Temporal's file keeps what was started; the address stays the same."""
    assert stack.temporal is not None
    client = await Client.connect(stack.temporal.address)
    handle = await client.start_workflow("nobody-runs-this", id="kept", task_queue="none")

    stack.temporal.kill()
    stack.temporal.start()

    again = await Client.connect(stack.temporal.address)
    described = await again.get_workflow_handle("kept").describe()
    assert described.run_id == handle.first_execution_run_id
    await again.get_workflow_handle("kept").terminate()


def test_down_stops_and_up_goes_on(home: Path, stack: Stack) -> None:
    """Data and ports survive; down twice is down once."""
    with psycopg.connect(stack.classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
    ports = stack.classic.port, stack.limitless.port

    down(home)
    down(home)
    assert alive(home) == dict.fromkeys(PARTS, False)
    again = up(home)

    assert (again.classic.port, again.limitless.port) == ports
    with psycopg.connect(again.classic_dsn) as conn:
        assert conn.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)


def test_a_port_taken_meanwhile_is_replaced(home: Path, stack: Stack) -> None:
    """A stranger on a remembered port keeps it; the file names the new one."""
    down(home)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", stack.limitless.port))
        stranger.listen()
        again = up(home)

    assert again.limitless.port != stack.limitless.port
    assert str(again.limitless.port) == str(json.loads((home / "local.json").read_text())["ports"]["limitless"])
    with psycopg.connect(again.limitless_dsn) as conn:  # the routers know where it is now
        assert standin.is_limitless(conn)


def test_the_routers_port_taken_meanwhile_is_replaced(home: Path, stack: Stack) -> None:
    """Clients are told the new port."""
    down(home)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", stack.routers.port))
        stranger.listen()
        again = up(home)

    assert again.routers.port != stack.routers.port
    assert str(again.routers.port) in json.loads((home / "local.json").read_text())["limitless"]


def test_an_interrupted_first_start_is_taken_up(tmp_path: Path) -> None:
    """Half-made data directories of a killed `up` are in nobody's way."""
    home = Path(tempfile.mkdtemp(prefix="migrator-tests-"))
    home.chmod(0o755)
    (home / "servers" / "classic.tmp-dead").mkdir(parents=True)
    (home / "servers" / "template").mkdir()
    try:
        stack = up(home, temporal=False)
        assert alive(home) == {"classic": True, "limitless": True, "routers": True}
        assert sorted(path.name for path in stack.classic.data.parent.iterdir() if path.is_dir()) == [
            "classic",
            "limitless",
        ]
    finally:
        destroy(home)
        shutil.rmtree(home)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    """Without servers, status says so, down does nothing, and attach says what to do."""
    down(tmp_path)

    assert status(tmp_path)["state"] == "absent"
    with pytest.raises(UsageError, match="no local servers"):
        attach(tmp_path)


def test_a_replica_follows_classic_and_comes_back_with_it(home: Path) -> None:
    """Made when it is asked for; from then on every `up` starts it, and `down` stops it."""
    made = up(home, replica=True)
    assert made.replica is not None
    port = made.replica.port
    down(home)
    assert made.replica.pid is None

    again = up(home)

    assert again.replica is not None and again.replica.port == port
    assert alive(home)["classic-replica"]
    with psycopg.connect(again.replica_dsn) as conn:
        assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
