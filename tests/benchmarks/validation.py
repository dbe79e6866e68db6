"""How fast is validation, against what the machine can do and against another tool?

    python -m tests.benchmarks.validation [--rows 5000000] [--tenants 1000] [--differ 100]
        [--reladiff VENV/bin/python]

Everything is compared within one run on one machine. The physical limit is one pass of the digest, grouped by tenant,
on both servers at the same time, and nothing else. reladiff, when given (a Python that has `reladiff[postgresql]`),
compares the same tables in two ways: as they are, by the primary key that they have on Limitless, and by classic's key,
for which an index is made on Limitless that a migration does not need. Prints a table and, with --json, the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from psycopg import conninfo, sql

from migrator.consistency import digest_sql, order, store
from migrator.consistency.fence import hold
from migrator.dataplane.capture import install as capture
from migrator.dataplane.mirror import position
from migrator.db.connect import connect, connect_async
from migrator.model.side import Side
from migrator.model.table import Table
from tests.fixtures.postgres import Cluster
from tests.fixtures.world import plan_of, provisioned

TABLE = """
CREATE SCHEMA bench;
CREATE TABLE bench.orders (
    id bigint PRIMARY KEY,
    tenant_id bigint NOT NULL,
    customer text,
    amount numeric(12, 2),
    status text NOT NULL,
    placed_at timestamptz NOT NULL,
    items int NOT NULL);
"""
COLUMNS = "customer", "amount", "status", "placed_at", "items"
WAYS = {"primary_key": ("tenant_id,id", COLUMNS), "indexed_id": ("id", ("tenant_id", *COLUMNS))}
"""How reladiff is asked: its key and the other columns."""
PART = 1

CHILD = """
import asyncio, json, os, pathlib
from migrator.consistency.run import validate
report = asyncio.run(validate(os.environ["CLASSIC"], os.environ["LIMITLESS"], tenants_per_fence=10**6,
                              rows_per_fence=10**9, rest=False))
# Not getrusage: its maximum survives exec, so it would be the parent's own.
peak = next(l for l in pathlib.Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
print(json.dumps({"seconds": report.seconds, "rows": report.rows, "divergent": report.divergent_rows,
                  "rss_mb": int(peak.split()[1]) / 1024}))
"""

RELADIFF = """
import os, sys, time, json
from reladiff import connect_to_table, diff_tables
key, columns = (tuple(words.split(",")) for words in sys.argv[1:])
uris = os.environ["CLASSIC_URI"], os.environ["LIMITLESS_URI"]
tables = [connect_to_table(uri, "bench.orders", key, thread_count=2) for uri in uris]
began = time.perf_counter()
found = list(diff_tables(*tables, extra_columns=columns, threaded=True))
print(json.dumps({"seconds": time.perf_counter() - began, "found": len(found)}))
"""


def fill(dsn: str, rows: int, tenants: int) -> None:
    with connect(dsn, "bench") as conn:
        conn.execute(
            "INSERT INTO bench.orders (id, tenant_id, customer, amount, status, placed_at, items)"
            " SELECT g, 1 + (hashint8(g)::bigint & 2147483647) %% %(tenants)s, 'customer ' || g %% 100000,"
            " g %% 99991 * 1.10,"
            " (ARRAY['new', 'paid', 'sent', 'closed'])[1 + g %% 4],"
            " '2024-01-01 00:00:00+00'::timestamptz + make_interval(secs => g), g %% 17"
            " FROM generate_series(1, %(rows)s) g",
            {"rows": rows, "tenants": tenants},
        )


async def prepare(classic_dsn: str, limitless_dsn: str, rows: int, tenants: int) -> Table:
    """Fill both sides alike, and make every tenant a member, as if it had been copied."""
    plan = plan_of("bench")
    with connect(classic_dsn, "bench") as classic, connect(limitless_dsn, "bench") as limitless:
        classic.execute(TABLE)
        tables = provisioned(classic, limitless, plan)
        await asyncio.gather(*(asyncio.to_thread(fill, dsn, rows, tenants) for dsn in (classic_dsn, limitless_dsn)))
        classic.execute("CREATE INDEX ON bench.orders (tenant_id)")
        for conn in (classic, limitless):
            conn.execute("VACUUM (ANALYZE) bench.orders")
        capture.install(classic, tables, 1, 3)
        async with (
            await connect_async(classic_dsn, "bench") as one,
            await connect_async(limitless_dsn, "bench") as other,
        ):
            await position.initialise(one, other, 1)
        classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, rows)"
            " SELECT tenant_id::text, 1, 'mirrored', count(*) FROM bench.orders GROUP BY 1"
        )
        names = [t for (t,) in classic.execute("SELECT tenant_id FROM migrator.tenant")]
        limitless.execute("INSERT INTO migrator.mirrored SELECT 1, unnest(%s::text[])", (names,))
    return tables[0]


def pass_s(dsns: dict[Side, str], query: Callable[[Side], sql.Composed]) -> float:
    """Run one query per side at the same time; return how long the slower one took."""

    async def one(side: Side) -> None:
        async with await connect_async(dsns[side], "bench") as conn:
            await (await conn.execute(query(side))).fetchall()

    async def both() -> None:
        await asyncio.gather(*(one(side) for side in dsns))

    began = time.perf_counter()
    asyncio.run(both())
    return time.perf_counter() - began


def ungrouped(table: Table, side: Side) -> sql.Composed:
    return sql.SQL("SELECT count(*), sum({}) FROM {}").format(
        digest_sql.row_hash(table.columns), digest_sql.rows_from(table, side)
    )


def uri(dsn: str) -> str:
    p = conninfo.conninfo_to_dict(dsn)
    return f"postgresql://{p['user']}:{quote(str(p['password']))}@{p['host']}:{p['port']}/{p['dbname']}"


def child(environment: dict[str, str], python: str, code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([python, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def reladiff_s(python: str, environment: dict[str, str], limitless_dsn: str, expected: int) -> dict[str, float]:
    """Return how many seconds reladiff takes in each of its ways; it must find *expected* rows."""
    seconds = {}
    with connect(limitless_dsn, "bench") as conn:
        for way, (key, columns) in WAYS.items():
            if way == "indexed_id":
                conn.execute("CREATE INDEX for_reladiff ON bench.orders (id)")
            found = child(environment, python, RELADIFF, key, ",".join(columns))
            assert found["found"] == expected, found
            seconds[way] = found["seconds"]
        conn.execute("DROP INDEX bench.for_reladiff")
    return seconds


async def fence_pauses(classic_dsn: str, limitless_dsn: str, count: int) -> list[float]:
    """Take *count* fences beside a writer of some hundred rows a second; return the pauses in milliseconds."""
    stop = asyncio.Event()

    async def write() -> None:
        async with await connect_async(classic_dsn, "bench") as conn:
            while not stop.is_set():
                await conn.execute(
                    "UPDATE bench.orders SET items = items + 1 WHERE id = ANY (%s)",
                    ([random.randint(1, 100_000) for _ in range(3)],),
                )
                await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    pauses = []
    try:
        for _ in range(count):
            async with hold(classic_dsn, limitless_dsn, PART) as fence:
                pass
            pauses.append(fence.pause_ms)
    finally:
        stop.set()
        await writer
    return sorted(pauses)


def listed_s(classic_dsn: str, tenants: int) -> float:
    async def run() -> float:
        async with await connect_async(classic_dsn, "bench") as conn:
            await conn.execute(
                "INSERT INTO migrator.tenant (tenant_id, part, rows)"
                " SELECT 'x' || g, 1 + g %% 8, g FROM generate_series(1, %s) g",
                (tenants,),
            )
            began = time.perf_counter()
            found = order.ordered(await store.candidates(conn, None))
            groups = list(order.fences(found, 100, 10_000_000))
            took = time.perf_counter() - began
            assert sum(len(g) for _, g in groups) >= tenants
            await conn.execute("DELETE FROM migrator.tenant WHERE tenant_id LIKE 'x%'")
            return took

    return asyncio.run(run())


MIRRORS = """
import asyncio, os
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
async def main():
    dsns = os.environ["CLASSIC"], os.environ["LIMITLESS"]
    await asyncio.gather(*(run_partition(*dsns, part, MirrorOptions()) for part in (0, 1)))
asyncio.run(main())
"""


def corrupt(limitless_dsn: str, rows: int, count: int) -> None:
    with connect(limitless_dsn, "bench") as conn:
        ids = random.Random(1).sample(range(1, rows + 1), count)
        conn.execute("UPDATE bench.orders SET amount = amount + 0.01 WHERE id = ANY (%s)", (ids,))


def measure(classic_dsn: str, limitless_dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    dsns = {Side.CLASSIC: classic_dsn, Side.LIMITLESS: limitless_dsn}
    table = asyncio.run(prepare(classic_dsn, limitless_dsn, options.rows, options.tenants))
    environment = {
        **os.environ,
        "CLASSIC": classic_dsn,
        "LIMITLESS": limitless_dsn,
        "CLASSIC_URI": uri(classic_dsn),
        "LIMITLESS_URI": uri(limitless_dsn),
    }
    mirror = subprocess.Popen([sys.executable, "-c", MIRRORS], env=environment)
    found: dict[str, Any] = {"rows": options.rows, "tenants": options.tenants}
    try:
        pass_s(dsns, lambda side: ungrouped(table, side))  # warm
        found["ungrouped_s"] = min(pass_s(dsns, lambda side: ungrouped(table, side)) for _ in range(options.times))
        limits, ours = [], []
        for _ in range(options.times):  # taking turns, so that a busy moment hits both
            limits.append(pass_s(dsns, lambda side: digest_sql.digests(table, side, None)))
            ours.append(child(environment, sys.executable, CHILD))
        assert all(o["divergent"] == 0 and o["rows"] == options.rows for o in ours), ours
        found["limit_s"] = statistics.median(limits)
        found["identical_s"] = statistics.median(o["seconds"] for o in ours)
        found["ratio_of_limit"] = round(found["limit_s"] / found["identical_s"], 2)
        found["rss_mb"] = round(max(o["rss_mb"] for o in ours))
        theirs: dict[str, dict[str, float]] = {}
        if options.reladiff:
            theirs["identical"] = reladiff_s(options.reladiff, environment, limitless_dsn, 0)
        corrupt(limitless_dsn, options.rows, options.differ)
        differing = child(environment, sys.executable, CHILD)
        assert differing["divergent"] == options.differ, differing
        found["differing_rows"] = options.differ
        found["differing_s"] = differing["seconds"]
        found["differing_rss_mb"] = round(differing["rss_mb"])
        if options.reladiff:
            # It names both versions of a row.
            theirs["differing"] = reladiff_s(options.reladiff, environment, limitless_dsn, 2 * options.differ)
            for name, ways in theirs.items():
                for way, seconds in ways.items():
                    found[f"reladiff_{name}_{way}_s"] = seconds
                    found[f"times_reladiff_{name}_{way}"] = round(seconds / found[f"{name}_s"], 1)
        pauses = asyncio.run(fence_pauses(classic_dsn, limitless_dsn, options.fences))
        found["fence_p50_ms"] = pauses[len(pauses) // 2]
        found["fence_p99_ms"] = pauses[int(len(pauses) * 0.99)]
        found["fence_max_ms"] = pauses[-1]
        found["list_10000_s"] = listed_s(classic_dsn, 10_000)
    finally:
        mirror.kill()
        mirror.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--differ", type=int, default=100, help="rows that differ in the second part")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--fences", type=int, default=300)
    parser.add_argument("--reladiff", help="a Python that has reladiff[postgresql]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cluster = Cluster(None)
    try:
        with cluster.pair() as machines:
            found = measure(machines.new_classic("bench"), machines.new_limitless("bench"), options)
    finally:
        cluster.remove()
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:44} {value:,.3f}" if isinstance(value, float) else f"{name:26} {value:,}")


if __name__ == "__main__":
    main()
