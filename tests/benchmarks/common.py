"""What do the benchmarks of the data plane share? Two databases with the same tables, and how a measure is run."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from migrator.dataplane.capture import install as capture
from migrator.dataplane.mirror import position
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.db.connect import connect, connect_async
from migrator.model.position import Snapshot
from tests.fixtures.postgres import Cluster, Machines
from tests.fixtures.world import plan_of, provisioned

SCHEMA = """
CREATE SCHEMA bench;
CREATE TABLE bench.orders (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, customer text, amount numeric(12, 2), status text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(), items int NOT NULL DEFAULT 1);
CREATE TABLE bench.account (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, balance bigint NOT NULL);
CREATE INDEX ON bench.orders (tenant_id);
CREATE SEQUENCE bench.next_order START 100000000;
"""
FILL = """
INSERT INTO bench.orders
SELECT g, 1 + g % {tenants}, 'customer ' || g % 100000, g % 99991 * 1.10, 'new', '2024-01-01', g % 17
  FROM generate_series(1, {rows}) g;
INSERT INTO bench.account SELECT g, g, 0 FROM generate_series(1, {tenants}) g;
"""


class Bench:
    """One pair of databases with the benchmark's tables."""

    def __init__(self, machines: Machines, name: str, rows: int, tenants: int = 1000) -> None:
        machines.routers = None  # servers and tool are measured; the stand-in's routers would be, in their place
        self.machines = machines
        self.classic_dsn = machines.new_classic(f"classic_{name}")
        self.limitless_dsn = machines.new_limitless(f"limitless_{name}")
        self.classic = connect(self.classic_dsn, "bench")
        self.limitless = connect(self.limitless_dsn, "bench")
        self.plan = plan_of("bench")
        self.classic.execute(SCHEMA)
        self.classic.execute(FILL.format(rows=rows, tenants=tenants))
        self.classic.execute("VACUUM ANALYZE bench.orders")
        self.tables = provisioned(self.classic, self.limitless, self.plan)

    async def begin(self, parts: int = 1) -> None:
        """Capture on, first positions."""
        capture.install(self.classic, self.tables, parts, 3)
        async with (
            await connect_async(self.classic_dsn, "bench") as classic,
            await connect_async(self.limitless_dsn, "bench") as limitless,
        ):
            await position.initialise(classic, limitless, parts)


async def drain(bench: Bench) -> None:
    """Run the mirror until its position covers what is committed now."""
    row = bench.classic.execute("SELECT pg_current_snapshot()::text").fetchone()
    now = Snapshot.parse(row[0] if row else "")
    task = asyncio.create_task(run_partition(bench.classic_dsn, bench.limitless_dsn, 1, MirrorOptions()))
    while True:
        found = bench.classic.execute("SELECT snapshot FROM migrator.position WHERE part = 1").fetchone()
        if found and Snapshot.parse(found[0]).includes(now):
            break
        if task.done():
            task.result()
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def cpu_s(pid: int) -> float:
    """Processor time of a process, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def value(conn: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    """Return the one value of a query that always has one."""
    row = conn.execute(query, parameters).fetchone()
    assert row is not None, query
    return row[0]


def run_measure(
    description: str | None,
    measure: Callable[[Machines, argparse.Namespace], None],
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> None:
    """Run *measure* on two fresh servers; the arguments come from the command line.

    *more* adds arguments of this benchmark; `home` is a directory for its files.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pg-bin", type=Path, help="programs of another PostgreSQL, for both sides")
    if more is not None:
        more(parser)
    args = parser.parse_args()
    cluster = Cluster(args.pg_bin)
    args.home = cluster.home
    try:
        with cluster.pair() as machines:
            measure(machines, args)
            print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        cluster.remove()
