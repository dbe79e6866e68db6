"""What do the shims of many processes cost classic, idle and while writes are acknowledged?

    python -m tests.benchmarks.fleet [--processes 100] [--seconds 8] [--writes 400] [--repeat 3] [--no-listen]

Every process is a real shim: watcher, connection, registered on classic; many of them share one operating system
process. Publishers in the place of mirrors move positions of two partitions, as often as `dual_write.poll_min_ms`
lets them. Taking turns in each repetition: nothing but the publishers; all processes idle beside them; all of them
with acknowledged writes. The processor time of classic is read from its server processes
(/proc/PID/schedstat) and split by who they work for, so other load of the machine matters little. `--no-listen`
opens the shims as behind a pooler in transaction mode.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import resource
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg

from migrator.control import partition
from migrator.control.install import install, install_limitless
from migrator.db.connect import connect_async
from migrator.model.route import WriteMode
from migrator.shim import Settings, Shim
from migrator.traffic.route.write_mode import write_mode
from tests.benchmarks.common import run_measure
from tests.fixtures.postgres import Machines

PARTS = (1, 2)
WRITERS = 60  # processes that write have a second connection, and the servers take 200
SETTINGS = Settings(ack_wait_s=10.0)
TABLE = "CREATE SCHEMA app; CREATE TABLE app.note (id int PRIMARY KEY, n int) WITH (fillfactor = 20);"
WRITE = "UPDATE app.note SET n = n + 1 WHERE id = %s"
TOUCHES = "SELECT set_config('migrator.parts', '2', true)"  # what capture notes: partition 1


def _hosts(pipe: Connection, classic: str, limitless: str, count: int, options: dict[str, Any]) -> None:
    """Run *count* processes of the application; commands come through *pipe*."""
    shims = [Shim(classic, limitless, f"fleet-{n}", settings=SETTINGS, pool_size=2, **options) for n in range(count)]
    for shim in shims:
        shim.open()
    pipe.send([_watcher_pid(shim) for shim in shims])
    while True:
        match pipe.recv():
            case ("write", rate, seconds, writers):
                pipe.send(_write(shims[:writers], rate, seconds))
            case ("processor",):
                pipe.send(time.process_time())
            case _:
                for shim in shims:
                    shim.close()
                return


def _watcher_pid(shim: Shim) -> int:
    assert shim._watcher is not None and shim._watcher._link is not None
    return shim._watcher._link.conn.info.backend_pid


def _write(shims: list[Shim], rate: float, seconds: float) -> list[float]:
    """Write *rate* times a second in all, spread over *shims*; return how long each write took to be acknowledged."""
    until, took = time.monotonic() + seconds, []

    def one(number: int, shim: Shim) -> None:
        gap = len(shims) / rate
        due = time.monotonic() + gap * number / len(shims)
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.perf_counter()
            with shim.write("t") as w:
                w.connection.execute(TOUCHES)
                w.connection.execute(WRITE, (os.getpid() % 1000 * 100 + number,))
            took.append(time.perf_counter() - began)
            due = max(due + gap, time.monotonic() - 1)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(shims)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def _publisher(classic: str, stop: Any, rest_s: float) -> None:
    async def publish(part: int) -> None:
        async with await connect_async(classic, f"publisher {part}") as conn:
            for cycle in itertools.count():
                if stop.is_set():
                    return
                row = await (await conn.execute("SELECT pg_current_snapshot()::text")).fetchone()
                assert row is not None
                await partition.publish(
                    conn, part, 1, row[0], age_s=0.0, lag_s=0.0, rows=1, applied=cycle, rows_per_s=1.0
                )
                await asyncio.sleep(rest_s if part else 1.0)

    async def all_parts() -> None:
        await asyncio.gather(*map(publish, (0, *PARTS)))

    asyncio.run(all_parts())


class Classic:
    """Processor time of a server's processes, by whom they work for."""

    def __init__(self, dsn: str) -> None:
        self.conn = psycopg.connect(dsn, autocommit=True, application_name="meter")
        row = self.conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        self.server = int(Path(f"/proc/{row[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
        self.watchers: set[int] = set()

    def read(self) -> dict[int, tuple[str, float]]:
        """Return name and seconds of each process."""
        names: dict[int, str] = dict(
            self.conn.execute("SELECT pid, coalesce(application_name, backend_type) FROM pg_stat_activity")
        )
        found = {}
        for pid in _children(self.server):
            with contextlib.suppress(FileNotFoundError):
                seconds = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
                found[pid] = (self._kind(pid, names.get(pid) or ""), seconds)
        return found

    def _kind(self, pid: int, name: str) -> str:
        if pid in self.watchers:
            return "watchers"
        for kind in ("publisher", "migrator-shim", "meter"):
            if name.startswith(kind):
                return {"migrator-shim": "writes"}.get(kind, kind)
        return "server"

    @contextlib.contextmanager
    def measured(self, into: Counter[str], seconds: float) -> Iterator[None]:
        """Add up what is used until the block ends, in shares of a core."""
        before = self.read()
        began = time.monotonic()
        yield
        for pid, (kind, spent) in self.read().items():
            into[kind] += (spent - before.get(pid, ("", 0.0))[1]) / max(seconds, time.monotonic() - began)  # type: ignore[assignment]


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _statements(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how often each kind of statement of watchers ran so far."""
    rows = conn.execute(
        "SELECT CASE WHEN query LIKE '%date_part(%migrator.switch%' THEN 'looks'"
        " WHEN query LIKE '%json_agg(%switch%epoch_mark%' AND query NOT LIKE 'WITH%' THEN 'looks'"
        " WHEN query LIKE '%INTO migrator.process%' THEN 'heartbeats' WHEN query LIKE 'WITH known%' THEN 'routes'"
        " WHEN query LIKE '%min(applied_epoch)%' THEN 'confirmations' ELSE 'other' END, sum(calls)::int"
        " FROM pg_stat_statements GROUP BY 1"
    )
    return dict(rows.fetchall())


def measure(machines: Machines, args: argparse.Namespace) -> None:
    """Print shares of one core of classic, medians of the repetitions."""
    machines.routers = None
    classic, limitless = machines.new_classic("fleet"), machines.new_limitless("fleet")
    with psycopg.connect(classic, autocommit=True) as conn:
        install(conn, "fleet", "digest", {}, {})
        conn.execute(TABLE)
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        conn.execute("INSERT INTO app.note SELECT n, 0 FROM generate_series(0, 99999) n")
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT CASE n WHEN 0 THEN 't' ELSE 'tenant-' || n END, 1 + n %% 2, 'limitless', 1, 1, 'cutover', 'wave'"
            " FROM generate_series(0, %s - 1) n",
            (args.tenants,),
        )
        write_mode(conn, WriteMode.DUAL, who="bench", reason="bench")
    with psycopg.connect(limitless, autocommit=True) as conn:
        install_limitless(conn)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    publisher = spawn.Process(target=_publisher, args=(classic, stop, args.cycle_ms / 1000), daemon=True)
    publisher.start()
    meter = Classic(classic)
    results: dict[str, list[Counter[str]]] = {}
    waits: dict[str, list[float]] = {}
    counts: dict[str, Counter[str]] = {}
    processor: list[float] = []

    def turn(name: str, hosts: list[Connection], writers: int = 0) -> None:
        used: Counter[str] = Counter()
        before = Counter(_statements(meter.conn))
        with meter.measured(used, args.seconds):
            if writers:
                for pipe in hosts:
                    pipe.send(("write", args.writes / len(hosts), args.seconds, max(1, writers // len(hosts))))
                for pipe in hosts:
                    waits.setdefault(name, []).extend(pipe.recv())
            else:
                spent = [_ask(pipe) for pipe in hosts]
                time.sleep(args.seconds)
                processor.extend((_ask(p) - s) / args.seconds / per for p, s in zip(hosts, spent, strict=True))
        results.setdefault(name, []).append(used)
        counts.setdefault(name, Counter()).update(Counter(_statements(meter.conn)) - before)

    def _ask(pipe: Connection) -> float:
        pipe.send(("processor",))
        found: float = pipe.recv()
        return found

    per = args.processes // args.hosts
    for _ in range(args.repeat):
        turn("none", [])
        with contextlib.ExitStack() as running:
            began = time.monotonic()
            hosts = [
                running.enter_context(_host(spawn, classic, limitless, per, {"listen": not args.no_listen}))
                for _ in range(args.hosts)
            ]
            meter.watchers = {pid for _, pids in hosts for pid in pids}
            pipes = [pipe for pipe, _ in hosts]
            print(f"{args.hosts * per} processes opened in {time.monotonic() - began:.1f} s")
            time.sleep(2)
            turn("idle", pipes)
            turn("writes", pipes, min(WRITERS, args.hosts * per))
    stop.set()
    publisher.join()
    _report(args, per * args.hosts, results, waits, counts, processor)


@contextlib.contextmanager
def _host(
    spawn: Any, classic: str, limitless: str, count: int, options: dict[str, Any]
) -> Iterator[tuple[Connection, list[int]]]:
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=_hosts, args=(theirs, classic, limitless, count, options), daemon=True)
    process.start()
    try:
        yield mine, mine.recv()
    finally:
        mine.send(("stop",))
        process.join()


def _report(
    args: argparse.Namespace,
    processes: int,
    results: dict[str, list[Counter[str]]],
    waits: dict[str, list[float]],
    counts: dict[str, Counter[str]],
    processor: list[float],
) -> None:
    for name, runs in results.items():
        kinds = sorted({kind for run in runs for kind in run} - {"meter"})
        shares = {kind: statistics.median(run[kind] for run in runs) for kind in kinds}
        total = sum(shares.values())
        split = ", ".join(f"{kind} {share * 100:.2f}" for kind, share in shares.items())
        print(f"{name}: {total * 100:.1f} % of a core of classic ({split})")
        said = ", ".join(f"{n / args.seconds / args.repeat:.0f} {what}" for what, n in sorted(counts[name].items()))
        print(f"    statements a second: {said}")
        watchers = shares.get("watchers", 0.0)
        print(f"    {watchers / processes * 1e5:.1f} thousandths of a percent of a core per process")
    for name, took in waits.items():
        cut = statistics.quantiles([s * 1000 for s in took], n=100)
        rate = len(took) / args.seconds / args.repeat
        print(f"{name}: {rate:.0f} acknowledged writes/s, p50 {cut[49]:.1f} ms, p99 {cut[98]:.1f} ms")
    if processor:
        print(f"an idle process itself: {statistics.median(processor) * 100:.3f} % of a core")
    print(f"memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=100)
    parser.add_argument("--hosts", type=int, default=2, help="operating system processes that hold them")
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--writes", type=float, default=400.0, help="acknowledged writes a second, of all together")
    parser.add_argument("--cycle-ms", type=float, default=12.0, help="rest of a publisher between two positions")
    parser.add_argument("--no-listen", action="store_true")


if __name__ == "__main__":
    run_measure(__doc__, measure, _more)
