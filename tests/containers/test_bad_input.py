"""Containers that cannot be had: one clear message, the next step, and the embedded way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from migrator.errors import UsageError
from migrator.local.process import free_port
from migrator.rehearse.machines_containers import WITHOUT_DOCKER, ContainerMachines, next_step
from tests.fixtures import containers
from tests.fixtures.containers import EMBEDDED, docker, pair_of, require_engine

PROJECT = f"migrator-test-bad-{os.getpid()}"


def test_no_docker_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.UsageError, match=f"no docker program here; {EMBEDDED}"):
        require_engine()


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(
        pytest.UsageError, match=r"Cannot connect to the Docker daemon.*systemctl start docker.*Or leave"
    ):
        require_engine()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom the engine refuses")
def test_an_engine_without_permission() -> None:
    """Asked by an account that the engine's socket is closed to, with the engine's own words."""
    asked = subprocess.run(
        ["docker", "version"], user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True
    )
    assert "permission denied" in asked.stderr
    said = next_step(asked.stderr)
    assert "add it to the group docker" in said


def test_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "IMAGE", "localhost:1/nowhere/postgres:16")
    with pytest.raises(pytest.UsageError, match=r"cannot be pulled; \.ci/images/build makes one.*or leave"):
        require_engine()


def test_a_container_that_dies_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the server said, and not as one that does not answer in time."""
    monkeypatch.setattr(containers, "SETTINGS", ("no_such_setting=on",))
    with pytest.raises(pytest.UsageError) as said, pair_of(containers.IMAGE, containers.IMAGE):
        pass
    assert "exited and does not answer" in str(said.value)
    assert "no_such_setting" in str(said.value)
    assert EMBEDDED in str(said.value)


def test_a_port_taken_in_the_meantime_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(create_server(("0.0.0.0", 0))) as taken:
        ports = iter([taken.getsockname()[1], *(free_port() for _ in range(9))])
        monkeypatch.setattr(containers, "free_port", lambda: next(ports))
        with pair_of(containers.IMAGE, containers.IMAGE, durable=False) as machines:
            assert machines.classic is not None
            assert f":{taken.getsockname()[1]}/" not in machines.classic.dsn()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The containers a rehearsal looks for, as compose labels them; none of them runs."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", PROJECT)
    try:
        yield
    finally:
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        docker("rm", "--force", "--volumes", *found)


def container(role: str, *command: str, port: int | None = None) -> None:
    labels = (f"com.docker.compose.project={PROJECT}", f"migrator.role={role}")
    words = [word for label in labels for word in ("--label", label)]
    words += ["--publish", f"127.0.0.1:{port or ''}:5432", "--env", "POSTGRES_PASSWORD=rehearsal"]
    docker("create", *words, containers.IMAGE, *command)


def test_a_rehearsal_on_a_server_that_dies_at_start(stack: None) -> None:
    container("classic", "postgres", "-c", "no_such_setting=on")
    for role in ("limitless", "routers", "temporal"):
        container(role, "sleep", "60")
    machines = ContainerMachines(4)
    with pytest.raises(UsageError) as said:
        machines.up()
    assert "the classic container is exited and does not answer" in str(said.value)
    assert "no_such_setting" in str(said.value)
    assert "docker compose logs classic" in said.value.hint and WITHOUT_DOCKER in said.value.hint


def test_a_rehearsal_on_a_port_that_is_taken(stack: None) -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        for role in ("classic", "limitless", "routers", "temporal"):
            container(role, "sleep", "60", port=taken.getsockname()[1] if role == "classic" else None)
        with pytest.raises(UsageError) as said:
            ContainerMachines(4).up()
    assert "docker start" in str(said.value) and "address already in use" in str(said.value)
    assert "CLASSIC_PORT" in said.value.hint and WITHOUT_DOCKER in said.value.hint
