"""How fast is the mirror, against native logical replication of the same changes?

    python -m tests.benchmarks.mirror [--rows 1000000]

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

# ruff: noqa: S608 - names and numbers of this file

from __future__ import annotations

import argparse
import asyncio
import resource
import time

import psycopg
from psycopg import conninfo

from tests.benchmarks.backfill import psql_pipes
from tests.benchmarks.common import Bench, drain, run_measure, value
from tests.fixtures.postgres import Machines


def measure_mirror(machines: Machines, args: argparse.Namespace) -> None:
    """Rows per second of the mirror with a backlog, against native logical replication of the same changes."""
    bench = Bench(machines, "mirror", args.rows)
    change = f"UPDATE bench.orders SET items = items + 1, status = 'paid' WHERE id <= {args.rows}"
    native = replicate(bench, args, change)
    asyncio.run(bench.begin())
    mark = "INSERT INTO migrator.mirrored SELECT 1, g::text FROM generate_series(1, 1000) g"
    bench.limitless.execute(mark)
    step = 1000
    for at in range(0, args.rows, step):
        bench.classic.execute(change + f" AND id > {at} AND id <= {at + step}")
    began = time.perf_counter()
    asyncio.run(drain(bench))
    ours = args.rows / (time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"native logical replication {native:,.0f} rows/s, mirror {ours:,.0f} rows/s: ratio {ours / native:.2f}")
    print(f"memory of the mirror's process: {memory:.0f} MB with {args.rows:,} entries waiting")


def replicate(bench: Bench, args: argparse.Namespace, change: str) -> float:
    """Rows per second of a subscription in a copy of the target table."""
    name = str(conninfo.conninfo_to_dict(bench.limitless_dsn)["dbname"])
    with psycopg.connect(conninfo.make_conninfo(bench.machines.limitless_admin, dbname=name), autocommit=True) as there:
        there.execute("SET event_triggers = off")  # the stand-in refuses subscriptions, as Limitless does
        # The target's key is (tenant, key): a subscription wants the publisher to send it.
        bench.classic.execute("CREATE UNIQUE INDEX whole_key ON bench.orders (tenant_id, id)")
        bench.classic.execute("ALTER TABLE bench.orders REPLICA IDENTITY USING INDEX whole_key")
        bench.classic.execute("CREATE PUBLICATION bench_pub FOR TABLE bench.orders")
        bench.classic.execute("SELECT pg_create_logical_replication_slot('bench_slot', 'pgoutput')")
        subprocess_copy(bench)
        where = bench.classic_dsn
        step = 1000
        for at in range(0, args.rows, step):
            bench.classic.execute(change + f" AND id > {at} AND id <= {at + step}")
        end = value(bench.classic, "SELECT pg_current_wal_insert_lsn()")
        began = time.perf_counter()
        there.execute(
            psycopg.sql.SQL(
                "CREATE SUBSCRIPTION bench_sub CONNECTION {} PUBLICATION bench_pub"
                " WITH (copy_data = false, create_slot = false, slot_name = 'bench_slot')"
            ).format(psycopg.sql.Literal(where))
        )
        query = "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = 'bench_slot'"
        while not value(bench.classic, query, end):
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        there.execute("DROP SUBSCRIPTION bench_sub")
    bench.classic.execute("DROP PUBLICATION bench_pub")
    return float(args.rows / seconds)


def subprocess_copy(bench: Bench) -> None:
    orders = next(t for t in bench.tables if t.name == "orders")
    psql_pipes(bench, orders, 1)


if __name__ == "__main__":
    run_measure(__doc__, measure_mirror)
