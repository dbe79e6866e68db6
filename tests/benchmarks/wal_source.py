"""What would keys from the log cost, instead of from triggers?

    python -m tests.benchmarks.wal_source --pg-bin /usr/lib/postgresql/15/bin [--repeat 7] [--seconds 3]

A trial of another key source, not a part of the tool: logical decoding with pgoutput, whose publication sends keys and
tenants alone (column lists), and a collector that writes them into the journal. Triggers stay for what the log does not
say without a wider replica identity: deleted rows, changed keys and tenants.

Two measures. First the small transactions of `tests.benchmarks.capture`, in turns: without capture on a server whose
wal_level is replica; the same with logical; with capture's triggers; with the log as the source, which is not read yet;
the same with its collector running on the same processors. Processor time is told apart: sessions of the application,
walsender, session of the collector, its program. Then one walsender sends what has waited, to a reader that throws it
away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, pq, sql

from migrator.dataplane.capture import names
from migrator.dataplane.capture.install import own_ddl
from migrator.dataplane.capture.journal_sql import part_of
from migrator.db.connect import connect
from migrator.local.server import Server
from tests.benchmarks.capture import SMALL, ended_cpu_us, pgbench, sessions, wal
from tests.benchmarks.common import FILL, SCHEMA, Bench, run_measure, value
from tests.fixtures.postgres import Machines

SLOT = "wal_source"
KINDS = ("replica", "logical", "triggers", "unread", "log")
PAUSE_S = 0.005
PUBLICATIONS = {
    "both tables": "bench.orders (id, tenant_id), bench.account (id, tenant_id)",
    "one table of them": "bench.account (id, tenant_id)",
    "a table nobody writes": "public.idle (id)",
}
BATCH = 2000
_EPOCH_S = 946_684_800  # PostgreSQL counts from 2000


class Reader:
    """One walsender's stream of a slot: the payloads of pgoutput, and what was told back."""

    def __init__(self, dsn: str, publication: str) -> None:
        self.conn = pq.PGconn.connect(conninfo.make_conninfo(dsn, replication="database").encode())
        if self.conn.status != pq.ConnStatus.OK:
            raise SystemExit(self.conn.get_error_message())
        start = f"START_REPLICATION SLOT {SLOT} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')"
        result = self.conn.exec_(start.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise SystemExit(result.get_error_message())
        self.sent = 0

    def now(self) -> Iterator[memoryview]:
        """Yield what has arrived; nothing when nothing has."""
        while True:
            size, data = self.conn.get_copy_data(1)
            if size == 0:
                return
            if size < 0:
                raise SystemExit("the walsender ended the stream")
            if bytes(data[:1]) == b"w":
                yield data[25:]
            else:  # a keepalive: everything up to here was sent
                self.sent = int.from_bytes(data[1:9])

    def wait(self, seconds: float) -> None:
        select.select([self.conn.socket], [], [], seconds)
        self.conn.consume_input()

    def confirm(self, lsn: int) -> None:
        stamp = int((time.time() - _EPOCH_S) * 1e6)
        self.conn.put_copy_data(b"r" + struct.pack("!qqqqb", lsn, lsn, lsn, stamp, 0))
        self.conn.flush()


def columns_of(data: memoryview, at: int) -> tuple[list[str], int]:
    """Return the texts of one tuple of pgoutput, and where it ends."""
    count = int.from_bytes(data[at : at + 2])
    at += 2
    found = []
    for _ in range(count):
        if data[at] != ord("t"):
            raise SystemExit("a key column without a value")
        size = int.from_bytes(data[at + 1 : at + 5])
        found.append(str(data[at + 5 : at + 5 + size], "ascii"))
        at += 5 + size
    return found, at


def collect(dsn: str) -> None:
    """Write the keys of the slot's changes into the journals, until killed."""
    conn = connect(dsn, "bench collector")
    numbers = {
        int(oid): int(number)
        for oid, number in conn.execute("SELECT relid::int8, table_id FROM migrator.captured_table")
    }
    reader = Reader(dsn, "keys0")
    inserts = {oid: _insert(number).as_string(conn) for oid, number in numbers.items()}
    rows: dict[int, tuple[list[str], list[str], list[str]]] = {oid: ([], [], []) for oid in numbers}
    waiting, xid, end = 0, "", 0
    while True:
        for data in reader.now():
            kind = data[0]
            if kind in (ord("I"), ord("U")):
                xids, tenants, keys = rows[int.from_bytes(data[1:5])]
                # With nothing but the primary key as identity, no old tuple comes before the new one unless it changed.
                at = 6 if data[5] == ord("N") else columns_of(data, 6)[1] + 1
                (key, tenant), _ = columns_of(data, at)
                xids.append(xid)
                keys.append(key)
                tenants.append(tenant)
                waiting += 1
            elif kind == ord("B"):
                xid = str(int.from_bytes(data[17:21]))  # of 32 bits; a product would add the epoch
            elif kind == ord("C"):
                end = int.from_bytes(data[10:18])
                if waiting >= BATCH:
                    break
        else:
            if not waiting:
                reader.confirm(max(end, reader.sent))
                reader.wait(0.02)
                continue
        with conn.transaction():
            for oid, lists in rows.items():
                if lists[0]:
                    conn.execute(inserts[oid], ["{" + ",".join(column) + "}" for column in lists])
        for lists in rows.values():
            for column in lists:
                column.clear()
        waiting = 0
        reader.confirm(end)
        time.sleep(PAUSE_S)  # a transaction of its own for each one that arrives would cost three times as much


def _insert(number: int) -> sql.Composed:
    """Return the INSERT of arrays of transaction ids, tenants and keys into a journal, as capture's triggers would."""
    return sql.SQL(
        "INSERT INTO {} (part, xid, tenant_id, k0) SELECT {}, u.xid, u.tenant_id, u.k0"
        " FROM unnest(%s::int8[], %s::int8[], %s::int8[]) AS u (xid, tenant_id, k0)"
    ).format(sql.Identifier("migrator", names.journal_slot(number, 0)), part_of(sql.Identifier("u", "tenant_id"), 2))


def busy_us(pid: int) -> float:
    """Processor time of a process so far, in microseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


def pid_of(conn: psycopg.Connection[Any], condition: str) -> int:
    """The server process of the one session that *condition* describes, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = conn.execute(
            f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
        ).fetchall()
        if len(found) == 1:
            return int(found[0][0])
        time.sleep(0.02)
    raise SystemExit(f"no session with {condition}")


@contextmanager
def slot(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """A slot of now: what other databases of the server wrote before is not read."""
    conn.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (SLOT,))
    try:
        yield
    finally:
        conn.execute(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s"
            " AND active_pid IS NOT NULL",
            (SLOT,),
        )
        conn.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))


@contextmanager
def collector(side: Side) -> Iterator[dict[str, int]]:
    """A collector at work, as (what, process id)."""
    program = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.wal_source", "collect", side.dsn])
    try:
        yield {
            "walsender": pid_of(side.conn, "backend_type = 'walsender'"),
            "its session": pid_of(side.conn, "application_name = 'bench collector'"),
            "its program": program.pid,
        }
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()


def caught_up(side: Side) -> tuple[float, float]:
    """Wait until the journal has everything written so far; seconds it took, and kB of log that waited."""
    end = wal(side.conn)
    query = "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    began, behind = time.perf_counter(), end - int(value(side.conn, query, SLOT))
    while int(value(side.conn, query, SLOT)) < end:
        time.sleep(0.005)
    return time.perf_counter() - began, behind / 1000


@dataclass(frozen=True)
class Side:
    """A database to write to, and the server it is on."""

    server: Server
    dsn: str
    conn: psycopg.Connection[Any]


def prepare(machines: Machines, kind: str) -> Side:
    assert isinstance(machines.classic, Server)
    bench = Bench(machines, f"log_{kind}", 100_000)
    if kind in ("triggers", "log"):
        asyncio.run(bench.begin(2))
    if kind == "log":
        with own_ddl(bench.classic):
            guards = bench.classic.execute(
                "SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'migrator%'"
            ).fetchall()
            for (guard,) in guards:
                bench.classic.execute(sql.SQL("DROP EVENT TRIGGER {}").format(sql.Identifier(guard)))
            for table in ("orders", "account"):
                for event in ("insert", "update"):
                    bench.classic.execute(f"DROP TRIGGER migrator_capture_{event} ON bench.{table}")
        bench.classic.execute("CREATE TABLE public.idle (id bigint PRIMARY KEY)")
        for number, tables in enumerate(PUBLICATIONS.values()):
            publish = f"CREATE PUBLICATION keys{number} FOR TABLE {tables} WITH (publish = 'insert, update')"
            bench.classic.execute(publish)
    return Side(machines.classic, bench.classic_dsn, bench.classic)


def without_logical(machines: Machines) -> Side:
    """The same tables on a server that logs no more than it needs for itself and its replicas."""
    assert isinstance(machines.limitless, Server)
    machines.limitless.stop()
    server = replace(machines.limitless, options=("wal_level=replica", "max_replication_slots=0"))
    server.start()
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute("CREATE DATABASE plain TEMPLATE template0")
    dsn = server.dsn("plain")
    conn = connect(dsn, "bench")
    conn.execute(SCHEMA)
    conn.execute(FILL.format(rows=100_000, tenants=1000))
    conn.execute("VACUUM ANALYZE bench.orders")
    return Side(server, dsn, conn)


def measure(machines: Machines, args: argparse.Namespace) -> None:
    found = shutil.which("pgbench")
    if found is None or not isinstance(machines.classic, Server):
        raise SystemExit("pgbench is not on PATH, or the servers are not ours")
    path, script = Path(found), Path(args.home) / "small.sql"
    script.write_text(SMALL, encoding="utf-8")
    sides = {kind: prepare(machines, kind) for kind in ("logical", "triggers", "log")}
    sides |= {"replica": without_logical(machines), "unread": sides["log"]}
    print(f"PostgreSQL {value(sides['log'].conn, 'SHOW server_version')}")
    measure_rates(sides, path, script, args)
    measure_walsender(sides["log"], path, script, args)


def measure_rates(sides: dict[str, Side], path: Path, script: Path, args: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    logged: dict[str, list[float]] = {kind: [] for kind in KINDS}
    beside: dict[str, list[float]] = {}
    late: list[tuple[float, float]] = []

    def one(kind: str, *, counts: bool) -> int:
        side = sides[kind]
        others, log, used = sessions(side.server), wal(side.conn), ended_cpu_us(side.server)
        rate, count = pgbench(path, side.dsn, script, args.seconds)
        while len(sessions(side.server) - others) > 1:  # autovacuum may have come
            time.sleep(0.01)
        if counts:
            rates[kind].append(rate)
            cpu[kind].append((ended_cpu_us(side.server) - used) / count)
            logged[kind].append((wal(side.conn) - log) / count)
        return count

    journalled = 0
    for turn in range(args.repeat + 1):
        for kind in KINDS:
            if kind == "unread":
                with slot(sides[kind].conn):
                    one(kind, counts=turn > 0)
                continue
            if kind != "log":
                one(kind, counts=turn > 0)
                continue
            with slot(sides[kind].conn), collector(sides[kind]) as pids:
                before = {what: busy_us(pid) for what, pid in pids.items()}
                count = one(kind, counts=turn > 0)
                behind = caught_up(sides[kind])
                journalled += 3 * count
                if turn:
                    late.append(behind)
                    for what, pid in pids.items():
                        beside.setdefault(what, []).append((busy_us(pid) - before[what]) / count)
    entries = sum(value(sides["log"].conn, f"SELECT count(*) FROM migrator.journal_{n}") for n in (1, 2))
    assert entries == journalled, f"{entries} entries of {journalled} changes"
    base = "logical"
    print(f"small transactions, 8 clients, {args.repeat} rounds:")
    for kind in KINDS:
        share = statistics.median(b / a for a, b in zip(rates[base], rates[kind], strict=True))
        print(
            f"  {kind:9} {statistics.median(rates[kind]):6,.0f}/s, ratio {share:.2f};"
            f" application's sessions {statistics.median(cpu[kind]):5.0f} us a transaction;"
            f" WAL {statistics.median(logged[kind]):5,.0f} B"
        )
    print("  beside the log: " + ", ".join(f"{what} {statistics.median(us):.0f} us" for what, us in beside.items()))
    print(
        f"  behind when the clients ended: {statistics.median(kb for _, kb in late):,.0f} kB of log,"
        f" caught up in {statistics.median(s for s, _ in late) * 1000:,.0f} ms"
    )


def measure_walsender(side: Side, path: Path, script: Path, args: argparse.Namespace) -> None:
    """How many transactions one walsender sends in a second, with nothing else running."""
    print("one walsender, to a reader that throws it away:")
    for number, name in enumerate(PUBLICATIONS):
        us, rate = [], []
        for _ in range(max(3, args.repeat // 2)):
            with slot(side.conn):
                _, count = pgbench(path, side.dsn, script, args.seconds)
                end = wal(side.conn)
                side.conn.execute("SELECT pg_logical_emit_message(true, 'bench', 'end')")
                began, changes = time.perf_counter(), 0
                reader = Reader(side.dsn, f"keys{number}")
                pid = pid_of(side.conn, "backend_type = 'walsender'")
                expected = (3, 1, 0)[number] * count
                while changes < expected or int(value(side.conn, SENT)) < end:
                    changes += sum(data[0] in (ord("I"), ord("U")) for data in reader.now())
                    reader.wait(0.005)
                assert changes == expected, f"{changes} changes of {count} transactions"
                rate.append(count / (time.perf_counter() - began))
                us.append(busy_us(pid) / count)
                reader.conn.finish()
        print(
            f"  {name:22} {statistics.median(us):4.0f} us of its processor a transaction"
            f" (at most {1e6 / statistics.median(us):,.0f}/s of one), {statistics.median(rate):,.0f}/s"
        )


SENT = f"SELECT coalesce(max(sent_lsn - '0/0'::pg_lsn), 0) FROM pg_stat_replication WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{SLOT}')"  # noqa: E501


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        collect(sys.argv[2])
    else:
        os.environ.setdefault("PYTHONUNBUFFERED", "1")
        run_measure(__doc__, measure, lambda parser: parser.set_defaults(seconds=3, repeat=7))
