"""Every connection over TLS with checked certificates, Temporal's with the client's as well: what commands find."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql
from temporalio.client import Client

from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.plan.toml import to_toml
from tests.fixtures.operator import Operator
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.roles import Roles
from tests.fixtures.shop import Shop
from tests.fixtures.tls import TlsWorld
from tests.fixtures.waiting import TIMEOUT_S
from workflows import names
from workflows.breaker import RollbackWorkflow
from workflows.connection import connect
from workflows.messages import RollbackInput, RollbackOutcome

pytestmark = [pytest.mark.pg, pytest.mark.temporal, pytest.mark.once]

PLAN = """
name = "shop"
[classic]
writer = "{classic}"
[limitless]
dsn = "{limitless}"
[tables]
schemas = ["shop"]
[temporal]
address = "{temporal}"
encryption_keys = ["{key}"]
"""


def test_doctor_and_commands_work_in_a_world_without_plain_text(
    tls: TlsWorld, shop: Shop, temporal_address: str, tmp_path: Path
) -> None:
    world = tls.everywhere(shop.classic_dsn, shop.limitless_dsn, temporal_address, tmp_path)
    classic, limitless, key = (f"file:{file}" for file in world.files)
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(classic=classic, limitless=limitless, temporal=world.doors[2].address, key=key))
    run = Operator(tmp_path, world.variables)

    found = run("doctor", "--plan", str(path), "--only", "reach", "--only", "temporal", "--json")
    status = run("status", "--json")

    said = [(one["subject"], one["level"], one["text"]) for one in found.json["findings"]]
    checked = [subject for subject, level, text in said if "the certificate is checked (sslmode=verify-full)" in text]
    assert checked == ["classic", "Limitless"]
    assert [level for subject, level, text in said if f"{world.doors[2].address} answers" in text] == ["ok"]
    assert status.code == 0, status.err
    assert all(door.heard and not door.refused for door in world.doors)


async def test_a_worker_goes_on_when_its_password_is_another_one(
    tls: TlsWorld,
    shop: Shop,
    roles: Roles,
    temporal_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process of its own, over TLS and mTLS alone: it acts before and after a rotation, and is not restarted."""
    roles.on_classic("worker", "LOGIN SUPERUSER")
    world = tls.everywhere(roles.dsn(shop.classic_dsn, "worker"), shop.limitless_dsn, temporal_address, tmp_path)
    plan = stored(shop, small_plan(**world.sections, rehearsal=None), monkeypatch)
    path = tmp_path / "plan.toml"
    path.write_text(to_toml(dump(plan)))
    for name, value in world.variables.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "worker.log"
    worker = started(path, log)
    try:
        client = await connect(plan)
        assert await asyncio.wait_for(rolled_back(client, plan, "before"), TIMEOUT_S) is not None
        with psycopg.connect(roles.classic_admin, autocommit=True) as admin:
            name = roles.name("worker")
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another one'").format(sql.Identifier(name)))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        world.files[0].write_text(conninfo.make_conninfo(world.files[0].read_text(), password="another one"))
        assert await asyncio.wait_for(rolled_back(client, plan, "after"), TIMEOUT_S) is not None
        assert worker.poll() is None
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait, TIMEOUT_S)
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["tries"] for one in said if one["event"] == "step.finished"] == [1, 1], said
    assert "another one" not in log.read_text()


def started(plan: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "migrator", "worker", "--plan", str(plan), "--queues", "incident"]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ))


async def rolled_back(client: Client, plan: Plan, reason: str) -> RollbackOutcome:
    found: RollbackOutcome = await client.execute_workflow(
        RollbackWorkflow.run,
        RollbackInput(plan=plan.name, all=True, who="ana", reason=reason),
        id=f"rollback/{plan.name}/{reason}",
        task_queue=names.queue(plan.name, names.Queue.INCIDENT),
    )
    return found
