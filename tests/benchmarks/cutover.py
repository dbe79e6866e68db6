"""How long does it take to cut 1,000 small tenants over when nothing soaks, and where does the time go?

    python -m tests.benchmarks.cutover [--tenants 1000] [--waves 100 900] [--rows 20000]

Each step of a wave is the activity that a worker runs, on two servers with mirrors in processes of their own: choice,
baseline of no length, gate with the validation that it asks for, move, soak of no length, end. What Temporal adds is
some five round trips a step. No process of an application has to confirm; see the rollback's measure for that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from temporalio.testing import ActivityEnvironment

from migrator.control.install import install
from migrator.dataplane.backfill import plan as backfill_plan
from migrator.dataplane.backfill.copy import copy_unit
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.plan.load import digest, dump, shim_settings
from migrator.plan.schema import Plan
from tests import ROOT
from tests.benchmarks.common import Bench, run_measure, value
from tests.fixtures.postgres import Machines
from tests.fixtures.waiting import until
from workflows.activities.base import Context
from workflows.activities.cutover import CutoverActivities
from workflows.messages import NextWaveInput, WaveStep

PARTS = 2
Spent = dict[str, list[float]]


async def cut_over(plan: Plan, spent: Spent) -> int:
    """Carry out every wave; return how many there were."""
    env, activities, waves = ActivityEnvironment(), CutoverActivities(Context(plan)), 0

    async def did(name: str, activity: Callable[[Any], Awaitable[Any]], argument: Any) -> Any:
        began, own = time.perf_counter(), time.process_time()
        answer = await env.run(activity, argument)
        for total, seconds in enumerate((time.perf_counter() - began, time.process_time() - own)):
            spent[name][total] += seconds
        return answer

    while True:
        chosen = await did("choice", activities.next_wave, NextWaveInput(plan=plan.name))
        if chosen.done:
            return waves
        assert chosen.wave is not None, chosen
        waves += 1
        step = WaveStep(plan=plan.name, number=chosen.wave.number)
        await did("baseline", activities.baseline, step)
        gate = await did("gate, validation", activities.gate, step)
        assert not gate.deferred, gate
        for pct in chosen.wave.ramp_pct:
            moved = await did("move", activities.advance, step.model_copy(update={"pct": pct}))
            assert moved.done, moved
            await did("soak", activities.soak, step.model_copy(update={"pct": pct}))
        await did("end", activities.finish_wave, step)


@contextmanager
def mirrors(bench: Bench) -> Iterator[None]:
    """All partitions, each in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.cutover", "mirror", bench.classic_dsn, bench.limitless_dsn]
    children = [subprocess.Popen([*command, str(part)], cwd=ROOT) for part in range(PARTS + 1)]
    try:
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


async def copied(bench: Bench) -> None:
    backfill_plan.take_inventory(bench.classic, PARTS, 20)
    for unit in backfill_plan.plan_units(bench.classic, 1_000_000, 1000, 10_000_000):
        await copy_unit(bench.classic_dsn, bench.limitless_dsn, unit, "bench")

    async def mirrored() -> bool:
        return not value(bench.classic, "SELECT count(*) FROM migrator.tenant WHERE state <> 'mirrored'")

    await until(mirrored)


def measure_cutover(machines: Machines, args: argparse.Namespace) -> None:
    """One cutover from the first wave to the last."""
    bench = Bench(machines, "cutover", args.rows, args.tenants)
    body = dump(bench.plan) | {
        "classic": {"writer": "env:BENCH_CLASSIC"},
        "limitless": {"dsn": "env:BENCH_LIMITLESS"},
        "waves": {"sizes": args.waves, "soak_s": 1e-3, "baseline_s": 1e-3, "hot_ratio": 1000.0},
    }
    plan = Plan.model_validate(body)
    os.environ.update(BENCH_CLASSIC=bench.classic_dsn, BENCH_LIMITLESS=bench.limitless_dsn)
    bench.classic.execute("DELETE FROM migrator.plan")
    install(bench.classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
    spent: Spent = defaultdict(lambda: [0.0, 0.0])
    asyncio.run(bench.begin(PARTS))
    with mirrors(bench):
        asyncio.run(copied(bench))
        began = time.perf_counter()
        waves = asyncio.run(cut_over(plan, spent))
        seconds = time.perf_counter() - began
    print(f"{args.tenants} tenants, {args.rows} rows, {waves} waves: {seconds:.2f} s")
    for name, (wall, own) in sorted(spent.items(), key=lambda item: -item[1][0]):
        print(f"    {name}: {wall:.2f} s, of it {own:.2f} s processor time of the worker")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--waves", type=int, nargs="+", default=[100, 900])
    parser.set_defaults(rows=20_000)


if __name__ == "__main__":
    if sys.argv[1:2] == ["mirror"]:
        asyncio.run(run_partition(sys.argv[2], sys.argv[3], int(sys.argv[4]), MirrorOptions()))
    else:
        run_measure(__doc__, measure_cutover, _more)
