"""How long does one look of the guard take, and what does it cost classic, after a day of samples?

    python -m tests.benchmarks.guard [--tenants 100] [--processes 50] [--hours 24] [--repeat 20]

A wave of 100 tenants soaks, every process reads every tenant in every second, so that each stores a row for each: the
most there can be. A guard has looked once a second so far, and goes on; once a minute it also looks at windows longer
than a minute, which is shown apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from typing import Any

import psycopg

from migrator.control.install import install
from migrator.db.connect import connect
from migrator.traffic.cutover.guard import Watch
from migrator.traffic.cutover.soak import watch_wave
from migrator.traffic.cutover.wave import baseline_samples, limits
from tests.benchmarks.common import cpu_s, run_measure, value
from tests.fixtures.postgres import Machines
from tests.fixtures.world import plan_of

RAW_S = 240
"""Samples younger than this are not added up yet, at the most."""

FILL = """
INSERT INTO migrator.tenant (tenant_id, part, state, wave, rows, divergent, validated_at, clean_at, clean_fingerprint)
SELECT 'tenant-' || lpad(g::text, 6, '0'), 1 + g % 4, 'mirrored', 1, 100, 0, now(), now(), migrator.schema_fingerprint()
  FROM generate_series(1, {tenants}) g;
INSERT INTO migrator.route (tenant_id, part, level, wave, watched, epoch, changed_by, reason)
SELECT tenant_id, part, 'limitless', 1, true, 1, 'bench', 'bench' FROM migrator.tenant;
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at)
SELECT p, 1, pg_current_snapshot()::text, clock_timestamp() + interval '1 day' FROM generate_series(0, 4) p;
INSERT INTO migrator.read_baseline (tenant_id, wave, reads, errors, p99_ms)
SELECT tenant_id, 1, 10000, 0, 5 FROM migrator.tenant;
CREATE TEMP TABLE bench_tenant AS SELECT tenant_id FROM migrator.tenant UNION ALL SELECT NULL;
CREATE TEMP TABLE bench_bucket AS SELECT array_agg(CASE WHEN i BETWEEN 8 AND 14 THEN 3 ELSE 0 END) AS counts
  FROM generate_series(1, {size}) i;
INSERT INTO migrator.read_hour (at, tenant_id, side, reads, errors, buckets)
SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => h), tenant_id, 'limitless', 21, 0, counts
  FROM generate_series(2, {hours}) h, bench_tenant, bench_bucket ORDER BY 1;
INSERT INTO migrator.read_minute (at, tenant_id, side, reads, errors, buckets)
SELECT date_trunc('minute', now(), 'UTC') - make_interval(mins => m), tenant_id, 'limitless', 21, 0, counts
  FROM generate_series(5, 120) m, bench_tenant, bench_bucket ORDER BY 1;
"""
MERGED = """
INSERT INTO migrator.read_sample (at, process_id, tenant_id, side, reads, errors, buckets)
SELECT date_trunc('second', clock_timestamp()) - make_interval(secs => s), '', tenant_id, 'limitless',
       21 * {processes}, 0, ARRAY(SELECT c * {processes} FROM unnest(counts) c)
  FROM generate_series({raw_s}, 1, -1) s, bench_tenant, bench_bucket
"""
SECOND = """
INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)
SELECT 'p-' || p, tenant_id, 'limitless', 21, 0, counts
  FROM generate_series(1, {processes}) p, bench_tenant, bench_bucket
"""


def measure_guard(machines: Machines, args: argparse.Namespace) -> None:
    """Looks of the guard, one a second."""
    machines.routers = None
    dsn = machines.new_classic("classic_guard")
    with connect(dsn, "bench fills") as filling, connect(dsn, "bench") as conn:
        install(conn, "bench", "digest", {}, {})
        numbers = {"tenants": args.tenants, "hours": args.hours, "size": 30, "processes": args.processes}
        filling.execute(FILL.format(**numbers).encode())
        filling.execute(MERGED.format(raw_s=RAW_S, **numbers).encode())
        for table in ("read_sample", "read_minute", "read_hour", "tenant", "route"):
            filling.execute(f"VACUUM ANALYZE migrator.{table}".encode())
        looks(conn, filling, SECOND.format(**numbers), args)


def looks(
    conn: psycopg.Connection[Any], filling: psycopg.Connection[Any], second: str, args: argparse.Namespace
) -> None:
    allowed = limits(plan_of("bench"))
    before = baseline_samples(conn, 1)
    since_s = value(conn, "SELECT extract(epoch FROM clock_timestamp())::float8") - args.hours * 3600
    guard, pid = Watch(), conn.info.backend_pid
    longer: list[float] = []
    taken: list[float] = []
    classic: list[float] = []
    here: list[float] = []
    for number in range(args.repeat + 1):
        filling.execute(second.encode())
        if number % 5 == 0:
            guard = replace(guard, longer_at_s=None)
        wanted = longer if guard.longer_at_s is None else taken
        servers, own, began = cpu_s(pid), time.process_time(), time.perf_counter()
        look = watch_wave(conn, 1, guard, before, since_s, True, allowed)
        wanted.append(time.perf_counter() - began)
        if wanted is taken:
            classic.append(cpu_s(pid) - servers)
            here.append(time.process_time() - own)
        assert look.left == args.tenants and look.stalled is None and not look.held, look
        guard = look.watch
        time.sleep(max(0.0, 1 - (time.perf_counter() - began)))
    rows = value(conn, "SELECT count(*) FROM migrator.read_sample")
    print(f"{args.tenants} tenants, {args.processes} processes, {args.hours} h; {rows} samples that are not added up")
    print(f"a look: {ms(taken)}; processor time: classic {ms(classic)}, the worker {ms(here)}")
    print(f"a look at longer windows too: {ms(longer)}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


def ms(found: list[float]) -> str:
    return f"{statistics.median(found) * 1000:.0f} ms (longest {max(found) * 1000:.0f})"


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--hours", type=int, default=24)
    parser.set_defaults(repeat=20)


if __name__ == "__main__":
    run_measure(__doc__, measure_guard, _more)
