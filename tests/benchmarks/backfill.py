"""What does the copy of units reach, against psql pipes of binary COPY, pgcopydb, and pg_dump | pg_restore?

    python -m tests.benchmarks.backfill [--rows 1000000] [--repeat 3] [--only large small …]

large: units of a quarter of the table. small: 1,000 tenants whose rows are mixed, planned for units of 50 tenants.
bare: the same without an index on classic's tenant column. together: each tenant's rows next to each other. key-after:
what the copy would reach if Limitless's primary key were built when all is copied, building included. others: pgcopydb
and pg_dump | pg_restore of the same table into the same one, if they are on PATH.

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from psycopg import conninfo

from migrator.dataplane.backfill import copy_sql
from migrator.dataplane.backfill import plan as backfill_plan
from migrator.dataplane.backfill.copy import copy_unit
from migrator.dataplane.backfill.links import LinkPool
from migrator.local.server import programs
from migrator.model.table import Table
from tests.benchmarks.common import Bench, run_measure
from tests.fixtures.postgres import Machines

WIDTH = 2
WHAT = ("large", "small", "bare", "key-after", "others", "together")


def measure(machines: Machines, args: argparse.Namespace) -> None:
    bench = Bench(machines, "copy", args.rows)
    asyncio.run(bench.begin())
    found: dict[str, Callable[[], float]] = {
        "large": lambda: units(bench, args.rows // 4, 1000, args.rows),
        "small": lambda: units(bench, args.rows // 20, 50, args.rows),
        "bare": lambda: units(bench, args.rows // 20, 50, args.rows),
        "together": lambda: units(bench, args.rows // 20, 50, args.rows),
        "key-after": lambda: key_after(bench, args.rows),
    }
    for name in [n for n in WHAT if n in args.only]:
        if name == "others":
            compare_others(bench, args)
            continue
        if name == "bare":
            bench.classic.execute("SET migrator.ddl = 'allowed'")
            bench.classic.execute("DROP INDEX bench.orders_tenant_id_idx")
        if name == "together":
            bench.classic.execute("SET migrator.ddl = 'allowed'")
            bench.classic.execute("CLUSTER bench.orders USING orders_tenant_id_idx")
            bench.classic.execute("ANALYZE bench.orders")
        ours, pipes = [], []
        for _ in range(args.repeat):
            pipes.append(args.rows / psql_pipes(bench, orders(bench)))
            ours.append(args.rows / found[name]())
        report(name, "psql pipes", pipes, ours)
        if name == "bare":
            bench.classic.execute("CREATE INDEX orders_tenant_id_idx ON bench.orders (tenant_id)")


def report(name: str, other: str, theirs: list[float], ours: list[float]) -> None:
    a, b = statistics.median(theirs), statistics.median(ours)
    runs = " ".join(f"{y / x:.2f}" for x, y in zip(theirs, ours, strict=True))
    print(f"{name}: {other} {a:,.0f} rows/s, copy units {b:,.0f} rows/s: ratio {b / a:.2f} (runs: {runs})", flush=True)


def orders(bench: Bench) -> Table:
    return next(t for t in bench.tables if t.name == "orders")


def begin_again(bench: Bench) -> None:
    bench.limitless.execute("TRUNCATE bench.orders, bench.account")
    bench.limitless.execute("DELETE FROM migrator.copy_lease")
    for statement in ("DELETE FROM migrator.copy_unit", "DELETE FROM migrator.hold"):
        bench.classic.execute(statement)
    bench.classic.execute("UPDATE migrator.tenant SET state = 'pending'")


def units(bench: Bench, unit_rows: int, unit_tenants: int, split_rows: int) -> float:
    """Seconds that *WIDTH* workers need for all units, planned like that."""
    begin_again(bench)
    backfill_plan.take_inventory(bench.classic, 1, 20)
    waiting = backfill_plan.plan_units(bench.classic, unit_rows, unit_tenants, split_rows, WIDTH)
    began = time.perf_counter()
    asyncio.run(copy_all(bench, waiting))
    return time.perf_counter() - began


def key_after(bench: Bench, rows: int) -> float:
    """Seconds for the units into a table without its key, and for building it."""
    key = ", ".join(orders(bench).target_key)
    bench.limitless.execute("ALTER TABLE bench.orders DROP CONSTRAINT orders_pkey")
    seconds = units(bench, rows // 4, 1000, rows)
    began = time.perf_counter()
    bench.limitless.execute(f"ALTER TABLE bench.orders ADD PRIMARY KEY ({key})")
    return seconds + time.perf_counter() - began


async def copy_all(bench: Bench, waiting: list[str]) -> None:
    pool = LinkPool()  # as a worker does

    async def worker(name: str) -> None:
        while waiting:
            await copy_unit(bench.classic_dsn, bench.limitless_dsn, waiting.pop(0), name, pool=pool)

    await asyncio.gather(*(worker(f"w{n}") for n in range(WIDTH)))
    await pool.close()


def psql_pipes(bench: Bench, table: Table) -> float:
    """Seconds that *WIDTH* pipes of psql need for the whole table, a share of the tenants each."""
    begin_again(bench)
    names = ", ".join(c.name for c in table.written_columns)
    into = copy_sql.copy_in(table).as_string(bench.limitless)
    began = time.perf_counter()
    pipes = []
    for n in range(WIDTH):
        out = f"COPY (SELECT {names} FROM bench.orders WHERE tenant_id % {WIDTH} = {n}) TO STDOUT (FORMAT binary)"
        reader = ["psql", "-qX", "-d", bench.classic_dsn, "-c", out]
        pipes.append((reader, ["psql", "-qX", "-d", bench.limitless_dsn, "-c", into]))
    run_pipes(pipes)
    return time.perf_counter() - began


def run_pipes(pipes: list[tuple[list[str], list[str]]], environment: dict[str, str] | None = None) -> None:
    running = []
    for out, into in pipes:
        reader = subprocess.Popen(out, stdout=subprocess.PIPE, env=environment)
        running += [subprocess.Popen(into, stdin=reader.stdout, env=environment), reader]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a pipe failed")


def compare_others(bench: Bench, args: argparse.Namespace) -> None:
    """pgcopydb and pg_dump | pg_restore of the same table into the same one, with its key, as psql pipes have it.

    The server's own client programs come first on PATH.
    """
    environment = {**os.environ, "PATH": f"{programs(None)}{os.pathsep}{os.environ['PATH']}"}
    others = {"pg_dump | pg_restore": dump_restore}
    if shutil.which("pgcopydb"):
        others["pgcopydb"] = pgcopydb
    else:
        print("pgcopydb is not on PATH: left out")
    ours: dict[str, list[float]] = {name: [] for name in others}
    theirs: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(args.repeat):
        for name, tool in others.items():
            begin_again(bench)
            began = time.perf_counter()
            tool(bench, environment)
            theirs[name].append(args.rows / (time.perf_counter() - began))
            count = bench.limitless.execute("SELECT count(*) FROM bench.orders").fetchone()
            assert count == (args.rows,), f"{name} copied {count}"
            ours[name].append(args.rows / units(bench, args.rows // 4, 1000, args.rows))
    for name in others:
        report("others", name, theirs[name], ours[name])


def dump_restore(bench: Bench, environment: dict[str, str]) -> None:
    dump = ["pg_dump", "-Fc", "-Z0", "--data-only", "-t", "bench.orders", "-d", bench.classic_dsn]
    run_pipes([(dump, ["pg_restore", "--data-only", "-d", bench.limitless_dsn])], environment)


def pgcopydb(bench: Bench, environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        filters = Path(name) / "filters.ini"
        filters.write_text("[include-only-table]\nbench.orders\n", encoding="utf-8")
        ends = ["--source", uri(bench.classic_dsn), "--target", uri(bench.limitless_dsn), "--dir", f"{name}/work"]
        how = ["--filters", str(filters), "--table-jobs", str(WIDTH), "--split-tables-larger-than", "16 MB"]
        done = subprocess.run(
            ["pgcopydb", "copy", "table-data", *ends, *how], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])


def uri(dsn: str) -> str:
    p = conninfo.conninfo_to_dict(dsn)
    return f"postgresql://{p['user']}:{p['password']}@{p['host']}:{p['port']}/{p['dbname']}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=WHAT, default=list(WHAT))


if __name__ == "__main__":
    run_measure(__doc__, measure, _arguments)
