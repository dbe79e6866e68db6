"""A stall makes everybody late who arrives in it: an open loop shows that, a closed one does not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from json import dumps, loads

import psycopg
import pytest

from migrator.load import session
from migrator.load.fleet import INTERRUPTED, Seen, run
from migrator.load.histogram import Histogram
from migrator.load.orders import Count
from migrator.load.workload import Parameter, Source, Statement, Transaction
from migrator.local.proxy import Proxy
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.rows import value
from tests.fixtures.waiting import eventually
from tests.integration.load.orders import READ, orders

pytestmark = [pytest.mark.pg, pytest.mark.once]

STALL_S = 0.8
CLOSED = 150
"""Transactions of the closed loop before the stall, and after it."""


def nothing(seen: Seen, at_s: float) -> str:
    return ""


class Stall:
    """Stalls a proxy once, for a while, and knows for how long."""

    def __init__(self, through: Proxy) -> None:
        self._through = through
        self.began, self.over = threading.Event(), threading.Event()
        self.seconds = 0.0

    def begin(self) -> None:
        self._through.stall()
        self._at = time.monotonic()
        self.began.set()
        threading.Timer(STALL_S, self._end).start()

    def _end(self) -> None:
        self.seconds = time.monotonic() - self._at
        self._through.resume()
        self.over.set()


async def closed_loop(dsn: str, stall: Stall) -> Histogram:
    """One client that sends the next transaction when the last one was answered, and measures from the sending."""
    found = Histogram()
    conn = await session.connect(dsn, "classic", 10)

    async def one() -> None:
        began = time.monotonic()
        state = await session.run(
            conn, READ, [[1]], timeout_s=10, commit=False, now_s=time.monotonic, took=lambda n, s: None
        )
        found.add(round((time.monotonic() - began) * 1e6))
        assert state is None

    for _ in range(CLOSED):
        await one()
    while not stall.began.is_set():
        await one()
    while not stall.over.is_set():
        await one()
    for _ in range(CLOSED):
        await one()
    await conn.close()
    return found


def test_a_stall_is_in_the_open_loop_and_not_in_the_closed_one(
    proxy: MakeProxy, classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same stall of the same server at the same time. A quarter of the arrivals comes while it lasts: all of them
    wait, as people would. The closed loop sends one transaction into it, and even its p95 tells nothing of it (nor does
    its p99, but on a busy machine something else may)."""
    through = proxy(classic_dsn)
    monkeypatch.setenv("LOADED", through.dsn(classic_dsn))
    stall = Stall(through)
    closed: list[Histogram] = []
    thread = threading.Thread(target=lambda: closed.append(asyncio.run(closed_loop(through.dsn(classic_dsn), stall))))
    thread.start()

    def on_second(seen: Seen, at_s: float) -> str:
        if not stall.began.is_set():
            stall.begin()
        return ""

    seen = run([orders("env:LOADED", [100], 3)], on_second)
    thread.join()
    found, stalled_ms = seen.count(0), stall.seconds * 1000

    assert (found.arrived, found.latency.total, found.errors) == (300, 300, {})
    assert (found.latency.percentile_ms(0.999) or 0) >= 0.95 * stalled_ms
    assert (found.latency.percentile_ms(0.99) or 0) >= 0.9 * stalled_ms
    # Those that came in its first half waited for more than the other half.
    late = 1 - (0.5 * stall.seconds - 0.05) / 3
    assert (found.latency.percentile_ms(late) or 0) >= 0.45 * stalled_ms

    [only] = closed
    assert (only.percentile_ms(1.0) or 0) >= 0.8 * stalled_ms, "it was in the stall as well"
    assert (only.percentile_ms(0.95) or 0) < 0.5 * stalled_ms <= (found.latency.percentile_ms(0.95) or 0)


def test_the_same_seed_has_the_same_arrivals_in_any_number_of_processes(
    classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is the same, row by row; committed, as on a scratch copy."""
    monkeypatch.setenv("LOADED", classic_dsn)
    write = Transaction(
        "write",
        1,
        (
            Statement(
                "INSERT INTO written VALUES ($1, $2, $3)",
                (Parameter(Source.TENANT), Parameter(Source.UNIQUE), Parameter(Source.TEXT, (8,))),
            ),
        ),
        writes=True,
    )
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE written (tenant text, id bigint PRIMARY KEY, body text)")
        found = []
        for processes in (1, 3):
            conn.execute("TRUNCATE written")
            common = orders(
                "env:LOADED", [120], 1, transactions=(write,), tenants=({"a": 3.0, "Größe 'x'": 1.0},), commit=True
            )
            seen = run([replace(common, process=n, processes=processes) for n in range(processes)], nothing)
            assert seen.count(0).errors == {}
            found.append(conn.execute("SELECT * FROM written ORDER BY id").fetchall())

    assert found[0] == found[1] and len(found[0]) == 120
    share = sum(row[0] == "a" for row in found[0]) / 120
    assert 0.55 < share < 0.95, "by their weights"


def test_writes_are_rolled_back(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless they are to be committed; and a transaction that is said to read cannot write."""
    monkeypatch.setenv("LOADED", classic_dsn)
    insert = (Statement("INSERT INTO written SELECT 1"),)
    both = (Transaction("writes", 1, insert, writes=True), Transaction("reads", 1, insert))
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE written (id bigint)")
        seen = run([orders("env:LOADED", [60], 1, transactions=both, tenants=(None, None))], nothing)

        assert value(conn, "SELECT count(*) FROM written") == 0
    found = seen.count(0)
    assert set(found.errors) == {"25006"} and 10 < found.errors["25006"] < 50
    assert found.statements["0.0"].total == 60 - found.errors["25006"], "those that may write did"


def test_a_session_thinks_between_its_transactions(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is that of transactions: sessions come at a third of it, and each has three, all for one tenant."""
    monkeypatch.setenv("LOADED", classic_dsn)
    by_tenant = Transaction(
        "by tenant", 1, (Statement("INSERT INTO turn VALUES ($1)", (Parameter(Source.TENANT),)),), writes=True
    )
    tenants = {f"t{n}": 1.0 for n in range(1000)}
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE turn (tenant text)")
        given = orders(
            "env:LOADED", [80], 1.5, transactions=(by_tenant,), tenants=(tenants,), turns=3, think_s=0.05, commit=True
        )
        seen = run([given], nothing)
        whole = conn.execute("SELECT count(*) FROM turn GROUP BY tenant").fetchall()

    arrived = sum(count.arrived for count in seen.counts.values())
    assert 40 < arrived <= 120, "40 sessions; those of the end, on a busy machine many, do not have all their turns"
    assert 35 <= len(whole) <= 40 and any(many % 3 == 0 for (many,) in whole)


def test_each_client_of_a_storm_connects_anew(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the server refuses is counted by its SQLSTATE: here it has room for three at once."""
    monkeypatch.setenv("LOADED", classic_dsn)
    seen = run([orders("env:LOADED", [80], 1, storm=True, connections=20)], nothing)

    count = Count()
    for one in seen.counts.values():
        count.merge(one)
    assert count.connect.total == count.arrived == 80 and count.errors == {}

    slow = Transaction("slow", 1, (Statement("SELECT pg_sleep(1)"),))
    name = psycopg.conninfo.conninfo_to_dict(classic_dsn)["dbname"]
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'guest' CONNECTION LIMIT 3")
        try:
            limited = psycopg.conninfo.make_conninfo(classic_dsn, user=f"guest_{name}", password="guest")
            monkeypatch.setenv("LOADED", limited)
            given = orders("env:LOADED", [60], 1, storm=True, connections=30, transactions=(slow,))
            seen = run([given], nothing)
        finally:
            eventually(lambda: value(conn, "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename LIKE 'guest_%'"))
            conn.execute(f"DROP ROLE guest_{name}")

    assert seen.count(0).errors["53300"] > 10
    assert sum(seen.count(0).errors.values()) < 60, "those that got in were served"


def test_a_server_that_ends_sessions_is_lost_and_found_again(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADED", classic_dsn)
    looks: list[float] = []
    with psycopg.connect(classic_dsn, autocommit=True) as conn:

        def on_second(seen: Seen, at_s: float) -> str:
            looks.append(at_s)
            if len(looks) <= 2:  # a run on a busy machine takes longer than it is told to, and has more seconds
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'migrator load'"
                )
            return ""

        seen = run([orders("env:LOADED", [100], 3)], on_second)

    found = seen.count(0)
    assert 1 <= sum(found.errors.values()) <= 20 and found.arrived == found.latency.total == 300
    assert set(found.errors) <= {"57P01", "lost"}


def test_a_generator_ends_with_the_process_that_began_it(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No load goes on that is watched by no process."""
    monkeypatch.setenv("LOADED", classic_dsn)
    given = orders("env:LOADED", [50], 600)
    child = subprocess.Popen(
        [sys.executable, "-m", "migrator.load.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(dumps(given.to_json()) + "\n")
    child.stdin.flush()
    assert loads(child.stdout.readline()) == {"ready": True}
    child.stdin.write(dumps({"begin": time.monotonic()}) + "\n")
    child.stdin.flush()
    assert loads(child.stdout.readline())["answered"] > 0

    child.stdin.close()

    assert child.wait(timeout=60) == 1
    child.stdout.close()
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        alive = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'migrator load'"
        eventually(lambda: value(conn, alive), "sessions of the test end")


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_client(classic_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADED", classic_dsn)

    def on_second(seen: Seen, at_s: float) -> str:
        if sum(count.latency.total for count in seen.counts.values()):
            signal.raise_signal(signal.SIGINT)
        return ""

    before = signal.getsignal(signal.SIGINT)
    seen = run([orders("env:LOADED", [80], 600)], on_second)

    assert seen.stopped == INTERRUPTED and seen.count(0).latency.total > 0 and seen.count(0).errors == {}
    assert signal.getsignal(signal.SIGINT) is before
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        alive = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'migrator load'"
        eventually(lambda: value(conn, alive), "sessions of the test end")


def test_a_stop_says_nothing_of_statements_that_a_server_does_not_end(
    proxy: MakeProxy, classic_dsn: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each of them would be a line of the driver's on the terminal, between those of the result."""
    through = proxy(classic_dsn)
    monkeypatch.setenv("LOADED", through.dsn(classic_dsn))
    sleep = Transaction("sleep", 1, (Statement("SELECT pg_sleep(600)"),))

    def on_second(seen: Seen, at_s: float) -> str:
        if not seen.seconds[-1].waiting:
            return ""
        through.stall()
        return "enough"

    seen = run([orders("env:LOADED", [40], 600, transactions=(sleep,))], on_second)

    assert seen.stopped == "enough" and seen.count(0).abandoned > 0
    assert capfd.readouterr().err == ""
