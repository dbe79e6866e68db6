"""A pooler on the way: the application's connections in transaction mode, the tool's in session mode."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from migrator.consistency.run import validate
from tests import ROOT
from tests.containers.town import Town
from tests.fixtures.postgres import Servers
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

IMAGE = "migrator-pgbouncer"
Pooled = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def image() -> str:
    """The compose file's pooler as the tree has it now; unchanged layers are not built again."""
    base = os.environ.get("MIGRATOR_BASE_IMAGE", "python:3.12-slim")
    command = ["docker", "build", "-q", "--target", "pgbouncer", "--build-arg", f"BASE={base}", "-t", IMAGE, "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return IMAGE


@contextmanager
def pooler(image: str, servers: Servers, mode: str, size: int) -> Iterator[tuple[str, str]]:
    """PgBouncer in front of both servers' databases; yields the DSNs that lead through it."""
    from testcontainers.core.container import DockerContainer

    classic, limitless = (conninfo.conninfo_to_dict(dsn) for dsn in (servers.classic_dsn, servers.limitless_dsn))
    container = DockerContainer(image).with_exposed_ports(6432)
    environment = {
        "POOL_MODE": mode,
        "POOL_SIZE": str(size),
        "PASSWORD": str(classic["password"]),
        "CLASSIC": f"{_inside(servers.classic)}:5432",
        "LIMITLESS": f"{_inside(servers.limitless)}:5432",
        "CLASSIC_DATABASE": str(classic["dbname"]),
        "LIMITLESS_DATABASE": str(limitless["dbname"]),
    }
    for name, value in environment.items():
        container = container.with_env(name, value)
    with container:
        host, port = container.get_container_host_ip(), str(container.get_exposed_port(6432))
        through = [
            conninfo.make_conninfo(dsn, host=host, port=port, dbname=side)
            for side, dsn in (("classic", servers.classic_dsn), ("limitless", servers.limitless_dsn))
        ]
        for dsn in through:
            eventually(partial(_answers, dsn), "the pooler answers")
        yield through[0], through[1]


def _inside(server: Any) -> str:
    """The address of a server's container in the engine's network."""
    server._docker.reload()
    return str(server._docker.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_an_application_behind_two_server_connections(shop: Shop, servers: Servers, image: str) -> None:
    """Six threads of two processes share two connections per side; a session that pinned one would stop them."""
    with ExitStack() as stack:
        classic, limitless = stack.enter_context(pooler(image, servers, "transaction", 2))
        town = Town(shop, classic, limitless)
        units = await town.settle()
        with town.open(units):
            eventually(lambda: town.moves > 2, "tenants move there and back")
            eventually(lambda: town.ledger.read_sides.get("limitless", 0) > 300, "reads come from Limitless")
            eventually(lambda: len(town.ledger.write_times) > 200, "writes go through")
            rolled_back = town.roll_back()
            with psycopg.connect(shop.classic_dsn) as conn:
                held = conn.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migrator-shim%'"
                    " AND datname = current_database()"
                ).fetchone()
            eventually(town.forward, "forward again")
        async with shop.mirrors():
            await shop.caught_up()
    assert (rolled_back.processes, rolled_back.confirmed) == (2, 2), "processes behind the pooler confirm too"
    assert held is not None and held[0] <= 2
    assert town.bugs == []
    assert town.ledger.errors == {}
    assert town.ledger.stale == []
    assert town.lost() == []
    assert shop.differences() == {}


async def test_the_tool_through_a_session_pooler(shop: Shop, servers: Servers, image: str) -> None:
    """Mirrors, copies and fences hold sessions; a pooler that keeps one per client is as good as none."""
    with pooler(image, servers, "session", 50) as (classic, limitless):
        shop.classic_dsn, shop.limitless_dsn = classic, limitless
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            with psycopg.connect(servers.classic_dsn, autocommit=True) as conn:
                conn.execute("UPDATE shop.purchase SET total = total + 1")
            await shop.caught_up()
            found = await validate(classic, limitless)
    assert (found.divergent_rows, found.whole) == (0, True)
    assert shop.differences() == {}
