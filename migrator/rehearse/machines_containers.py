"""Runs a rehearsal on the containers of docker-compose.yml, and breaks them, from the host.

Only containers that carry the compose file's labels are ever touched, at the addresses their engine publishes, and
in them only a database of our own: a plan cannot lead a rehearsal to a real cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import psycopg
from psycopg import conninfo

from migrator.errors import UsageError
from migrator.local import compose
from migrator.poll import until
from migrator.rehearse.stage import Machines

DATABASE = "rehearsal"
WITHOUT_DOCKER = "Without Docker: migrator rehearse plans/demo.toml"
BRING_UP = f"Bring the stack up: docker compose up --detach --wait. {WITHOUT_DOCKER}"


def docker(*words: str, timeout_s: float = 60) -> str:
    """Run the docker program and return what it printed.

    Raises:
        UsageError: there is none, no engine answers it, or it refuses; with the engine's own text.
    """
    try:
        done = subprocess.run(
            ["docker", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except FileNotFoundError:
        raise UsageError(
            "this plan runs on containers, and no docker program is installed", hint=WITHOUT_DOCKER
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"docker {words[0]} did not end within {timeout_s:.0f} s", hint=WITHOUT_DOCKER) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        why = next((line for line in said.splitlines() if "rror" in line), said.rpartition("\n")[2])
        raise UsageError(f"docker {words[0]}: {why or 'failed'}", hint=f"{next_step(said)}{WITHOUT_DOCKER}")
    return done.stdout


def next_step(said: str) -> str:
    """Return the remedy for a known refusal of the engine, followed by a space; else ''."""
    said = said.lower()
    if "permission denied" in said and "socket" in said:
        return "This account may not use the engine: add it to the group docker, or use root. "
    if "cannot connect" in said or "is the docker daemon running" in said:
        return "Start the engine, for example with: systemctl start docker. "
    if "port is already allocated" in said or "address already in use" in said:
        return (
            "Another program has that port: stop it, or choose others with CLASSIC_PORT, LIMITLESS_PORT, "
            "ROUTERS_PORT, TEMPORAL_PORT and TEMPORAL_UI_PORT, and docker compose up --detach --wait again. "
        )
    return ""


@dataclass(frozen=True)
class Container:
    """One container of the stack."""

    id: str
    role: str

    @classmethod
    def of(cls, role: str) -> Container:
        """Find the container of a role, running or not.

        Raises:
            UsageError: there is none, or more than one and COMPOSE_PROJECT_NAME does not choose.
        """
        filters = ["--filter", f"label=migrator.role={role}"]
        project = os.environ.get("COMPOSE_PROJECT_NAME")
        if project:
            filters += ["--filter", f"label=com.docker.compose.project={project}"]
        ids = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        if not ids:
            raise UsageError(f"there is no {role} container", hint=BRING_UP)
        if len(ids) > 1:
            raise UsageError(
                f"there are {len(ids)} {role} containers",
                hint=f"Choose a stack: export COMPOSE_PROJECT_NAME=… {WITHOUT_DOCKER}",
            )
        return cls(ids[0], role)

    def facts(self) -> dict[str, Any]:
        ids: list[dict[str, Any]] = json.loads(docker("inspect", self.id))
        return ids[0]

    def variable(self, name: str) -> str:
        """Return an environment variable of the container: that is where the rehearsal's password is."""
        pairs: list[str] = self.facts()["Config"]["Env"]
        return next((p.partition("=")[2] for p in pairs if p.startswith(f"{name}=")), "")

    def address(self, port: int) -> tuple[str, str]:
        """Return host and port where *port* is published; they may change when the container is started again."""
        published = docker("port", self.id, f"{port}/tcp").splitlines()
        if not published:
            raise UsageError(f"the {self.role} container publishes no port", hint=BRING_UP)
        host, _, number = published[0].rpartition(":")
        return ("127.0.0.1" if host in ("0.0.0.0", "[::]") else host), number

    @property
    def state(self) -> str:
        return str(self.facts()["State"]["Status"])

    def make_run(self) -> None:
        """Let it run, paused, stopped or killed before."""
        match self.state:
            case "running":
                return
            case "paused":
                docker("unpause", self.id)
            case _:
                docker("start", self.id)

    def kill(self) -> None:
        if self.state == "running":
            docker("kill", self.id)

    def stop(self) -> None:
        docker("stop", "--time", "10", self.id)

    def last_log_line(self) -> str:
        """Return the last line of its log."""
        with contextlib.suppress(UsageError, subprocess.SubprocessError, OSError):
            done = subprocess.run(
                ["docker", "logs", "--tail", "3", self.id], capture_output=True, text=True, timeout=10
            )
            return (done.stdout + done.stderr).strip().rpartition("\n")[2]
        return ""


class ContainerMachines(Machines):
    """Classic, Limitless behind routers and Temporal in containers that exist before and after the rehearsal."""

    start = "in their containers, with empty databases"
    crashes = "crashes (SIGKILL)"
    stopped = "stopped"

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._containers = {role: Container.of(role) for role in ("classic", "limitless", "routers", "temporal")}
        self._dsns: tuple[str, str] | None = None

    def up(self) -> None:
        """Wait until all of them answer, and make an empty database on both servers."""
        for container in self._containers.values():
            container.make_run()
        for role in ("classic", "limitless"):
            self._wait(role, partial(self._connect, role))
        self._wait("temporal", self._ask_temporal)
        classic, behind = compose.fresh(
            self._admin("classic"), self._admin("limitless"), self._tool(), DATABASE, self._shards
        )
        host, port = self._containers["routers"].address(5432)
        self._dsns = (classic, conninfo.make_conninfo(behind, host=host, port=port))
        self._wait("routers", lambda: psycopg.connect(self.limitless, connect_timeout=2).close())

    def down(self) -> None:
        """Leave the stack as it was found: everything runs."""
        for container in self._containers.values():
            container.make_run()

    def remove(self) -> None:
        """The databases stay until the next rehearsal; `docker compose down --volumes` removes everything."""
        self.down()

    def pids(self) -> list[int]:
        """The engine's processes count for the memory where they are this kernel's."""
        found = [int(c.facts()["State"]["Pid"]) for c in self._containers.values()]
        return [pid for pid in found if pid and psutil.pid_exists(pid)]

    def environment(self) -> dict[str, str]:
        host, port = self._containers["temporal"].address(7233)
        return {
            "MIGRATOR_CLASSIC_DSN": self.classic,
            "MIGRATOR_LIMITLESS_DSN": self.limitless,
            "MIGRATOR_TEMPORAL": f"{host}:{port}",
        }

    def left_out(self) -> list[str]:
        return []

    @property
    def classic(self) -> str:
        return self._running[0]

    @property
    def limitless(self) -> str:
        return self._running[1]

    def kill_limitless(self) -> None:
        self._containers["limitless"].kill()

    def start_limitless(self) -> None:
        self._start("limitless")

    def kill_classic(self) -> None:
        self._containers["classic"].kill()

    def start_classic(self) -> None:
        self._start("classic")

    def stop_temporal(self) -> None:
        self._containers["temporal"].stop()

    def start_temporal(self) -> None:
        self._containers["temporal"].make_run()
        self._wait("temporal", self._ask_temporal)

    def stop_classic(self) -> None:
        self._containers["classic"].stop()

    @property
    def _running(self) -> tuple[str, str]:
        if self._dsns is None:
            raise RuntimeError("the databases were not made")
        return self._dsns

    def _start(self, role: str) -> None:
        self._containers[role].make_run()
        self._wait(role, partial(self._connect, role))

    def _connect(self, role: str) -> None:
        psycopg.connect(self._admin(role), connect_timeout=2).close()

    def _admin(self, role: str) -> str:
        """Return the superuser's DSN, at the present address."""
        container = self._containers[role]
        host, port = container.address(5432)
        return conninfo.make_conninfo(
            host=host,
            port=port,
            user=container.variable("POSTGRES_USER"),
            password=container.variable("POSTGRES_PASSWORD"),
            dbname="postgres",
        )

    def _tool(self) -> str:
        return conninfo.make_conninfo(self._admin("limitless"), user="dba")

    def _ask_temporal(self) -> None:
        docker("exec", self._containers["temporal"].id, "temporal", "operator", "cluster", "health")

    def _wait(self, role: str, ask: Callable[[], object], timeout_s: float = 60) -> None:
        container = self._containers[role]

        def answers() -> bool | None:
            try:
                ask()
            except (psycopg.OperationalError, UsageError):
                return None if container.state in ("exited", "dead") else False  # None: it never will
            return True

        if not until(answers, timeout_s, 0.1, done=lambda seen: seen is not False):
            raise UsageError(
                f"the {role} container is {container.state} and does not answer; its log ends with: "
                f"{container.last_log_line() or '(nothing)'}",
                hint=f"See docker compose logs {role}. {WITHOUT_DOCKER}",
            )
