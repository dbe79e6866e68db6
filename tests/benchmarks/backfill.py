"""What does the copy of units reach, against psql pipes of binary COPY?

    python -m tests.benchmarks.backfill [--rows 1000000] [--repeat 3]

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

# ruff: noqa: S608 - names and numbers of this file

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import time
from typing import Any

from migrator.backfill import copy_sql
from migrator.backfill import plan as backfill_plan
from migrator.backfill.copy import copy_unit
from tests.benchmarks.common import Bench, run_measure
from tests.fixtures.postgres import Machines


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


if __name__ == "__main__":
    run_measure(__doc__, measure_backfill)
