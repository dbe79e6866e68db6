"""The shop of examples/django migrates under traffic: to Limitless, back, there again, and to the end.

gunicorn's processes and Celery's are real, its clients keep a ledger. Meanwhile Limitless dies, a worker is killed,
sessions are ended, everybody is rolled back. In the end Limitless has what the ledger says, and an invoice for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from migrator.db.connect import connect
from migrator.decommission import sequences
from migrator.local.process import accepts, free_port
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests import ROOT
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.fixtures.world import World, plan_of, provisioned

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

SHOP = ROOT / "examples" / "django"
TENANTS = [str(n) for n in range(1, 9)]
PLAN = plan_of(
    "shop",
    schemas=["public"],
    tables={
        "public.shop_tenant": {"kind": "sharded", "tenant_column": "id"},
        "public.shop_country": {"kind": "reference"},
        "public.django_migrations": {"kind": "excluded"},
    },
)


PREPARE = """
import django
from django.core.management import call_command
django.setup()
call_command("migrate", database="schema", verbosity=0)
call_command("migrator_check", json=True)
"""

END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'migrator-shim:%'"


class Shop:
    """The example's processes."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.folder = folder
        (folder / "broker").mkdir()
        self.port = free_port()
        self.env = {
            **os.environ,
            "SHOP_CLASSIC": servers.classic_dsn,
            "SHOP_LIMITLESS": servers.limitless_dsn,
            "SHOP_BROKER": "filesystem://",
            "SHOP_BROKER_FOLDER": str(folder / "broker"),
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": f"{SHOP}:{SHOP.parent}",
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=SHOP, env=self.env, capture_output=True, text=True, timeout=TIMEOUT_S)

    @contextmanager
    def process(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        talks = subprocess.PIPE if words[0] == "traffic" else None
        log = (self.folder / f"{words[0]}.log").open("w")
        made = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=SHOP, env=self.env, text=True,
            stdin=talks or subprocess.DEVNULL,
            stdout=talks or log, stderr=log,
        )  # fmt: skip
        try:
            yield made
        finally:
            # Celery's own end waits for its broker's poll.
            made.send_signal(signal.SIGQUIT if words[0] == "celery" else signal.SIGTERM)
            try:
                made.wait(20)
            except subprocess.TimeoutExpired:
                for child in psutil.Process(made.pid).children(recursive=True):
                    child.kill()
                made.kill()
                made.wait()
            for pipe in (log, made.stdin, made.stdout):
                if pipe is not None:
                    pipe.close()

    def workers(self, of: subprocess.Popen[str]) -> list[psutil.Process]:
        return psutil.Process(of.pid).children()


@asynccontextmanager
async def dual_write(servers: Servers) -> AsyncIterator[World]:
    """Capture, copies and mirrors of what the example's migrations made."""
    with ExitStack() as stack:
        classic, limitless = (
            stack.enter_context(connect(dsn, "test")) for dsn in (servers.classic_dsn, servers.limitless_dsn)
        )
        classic.execute("INSERT INTO public.shop_country VALUES ('AT', 'Austria')")
        classic.execute("INSERT INTO public.shop_tenant (name) SELECT 'tenant ' || g FROM generate_series(1, 8) g")
        tables = provisioned(classic, limitless, PLAN)
        world = World(servers.classic_dsn, servers.limitless_dsn, classic, limitless, tables, PLAN)
        await world.start()
        async with world.mirrors():
            await world.copy_all()
            yield world
        world.limitless.close()


async def passed(world: World, orders: int) -> None:
    """Wait until the clients have placed so many more orders."""

    def count() -> int:
        row = world.classic.execute("SELECT count(*) FROM public.shop_order").fetchone()
        assert row is not None
        return int(row[0])

    before = count()
    await asyncio.to_thread(eventually, lambda: count() >= before + orders, f"{orders} orders more")


async def up(world: World) -> None:
    ids = [TenantId(t) for t in TENANTS]
    options: dict[str, Any] = {"who": "test", "reason": "test", "timeout_s": TIMEOUT_S}
    moved = await asyncio.to_thread(promote_reads, world.classic, tenants=ids, **options)
    assert moved.done, moved


async def hand_over(world: World) -> None:
    """End the migration, as the decommission does."""
    write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
    await world.caught_up()
    with connect(world.limitless_dsn, "test") as limitless:
        for facts in sequences.read(world.classic, limitless, ["public"]):
            sequences.restart(limitless, facts, 1000)
    write_mode(world.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test")


async def test_a_shop_migrates_under_traffic(servers: Servers, tmp_path: Path) -> None:
    shop = Shop(servers, tmp_path)
    made = shop.run(PREPARE)
    assert (made.returncode, json.loads(made.stdout)["errors"]) == (0, 0), made.stdout + made.stderr

    async with dual_write(servers) as world:
        gunicorn = ("gunicorn", "shop.wsgi", "--bind", f"127.0.0.1:{shop.port}", "--workers", "2", "--threads", "3")
        celery = ("celery", "-A", "shop", "worker", "--concurrency", "2", "--loglevel", "WARNING")
        with shop.process(*gunicorn, "--preload") as web, shop.process(*celery):
            await asyncio.to_thread(eventually, lambda: accepts(shop.port), "gunicorn listens")
            with shop.process(
                "traffic", "orders", f"http://127.0.0.1:{shop.port}", "--tenants", ",".join(TENANTS)
            ) as clients:
                await passed(world, 10)
                await up(world)
                await passed(world, 30)
                shop.workers(web)[0].send_signal(signal.SIGKILL)
                await passed(world, 10)
                servers.limitless.kill()
                await passed(world, 10)
                servers.limitless.start()
                await passed(world, 10)
                result = await asyncio.to_thread(roll_back, world.classic, all=True, who="test", reason="test")
                assert result.confirmed, result
                world.classic.execute(END_SESSIONS)
                await passed(world, 20)
                assert clients.stdin is not None
                await hand_over(world)
                await asyncio.to_thread(eventually, lambda: on_limitless(servers) > on_classic(world), "orders there")
                ledger = await asyncio.to_thread(_ended, clients)
            await asyncio.to_thread(
                eventually, lambda: invoices(servers) == len(ledger["acknowledged"]), "every order is billed"
            )

    assert ledger["missed"] == ledger["unanswered"] == []
    with psycopg.connect(servers.limitless_dsn) as limitless:
        rows = limitless.execute(
            "SELECT o.tenant_id, o.number, sum(l.pieces)::int, (SELECT sum(i.pieces)::int FROM public.shop_invoice i"
            "  WHERE i.tenant_id = o.tenant_id AND i.order_id = o.id)"
            " FROM public.shop_order o JOIN public.shop_line l ON l.tenant_id = o.tenant_id AND l.order_id = o.id"
            " GROUP BY o.tenant_id, o.number, o.id"
        ).fetchall()
    placed = [(int(t), number, sum(pieces for _, pieces in lines)) for t, number, lines in ledger["acknowledged"]]
    assert sorted(rows) == sorted((tenant, number, n, n) for tenant, number, n in placed)


def on_limitless(servers: Servers) -> int:
    with psycopg.connect(servers.limitless_dsn) as conn:
        row = conn.execute("SELECT count(*) FROM public.shop_order").fetchone()
    assert row is not None
    return int(row[0])


def on_classic(world: World) -> int:
    row = world.classic.execute("SELECT count(*) FROM public.shop_order").fetchone()
    assert row is not None
    return int(row[0])


def invoices(servers: Servers) -> int:
    with psycopg.connect(servers.limitless_dsn) as conn:
        row = conn.execute("SELECT count(*) FROM public.shop_invoice").fetchone()
    assert row is not None
    return int(row[0])


def _ended(clients: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = clients.communicate(timeout=TIMEOUT_S)
    ledger: dict[str, Any] = json.loads(out)
    print(len(ledger["acknowledged"]), ledger["again"], time.monotonic())
    return ledger
