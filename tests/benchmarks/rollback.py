"""How long does a rollback of 10,000 tenants take until 50 processes have confirmed it: of all, and of one wave?

    python -m tests.benchmarks.rollback [--tenants 10000] [--processes 50] [--in 5] [--repeat 3]

The processes are real shims with nothing to do but to watch routes, each with its own connection to classic, `--in` so
many processes of the operating system. On one machine they share the processor with classic, which in production they
do not: so beside the time until all confirmed stands the time until the change was committed, the processor time of
classic's sessions, and that of the processes. The servers are embedded ones without fsync.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.install import install
from migrator.db.connect import connect
from migrator.model.tenant import TenantId
from migrator.shim import Shim
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from tests import ROOT
from tests.benchmarks.common import cpu_s, run_measure, value
from tests.fixtures.postgres import Machines

TENANTS = """
INSERT INTO migrator.tenant (tenant_id, part, state, wave)
SELECT 'tenant-' || lpad(g::text, 6, '0'), 1 + g % 4, 'mirrored', 1 FROM generate_series(1, {}) g;
UPDATE migrator.switch SET write_mode = 'dual';
"""
PUBLISH = """
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at)
SELECT p, 1, pg_current_snapshot()::text, clock_timestamp() FROM generate_series(0, 4) p
ON CONFLICT (part) DO UPDATE SET snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at
"""
WAIT_S = 120.0


@contextlib.contextmanager
def mirrors(dsn: str) -> Iterator[None]:
    """Publish positions that are up to date, as mirrors without anything to do."""
    stop = threading.Event()

    def run() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            while not stop.wait(0.05):
                conn.execute(PUBLISH)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Fleet:
    """Processes of the operating system that run shims, until their input ends."""

    def __init__(self, classic_dsn: str, limitless_dsn: str, shims: int, processes: int) -> None:
        share = [shims // processes + (n < shims % processes) for n in range(processes)]
        self.children = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.rollback", "fleet", classic_dsn, limitless_dsn, str(n)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            )
            for n in share
        ]  # fmt: skip
        for child in self.children:
            assert child.stdout is not None
            child.stdout.readline()

    def cpu_s(self) -> float:
        return sum(cpu_s(child.pid) for child in self.children)

    def close(self) -> None:
        for child in self.children:
            assert child.stdin is not None
            child.stdin.close()
        for child in self.children:
            child.wait()


def fleet(classic_dsn: str, limitless_dsn: str, shims: int) -> None:
    with ExitStack() as stack:
        for n in range(shims):
            stack.enter_context(Shim(classic_dsn, limitless_dsn, f"web-{n}", pool_size=1))
        print("ready", flush=True)
        sys.stdin.read()


def servers_cpu_s(conn: psycopg.Connection[Any]) -> float:
    """Processor time of classic's sessions that are open now."""
    return sum(cpu_s(pid) for (pid,) in conn.execute("SELECT pid FROM pg_stat_activity WHERE client_port IS NOT NULL"))


@dataclass
class Turn:
    """One rollback. `committed_s`: until the change was in force on classic, nobody having confirmed it."""

    committed_s: float
    confirmed_s: float
    classic_cpu_s: float
    fleet_cpu_s: float


def turn(conn: psycopg.Connection[Any], looking: psycopg.Connection[Any], running: Fleet, what: dict[str, Any]) -> Turn:
    """Roll *what* back and wait for all."""
    marks: list[float] = []
    done = threading.Event()
    before = value(looking, "SELECT epoch FROM migrator.switch")

    def look() -> None:
        while not done.wait(0.002):
            if value(looking, "SELECT epoch FROM migrator.switch") != before:
                marks.append(time.perf_counter())
                return

    watching = threading.Thread(target=look)
    servers, processes = servers_cpu_s(conn), running.cpu_s()
    watching.start()
    began = time.perf_counter()
    result = roll_back(conn, who="bench", reason=f"turn {began}", timeout_s=WAIT_S, **what)
    ended = time.perf_counter()
    done.set()
    watching.join()
    assert result.changed and result.complete and result.confirmed == result.processes, result
    committed = (marks[0] if marks else ended) - began
    return Turn(committed, ended - began, servers_cpu_s(conn) - servers, running.cpu_s() - processes)


def measure_rollback(machines: Machines, args: argparse.Namespace) -> None:
    """Rollbacks of all and of one wave, in turns."""
    machines.routers = None
    dsn, there = machines.new_classic("classic_rollback"), machines.new_limitless("limitless_rollback")
    with ExitStack() as stack:
        conn, looking = (stack.enter_context(connect(dsn, name)) for name in ("bench", "bench looks"))
        install(conn, "bench", "digest", {}, {})
        stack.enter_context(mirrors(dsn))
        conn.execute(TENANTS.format(args.tenants).encode())
        tenants = [TenantId(t) for (t,) in conn.execute("SELECT tenant_id FROM migrator.tenant ORDER BY 1")]
        running = Fleet(dsn, there, args.processes, args.inside)
        found: dict[str, list[Turn]] = {"all": [], "wave": []}
        up: list[float] = []
        try:
            for _ in range(args.repeat):
                release(conn, tenants, who="bench", reason="again")
                began = time.perf_counter()
                moved = promote_reads(conn, tenants=tenants, who="bench", reason="up", wave=1, timeout_s=WAIT_S)
                up.append(time.perf_counter() - began)
                assert moved.done, moved
                assert wait_confirmed(conn, moved.epoch, WAIT_S).complete
                found["all"].append(turn(conn, looking, running, {"all": True}))
                moved = promote_reads(conn, switch=True, who="bench", reason="up", timeout_s=WAIT_S)
                assert moved.done and wait_confirmed(conn, moved.epoch, WAIT_S).complete
                found["wave"].append(turn(conn, looking, running, {"wave": 1}))
        finally:
            running.close()
    print(f"{args.tenants} tenants, {args.processes} processes; medians of {args.repeat}")
    print(f"promoted: {statistics.median(up):.2f} s ({' '.join(f'{s:.2f}' for s in sorted(up))})")
    for name, turns in found.items():
        every = " ".join(f"{t.confirmed_s:.2f}" for t in sorted(turns, key=lambda t: t.confirmed_s))
        confirmed, committed, classic, processes = (
            statistics.median(getattr(t, figure) for t in turns)
            for figure in ("confirmed_s", "committed_s", "classic_cpu_s", "fleet_cpu_s")
        )
        print(f"rollback of {name}: confirmed by all in {confirmed:.2f} s ({every}), in force after {committed:.2f} s")
        print(f"    processor time: classic {classic:.2f} s, the processes {processes:.2f} s")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--in", dest="inside", type=int, default=5)


if __name__ == "__main__":
    if sys.argv[1:2] == ["fleet"]:
        fleet(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        run_measure(__doc__, measure_rollback, _more)
