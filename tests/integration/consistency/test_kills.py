"""Whoever dies during a validation: no wrong verdict is left behind, and the next try ends with the right one."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from migrator.consistency.run import validate
from migrator.control.install import install
from migrator.errors import ClusterUnavailable
from migrator.plan.load import digest, dump, load, shim_settings
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.consistency.test_commands import PLAN
from workflows import names
from workflows.messages import ValidateInput, ValidationOutcome

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

CORRUPT = "UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 2 AND id = 13"


def verdicts(shop: Shop) -> dict[str, int]:
    """Divergent rows of every tenant that has a verdict."""
    cursor = shop.classic.execute("SELECT tenant_id, divergent FROM migrator.tenant WHERE validated_at IS NOT NULL")
    return {str(tenant): int(divergent) for tenant, divergent in cursor}


def named(shop: Shop) -> set[tuple[str, str, str]]:
    cursor = shop.classic.execute("SELECT table_name, tenant_id, key ->> 'id' FROM migrator.divergence")
    return {(str(table), str(tenant), str(key)) for table, tenant, key in cursor}


RIGHT = {**{str(t): 0 for t in range(1, 13)}, "2": 1}


async def test_sessions_that_are_cut_leave_no_wrong_verdict(shop: Shop) -> None:
    """Sessions of the validator end on either side, at any moment: what was stored until then is true."""
    r = random.Random(7)
    await shop.start()
    cut = 0
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(CORRUPT)
        for _ in range(15):
            look = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=3))
            await asyncio.wait([look], timeout=r.random() * 0.5)
            side = r.choice([shop.classic, shop.limitless])
            side.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name LIKE 'migrator validate%' AND datname = current_database()"
            )
            try:
                report = await look
                assert {v.tenant_id or "": v.divergent_rows for v in report.tenants} == RIGHT | {"": 0}
            except (ClusterUnavailable, psycopg.OperationalError):
                cut += 1
            found = verdicts(shop)
            assert found.items() <= RIGHT.items(), found
        last = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert cut > 3, "most of them were cut"
    assert last.divergent_rows == 1 and verdicts(shop) == RIGHT
    assert named(shop) == {("shop.purchase", "2", "13")}


@pytest.fixture
def worker(
    shop: Shop, temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start worker processes for the plan of the shop, a tenant per fence; all are gone at the end."""
    monkeypatch.setenv("CLASSIC", shop.classic_dsn)
    monkeypatch.setenv("LIMITLESS", shop.limitless_dsn)
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(address=temporal_address) + "[validation]\ntenants_per_fence = 1\n")
    plan = load(path)
    shop.classic.execute("DELETE FROM migrator.plan")  # the shop installed a plan of its own
    install(shop.classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            command = [sys.executable, "-m", "migrator", "worker", "--plan", str(path)]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.temporal
async def test_a_worker_that_is_killed_is_carried_on_by_the_next(
    shop: Shop, worker: Callable[[], subprocess.Popen[bytes]], temporal_address: str
) -> None:
    """Verdicts of the first worker stay; the second says the whole of it, and the incident is recorded."""
    client = await Client.connect(temporal_address, data_converter=pydantic_data_converter)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(CORRUPT)
        first = worker()
        handle = await client.start_workflow(
            "Validation",
            ValidateInput(plan="shop", kind="manual"),
            id=f"{names.validate_id('shop')}/killed",
            task_queue=names.queue("shop", names.Queue.CONTROL),
            result_type=ValidationOutcome,
        )

        async def begun() -> bool:
            return len(verdicts(shop)) >= 2

        await until(begun, "the first verdicts are stored")
        first.send_signal(signal.SIGKILL)
        first.wait()
        left = verdicts(shop)
        worker()
        outcome = await asyncio.wait_for(handle.result(), 120)
    runs = shop.classic.execute(
        "SELECT count(*) FILTER (WHERE finished_at IS NULL), count(*) FILTER (WHERE finished_at IS NOT NULL)"
        " FROM migrator.validation"
    ).fetchone()

    assert left.items() <= RIGHT.items() and len(left) < 12, "killed in the middle"
    assert (outcome.tenants, outcome.divergent_rows, outcome.clean) == (13, 1, False)
    assert verdicts(shop) == RIGHT and named(shop) == {("shop.purchase", "2", "13")}
    assert runs == (1, 1), "the one that was killed is seen as not finished"
    assert shop.classic.execute("SELECT count(*) FROM migrator.incident WHERE kind = 'divergence'").fetchone() == (1,)
