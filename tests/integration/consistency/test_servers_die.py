"""Classic, Limitless or Temporal dies at a chosen moment of a validation: no wrong verdict, and the next try is right.

The moments are held open by a lock or by mirrors that are away, so that a server dies there and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from migrator.consistency.run import validate
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable
from migrator.local.process import free_port
from migrator.local.temporal import DevServer
from tests.fixtures.postgres import Machine, Servers
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.integration.consistency.test_kills import CORRUPT, RIGHT, named, verdicts, worker
from workflows import names
from workflows.messages import ValidateInput, ValidationOutcome

__all__ = ["worker"]  # a fixture

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

WAITING_FOR_A_ROW = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migrator validate%'"
    " AND datname = current_database() AND wait_event_type = 'Lock'"
)
FENCE_ASKED_FOR = "SELECT count(*) FROM migrator.fence WHERE state = 'requested'"


@pytest.fixture
def shop(servers: Servers) -> Iterator[Shop]:
    """On servers that may die."""
    with new_shop(servers.classic_dsn, servers.limitless_dsn) as made:
        yield made


@pytest.fixture
def temporal(tmp_path: Path) -> Iterator[DevServer]:
    """A Temporal server of the test's own, which remembers what it knew when it comes back."""
    server = DevServer(tmp_path, free_port(), free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def temporal_address(temporal: DevServer) -> str:
    return temporal.address


def reconnect(shop: Shop) -> None:
    """Give the shop new connections in the place of those that died with a server."""
    shop.classic.close()
    shop.limitless.close()
    shop.classic, shop.limitless = connect(shop.classic_dsn, "test"), connect(shop.limitless_dsn, "test")


async def sees(dsn: str, question: str) -> None:
    """Wait until *question* counts something."""
    with connect(dsn, "test") as conn:

        async def counted() -> bool:
            row = conn.execute(question.encode()).fetchone()
            return row is not None and row[0] > 0

        await until(counted, question)


def victim(shop: Shop, servers: Servers, side: str) -> tuple[Machine, str]:
    """Return the server that dies, and the string of its database."""
    classic = side == "classic"
    return (servers.classic, shop.classic_dsn) if classic else (servers.limitless, shop.limitless_dsn)


@contextlib.contextmanager
def locked(dsn: str, table: str) -> Iterator[None]:
    """Hold everybody up who wants to read *table*; the lock ends with its server or with the block."""
    with connect(dsn, "test") as conn:
        conn.execute("BEGIN")
        conn.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        with contextlib.suppress(psycopg.OperationalError):
            conn.execute("ROLLBACK")


@pytest.mark.parametrize("side", ["classic", "limitless"])
@pytest.mark.parametrize("moment", ["fence", "digest"])
async def test_a_server_dies_in_the_middle(shop: Shop, servers: Servers, side: str, moment: str) -> None:
    """The try that was under way ends as one that could not run; what was stored before stays, and is true."""
    machine, dsn = victim(shop, servers, side)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(CORRUPT)
        if moment == "digest":
            with locked(dsn, "shop.purchase"):
                look = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=3))
                await sees(dsn, WAITING_FOR_A_ROW)
                machine.kill()
    if moment == "fence":  # no mirror is there to give one
        look = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn, timeout_s=TIMEOUT_S))
        await sees(shop.classic_dsn, FENCE_ASKED_FOR)
        machine.kill()
    with pytest.raises((ClusterUnavailable, psycopg.OperationalError)):
        await asyncio.wait_for(look, TIMEOUT_S)
    machine.start()
    reconnect(shop)
    left = verdicts(shop)
    async with shop.mirrors():
        last = await validate(shop.classic_dsn, shop.limitless_dsn, timeout_s=60)

    assert left == {}, "the first group was not compared yet"
    assert {v.tenant_id or "": v.divergent_rows for v in last.tenants} == RIGHT | {"": 0}
    assert verdicts(shop) == RIGHT and named(shop) == {("shop.purchase", "2", "13")}


async def started(address: str) -> WorkflowHandle[object, ValidationOutcome]:
    """Let a worker validate everything."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    return await client.start_workflow(
        "Validation",
        ValidateInput(plan="shop", kind="manual"),
        id=f"{names.validate_id('shop')}/dying",
        task_queue=names.queue("shop", names.Queue.CONTROL),
        result_type=ValidationOutcome,
    )


def incidents(shop: Shop) -> list[tuple[str, str]]:
    return shop.classic.execute("SELECT DISTINCT kind, reason FROM migrator.incident").fetchall()


FOUND = [("divergence", "1 divergent row in shop.purchase; tenants: 2")]


@pytest.mark.slow
@pytest.mark.temporal
@pytest.mark.parametrize("side", ["classic", "limitless"])
async def test_the_workflow_outlives_a_server(
    shop: Shop, servers: Servers, worker: Callable[[], subprocess.Popen[bytes]], temporal_address: str, side: str
) -> None:
    """Nobody has to do anything: once the server is back, the same workflow ends with the right answer."""
    machine, dsn = victim(shop, servers, side)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(CORRUPT)
        with locked(dsn, "shop.purchase"):
            worker()
            handle = await started(temporal_address)
            await sees(dsn, WAITING_FOR_A_ROW)
            machine.kill()
        machine.start()
        reconnect(shop)
        outcome = await asyncio.wait_for(handle.result(), 120)

    assert (outcome.tenants, outcome.divergent_rows, outcome.clean) == (13, 1, False)
    assert verdicts(shop) == RIGHT and named(shop) == {("shop.purchase", "2", "13")}
    assert incidents(shop) == FOUND


@pytest.mark.slow
@pytest.mark.temporal
async def test_temporal_dies_while_a_worker_compares(
    shop: Shop, worker: Callable[[], subprocess.Popen[bytes]], temporal: DevServer
) -> None:
    """The worker goes on comparing; whether its answer is taken or asked for again, the verdicts are the same."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(CORRUPT)
        with locked(shop.classic_dsn, "shop.purchase"):
            process = worker()
            handle = await started(temporal.address)
            await sees(shop.classic_dsn, WAITING_FOR_A_ROW)
            temporal.kill()

        async def all_stored() -> bool:
            return verdicts(shop) == RIGHT

        await until(all_stored, "every verdict is stored without Temporal")
        temporal.start()
        outcome = await asyncio.wait_for(handle.result(), 180)

    assert process.poll() is None, "the worker lives"
    assert (outcome.tenants, outcome.divergent_rows, outcome.clean) == (13, 1, False)
    assert verdicts(shop) == RIGHT and named(shop) == {("shop.purchase", "2", "13")}
    assert incidents(shop) == FOUND
