"""What do clients of the contract in SQL that wait for their writes cost classic's writer?

    python -m tests.benchmarks.waiting [--tenants 10000] [--clients 180] [--seconds 5] [--pg-bin DIR]

First a look alone: the median of `client_wait` that does not wait, in ms, in one session, for each state of the routes.
Then so many sessions that wait at the same time while the mirror is held, by calls of 0.5 s as the examples make them:
processor time of classic's sessions, as a share of one core. And what a full client costs: `client_view` with all
tenants, and with none that changed.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Any

import psycopg

from migrator.control.install import install
from migrator.db.connect import connect
from tests.benchmarks.common import run_measure, value
from tests.benchmarks.rollback import servers_cpu_s
from tests.fixtures.postgres import Machines

TENANTS = """
INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)
SELECT 'tenant-' || lpad(g::text, 6, '0'), 1 + g % 4, 'limitless', 0, 'bench', 'bench' FROM generate_series(1, {}) g;
UPDATE migrator.switch SET write_mode = 'dual';
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at)
SELECT p, 1, pg_current_snapshot()::text, clock_timestamp() FROM generate_series(0, 4) p;
ANALYZE migrator.route;
"""
STATES = {
    "all tenants on Limitless": "UPDATE migrator.switch SET level = 'limitless'",
    "the write's partition has fallen back": (
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " VALUES ('part', '1', 'classic', 'bench', 'bench', 0)"
    ),
    "100 tenants have fallen back besides": (
        "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch)"
        " SELECT 'tenant', tenant_id, 'classic', 'bench', 'bench', 0 FROM migrator.route WHERE part = 2 LIMIT 100"
    ),
    "all rolled back by the switch": "UPDATE migrator.switch SET level = 'classic'",
    "all rolled back one by one": (
        "UPDATE migrator.switch SET level = 'limitless'; UPDATE migrator.route SET level = 'classic'"
    ),
}
TOKEN = """
SELECT format('w1-%%s-%%s-%%s-2', m.epoch, replace(m.mark::text, '-', ''), pg_current_xact_id()::text)
  FROM migrator.epoch_mark m ORDER BY m.epoch DESC LIMIT 1
"""
BEAT = "SELECT migrator.client_beat('bench', 'bench')"


def median_ms(conn: psycopg.Connection[Any], question: str, times: int, *values: object) -> float:
    took = []
    for _ in range(times):
        conn.execute(BEAT)
        began = time.perf_counter()
        conn.execute(question.encode(), values)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def waits(conn: psycopg.Connection[Any], token: str, enough: threading.Event) -> None:
    while not enough.is_set():
        conn.execute("SELECT migrator.client_wait('bench', %s, 0.5)", (token,))


def waiting(dsn: str, control: psycopg.Connection[Any], token: str, args: argparse.Namespace) -> float:
    """Return the share of one core that classic's sessions take."""
    enough = threading.Event()
    with ExitStack() as stack:
        conns = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(args.clients)]
        for conn in conns:
            thread = threading.Thread(target=waits, args=(conn, token, enough))
            thread.start()
            stack.callback(thread.join)
        stack.callback(enough.set)
        time.sleep(2)
        first_s, before = servers_cpu_s(control), time.perf_counter()
        time.sleep(args.seconds)
        return (servers_cpu_s(control) - first_s) / (time.perf_counter() - before)


def measure(machines: Machines, args: argparse.Namespace) -> None:
    dsn = machines.new_classic("classic_bench")
    with connect(dsn, "bench") as conn:
        install(conn, "bench", "digest", {}, {"staleness_s": 60})
        conn.execute(TENANTS.format(args.tenants))
        conn.execute(BEAT)
        token = str(value(conn, TOKEN))
        for state, change in STATES.items():
            conn.execute(change.encode())
            look = median_ms(conn, "SELECT migrator.client_wait('bench', %s, 0)", args.repeat * 20, token)
            print(f"{state:40} a look {look:7.2f} ms")
            if state == next(iter(STATES)):
                share = waiting(dsn, conn, token, args)
                print(f"{'':40} {args.clients} waiting: {share:.0%} of a core")
        conn.execute("DELETE FROM migrator.fallback; UPDATE migrator.route SET level = 'limitless'")
        for what, known in (("with all tenants", "NULL, NULL"), ("nothing changed", "s.epoch, m.mark::text")):
            view = (
                f"SELECT v.* FROM migrator.switch s JOIN migrator.epoch_mark m USING (epoch),"
                f" LATERAL migrator.client_view('bench', {known}) v"
            )
            print(f"{'client_view, ' + what:40} {median_ms(conn, view, args.repeat * 5):14.2f} ms")
        side = "SELECT migrator.client_side('bench', 'tenant-000001')"
        print(f"{'client_side':40} {median_ms(conn, side, args.repeat * 20):14.2f} ms")


def more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=180, help="the servers take 200 sessions")


if __name__ == "__main__":
    run_measure(__doc__, measure, more)
