"""What do reads on a replica cost, and what do acknowledged writes pay for it?

    python -m tests.benchmarks.replicas --reads 400 --rounds 9

A/B in turns in one run: a shim without replicas, and one with one replica, beside each other on databases of their own
(a process without replicas keeps them out of service). Per call: processor time of this thread, of all processes of
the writer and of the replica, and the median of the wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from migrator.local import process
from migrator.local.server import Server
from tests.fixtures.postgres import Cluster, Machines, Servers
from tests.fixtures.replica import Standbys
from tests.integration.traffic.replicated import PATIENT, applied
from tests.integration.traffic.world import World, get, put


def _server_ns(server: Server) -> int:
    """Processor time of a server's processes that live now."""
    pid = server.pid
    found = 0
    for each in () if pid is None else (pid, *process.children(pid)):
        with suppress(OSError):  # it has ended
            found += int(Path(f"/proc/{each}/schedstat").read_text().split()[0])
    return found


def measure(machines: Machines, reads: int, rounds: int) -> None:
    """Print medians over the rounds."""
    classic = machines.classic
    assert isinstance(classic, Server) and machines.limitless is not None
    with ExitStack() as stack:
        worlds = [World.make(machines.new_classic(f"c{n}"), machines.new_limitless(f"l{n}")) for n in (1, 2)]
        standbys = Standbys(Servers(classic, machines.limitless, worlds[1].classic_dsn, worlds[1].limitless_dsn))
        stack.callback(standbys.close)
        one = standbys.make()
        assert isinstance(one.server, Server)
        without = stack.enter_context(worlds[0].shim("without", PATIENT))
        replicated = stack.enter_context(worlds[1].shim("with", PATIENT, readers=[one.dsn]))
        applied(replicated, one)
        ways: dict[str, Callable[[int], Any]] = {
            "read without": lambda n: without.run_read("t1", get("t1", n % 100)),
            "read with": lambda n: replicated.run_read("t1", get("t1", n % 100)),
            "write without": lambda n: without.run_write("t1", put("t1", n % 100, f"{n}")),
            "write with": lambda n: replicated.run_write("t1", put("t1", n % 100, f"{n}")),
        }
        figures: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, call in ways.items():
                figures[way].append(_round(call, reads, (classic, one.server)))
        print(f"load {os.getloadavg()[0]:.1f}; microseconds per call, medians of {rounds} rounds of {reads} calls")
        print(f"{'':16}{'wall p50':>10}{'client':>10}{'writer':>10}{'replica':>10}")
        for way, rows in figures.items():
            print(f"{way:16}" + "".join(f"{statistics.median(column):10.0f}" for column in zip(*rows, strict=True)))
        for world in worlds:
            world.close()


def _round(call: Callable[[int], Any], calls: int, servers: tuple[Server, Server]) -> tuple[float, ...]:
    walls = []
    before = [time.thread_time_ns(), *map(_server_ns, servers)]
    for number in range(calls):
        began = time.perf_counter_ns()
        call(number)
        walls.append(time.perf_counter_ns() - began)
    after = [time.thread_time_ns(), *map(_server_ns, servers)]
    return (statistics.median(walls) / 1000, *((b - a) / calls / 1000 for a, b in zip(before, after, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=400, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    cluster = Cluster(None)
    try:
        with cluster.pair() as machines:
            measure(machines, args.reads, args.rounds)
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
