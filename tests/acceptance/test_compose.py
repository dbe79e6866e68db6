"""docker-compose.yml as a user meets it: brought up, rehearsed against, its containers killed under a migration.

The stack has a marked password, and in the end nobody may have written it down: arguments, logs, Temporal's stored
histories, reports, image layers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from migrator.local.process import free_port
from migrator.rehearse import proof

ROOT = Path(__file__).resolve().parents[2]
MARK = "Geheim-4711-marked"
PORTS = ("CLASSIC_PORT", "LIMITLESS_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "PGBOUNCER_PORT")
SMALL = {"tenants": "40", "rows": "20_000"}
"""The demo, smaller: what is tried here does not depend on its size."""


def compose_program() -> list[str]:
    found = subprocess.run(["docker", "compose", "version"], capture_output=True)
    return ["docker", "compose"] if found.returncode == 0 else ["docker-compose"]


@dataclass
class Watch:
    """Looks at every process's arguments until told to stop."""

    seen: set[str] = field(default_factory=set)
    looks: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.2):
            self.looks += 1
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_bytes()
                except OSError:
                    continue
                if MARK.encode() in line:
                    self.seen.add(line.replace(b"\0", b" ").decode(errors="replace")[:200])


@dataclass
class Stack:
    """One compose project of this test run's own, on free ports."""

    environment: dict[str, str]
    plan: Path
    watch: Watch

    def compose(self, *words: str, patience_s: float = 600, check: bool = True) -> str:
        done = subprocess.run(
            [*compose_program(), *words],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=patience_s,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"compose {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def dsn(self, side: str) -> str:
        user, port = {"classic": ("migrator", "CLASSIC_PORT"), "limitless": ("dba", "LIMITLESS_PORT")}[side]
        return f"postgresql://{user}:{MARK}@127.0.0.1:{self.environment[port]}/app"

    def ids(self, service: str) -> list[str]:
        project = self.environment["COMPOSE_PROJECT_NAME"]
        labels = (f"com.docker.compose.project={project}", f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return docker("ps", "--all", "--quiet", *filters).split()

    def tools(self, *words: str) -> str:
        """Type a command in the tools container."""
        return self.compose("run", "--rm", "-T", "tools", *words, patience_s=300)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def until(happened: Callable[[], object], what: str, patience_s: float = 120) -> None:
    """Wait for an event, with a deadline that fails the test."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {patience_s:.0f} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    plan = tmp_path_factory.mktemp("plan") / "compose.toml"
    plan.write_text(smaller((ROOT / "plans/compose.toml").read_text()))
    plan.chmod(0o644)
    plan.parent.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in ("MIGRATOR_CLASSIC_DSN", "MIGRATOR_PLAN")}
    environment |= {
        "COMPOSE_PROJECT_NAME": f"migrator-test-{os.getpid()}",
        "REHEARSAL_PASSWORD": MARK,
        "MIGRATOR_PLANS": str(plan.parent),
        **{name: str(free_port()) for name in PORTS},
    }
    made = Stack(environment, plan, Watch())
    watching = threading.Thread(target=made.watch.run, daemon=True)
    watching.start()
    try:
        made.compose("up", "--detach", "--build", "--scale", "worker=2")
        until(lambda: all(healthy(made, s) for s in ("classic", "limitless", "temporal", "pgbouncer")), "all healthy")
        yield made
    finally:
        made.watch.stop.set()
        watching.join()
        made.compose(
            "--profile", "traffic", "--profile", "tools", "down", "-v", "--remove-orphans", "-t", "3", check=False
        )


def smaller(plan: str) -> str:
    for name, value in SMALL.items():
        plan = re.sub(rf"(?m)^{name} = [\d_]+", f"{name} = {value}", plan)
    return plan


def healthy(stack: Stack, service: str) -> bool:
    found = [json.loads(docker("inspect", "--format", "{{json .State}}", id_)) for id_ in stack.ids(service)]
    return bool(found) and all(state.get("Health", {}).get("Status") == "healthy" for state in found)


def test_workers_become_healthy(stack: Stack) -> None:
    until(lambda: healthy(stack, "worker"), "both workers are known to Temporal", 90)
    for id_ in stack.ids("worker"):
        assert docker("exec", id_, "id", "-u").strip() != "0"


def test_a_rehearsal_from_the_host(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "rehearse", str(stack.plan), "--workdir", str(tmp_path), "--json"],
        env=stack.environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert (report["ok"], report["lost_writes"], report["missed_own_writes"], report["divergent_rows"]) == (
        True,
        0,
        0,
        0,
    )
    assert report["acknowledged_writes"] > 1000
    assert report["left_out"] == []
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 5
    assert [str(p) for p in written if MARK.encode() in p.read_bytes()] == []
    assert MARK not in done.stdout + done.stderr
    for service in ("classic", "limitless", "temporal"):
        assert docker("inspect", "--format", "{{.State.Running}}", *stack.ids(service)).strip() == "true"


def test_containers_die_under_a_migration(stack: Stack) -> None:
    """Workers killed in the backfill, Temporal restarted in the cutover; an application goes on through the pooler."""
    stack.compose("--profile", "traffic", "up", "--detach", "--no-recreate", "--scale", "worker=2", "traffic")
    (shop,) = stack.ids("traffic")
    with psycopg.connect(stack.dsn("classic"), autocommit=True) as classic:
        until(lambda: ask(classic, "SELECT to_regclass('app.order_items') IS NOT NULL"), "the demo is loaded")
        stack.tools("run", "--yes")
        until(lambda: ask(classic, "SELECT count(*) > 0 FROM migrator.position"), "capture is on")
        victim, heir = stack.ids("worker")
        docker("kill", victim)
        until(lambda: ask(classic, ALL_MIRRORED), f"{heir} has taken over and every tenant is mirrored", 240)
        until(lambda: ask(classic, FIRST_WAVE), "the first wave reads from Limitless", 240)
        docker("restart", "-t", "2", *stack.ids("temporal"))
        docker("start", victim)
        until(lambda: ask(classic, CUT_OVER), "the cutover is done", 300)
        stack.tools("validate")
    docker("stop", "-t", "10", shop)
    said = docker("logs", shop)
    assert "traffic" in said
    covered = proof.covered_by_mirror(stack.dsn("classic"))
    until(lambda: next(covered), "the mirror covers every write", 60)
    found = proof.compare(stack.dsn("classic"), stack.dsn("limitless"))
    assert found.divergent_rows == 0, found.sample
    assert sum(found.rows.values()) > 10_000


ALL_MIRRORED = """
SELECT bool_and(state = 'mirrored') FROM migrator.tenant
HAVING (SELECT bool_and(state = 'joined') FROM migrator.copy_unit)
"""
FIRST_WAVE = "SELECT count(*) > 4 FROM migrator.route WHERE level = 'limitless'"
CUT_OVER = "SELECT state = 'done' FROM migrator.phase WHERE phase = 'cutover'"


def ask(conn: psycopg.Connection, question: str) -> bool:
    """One yes or no; a table that is not there yet is a no."""
    try:
        row = conn.execute(question).fetchone()  # type: ignore[call-overload]
    except psycopg.errors.UndefinedTable:
        return False
    return bool(row and row[0])


def test_nobody_wrote_the_password_down(stack: Stack, tmp_path: Path) -> None:
    """After all of the above. Each search also finds something that must be there, so that it can find at all."""
    assert stack.watch.looks > 10
    assert stack.watch.seen == set(), "in the arguments of a process"
    services = ("classic", "limitless", "prepare", "temporal", "worker", "pgbouncer")
    for service in services:
        for id_ in stack.ids(service):
            done = subprocess.run(["docker", "logs", id_], capture_output=True, timeout=60)
            assert MARK.encode() not in done.stdout + done.stderr, f"in the log of {service}"
    (temporal,) = stack.ids("temporal")
    stored = tmp_path / "temporal"
    docker("cp", f"{temporal}:/data", str(stored))
    bodies = [p.read_bytes() for p in stored.rglob("*") if p.is_file()]
    assert any(b"compose.control" in body for body in bodies)
    assert not any(MARK.encode() in body for body in bodies), "in Temporal's histories"
    for image in ("migrator", "migrator-pgbouncer"):
        saved = tmp_path / f"{image}.tar"
        docker("save", "-o", str(saved), image)
        shutil.unpack_archive(saved, tmp_path / image)
        layers = [p for p in (tmp_path / image).rglob("*") if p.is_file()]
        assert any(b"worker-health" in p.read_bytes() or b"pgbouncer-start" in p.read_bytes() for p in layers)
        assert [p.name for p in layers if MARK.encode() in p.read_bytes()] == []
        saved.unlink()
