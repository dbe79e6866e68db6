"""A plan on containers where there are none: one message with the next step, and the way without Docker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrator.plan.load import load
from migrator.rehearse.machines_containers import WITHOUT_DOCKER
from tests import ROOT

WORDS = {
    "no engine": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    "no permission": "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
}


def rehearse(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type `migrator rehearse plans/compose.toml` where *path* is all there is on PATH."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MIGRATOR_", "COMPOSE_"))}
    return subprocess.run(
        [sys.executable, "-m", "migrator", "rehearse", str(ROOT / "plans/compose.toml"), "--workdir", str(path / "w")],
        env={**kept, "PATH": str(path), **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def a_docker_that(path: Path, script: str) -> Path:
    """Put a docker program on the way that answers as an engine's client would."""
    program = path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return path


def one_message(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert "Traceback" not in said
    assert WITHOUT_DOCKER in said, "the embedded way is offered"
    assert len(done.stderr.strip().splitlines()) <= 6, done.stderr
    return said


def test_no_docker_program(tmp_path: Path) -> None:
    assert "no docker program is installed" in one_message(rehearse(tmp_path))


@pytest.mark.parametrize("why", WORDS)
def test_no_engine_answers(tmp_path: Path, why: str) -> None:
    """The engine's own words are passed on; without permission the group is named."""
    path = a_docker_that(tmp_path, f"echo '{WORDS[why]}' >&2; exit 1")
    said = one_message(rehearse(path))
    assert WORDS[why] in said
    assert ("group docker" in said) == (why == "no permission")


def test_no_stack_is_up(tmp_path: Path) -> None:
    said = one_message(rehearse(a_docker_that(tmp_path, "exit 0")))
    assert "there is no classic container" in said
    assert "docker compose up --detach --wait" in said


def test_two_stacks_are_up(tmp_path: Path) -> None:
    said = one_message(rehearse(a_docker_that(tmp_path, "echo one; echo two")))
    assert "there are 2 classic containers" in said
    assert "COMPOSE_PROJECT_NAME" in said


def test_inside_a_container_whose_servers_are_gone(tmp_path: Path) -> None:
    """The tools container is told where they are; if they do not answer, that is what it says."""
    nowhere = "postgresql://u:Geheim-4712@127.0.0.1:1/app"
    settings = ("MIGRATOR_CLASSIC_DSN", "MIGRATOR_LIMITLESS_DSN", "MIGRATOR_LIMITLESS_ADMIN_DSN")
    said = one_message(rehearse(tmp_path, **dict.fromkeys(settings, nowhere), MIGRATOR_TEMPORAL="127.0.0.1:1"))
    assert "does not answer" in said
    assert "docker compose up" in said
    assert "Geheim" not in said


def test_inside_a_container_that_was_told_half(tmp_path: Path) -> None:
    said = one_message(rehearse(tmp_path, MIGRATOR_LIMITLESS_ADMIN_DSN="postgresql://u@127.0.0.1:1/app"))
    assert "MIGRATOR_CLASSIC_DSN" in said and "is not set" in said


def test_the_plan_for_containers_is_the_demo_on_other_servers() -> None:
    """What is said about one of them, times and rates included, holds for both."""
    demo, compose = (load(ROOT / f"plans/{name}.toml").model_dump() for name in ("demo", "compose"))
    differ = {section for section in demo if demo[section] != compose[section]}
    assert differ == {"name", "classic", "limitless", "temporal", "shim"}
