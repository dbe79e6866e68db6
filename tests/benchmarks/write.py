"""How long does a commit take that waits for the mirror, at 200 writes a second, against a plain commit?

    python -m tests.benchmarks.write [--seconds 8] [--poll-ms 10]

`--poll-ms` is the plan's dual_write.poll_min_ms: how long a mirror rests after a cycle that found something.

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.db.connect import connect_async
from migrator.model.position import Snapshot
from tests.benchmarks.common import Bench, run_measure
from tests.fixtures.postgres import Machines


def measure_write(machines: Machines, args: argparse.Namespace) -> None:
    """Latency of a commit that waits for the mirror, at 200 writes a second, against a plain commit."""
    bench = Bench(machines, "write", 100_000)
    options = MirrorOptions(poll_min_s=args.poll_ms / 1000)
    plain: list[float] = []
    waited: list[float] = []

    async def run() -> None:
        await bench.begin()
        bench.limitless.execute("INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 1000) g")
        task = asyncio.create_task(run_partition(bench.classic_dsn, bench.limitless_dsn, 1, options))
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
                    assert found and row
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


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--poll-ms", type=float, default=10.0)


if __name__ == "__main__":
    run_measure(__doc__, measure_write, _more)
