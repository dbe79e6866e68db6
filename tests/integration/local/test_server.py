"""One embedded server: made whole or not at all, killed, recovered, and clear about what is wrong."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator.local import process
from migrator.local.faults import PortInUse, ProgramsMissing, ServerFailed
from migrator.local.server import Server, make_cluster, password_of, programs, reachable_programs

pytestmark = pytest.mark.pg


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="migrator-tests-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def server(home: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    binaries = reachable_programs(programs(request.config.getoption("pg_bin")), home)
    password = password_of(home)
    make_cluster(home / "data", binaries, password)
    server = Server("classic", home / "data", binaries, process.free_port(), password)
    yield server
    server.thaw()
    server.kill()


def one(server: Server, query: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def test_starting_twice_is_starting_once(server: Server) -> None:
    """The second start finds the first one's process."""
    server.start()
    first = server.pid
    server.start()

    assert server.pid == first is not None


def test_it_is_set_up_for_a_migration(server: Server) -> None:
    """WAL for logical decoding, prepared transactions, statistics, and a password for everybody."""
    server.start()
    found = {name: one(server, f"SHOW {name}") for name in ("wal_level", "max_prepared_transactions", "fsync")}

    assert found == {"wal_level": "logical", "max_prepared_transactions": "10", "fsync": "off"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.dsn(password="wrong"))


def test_a_kill_loses_nothing_committed(server: Server) -> None:
    """Killed again and again in mid-flight, the server recovers on the same port."""
    server.start()
    with psycopg.connect(server.dsn()) as conn:
        conn.execute("CREATE TABLE t (n int)")
    for n in range(3):
        conn = psycopg.connect(server.dsn())
        conn.execute("INSERT INTO t VALUES (%s)", [n])
        conn.commit()
        conn.execute("INSERT INTO t VALUES (-1)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
        conn.close()
        server.start()

    assert one(server, "SELECT array_agg(n ORDER BY n) FROM t") == [0, 1, 2]


def test_a_frozen_server_answers_nobody_until_thawed(server: Server) -> None:
    """Sockets stay open, nothing comes back; afterwards all is as before."""
    server.start()
    server.freeze()
    try:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn(), connect_timeout=2)
    finally:
        server.thaw()

    assert one(server, "SELECT 1") == 1


def test_a_pid_file_of_a_stranger_does_not_stop_a_start(server: Server) -> None:
    """After a reboot the recorded number may belong to somebody else; that process is left alone."""
    server.start()
    server.stop()
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.data}\n0\n{server.port}\n\n127.0.0.1\n\n")
    process.server_account().own(pid_file)

    assert server.pid is None
    server.start()

    assert server.pid not in (None, os.getpid())


def test_a_taken_port_is_named(server: Server) -> None:
    """Somebody else on the port is a clear error, and their connections are not taken for ours."""
    server.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", server.port))
        stranger.listen()
        with pytest.raises(PortInUse) as refusal:
            server.start()

    assert refusal.value.port == server.port
    server.start()


def test_a_server_that_cannot_start_shows_its_log(server: Server) -> None:
    """The error carries what the server said."""
    server.stop()
    broken = Server("classic", server.data, server.bin, server.port, server.password, options=("no_such_setting=1",))
    with pytest.raises(ServerFailed, match="no_such_setting"):
        broken.start()


def test_missing_programs_are_named() -> None:
    """What to install is in the error."""
    with pytest.raises(ProgramsMissing) as refusal:
        programs(Path("/nowhere"))

    assert "pip install" in refusal.value.hint


def test_the_password_is_ours_alone(home: Path) -> None:
    """Made once, readable by its owner only, and no part of a server's representation."""
    server = Server("classic", home / "x", home, 1, password_of(home))

    assert (home / "password").stat().st_mode & 0o777 == 0o600
    assert password_of(home) == password_of(home)
    assert server.password not in repr(server)
