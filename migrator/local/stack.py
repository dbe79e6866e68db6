"""Runs two PostgreSQL servers and Temporal on this machine; they stay up between commands.

The second server stands in for Limitless and is reached through routers.

`up` starts everything and is safe to call at any time: it keeps what runs, restarts what was killed, and
creates what is missing. Everything is under one directory; its `local.json` says where the servers are and is
readable by its owner only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from migrator.errors import UsageError
from migrator.local import process, standin
from migrator.local.faults import PortInUse
from migrator.local.replica import REPLICA_OPTIONS, make_replica
from migrator.local.routers import Routers
from migrator.local.server import Server, copy_cluster, make_cluster, password_of, programs, reachable_programs
from migrator.local.temporal import DevServer

DATABASE = "app"
SIDES = ("classic", "limitless")
FILE = "local.json"

# Where data goes when root works in a directory that the servers' account cannot enter.
ROOT_DATA = Path("/var/lib/migrator")


@dataclass(frozen=True)
class Stack:
    """The servers under one directory; each may be started, stopped, killed or frozen by itself.

    Clients reach `limitless` through `routers`.
    """

    home: Path
    classic: Server
    limitless: Server
    routers: Routers
    temporal: DevServer | None
    replica: Server | None = None  # of classic

    @property
    def classic_dsn(self) -> str:
        """A superuser's: on plain PostgreSQL event triggers need one; on Aurora rds_superuser is enough."""
        return self.classic.dsn(DATABASE)

    @property
    def replica_dsn(self) -> str:
        """The same on the replica; empty without one."""
        return "" if self.replica is None else self.replica.dsn(DATABASE)

    @property
    def servers(self) -> tuple[Server | Routers, ...]:
        """Everything but Temporal, in the order to stop it."""
        replica = () if self.replica is None else (self.replica,)
        return (self.routers, *replica, self.classic, self.limitless)

    @property
    def limitless_dsn(self) -> str:
        """An ordinary role's, through the routers."""
        return replace(self.limitless, port=self.routers.port).dsn(DATABASE, user=standin.DBA)


def up(home: Path, shards: int = 4, temporal: bool = True, pg_bin: Path | None = None, replica: bool = False) -> Stack:
    """Bring everything up, detached from this process; idempotent, also after kill -9 of anything.

    A remembered port that another process has taken is replaced by a free one. The number of shards counts when the
    stand-in is created. *replica* adds a streaming replica of classic. Raises LocalError.
    """
    home = home.resolve()
    _make_directory(home)
    with _alone(home):
        known = _read(home)
        data = _data_directory(home)
        binaries = reachable_programs(programs(pg_bin or _path(known.get("pg_bin"))), data)
        password = password_of(home)
        _make_clusters(data, binaries, password)
        stack = _stack(home, known, data, binaries, password, temporal)
        if stack.temporal is not None:
            _on_a_free_port(stack.temporal)
        for server in (stack.classic, stack.limitless):
            _start(server)
        stack.routers.server_port = stack.limitless.port
        _start(stack.routers)
        _prepare(stack, shards)
        if replica or stack.replica is not None:
            stack = replace(stack, replica=_with_replica(stack))
        if stack.temporal is not None:
            stack.temporal.wait_healthy()
        _write(stack, pg_bin)
        return stack


def attach(home: Path) -> Stack:
    """Return the stack that `up` made under *home*, running or not. Raises UsageError when there is none."""
    home = home.resolve()
    known = _read(home)
    if not known:
        raise UsageError(f"there are no local servers under {home}", hint="Start them with: migrator local up")
    data = _data_directory(home)
    binaries = reachable_programs(programs(_path(known.get("pg_bin"))), data)
    return _stack(home, known, data, binaries, password_of(home), "temporal" in known)


def down(home: Path) -> None:
    """Stop everything in order; data and ports are kept for the next `up`. Nothing to do when nothing runs."""
    home = home.resolve()
    if not _read(home):
        return
    with _alone(home):
        stack = attach(home)
        if stack.temporal is not None:
            stack.temporal.stop()
        for server in stack.servers:
            server.stop()


def destroy(home: Path) -> None:
    """Stop everything and delete the servers' data. Other files under *home* stay."""
    home = home.resolve()
    known = _read(home)
    down(home)
    if known:
        shutil.rmtree(known["data"], ignore_errors=True)
    for name in ("password", FILE):
        (home / name).unlink(missing_ok=True)


def status(home: Path) -> dict[str, Any]:
    """Return what runs, where, and for each part whether it answers. Holds no password."""
    home = home.resolve()
    if not _read(home):
        return {"home": str(home), "state": "absent", "parts": {}}
    stack = attach(home)
    parts: dict[str, dict[str, Any]] = {
        server.name: {"running": server.pid is not None, "pid": server.pid, "port": server.port, "log": str(server.log)}
        for server in stack.servers
    }
    if stack.temporal is not None:
        parts["temporal"] = {
            "running": stack.temporal.healthy(),
            "pid": stack.temporal.pid,
            "port": stack.temporal.port,
            "ui": stack.temporal.ui,
            "log": str(stack.temporal.log),
        }
    alive = [part["running"] for part in parts.values()]
    return {"home": str(home), "state": "up" if all(alive) else "partly up" if any(alive) else "down", "parts": parts}


def _stack(home: Path, known: dict[str, Any], data: Path, binaries: Path, password: str, temporal: bool) -> Stack:
    ports = known.get("ports", {})

    def port(name: str) -> int:
        return int(ports.get(name) or process.free_port())

    options = {"limitless": ("max_prepared_transactions=0",)}  # Limitless refuses PREPARE TRANSACTION
    classic, limitless = (
        Server(name, data / name, binaries, port(name), password, detached=True, options=options.get(name, ()))
        for name in SIDES
    )
    dev = DevServer(data, port("temporal"), port("ui"), detached=True) if temporal else None
    routers = Routers(data, port("routers"), limitless.port, detached=True)
    replica = None
    if "classic-replica" in ports:
        replica = replace(classic, name="classic-replica", data=data / "classic-replica", port=port("classic-replica"))
        replica.options = REPLICA_OPTIONS
    return Stack(home, classic, limitless, routers, dev, replica)


def _with_replica(stack: Stack) -> Server:
    """Return the running replica of classic, made when it is missing."""
    data = stack.classic.data.parent / "classic-replica"
    found = stack.replica
    if found is None or not data.exists():
        shutil.rmtree(data, ignore_errors=True)
        found = make_replica(stack.classic, data, process.free_port())
    _start(found)
    return found


def _make_clusters(data: Path, binaries: Path, password: str) -> None:
    """Create the data directories that are missing: one initdb, and a copy for the second."""
    for leftover in [*data.glob("*.tmp-*"), data / "template"]:  # of an interrupted `up`
        shutil.rmtree(leftover, ignore_errors=True)
    missing = [data / name for name in SIDES if not (data / name).exists()]
    if not missing:
        return
    template = data / "template"
    make_cluster(template, binaries, password)
    for each in missing[1:]:
        copy_cluster(template, each)
    template.rename(missing[0])


def _start(server: Server | Routers) -> None:
    """Start on the remembered port, or on a new one when another process has taken it."""
    if server.pid is None and not process.port_becomes_free(server.port):
        server.port = process.free_port()
    for _ in range(3):
        try:
            server.start()
            return
        except PortInUse:  # taken between the check and the start
            server.port = process.free_port()
    server.start()


def _on_a_free_port(dev: DevServer) -> None:
    if dev.pid is None:
        ports = (dev.port, dev.ui_port)
        dev.port, dev.ui_port = (p if process.port_becomes_free(p) else process.free_port() for p in ports)
    dev.launch()


def _prepare(stack: Stack, shards: int) -> None:
    """Create the databases, the tool's role on limitless, and the stand-in, as far as they are missing."""
    stack.classic.ensure_database(DATABASE)
    with psycopg.connect(stack.limitless.dsn(), autocommit=True) as conn:
        standin.create_role(conn, standin.DBA, stack.limitless.password)
    stack.limitless.ensure_database(DATABASE, owner=standin.DBA)
    with psycopg.connect(stack.limitless.dsn(DATABASE), autocommit=True) as conn:
        standin.install(conn, standin.DBA, shards)


def _data_directory(home: Path) -> Path:
    """Where data lives: under *home*, unless the servers' account cannot get there."""
    data = home / "servers"
    if not process.server_account().may_enter(data):
        data = ROOT_DATA / hashlib.sha256(str(home).encode()).hexdigest()[:12]
        _make_directory(ROOT_DATA)
    _make_directory(data)
    return data


def _make_directory(path: Path) -> None:
    """Create a directory others may pass through, whatever the umask; one that exists stays as it is."""
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(0o755)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _read(home: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((home / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if "data" in found else {}


def _write(stack: Stack, pg_bin: Path | None) -> None:
    """Record where everything is, for commands to come; all of it or nothing, readable by this account only."""
    dev = stack.temporal
    facts: dict[str, Any] = {
        "classic": stack.classic_dsn,
        "limitless": stack.limitless_dsn,
        "pids": {server.name: server.pid for server in stack.servers},
        "ports": {server.name: server.port for server in stack.servers},
        "data": str(stack.classic.data.parent),
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if pg_bin is not None:
        facts["pg_bin"] = str(pg_bin.absolute())
    if dev is not None:
        facts |= {"temporal": dev.address, "ui": dev.ui}
        facts["pids"]["temporal"] = dev.pid
        facts["ports"] |= {"temporal": dev.port, "ui": dev.ui_port}
    unfinished = stack.home / f"{FILE}.new"
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(facts, stream, indent=2)
    unfinished.replace(stack.home / FILE)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one command at a time change what runs under *home*."""
    with (home / "local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
