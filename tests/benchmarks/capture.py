"""What does capture cost the application?

    python -m tests.benchmarks.capture [--seconds 8] [--repeat 3]

Both sides of every ratio are measured in the same run on the same servers, in turns; medians are printed. The servers
are embedded ones without fsync: the processor is what they compete for, so overheads look larger than on disks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from tests.benchmarks.common import Bench, run_measure
from tests.fixtures.postgres import Machines

SMALL = """
\\set tenant random(1, 1000)
\\set order random(1, 100000)
BEGIN;
SELECT balance FROM bench.account WHERE id = :tenant;
INSERT INTO bench.orders (id, tenant_id, customer, amount, status)
    VALUES (nextval('bench.next_order'), :tenant, 'somebody', 12.34, 'new');
SELECT status, amount FROM bench.orders WHERE id = :order;
UPDATE bench.orders SET status = 'paid' WHERE id = :order;
SELECT count(*) FROM bench.account WHERE id = :tenant;
UPDATE bench.account SET balance = balance + 1 WHERE id = :tenant;
COMMIT;
"""


def pgbench(bin_: Path, dsn: str, script: Path, seconds: int) -> float:
    """Transactions per second of 8 clients."""
    p = conninfo.conninfo_to_dict(dsn)
    command = [str(bin_), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(script)]
    command += ["-h", str(p["host"]), "-p", str(p["port"]), "-U", str(p["user"]), str(p["dbname"])]
    environment = {**os.environ, "PGPASSWORD": str(p.get("password", ""))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def wal(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def measure_capture(machines: Machines, args: argparse.Namespace) -> None:
    """Rate and WAL of small transactions, with capture and without it, in turns on two databases of one server."""
    found = shutil.which("pgbench")
    if found is None:
        raise SystemExit("pgbench is not on PATH")
    script = Path(args.home) / "small.sql"
    script.write_text(SMALL, encoding="utf-8")
    off, on = Bench(machines, "off", 100_000), Bench(machines, "on", 100_000)
    asyncio.run(on.begin())
    rates: dict[str, list[float]] = {"off": [], "on": []}
    logs: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(args.repeat):
        for name, bench in (("off", off), ("on", on)):
            before = wal(bench.classic)
            tps = pgbench(Path(found), bench.classic_dsn, script, args.seconds)
            rates[name].append(tps)
            logs[name].append((wal(bench.classic) - before) / (tps * args.seconds))
    a, b = statistics.median(rates["off"]), statistics.median(rates["on"])
    x, y = statistics.median(logs["off"]), statistics.median(logs["on"])
    print(f"small transactions, 8 clients: {a:,.0f}/s off, {b:,.0f}/s on: ratio {b / a:.2f}")
    print(f"WAL per transaction: {x:,.0f} B off, {y:,.0f} B on: {y / x:.2f} times")
    bulk: dict[str, list[float]] = {"off": [], "on": []}
    for _ in range(args.repeat):
        for name, bench in (("off", off), ("on", on)):
            began = time.perf_counter()
            bench.classic.execute("UPDATE bench.orders SET items = items + 1 WHERE id <= 100000")
            bulk[name].append(time.perf_counter() - began)
    a, b = statistics.median(bulk["off"]), statistics.median(bulk["on"])
    print(f"bulk update of 100,000 rows: {a:.2f} s off, {b:.2f} s on: ratio of rates {a / b:.2f}")


if __name__ == "__main__":
    run_measure(__doc__, measure_capture)
