"""What does a block through the shim cost, beside a plain pooled transaction of psycopg?

    python -m tests.benchmarks.shim [--repeat 30] [--calls 200] [--pg-bin /usr/lib/postgresql/15/bin] [--only read]
        [--pause-ms 1] [--network-ms 0.5]

The plain form is `with pool.connection() as conn: conn.execute(...)` of psycopg_pool, which commits as the block ends.
psycopg prepares what it runs often by itself; behind a pooler in transaction mode it must not, and the shim does not.
So the plain form goes without (--prepare: with it).
Both take turns of so many calls on one connection each; medians of the turns are printed, and their ratio:

    wall      p50 of one call, microseconds
    client    processor time of the calling thread per call; `process` adds the shim's own threads
    server    processor time of the session that works for it (the router's session, where there is one)
    trips     round trips per call, counted by a proxy in a turn of their own
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.shim.routing import choose
from tests import ROOT
from tests.fixtures.postgres import Cluster, Machines
from tests.fixtures.round_trips import RoundTrips
from tests.integration.traffic.world import World, up

SETTINGS = Settings(max_lag_s=1e9, ack_wait_s=30.0)
"""No mirror runs beside the measure, so positions grow old."""

ROWS = 1000
LOOK = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"
SET = "UPDATE app.note SET body = %s WHERE tenant_id = %s AND id = %s"

Conn = psycopg.Connection[Any]
Block = Callable[[Conn, str, int], None]


def one_read(conn: Conn, tenant: str, number: int) -> None:
    conn.execute(LOOK, (tenant, number % ROWS)).fetchone()


def three_reads(conn: Conn, tenant: str, number: int) -> None:
    for step in range(3):
        conn.execute(LOOK, (tenant, (number + step) % ROWS)).fetchone()


def one_write(conn: Conn, tenant: str, number: int) -> None:
    conn.execute(SET, ("b", tenant, number % ROWS))


def three_writes(conn: Conn, tenant: str, number: int) -> None:
    conn.execute(LOOK, (tenant, number % ROWS)).fetchone()
    for step in range(2):
        conn.execute(SET, ("c", tenant, (number + step) % ROWS))


@dataclass
class Cost:
    """Of one way to do it; each list has one figure per turn, in microseconds per call."""

    wall: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


def _ran_ns(pid: int) -> int:
    """Return how long a process has been running on a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _all_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e9


def turn(cost: Cost, call: Callable[[int], None], calls: int, pids: list[int], pause_s: float = 0.0) -> None:
    """Make so many calls, and note what they cost; between two of them the application does other things."""
    walls = []
    server, process, client = sum(map(_ran_ns, pids)), _all_ns(), time.thread_time_ns()
    for number in range(calls):
        began = time.perf_counter_ns()
        call(number)
        walls.append(time.perf_counter_ns() - began)
        if pause_s:
            time.sleep(pause_s)
    for figures, ns in (
        (cost.client, time.thread_time_ns() - client),
        (cost.process, _all_ns() - process),
        (cost.server, sum(map(_ran_ns, pids)) - server),
    ):
        figures.append(ns / calls / 1000)
    cost.wall.append(statistics.median(walls) / 1000)


def pid_of(conn: Conn) -> int:
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


class Bench:
    """Both ways to do it, on either side: t1 reads Limitless, u1 classic."""

    def __init__(self, classic: str, limitless: str, stack: ExitStack, prepare: bool) -> None:
        options = {} if prepare else {"prepare_threshold": None}

        self.shim = stack.enter_context(Shim(classic, limitless, "bench", pool_size=1, settings=SETTINGS))
        self.pools = {
            "t1": stack.enter_context(ConnectionPool(limitless, min_size=1, max_size=1, open=True, kwargs=options)),
            "u1": stack.enter_context(ConnectionPool(classic, min_size=1, max_size=1, open=True, kwargs=options)),
        }

    def plain(self, block: Block, tenant: str) -> Callable[[int], None]:
        pool = self.pools[tenant]

        def call(number: int) -> None:
            with pool.connection() as conn:
                block(conn, tenant, number)

        return call

    def through(self, block: Block, tenant: str, ack: str) -> Callable[[int], None]:
        shim = self.shim

        def read(number: int) -> None:
            with shim.read(tenant) as r:
                block(r.connection, tenant, number)

        def write(number: int) -> None:
            with shim.write(tenant, ack=ack) as w:
                block(w.connection, tenant, number)

        return write if ack else read

    def pids(self, tenant: str, ack: str) -> tuple[int, int]:
        with self.pools[tenant].connection() as conn:
            plain = pid_of(conn)
        with self.shim.write(tenant) if ack else self.shim.read(tenant) as block:
            return plain, pid_of(block.connection)


CASES: dict[str, tuple[Block, str, str]] = {  # by level of acknowledgement, "" for a read
    "read, classic, one statement": (one_read, "u1", ""),
    "read, classic, three": (three_reads, "u1", ""),
    "read, limitless, one statement": (one_read, "t1", ""),
    "read, limitless, three": (three_reads, "t1", ""),
    "write, tenant on classic, one": (one_write, "u1", "everywhere"),
    "write, tenant on classic, three": (three_writes, "u1", "everywhere"),
    "write, level none, one": (one_write, "u1", "none"),
    "write, level none, three": (three_writes, "u1", "none"),
}


def decision_us(shim: Shim) -> float:
    """Return how long one decision of the side takes, with the look at the breakers, in microseconds."""
    view, tenant = shim._current.view, TenantId("t1")
    rounds = []
    for _ in range(31):
        began = time.thread_time_ns()
        for _ in range(1000):
            choice = choose(view, tenant, shim._current.now_s(), 0.5)
            shim._breakers.admit(tenant, choice.part or 0)
        rounds.append((time.thread_time_ns() - began) / 1e6)
    return statistics.median(rounds)


def measure(machines: Machines, args: argparse.Namespace) -> None:
    if not args.routers:
        machines.routers = None
    dsns = machines.new_classic("shim"), machines.new_limitless("shim")
    world = World.make(*dsns)
    for tenant in ("t1", "u1"):
        world.classic.execute("INSERT INTO app.note SELECT %s, g, 'a' FROM generate_series(0, 999) g", (tenant,))
    up(world, "t1")
    for conn in (world.classic, world.limitless):
        conn.execute("ANALYZE app.note")
    cases = {name: case for name, case in CASES.items() if args.only in name}
    with ExitStack() as stack:
        near = dsns
        if args.network_ms:
            dsns = far_from(dsns[0], args.network_ms, stack), far_from(dsns[1], args.network_ms, stack)
        bench = Bench(*dsns, stack, args.prepare)
        print(f"decision with breakers: {decision_us(bench.shim):.2f} us")
        print(f"{'':38}{'wall p50':>22}{'client':>22}{'process':>9}{'server':>22}{'trips':>10}")
        for name, (block, tenant, ack) in cases.items():
            pids = bench.pids(tenant, ack)
            plain, through = Cost(), Cost()
            for number in range(args.repeat + 1):
                ways = [
                    (plain, bench.plain(block, tenant), pids[0]),
                    (through, bench.through(block, tenant, ack), pids[1]),
                ]
                for cost, call, pid in ways if number % 2 else ways[::-1]:
                    turn(Cost() if not number else cost, call, args.calls, [pid], args.pause_ms / 1000)
            print(f"{name:38}" + "".join(_both(plain, through, what) for what in ("wall", "client")), end="")
            print(f"{statistics.median(through.process):9.1f}{_both(plain, through, 'server')}", end="")
            print(f"{trips(near, block, tenant, ack):>10}", flush=True)
    world.close()


def far_from(dsn: str, delay_ms: float, stack: ExitStack) -> str:
    """Return how to reach *dsn* through a process that holds each message back."""
    command = [sys.executable, "-m", "tests.fixtures.round_trips", dsn, str(delay_ms / 1000)]
    relay = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    )
    assert relay.stdin is not None and relay.stdout is not None
    stack.callback(relay.stdin.close)
    return relay.stdout.readline().strip()


def _both(plain: Cost, through: Cost, what: str) -> str:
    a, b = (statistics.median(getattr(cost, what)) for cost in (plain, through))
    return f"{a:8.1f}{b:8.1f}{b / a:6.2f}"


def trips(dsns: tuple[str, str], block: Block, tenant: str, ack: str) -> str:
    """Return the round trips of a call, plain and through the shim."""
    with ExitStack() as stack:
        classic, limitless = (stack.enter_context(RoundTrips(dsn)) for dsn in dsns)
        bench = Bench(classic.dsn, limitless.dsn, stack, False)
        # The shim's own connections for routes are on classic as well, so those of its pool are asked for apart.
        found = []
        for call in (bench.plain(block, tenant), bench.through(block, tenant, ack)):
            call(0)
            counts = []
            for number in range(9):
                classic.taken(), limitless.taken()
                call(number)
                said = classic.taken() + limitless.taken()
                counts.append(sum(b"migrator.process" not in one and b"migrator.route" not in one for one in said))
            found.append(min(counts))
    return f"{found[0]} {found[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--routers", action="store_true", help="reach Limitless through the stand-in's routers")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="between two calls")
    parser.add_argument("--network-ms", type=float, default=0.0, help="a network with so long a round trip on the way")
    parser.add_argument("--prepare", action="store_true", help="the plain form prepares statements by itself")
    parser.add_argument("--pg-bin", type=Path, default=None)
    args = parser.parse_args()
    cluster = Cluster(args.pg_bin)
    try:
        with cluster.pair() as machines:
            measure(machines, args)
            print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
