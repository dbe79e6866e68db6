"""What do capture, backfill and mirror cost, against what the same servers do without them?

    python -m tests.benchmarks.dataplane capture|backfill|mirror|write [--seconds 8] [--rows 1000000] [--repeat 3]

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

# ruff: noqa: S608 - names and numbers of this file

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from migrator.backfill import copy_sql
from migrator.backfill import plan as backfill_plan
from migrator.backfill.copy import copy_unit
from migrator.capture import install as capture
from migrator.control.install import install
from migrator.db.connect import connect, connect_async
from migrator.mirror import position
from migrator.mirror.options import MirrorOptions
from migrator.mirror.run import run_partition
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision.apply import provision
from tests.fixtures.postgres import Cluster, Machines

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
SMALL = """
\\set tenant random(1, 1000)
\\set order random(1, 100000)
BEGIN;
SELECT balance FROM bench.account WHERE id = :tenant;
INSERT INTO bench.orders (id, tenant_id, customer, amount, status)
    VALUES (nextval('bench.next_order'), :tenant, 'somebody', 12.34, 'new');
SELECT status, amount FROM bench.orders WHERE id = :order;
UPDATE bench.orders SET status = 'paid' WHERE id = :order;
SELECT count(*) FROM bench.account WHERE id = :tenant;
UPDATE bench.account SET balance = balance + 1 WHERE id = :tenant;
COMMIT;
"""


class Bench:
    """One pair of databases with the benchmark's tables."""

    def __init__(self, machines: Machines, name: str, rows: int, tenants: int = 1000) -> None:
        self.machines = machines
        self.classic_dsn = machines.new_classic(f"classic_{name}")
        self.limitless_dsn = machines.new_limitless(f"limitless_{name}")
        self.classic = connect(self.classic_dsn, "bench")
        self.limitless = connect(self.limitless_dsn, "bench")
        self.plan = Plan.model_validate(
            {
                "name": "bench",
                "classic": {"writer": "local:classic"},
                "limitless": {"dsn": "local:limitless"},
                "tables": {"schemas": ["bench"]},
            }
        )
        self.classic.execute(SCHEMA)
        self.classic.execute(FILL.format(rows=rows, tenants=tenants))
        self.classic.execute("VACUUM ANALYZE bench.orders")
        install(self.classic, "bench", "digest", {}, {})
        self.tables = resolve_tables(self.classic, self.plan.tables)
        result = provision(self.classic, self.limitless, self.tables, self.plan)
        if not result.verdict.go:
            raise SystemExit(result.verdict.blockers)

    async def begin(self, parts: int = 1) -> None:
        """Capture on, first positions."""
        capture.install(self.classic, self.tables, parts, 3)
        async with (
            await connect_async(self.classic_dsn, "bench") as classic,
            await connect_async(self.limitless_dsn, "bench") as limitless,
        ):
            await position.initialise(classic, limitless, parts)


def pgbench(bin_: Path, dsn: str, script: Path, seconds: int) -> float:
    """Transactions per second of 8 clients."""
    p = conninfo.conninfo_to_dict(dsn)
    command = [str(bin_), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(script)]
    command += ["-h", str(p["host"]), "-p", str(p["port"]), "-U", str(p["user"]), str(p["dbname"])]
    environment = {**os.environ, "PGPASSWORD": str(p.get("password", ""))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def wal(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def measure_capture(machines: Machines, args: argparse.Namespace) -> None:
    """Rate and WAL of small transactions, with capture and without it, in turns on two databases of one server."""
    found = shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench is not on PATH")
    script = Path(args.home) / "small.sql"
    script.write_text(SMALL, encoding="utf-8")
    off, on = Bench(machines, "off", 100_000), Bench(machines, "on", 100_000)
    asyncio.run(on.begin())
    rates: dict[str, list[float]] = {"off": [], "on": []}
    logs: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(args.repeat):
        for name, bench in (("off", off), ("on", on)):
            before = wal(bench.classic)
            tps = pgbench(Path(found), bench.classic_dsn, script, args.seconds)
            rates[name].append(tps)
            logs[name].append((wal(bench.classic) - before) / (tps * args.seconds))
    a, b = statistics.median(rates["off"]), statistics.median(rates["on"])
    x, y = statistics.median(logs["off"]), statistics.median(logs["on"])
    print(f"small transactions, 8 clients: {a:,.0f}/s off, {b:,.0f}/s on: ratio {b / a:.2f}")
    print(f"WAL per transaction: {x:,.0f} B off, {y:,.0f} B on: {y / x:.2f} times")
    bulk: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(args.repeat):
        for name, bench in (("off", off), ("on", on)):
            began = time.perf_counter()
            bench.classic.execute("UPDATE bench.orders SET items = items + 1 WHERE id <= 100000")
            bulk[name].append(time.perf_counter() - began)
    a, b = statistics.median(bulk["off"]), statistics.median(bulk["on"])
    print(f"bulk update of 100,000 rows: {a:.2f} s off, {b:.2f} s on: ratio of rates {a / b:.2f}")


def measure_backfill(machines: Machines, args: argparse.Namespace) -> None:
    """Rows per second of copy units, against psql pipes of binary COPY of the same width."""
    width, bench = 2, Bench(machines, "copy", args.rows)
    asyncio.run(bench.begin())
    orders = next(t for t in bench.tables if t.name == "orders")
    ours: list[float] = []
    pipes: list[float] = []
    for number in range(args.repeat):
        bench.limitless.execute("TRUNCATE bench.orders")
        pipes.append(args.rows / psql_pipes(bench, orders, width))
        bench.limitless.execute("TRUNCATE bench.orders")
        bench.limitless.execute("DELETE FROM migrator.copy_lease")
        bench.classic.execute("DELETE FROM migrator.copy_unit")
        bench.classic.execute("UPDATE migrator.tenant SET state = 'pending'")
        backfill_plan.take_inventory(bench.classic, 1, 20)
        units = backfill_plan.plan_units(bench.classic, args.rows // 4, 1000, args.rows)
        began = time.perf_counter()
        asyncio.run(copy_all(bench, units, width))
        ours.append(args.rows / (time.perf_counter() - began))
        print(f"  run {number + 1}: pipes {pipes[-1]:,.0f} rows/s, units {ours[-1]:,.0f} rows/s ({len(units)} units)")
    a, b = statistics.median(pipes), statistics.median(ours)
    print(f"backfill of 1,000 tenants: psql pipes {a:,.0f} rows/s, copy units {b:,.0f} rows/s: ratio {b / a:.2f}")


async def copy_all(bench: Bench, units: list[str], width: int) -> None:
    waiting = list(units)

    async def worker(name: str) -> None:
        while waiting:
            await copy_unit(bench.classic_dsn, bench.limitless_dsn, waiting.pop(0), name)

    await asyncio.gather(*(worker(f"w{n}") for n in range(width)))


def psql_pipes(bench: Bench, table: Any, width: int) -> float:
    """Seconds that *width* pipes of psql need for the whole table, a range of tenants each."""
    names = ", ".join(c.name for c in table.written_columns)
    began = time.perf_counter()
    running = []
    for n in range(width):
        out = f"COPY (SELECT {names} FROM bench.orders WHERE tenant_id % {width} = {n}) TO STDOUT (FORMAT binary)"
        into = copy_sql.copy_in(table).as_string(bench.limitless)
        reader = subprocess.Popen(
            ["psql", "-qX", "-d", bench.classic_dsn, "-c", out],
            stdout=subprocess.PIPE,
        )
        running.append(subprocess.Popen(["psql", "-qX", "-d", bench.limitless_dsn, "-c", into], stdin=reader.stdout))
    for process in running:
        if process.wait():
            raise SystemExit("a pipe failed")
    return time.perf_counter() - began


def measure_mirror(machines: Machines, args: argparse.Namespace) -> None:
    """Rows per second of the mirror with a backlog, against native logical replication of the same changes."""
    bench = Bench(machines, "mirror", args.rows)
    change = f"UPDATE bench.orders SET items = items + 1, status = 'paid' WHERE id <= {args.rows}"
    native = replicate(bench, args, change)
    asyncio.run(bench.begin())
    mark = "INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 1000) g"
    bench.limitless.execute(mark)
    step = 1000
    for at in range(0, args.rows, step):
        bench.classic.execute(change + f" AND id > {at} AND id <= {at + step}")
    began = time.perf_counter()
    asyncio.run(drain(bench))
    ours = args.rows / (time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"native logical replication {native:,.0f} rows/s, mirror {ours:,.0f} rows/s: ratio {ours / native:.2f}")
    print(f"memory of the mirror's process: {memory:.0f} MB with {args.rows:,} entries waiting")


def replicate(bench: Bench, args: argparse.Namespace, change: str) -> float:
    """Rows per second of a subscription in a copy of the target table."""
    name = str(conninfo.conninfo_to_dict(bench.limitless_dsn)["dbname"])
    with psycopg.connect(conninfo.make_conninfo(bench.machines.limitless_admin, dbname=name), autocommit=True) as there:
        there.execute("SET event_triggers = off")  # the stand-in refuses subscriptions, as Limitless does
        # The target's key is (tenant, key): a subscription wants the publisher to send it.
        bench.classic.execute("CREATE UNIQUE INDEX whole_key ON bench.orders (tenant_id, id)")
        bench.classic.execute("ALTER TABLE bench.orders REPLICA IDENTITY USING INDEX whole_key")
        bench.classic.execute("CREATE PUBLICATION bench_pub FOR TABLE bench.orders")
        bench.classic.execute("SELECT pg_create_logical_replication_slot('bench_slot', 'pgoutput')")
        subprocess_copy(bench)
        where = bench.classic_dsn
        step = 1000
        for at in range(0, args.rows, step):
            bench.classic.execute(change + f" AND id > {at} AND id <= {at + step}")
        end = bench.classic.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
        began = time.perf_counter()
        there.execute(
            psycopg.sql.SQL(
                "CREATE SUBSCRIPTION bench_sub CONNECTION {} PUBLICATION bench_pub"
                " WITH (copy_data = false, create_slot = false, slot_name = 'bench_slot')"
            ).format(psycopg.sql.Literal(where))
        )
        while not bench.classic.execute(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = 'bench_slot'", (end,)
        ).fetchone()[0]:
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        there.execute("DROP SUBSCRIPTION bench_sub")
    bench.classic.execute("DROP PUBLICATION bench_pub")
    return args.rows / seconds


def subprocess_copy(bench: Bench) -> None:
    orders = next(t for t in bench.tables if t.name == "orders")
    psql_pipes(bench, orders, 1)


async def drain(bench: Bench) -> None:
    """Run the mirror until its position covers what is committed now."""
    from migrator.model.position import Snapshot

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


def measure_write(machines: Machines, args: argparse.Namespace) -> None:
    """Latency of a commit that waits for the mirror, at 200 writes a second, against a plain commit."""
    from migrator.model.position import Snapshot

    bench = Bench(machines, "write", 100_000)
    plain: list[float] = []
    waited: list[float] = []

    async def run() -> None:
        await bench.begin()
        bench.limitless.execute("INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 1000) g")
        task = asyncio.create_task(run_partition(bench.classic_dsn, bench.limitless_dsn, 1, MirrorOptions()))
        async with await connect_async(bench.classic_dsn, "bench") as conn:
            for number in range(args.seconds * 200):
                began = time.perf_counter()
                async with conn.transaction():
                    row = await (await conn.execute("SELECT pg_current_xact_id()::text::bigint")).fetchone()
                    await conn.execute(f"UPDATE bench.orders SET items = items + 1 WHERE id = {1 + number}")
                plain.append(time.perf_counter() - began)
                while True:
                    found = await (
                        await conn.execute("SELECT snapshot FROM migrator.position WHERE part = 1")
                    ).fetchone()
                    if Snapshot.parse(found[0]).covers(row[0]):
                        break
                    await asyncio.sleep(0.001)
                waited.append(time.perf_counter() - began)
                await asyncio.sleep(max(0.0, 0.005 - (time.perf_counter() - began)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    for name, found in (("plain commit", plain), ("acknowledged after the mirror", waited)):
        cut = statistics.quantiles([s * 1000 for s in found], n=100)
        print(f"{name}: p50 {cut[49]:.1f} ms, p99 {cut[98]:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures: dict[str, Callable[[Machines, argparse.Namespace], None]] = {
        "capture": measure_capture,
        "backfill": measure_backfill,
        "mirror": measure_mirror,
        "write": measure_write,
    }
    parser.add_argument("what", choices=measures)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    cluster = Cluster(None)
    args.home = cluster.home
    try:
        with cluster.pair() as machines:
            measures[args.what](machines, args)
            print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
