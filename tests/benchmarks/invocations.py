"""What does an invocation of a function cost, whose shim has no threads, beside a process with threads?

    python -m tests.benchmarks.invocations [--calls 300] [--pg-bin /usr/lib/postgresql/15/bin] [--network-ms 0.5]

Medians in milliseconds, and round trips, of: opening with one read; an invocation that does nothing; one with a
read of Limitless; one with a write. Each also with threads, where an invocation is the block alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from migrator.shim import Settings, Shim
from tests.fixtures.postgres import Cluster, Machines
from tests.fixtures.round_trips import RoundTrips
from tests.integration.traffic.world import World, get, put, up

SETTINGS = Settings(max_lag_s=1e9, ack_wait_s=30.0, staleness_s=60.0, poll_s=60.0)


def timed(calls: int, work: Callable[[int], object]) -> float:
    """Return the median of so many calls in ms."""
    took = []
    for number in range(calls):
        began = time.perf_counter()
        work(number)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def measure(machines: Machines, calls: int, network_ms: float) -> None:
    world = World.make(machines.new_classic("classic_bench"), machines.new_limitless("limitless_bench"))
    up(world, "t1")
    with ExitStack() as stack:
        classic, limitless = (
            stack.enter_context(RoundTrips(dsn, network_ms / 1000)) for dsn in (world.classic_dsn, world.limitless_dsn)
        )
        print(f"{'':12} {'':28} {'ms':>8} {'trips to classic':>17} {'to limitless':>13}")
        for threads in (False, True):

            def opened(number: int, threads: bool = threads) -> None:
                with Shim(classic.dsn, limitless.dsn, "bench", settings=SETTINGS, threads=threads) as shim:
                    shim.run_read("t1", get("t1", number))

            shim = stack.enter_context(Shim(classic.dsn, limitless.dsn, "b", settings=SETTINGS, threads=threads))

            def nothing(_: int, shim: Shim = shim) -> None:
                with shim.invocation():
                    pass

            def reads(number: int, shim: Shim = shim) -> None:
                with shim.invocation():
                    shim.run_read("t1", get("t1", number % 10))

            def writes(number: int, shim: Shim = shim) -> None:
                with shim.invocation():
                    shim.run_write("u1", put("u1", number % 10, "x"))

            for what, work, times in (
                ("opened, one read, closed", opened, max(1, calls // 10)),
                ("nothing", nothing, calls),
                ("a read of limitless", reads, calls),
                ("a write of classic", writes, calls),
            ):
                work(0)
                classic.taken()
                limitless.taken()
                ms = timed(times, work)
                trips = [len(one.taken()) / times for one in (classic, limitless)]
                kind = "threads" if threads else "no threads"
                print(f"{kind:12} {what:28} {ms:8.2f} {trips[0]:17.1f} {trips[1]:13.1f}")
    world.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--pg-bin", type=Path, default=None)
    parser.add_argument("--network-ms", type=float, default=0.0)
    args = parser.parse_args()
    cluster = Cluster(args.pg_bin)
    try:
        with cluster.pair() as machines:
            measure(machines, args.calls, args.network_ms)
            print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
