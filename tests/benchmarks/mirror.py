"""How fast is the mirror, how far behind, and what does it need?

    python -m tests.benchmarks.mirror rate [--rows 100000] [--repeat 3]        against native logical replication
    python -m tests.benchmarks.mirror grow [--rows 100000] [--repeat 3]        with partitions, in one and two processes
    python -m tests.benchmarks.mirror lag --rate 15000 [--seconds 20]          at a given rate of rows per second
    python -m tests.benchmarks.mirror memory [--waiting 5000000]               with so many entries waiting
    python -m tests.benchmarks.mirror reads [--seconds 5]                      what its own reads cost classic

One partition unless said otherwise, two embedded servers without fsync: the processor is what mirror and servers
compete for. Native replication and mirror take turns of applying the same changes, 1,000 rows a transaction, to the
same table.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from migrator.dataplane.capture.journal_sql import part_of
from migrator.dataplane.mirror.options import CycleStats, MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.local.server import Server
from migrator.model.position import Snapshot
from tests.benchmarks.capture import SMALL, ended_cpu_us, pgbench, sessions
from tests.benchmarks.common import Bench, drain, run_measure, value
from tests.fixtures.postgres import Machines

STEP = 1000


def write(bench: Bench, rows: int) -> None:
    """Change *rows* rows, 1,000 in a transaction."""
    for at in range(0, rows, STEP):
        bench.classic.execute(
            "UPDATE bench.orders SET items = items + 1, status = 'paid' WHERE id > %s AND id <= %s", (at, at + STEP)
        )


def ready(machines: Machines, name: str, rows: int) -> Bench:
    """Both sides with the same rows, not captured yet."""
    bench = Bench(machines, name, rows)
    out = bench.classic.cursor().copy("COPY bench.orders TO STDOUT (FORMAT binary)")
    into = bench.limitless.cursor().copy("COPY bench.orders FROM STDIN (FORMAT binary)")
    with out as reader, into as writer:
        for block in reader:
            writer.write(block)
    return bench


def capture_all(bench: Bench) -> None:
    """Capture on, every tenant mirrored, the first cycle over."""
    asyncio.run(bench.begin())
    bench.limitless.execute("INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 1000) g")
    asyncio.run(drain(bench))


def measure(machines: Machines, args: argparse.Namespace) -> None:
    {"rate": rate, "grow": grow, "lag": lag, "memory": memory, "reads": reads}[args.what](machines, args)


def rate(machines: Machines, args: argparse.Namespace) -> None:
    bench = ready(machines, "rate", args.rows)
    # The target's key is (tenant, key): a subscription wants the publisher to send it.
    bench.classic.execute("CREATE UNIQUE INDEX whole_key ON bench.orders (tenant_id, id)")
    bench.classic.execute("ALTER TABLE bench.orders REPLICA IDENTITY USING INDEX whole_key")
    capture_all(bench)
    native: list[float] = []
    ours: list[float] = []
    for number in range(args.repeat):
        with spent(bench, args.rows) as its:
            native.append(replicate(bench, args))
        asyncio.run(drain(bench))  # what replication applied is in the journal too
        write(bench, args.rows)
        with spent(bench, args.rows) as own:
            began = time.perf_counter()
            asyncio.run(drain(bench))
            ours.append(args.rows / (time.perf_counter() - began))
        print(f"  run {number + 1}: native {native[-1]:,.0f} rows/s ({its}), mirror {ours[-1]:,.0f} rows/s ({own})")
    a, b = statistics.median(native), statistics.median(ours)
    ratio = statistics.median(y / x for x, y in zip(native, ours, strict=True))
    print(f"native logical replication {a:,.0f} rows/s, mirror {b:,.0f} rows/s: ratio {ratio:.2f}")


@dataclass
class Spent:
    """Processor time a row, in microseconds: of this program, and of sessions of both servers that ended meanwhile."""

    program: float = 0.0
    classic: float = 0.0
    limitless: float = 0.0

    def __str__(self) -> str:
        return f"us a row: program {self.program:.1f}, classic {self.classic:.1f}, limitless {self.limitless:.1f}"


@contextmanager
def spent(bench: Bench, rows: int) -> Iterator[Spent]:
    servers = [s for s in (bench.machines.classic, bench.machines.limitless) if isinstance(s, Server)]
    others = [sessions(server) for server in servers]
    before = [time.process_time() * 1e6, *map(ended_cpu_us, servers)]
    found = Spent()
    yield found
    program = time.process_time() * 1e6
    for server, known in zip(servers, others, strict=True):
        while sessions(server) - known:  # autovacuum may have come
            time.sleep(0.01)
    after = [program, *map(ended_cpu_us, servers)]
    found.program, found.classic, found.limitless = ((b - a) / rows for a, b in zip(before, after, strict=True))


def replicate(bench: Bench, args: argparse.Namespace) -> float:
    """Rows per second of a subscription that applies `write`'s changes to the mirror's target table."""
    name = str(conninfo.conninfo_to_dict(bench.limitless_dsn)["dbname"])
    with psycopg.connect(conninfo.make_conninfo(bench.machines.limitless_admin, dbname=name), autocommit=True) as there:
        there.execute("SET event_triggers = off")  # the stand-in refuses subscriptions, as Limitless does
        bench.classic.execute("CREATE PUBLICATION bench_pub FOR TABLE bench.orders")
        bench.classic.execute("SELECT pg_create_logical_replication_slot('bench_slot', 'pgoutput')")
        where = bench.classic_dsn
        write(bench, args.rows)
        end = value(bench.classic, "SELECT pg_current_wal_insert_lsn()")
        began = time.perf_counter()
        there.execute(
            sql.SQL(
                "CREATE SUBSCRIPTION bench_sub CONNECTION {} PUBLICATION bench_pub"
                " WITH (copy_data = false, create_slot = false, slot_name = 'bench_slot')"
            ).format(sql.Literal(where))
        )
        query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = 'bench_slot'"
        while not value(bench.classic, query, end):
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        there.execute("DROP SUBSCRIPTION bench_sub")
    bench.classic.execute("DROP PUBLICATION bench_pub")
    return float(args.rows / seconds)


def lag(machines: Machines, args: argparse.Namespace) -> None:
    bench = ready(machines, "lag", args.rows)
    capture_all(bench)
    cycles: list[CycleStats] = []

    def writer() -> int:
        done, began = 0, time.perf_counter()
        while (gone := time.perf_counter() - began) < args.seconds:
            if done > gone * args.rate:
                time.sleep(0.001)
                continue
            at = done % args.rows
            bench.classic.execute(
                "UPDATE bench.orders SET items = items + 1 WHERE id > %s AND id <= %s", (at, at + args.batch)
            )
            done += args.batch
        return done

    async def run() -> int:
        options = MirrorOptions(on_cycle=cycles.append)
        task = asyncio.create_task(run_partition(bench.classic_dsn, bench.limitless_dsn, 1, options))
        done = await asyncio.to_thread(writer)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return done

    done = asyncio.run(run())
    # The lag of a cycle is that of its oldest row; every row counts.
    lags = sorted((c.lag_s, c.rows) for c in cycles if c.rows)
    total, passed, found = sum(n for _, n in lags), 0, {}
    for seconds, rows in lags:
        passed += rows
        for share in (0.5, 0.99):
            if passed >= share * total and share not in found:
                found[share] = seconds
    print(
        f"{done / args.seconds:,.0f} rows/s written (asked for {args.rate:,}), {len(lags)} cycles:"
        f" lag p50 {found[0.5] * 1000:.0f} ms, p99 {found[0.99] * 1000:.0f} ms"
    )


_MIRROR = """
import asyncio, sys
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
async def run():
    classic, limitless, *parts = sys.argv[1:]
    await asyncio.gather(*(run_partition(classic, limitless, int(part), MirrorOptions()) for part in parts))
asyncio.run(run())
"""


def busy_us(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


def sessions_us(bench: Bench) -> float:
    """Processor time of the mirrors' sessions on both servers, with those that have ended."""
    total = 0.0
    for server, conn in ((bench.machines.classic, bench.classic), (bench.machines.limitless, bench.limitless)):
        assert isinstance(server, Server)
        pids = conn.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name ~ '^migrator mirror' AND datname = current_database()"
        )
        total += ended_cpu_us(server) + sum(busy_us(pid) for (pid,) in pids.fetchall())
    return total


def covered(bench: Bench, now: Snapshot) -> bool:
    found = bench.classic.execute("SELECT snapshot FROM migrator.position WHERE part > 0").fetchall()
    return all(Snapshot.parse(snapshot).includes(now) for (snapshot,) in found)


def until_covered(bench: Bench) -> None:
    now = Snapshot.parse(value(bench.classic, "SELECT pg_current_snapshot()::text"))
    while not covered(bench, now):
        time.sleep(0.02)


def grow(machines: Machines, args: argparse.Namespace) -> None:
    """The same rows with more partitions; the mirrors are frozen while they are written, and all begin at once."""
    benches = {}
    for parts in (1, 2, 4):
        bench = ready(machines, f"grow_{parts}", args.rows)
        asyncio.run(bench.begin(parts))
        part = part_of(sql.SQL("g"), parts)
        tenants = sql.SQL("SELECT {}, g::text FROM generate_series(1, 1000) g").format(part)
        with bench.limitless.cursor() as into:
            into.executemany("INSERT INTO migrator.mirrored VALUES (%s, %s)", bench.classic.execute(tenants).fetchall())
        benches[parts] = bench
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for _ in range(args.repeat):
        for parts, processes in ((1, 1), (2, 1), (2, 2), (4, 2)):
            found.setdefault((parts, processes), []).append(grown(benches[parts], args.rows, parts, processes))
    base = [rate for rate, _, _ in found[1, 1]]
    for (parts, processes), runs in found.items():
        rates, programs, servers = zip(*runs, strict=True)
        share = statistics.median(b / a for a, b in zip(base, rates, strict=True))
        print(
            f"{parts} partitions in {processes} processes: {statistics.median(rates):,.0f} rows/s, {share:.2f} times;"
            f" us a row: programs {statistics.median(programs):.1f}, sessions {statistics.median(servers):.1f}"
        )


def grown(bench: Bench, rows: int, parts: int, processes: int) -> tuple[float, float, float]:
    """Rows per second, and processor time a row of the programs and of their sessions on both servers."""
    command = [sys.executable, "-c", _MIRROR, bench.classic_dsn, bench.limitless_dsn]
    shares = [[str(part) for part in range(1, parts + 1) if part % processes == n] for n in range(processes)]
    programs = [subprocess.Popen([*command, *share]) for share in shares]
    try:
        until_covered(bench)
        for program in programs:
            program.send_signal(signal.SIGSTOP)
        write(bench, rows)
        used = sum(busy_us(p.pid) for p in programs), sessions_us(bench)
        began = time.perf_counter()
        for program in programs:
            program.send_signal(signal.SIGCONT)
        until_covered(bench)
        rate = rows / (time.perf_counter() - began)
        spent_us = sum(busy_us(p.pid) for p in programs), sessions_us(bench)
        return rate, (spent_us[0] - used[0]) / rows, (spent_us[1] - used[1]) / rows
    finally:
        for program in programs:
            program.kill()
            program.wait()


def memory(machines: Machines, args: argparse.Namespace) -> None:
    bench = ready(machines, "memory", args.rows)
    capture_all(bench)
    waiting = 0
    while waiting < args.waiting:
        waiting += bench.classic.execute("UPDATE bench.orders SET items = items + 1").rowcount
        bench.classic.execute("VACUUM bench.orders")
    mark = value(bench.classic, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    began = time.perf_counter()
    mirror = subprocess.Popen([sys.executable, "-c", _MIRROR, bench.classic_dsn, bench.limitless_dsn, "1"])
    peak = 0
    try:
        while (
            value(bench.classic, "SELECT pg_snapshot_xmin(snapshot::pg_snapshot)::text::bigint FROM migrator.position"
                  " WHERE part = 1") < mark
        ):  # fmt: skip
            if mirror.poll() is not None:
                raise SystemExit("the mirror ended")
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{mirror.pid}/status").read_text())
            peak = max(peak, int(found[1]) if found else 0)
            time.sleep(0.1)
    finally:
        mirror.kill()
        mirror.wait()
    print(
        f"{waiting:,} entries waiting ({args.rows:,} rows): applied in {time.perf_counter() - began:.0f} s,"
        f" the mirror's process took {peak / 1024:.0f} MB at most"
    )


def reads(machines: Machines, args: argparse.Namespace) -> None:
    found = shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench is not on PATH")
    bench = ready(machines, "reads", args.rows)
    capture_all(bench)
    script = Path(args.home) / "small.sql"
    script.write_text(SMALL, encoding="utf-8")

    def sessions_us() -> float:
        pids = bench.classic.execute("SELECT pid FROM pg_stat_activity WHERE application_name ~ '^migrator mirror 1'")
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000 for (pid,) in pids)

    async def run() -> tuple[float, int, float]:
        task = asyncio.create_task(run_partition(bench.classic_dsn, bench.limitless_dsn, 1, MirrorOptions()))
        await asyncio.sleep(1)  # its sessions are open, and cost little until somebody writes
        before = sessions_us()
        tps, count = await asyncio.to_thread(pgbench, Path(found or ""), bench.classic_dsn, script, args.seconds)
        used = sessions_us() - before
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return tps, count, used

    for _ in range(args.repeat):
        alone, _ = pgbench(Path(found), bench.classic_dsn, script, args.seconds)
        asyncio.run(drain(bench))
        tps, count, used = asyncio.run(run())
        print(
            f"{alone:,.0f}/s with nobody reading, {tps:,.0f}/s with the mirror on the same processors;"
            f" its sessions on classic took {used / count:.0f} us of processor per transaction"
            f" ({used / count / (1e6 / tps) * 100:.0f} % of one processor)"
        )


def _more(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(rows=100_000)
    parser.add_argument("what", choices=("rate", "grow", "lag", "memory", "reads"))
    parser.add_argument("--rate", type=int, default=15_000, help="rows per second that lag writes")
    parser.add_argument("--batch", type=int, default=20, help="rows of one transaction of lag")
    parser.add_argument("--waiting", type=int, default=5_000_000)


if __name__ == "__main__":
    run_measure(__doc__, measure, _more)
