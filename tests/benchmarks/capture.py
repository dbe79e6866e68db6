"""What does capture cost the application, and how much of that would any trigger cost?

    python -m tests.benchmarks.capture [--repeat 15] [--seconds 2] [--parts 2] [--fsync]

Small transactions of eight clients over TCP and bulk statements, in turns on four databases of one server: without
triggers; with triggers that return at once; with triggers that do nothing but one plain INSERT; with capture. Ratios
are medians of the ratios of neighbours in time, as other programs of the machine come and go. The processor time of the
server per transaction is less sensitive to them. Without --fsync the processor is what everything competes for, so
overheads look larger than on a server that waits for its disks.
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

from migrator.local import process
from migrator.local.server import Server
from tests.benchmarks.common import Bench, run_measure, value
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

FLOOR = """
CREATE SCHEMA floor;
CREATE TABLE floor.journal (part smallint NOT NULL, xid bigint NOT NULL, tenant_id bigint, k0 bigint)
  WITH (autovacuum_enabled = off);
CREATE INDEX ON floor.journal USING brin (xid) WITH (pages_per_range = 16);
"""
# Transition tables as capture's triggers have them; {body} is what they do.
FLOOR_TRIGGERS = """
CREATE FUNCTION floor.{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    {body}
    RETURN NULL;
END $$;
CREATE TRIGGER floor_insert AFTER INSERT ON bench.{table} REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION floor.{table}();
CREATE TRIGGER floor_update AFTER UPDATE ON bench.{table} REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION floor.{table}();
"""
ONE_INSERT = """INSERT INTO floor.journal
    SELECT 1, pg_current_xact_id()::text::bigint, r.tenant_id, r.id FROM new_rows AS r;"""
BULK = {
    "UPDATE of 100,000 rows": "UPDATE bench.orders SET items = items + 1 WHERE id <= 100000",
    "INSERT of 100,000 rows": "INSERT INTO bench.orders (id, tenant_id, customer, amount, status)"
    " SELECT nextval('bench.next_order'), g % 1000, 'somebody', 12.34, 'new' FROM generate_series(1, 100000) g",
}
LOOPS = """
CREATE PROCEDURE bench.loop_update(n int) LANGUAGE plpgsql AS $$ BEGIN
    FOR i IN 1..n / 3 LOOP
        FOR j IN 1..3 LOOP
            UPDATE bench.account SET balance = balance + 1 WHERE id = 1 + (i + j * 300) % 1000;
        END LOOP;
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE bench.loop_insert(n int) LANGUAGE plpgsql AS $$ BEGIN
    FOR i IN 1..n / 3 LOOP
        FOR j IN 1..3 LOOP
            INSERT INTO bench.account VALUES (nextval('bench.next_order'), i % 1000, 0);
        END LOOP;
        COMMIT;
    END LOOP;
END $$;
"""
KINDS = ("off", "empty", "one insert", "capture")


def pgbench(bin_: Path, dsn: str, script: Path, seconds: int) -> tuple[float, int]:
    """Transactions per second of 8 clients, and how many there were."""
    p = conninfo.conninfo_to_dict(dsn)
    command = [str(bin_), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(script)]
    command += ["-h", str(p["host"]), "-p", str(p["port"]), "-U", str(p["user"]), str(p["dbname"])]
    environment = {**os.environ, "PGPASSWORD": str(p.get("password", ""))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"processed: (\d+).*tps = ([\d.]+)", done.stdout, re.DOTALL)
    assert found, done.stdout
    return float(found[2]), int(found[1])


def wal(conn: psycopg.Connection[Any]) -> int:
    return int(value(conn, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def ended_cpu_us(server: Server) -> float:
    """Processor time of all sessions of *server* that have ended and been waited for, in microseconds."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) * 1e6 / os.sysconf("SC_CLK_TCK")


def sessions(server: Server) -> set[int]:
    return set(process.children(server.pid or 0))


def prepare(machines: Machines, kind: str, parts: int) -> Bench:
    bench = Bench(machines, kind.replace(" ", "_"), 100_000)
    if kind == "capture":
        asyncio.run(bench.begin(parts))
    elif kind != "off":
        bench.classic.execute(FLOOR)
        for table in ("orders", "account"):
            body = ONE_INSERT if kind == "one insert" else ""
            bench.classic.execute(FLOOR_TRIGGERS.format(table=table, body=body))
    return bench


def statement_us(bench: Bench, what: str, count: int) -> float:
    """Processor time of the session for one single-row statement, three in a transaction, in microseconds."""
    schedule = Path(f"/proc/{bench.classic.info.backend_pid}/schedstat")
    before = int(schedule.read_text().split()[0])
    bench.classic.execute(f"CALL bench.loop_{what}({count})")
    return (int(schedule.read_text().split()[0]) - before) / 1000 / count


def measure_statements(benches: dict[str, Bench], repeat: int) -> None:
    for bench in benches.values():
        bench.classic.execute(LOOPS)
    for what in ("insert", "update"):
        used: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for turn in range(repeat + 1):
            for kind, bench in benches.items():
                found = statement_us(bench, what, 3000)
                if turn:
                    used[kind].append(found)
        print(
            f"one {what} of one row in one session, processor: "
            + ", ".join(f"{kind} {statistics.median(used[kind]):.1f} us" for kind in KINDS)
        )


def against_off(found: dict[str, list[float]], *, inverse: bool = False) -> dict[str, float]:
    """The median, over the rounds, of each kind's ratio to the run without triggers beside it."""
    return {
        kind: statistics.median(a / b if inverse else b / a for a, b in zip(found["off"], found[kind], strict=True))
        for kind in KINDS
    }


def measure_capture(machines: Machines, args: argparse.Namespace) -> None:
    pgbench_path = shutil.which("pgbench")
    if pgbench_path is None or not isinstance(machines.classic, Server):
        raise SystemExit("pgbench is not on PATH, or the servers are not ours")
    script = Path(args.home) / "small.sql"
    script.write_text(SMALL, encoding="utf-8")
    benches = {kind: prepare(machines, kind, args.parts) for kind in KINDS}
    if args.fsync:
        benches["off"].classic.execute("ALTER SYSTEM SET fsync = on")
        benches["off"].classic.execute("SELECT pg_reload_conf()")
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    logged: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(args.repeat + 1):
        for kind, bench in benches.items():
            others = sessions(machines.classic)
            log, used = wal(bench.classic), ended_cpu_us(machines.classic)
            rate, count = pgbench(Path(pgbench_path), bench.classic_dsn, script, args.seconds)
            while len(sessions(machines.classic) - others) > 1:  # autovacuum may have come
                time.sleep(0.01)
            if turn:  # the first round fills the caches
                rates[kind].append(rate)
                cpu[kind].append((ended_cpu_us(machines.classic) - used) / count)
                logged[kind].append((wal(bench.classic) - log) / count)
    print(f"small transactions, 8 clients, {args.parts} partitions, fsync {'on' if args.fsync else 'off'}:")
    share, work, more = against_off(rates), against_off(cpu, inverse=True), against_off(logged)
    for kind in KINDS:
        print(
            f"  {kind:10} {statistics.median(rates[kind]):6,.0f}/s, ratio {share[kind]:.2f};"
            f" processor {statistics.median(cpu[kind]):5.0f} us, ratio {work[kind]:.2f};"
            f" WAL {statistics.median(logged[kind]):5,.0f} B, {more[kind]:.2f} times"
        )
    measure_statements(benches, args.repeat)
    for name, statement in BULK.items():
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(max(3, args.repeat // 3)):
            for kind, bench in benches.items():
                bench.classic.execute("VACUUM bench.orders")
                began = time.perf_counter()
                bench.classic.execute(statement)
                seconds[kind].append(time.perf_counter() - began)
        share = against_off(seconds, inverse=True)
        print(f"{name}: " + ", ".join(f"{kind} {statistics.median(seconds[kind]):.2f} s" for kind in KINDS))
        print("  ratio of rates: " + ", ".join(f"{kind} {share[kind]:.2f}" for kind in KINDS[1:]))


def _more(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(seconds=2, repeat=15)
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--fsync", action="store_true")


if __name__ == "__main__":
    run_measure(__doc__, measure_capture, _more)
