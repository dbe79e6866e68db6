"""A worker process is killed in the middle and told to stop in the middle: nothing changes but time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from migrator.plan.load import digest, load
from migrator.plan.schema import Plan
from tests.fixtures.plans import stored
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until
from workflows import names
from workflows.messages import MigrationInput

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PLAN = """
name = "killed"
[classic]
writer = "env:TEST_CLASSIC_DSN"
[limitless]
dsn = "env:TEST_LIMITLESS_DSN"
[temporal]
address = "{address}"
[tables]
schemas = ["shop"]
[tables.table]
"shop.line" = {{ kind = "sharded", via = "purchase_id -> shop.purchase.id" }}
"shop.remark" = {{ kind = "sharded", via = "line_id -> shop.line.id" }}
"shop.currency" = {{ kind = "reference" }}
[dual_write]
parts = 2
[backfill]
unit_tenants = 1
concurrency = 1
[gates]
audit = "auto"
provision = "auto"
dual_write = "approval"
acknowledged = ["AUD-EVD-05:statements"]  # no statement was run here
"""


@pytest.fixture
def plan(
    shop: Shop, temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Plan, Path]]:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(address=temporal_address))
    yield stored(shop, load(path), monkeypatch), path


@pytest.fixture
def start(plan: tuple[Plan, Path], tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a worker process; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def one() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "migrator", "worker", "--plan", str(plan[1])]
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ)))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


async def test_a_killed_worker_costs_time_and_nothing_else(
    plan: tuple[Plan, Path], start: Callable[[], subprocess.Popen[bytes]], shop: Shop, temporal_address: str
) -> None:
    """SIGKILL while units are copied: another worker takes over, every tenant is copied once and equal."""
    client = await Client.connect(temporal_address, data_converter=pydantic_data_converter)
    first = start()
    handle = await client.start_workflow(
        "Migration",
        MigrationInput(plan="killed", digest=digest(plan[0])),
        id=names.migration_id("killed"),
        task_queue=names.queue("killed", names.Queue.CONTROL),
    )
    try:
        await until(lambda: copied(shop, 2))
        first.kill()
        second = start()
        await until(lambda: told(plan[1].parent / "worker-1.log", "worker.started"))
        await until(lambda: waiting(shop))
        second.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(second.wait, TIMEOUT_S)
    finally:
        for workflow_id in (
            handle.id,
            *(f(plan[0].name) for f in (names.dual_write_id, names.backfill_id, names.breaker_id)),
        ):
            await client.get_workflow_handle(workflow_id).terminate()

    assert code == 0, "told to stop, a worker hands over and ends well"
    assert shop.differences() == {}
    leases = shop.limitless.execute("SELECT DISTINCT state FROM migrator.copy_lease").fetchall()
    assert leases == [("joined",)]
    killed, last = (events(plan[1].parent / f"worker-{number}.log") for number in (0, 1))
    assert {"worker.started", "workflow.begun", "step.finished"} <= killed.keys()
    assert {e["step"] for e in killed["step.finished"]} >= {"audit", "provision", "capture_on", "copy_unit"}
    assert {"lease.taken_over", "step.handed_over", "worker.stopped"} <= last.keys()
    assert {"phase.begun", "phase.changed"} <= {**killed, **last}.keys(), "told by whoever has the turn"
    again = {e["workflow"] for e in last.get("workflow.begun", ())} & {e["workflow"] for e in killed["workflow.begun"]}
    assert again == set(), "they are replayed there, and began in the first worker"
    assert not [name for name in {**killed, **last} if " " in name], "no library tells the same in its own words"


async def test_a_release_is_rolled_out_in_the_middle_of_a_migration(
    plan: tuple[Plan, Path], start: Callable[[], subprocess.Popen[bytes]], shop: Shop, temporal_address: str
) -> None:
    """The new worker replays what is open and starts beside the old one, which is told to stop while it copies; the
    application writes all the time."""
    client = await Client.connect(temporal_address, data_converter=pydantic_data_converter)
    old = start()
    handle = await client.start_workflow(
        "Migration",
        MigrationInput(plan="killed", digest=digest(plan[0])),
        id=names.migration_id("killed"),
        task_queue=names.queue("killed", names.Queue.CONTROL),
    )
    ended, stopping = [], threading.Event()
    writer = threading.Thread(target=write, args=(shop.classic_dsn, stopping))
    writer.start()
    try:
        await until(lambda: copied(shop, 1))
        new = start()
        await until(lambda: told(plan[1].parent / "worker-1.log", "worker.started"))
        old.send_signal(signal.SIGTERM)
        ended.append(await asyncio.to_thread(old.wait, TIMEOUT_S))
        await until(lambda: waiting(shop))
        stopping.set()
        await asyncio.to_thread(writer.join)
        await until(lambda: equal(shop))
        new.send_signal(signal.SIGTERM)
        ended.append(await asyncio.to_thread(new.wait, TIMEOUT_S))
    finally:
        stopping.set()
        for workflow_id in (
            handle.id,
            *(f(plan[0].name) for f in (names.dual_write_id, names.backfill_id, names.breaker_id)),
        ):
            await client.get_workflow_handle(workflow_id).terminate()

    assert ended == [0, 0]
    assert shop.limitless.execute("SELECT DISTINCT state FROM migrator.copy_lease").fetchall() == [("joined",)]
    written = shop.classic.execute("SELECT count(*) FROM shop.purchase WHERE id > 70000").fetchone()
    assert written is not None and written[0] > 20, "the application wrote meanwhile"
    before, after = (events(plan[1].parent / f"worker-{number}.log") for number in (0, 1))
    assert after["worker.replayed"][0]["workflows"] >= 3, "migration, dual write and backfill went on with the new code"
    assert "worker.left_behind" not in before
    again = {e["workflow"] for e in after.get("workflow.begun", ())} & {e["workflow"] for e in before["workflow.begun"]}
    assert again == set(), "they go on, and do not begin again"


def write(dsn: str, stopping: threading.Event) -> None:
    """An application that writes, and does not know of any of it."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        number = 70_000
        while not stopping.wait(0.01):
            number += 1
            conn.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (%s, %s)", (number, number % 3 + 1))


async def told(log: Path, event: str) -> bool:
    return event in events(log)


async def equal(shop: Shop) -> bool:
    return shop.differences() == {}


def events(log: Path) -> dict[str, list[dict[str, Any]]]:
    """What a worker logged, by name; a line that a kill cut off is left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            event = json.loads(line)
            found.setdefault(event["event"], []).append(event)
    return found


async def copied(shop: Shop, at_least: int) -> bool:
    if shop.classic.execute("SELECT to_regclass('migrator.copy_unit')").fetchone() == (None,):
        return False
    row = shop.classic.execute("SELECT count(*) FROM migrator.copy_unit WHERE state IN ('copied', 'joined')").fetchone()
    return row is not None and row[0] >= at_least


async def waiting(shop: Shop) -> bool:
    row = shop.classic.execute("SELECT state FROM migrator.phase WHERE phase = 'dual_write'").fetchone()
    return row == ("waiting",)
