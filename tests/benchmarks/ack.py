"""What does a write cost by each level of acknowledgement, and what a session's read while the mirror follows?

    python -m tests.benchmarks.ack [--rounds 12] [--writes 40]

A tenant that reads from Limitless, a mirror in a process of its own, writes one after the other. Levels take turns
within a round; medians of the rounds are printed: what the caller waits, and the processor time per write of this
process and of the shim's sessions on classic (/proc/PID/schedstat). "plain" is a transaction on a psycopg connection
that stays open.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.model.ack import Ack
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests.benchmarks.common import Bench, run_measure
from tests.fixtures.postgres import Machines

UPDATE = "UPDATE bench.orders SET items = items + 1 WHERE tenant_id = 1 AND id = %s"
LOOK = "SELECT items FROM bench.orders WHERE tenant_id = 1 AND id = %s"
TENANT = TenantId("1")
PAGE_READS = 4
"""Reads that follow a write, 4 ms apart: the page that a browser asks for after it sent a form."""


def _mirror(classic_dsn: str, limitless_dsn: str) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(run_partition(classic_dsn, limitless_dsn, p, MirrorOptions())) for p in (0, 1)]
        await asyncio.gather(*tasks)

    asyncio.run(run())


class Processor:
    """Processor time in microseconds: of this process, and of the sessions of an application on classic."""

    def __init__(self, classic: psycopg.Connection[Any], application: str) -> None:
        self._classic = classic
        self._application = application
        self._began = self._now()

    def _now(self) -> tuple[float, float]:
        pids = self._classic.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s", (self._application,)
        ).fetchall()
        spent = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids)
        return time.process_time() * 1e6, spent / 1000

    def since(self) -> tuple[float, float]:
        """Return what was spent since this was made."""
        own, server = self._now()
        return own - self._began[0], server - self._began[1]


def _at(value: float, values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(value * len(ordered)))]


def measure_ack(machines: Machines, args: argparse.Namespace) -> None:
    """Write by each level in turns; then read in a session, at once or with a wait."""
    bench = Bench(machines, "ack", 20_000, tenants=20)
    asyncio.run(bench.begin())
    bench.limitless.execute("INSERT INTO bench.account SELECT 1, 1, 0 ON CONFLICT DO NOTHING")
    bench.limitless.execute("INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 20) g")
    for number in range(1, 21):
        bench.classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%s, 1, 'mirrored')"
            " ON CONFLICT (tenant_id) DO UPDATE SET state = 'mirrored'",
            (str(number),),
        )
    if bench.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() != ("dual",):
        write_mode(bench.classic, WriteMode.DUAL, who="bench", reason="bench")
    mirror = multiprocessing.get_context("spawn").Process(
        target=_mirror, args=(bench.classic_dsn, bench.limitless_dsn), daemon=True
    )
    mirror.start()
    settings = Settings(ack_wait_s=30.0, max_lag_s=60.0)
    with Shim(bench.classic_dsn, bench.limitless_dsn, "bench", settings=settings) as shim:
        moved = promote_reads(bench.classic, tenants=[TENANT], who="bench", reason="bench", timeout_s=60)
        assert moved.done, moved
        while shim.run_read(TENANT, lambda r: str(r.side)) != "limitless":
            time.sleep(0.05)
        _writes(bench, shim, args)
        _reads(bench, shim, args)
    mirror.terminate()
    mirror.join()


def _writes(bench: Bench, shim: Shim, args: argparse.Namespace) -> None:
    waited: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    plain = psycopg.connect(bench.classic_dsn, autocommit=True, application_name="plain")

    def of_plain(number: int) -> None:
        with plain.transaction():
            plain.execute(UPDATE, (number,))

    def of_level(level: Ack) -> Callable[[int], object]:
        return lambda number: shim.run_write(TENANT, lambda w: w.connection.execute(UPDATE, (number,)), ack=level)

    kinds: dict[str, Callable[[int], object]] = {"plain": of_plain, **{str(level): of_level(level) for level in Ack}}
    names = list(kinds)
    for turn in range(args.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            processor = Processor(bench.classic, "plain" if name == "plain" else "migrator-shim:bench")
            for number in range(args.writes):
                began = time.perf_counter()
                kinds[name](20 + 20 * ((number + turn * args.writes) % 1000))
                waited[name].append((time.perf_counter() - began) * 1000)
            own, server = processor.since()
            spent[name].append((own / args.writes, server / args.writes))
    changed = bench.classic.execute("SELECT sum(items - g.id % 17) FROM bench.orders g WHERE tenant_id = 1").fetchone()
    assert changed == (4 * args.rounds * args.writes,), "every write changed a row"
    print(f"writes, one after the other; load {os.getloadavg()[0]:.1f}")
    for name in names:
        own, server = (statistics.median(values) for values in zip(*spent[name], strict=True))
        print(
            f"  {name:11} p50 {_at(0.5, waited[name]):6.2f} ms  p99 {_at(0.99, waited[name]):6.2f} ms"
            f"  processor: client {own:4.0f} us, classic {server:4.0f} us"
        )


def _reads(bench: Bench, shim: Shim, args: argparse.Namespace) -> None:
    print(f"{PAGE_READS} reads of a session after each write; load {os.getloadavg()[0]:.1f}")
    took: dict[float, list[float]] = defaultdict(list)
    sides: dict[float, Counter[str]] = defaultdict(Counter)
    spent: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(args.rounds):
        for wait_s in (0.0, 0.05):
            shim._settings = replace(shim._settings, session_wait_s=wait_s)
            pages = max(1, args.writes // 4)
            processor = Processor(bench.classic, "migrator-shim:bench")
            for number in range(pages):
                session = shim.session()
                session.run_write(TENANT, lambda w, n=number: w.connection.execute(UPDATE, (20 + 20 * n,)) and None)  # type: ignore[misc]
                for _read in range(PAGE_READS):
                    time.sleep(0.004)  # the page is rendered meanwhile
                    began = time.perf_counter()
                    side = session.run_read(
                        TENANT,
                        lambda r, n=number: (r.connection.execute(LOOK, (20 + 20 * n,)).fetchone(), str(r.side))[1],  # type: ignore[misc]
                    )
                    took[wait_s].append((time.perf_counter() - began) * 1000)
                    sides[wait_s][side] += 1
            own, server = processor.since()
            spent[wait_s].append((own / pages, server / pages))
    for wait_s, values in took.items():
        own, server = (statistics.median(v) for v in zip(*spent[wait_s], strict=True))
        share = sides[wait_s]["classic"] / sides[wait_s].total()
        print(
            f"  session_wait_s {wait_s:4}: p50 {_at(0.5, values):5.2f} ms, p99 {_at(0.99, values):6.2f} ms,"
            f" {share:.0%} on classic; processor per page: client {own:5.0f} us, classic {server:5.0f} us"
        )


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--writes", type=int, default=40)


if __name__ == "__main__":
    run_measure(__doc__, measure_ack, _more)
