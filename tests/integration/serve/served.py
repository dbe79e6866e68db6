"""A board server in a process of its own, and the states of a migration that it is asked about."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

import httpx
import psycopg

from migrator import __version__
from migrator.control.incident import add_incident
from migrator.control.install import install
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.model import latency
from migrator.model.incident import IncidentKind
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.plan.load import digest, dump, shim_settings
from migrator.shim.fallback import raise_fallback
from migrator.traffic.incident.rollback import hold, roll_back
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.fixtures.world import plan_of

Connection = psycopg.Connection[Any]

TOKEN = "a-token-of-the-board"
READ_TOKEN = "a-token-for-readers"

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "a\nb",
    "a\r\nb",
    "--16",
    "'; DROP TABLE x; --",
    "&lt;b&gt;",
    "a\u202eb",
    "日本 %2F?&=#+",
    "a/../b",
)
"""Names of tenants that are anything but names."""


@dataclass
class Served:
    """A server that runs. `said`: what it printed on stderr so far."""

    process: subprocess.Popen[str]
    url: str
    said: list[str] = field(default_factory=list)

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_S, **more)

    def end(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=TIMEOUT_S)


@contextlib.contextmanager
def serving(dsn: str, *words: str, **environment: str) -> Iterator[Served]:
    """`migrator serve` on a free port, looking at the classic of *dsn* twice a second."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "migrator", "serve", "--port", "0", "--every", "0.5", *words],
        env={**kept, "MIGRATOR_CLASSIC_DSN": dsn, "MIGRATOR_TEMPORAL": "127.0.0.1:1", **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: Queue[str] = Queue()
    said: list[str] = []
    assert process.stderr is not None
    stream = process.stderr

    def listen() -> None:
        for line in stream:
            said.append(line)
            lines.put(line)

    reader = threading.Thread(target=listen)
    reader.start()
    try:
        yield Served(process, _address(lines, process, said), said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        stream.close()


def _address(lines: Queue[str], process: subprocess.Popen[str], said: list[str]) -> str:
    while True:
        try:
            line = lines.get(timeout=TIMEOUT_S if process.poll() is None else 1)
        except Empty:
            raise AssertionError(f"it did not begin to serve: {said}") from None
        if match := re.search(r"The board is at (\S+?)/ ", line):
            return match[1]


def sign_in(client: httpx.Client, name: str = "Ada", token: str = TOKEN) -> httpx.Response:
    return client.post("/sign-in", data={"name": name, "token": token}, headers={"Origin": str(client.base_url)})


def hidden(page: str, name: str) -> str:
    """The value of a hidden field of a form."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


# -- states --------------------------------------------------------------------------------------------------


def installed(conn: Connection) -> None:
    """The tool's tables with a plan; no phase has begun."""
    plan = plan_of("shop", temporal={"address": "127.0.0.1:1"})
    install(conn, plan.name, digest(plan), dump(plan), shim_settings(plan))


def tenants(conn: Connection, names: list[str], wave: int | None, level: str = "limitless") -> None:
    """Tenants with a route, as a wave leaves them."""
    conn.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state, wave, rows)"
        " SELECT n, 1, 'mirrored', %s, 1000 FROM unnest(%s::text[]) n",
        (wave, names),
    )
    if level != "classic":
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " SELECT n, 1, %s, %s, 1, 'cutover', 'wave' FROM unnest(%s::text[]) n",
            (level, wave, names),
        )


def cutover(conn: Connection, count: int = 60) -> None:
    """A migration in its eleventh week: waves 1 and 2 have moved, the others wait. Nothing waits for a person."""
    installed(conn)
    conn.execute("UPDATE migrator.plan SET created_at = clock_timestamp() - interval '75 days'")
    conn.execute("UPDATE migrator.switch SET write_mode = 'dual'")
    for phase, begin, end in (("audit", 75, 56), ("provision", 56, 33), ("dual_write", 33, 6)):
        set_phase(conn, phase, "done", "approved by Ada")
        conn.execute(
            "UPDATE migrator.phase SET started_at = clock_timestamp() - make_interval(days => %s),"
            " finished_at = clock_timestamp() - make_interval(days => %s) WHERE phase = %s",
            (begin, end, phase),
        )
    set_phase(conn, "cutover", "running", f"wave 2: 25 tenants, {count - 30} waiting")
    conn.execute("UPDATE migrator.phase SET started_at = clock_timestamp() - interval '6 days' WHERE phase = 'cutover'")
    names = [f"tenant-{n:04}" for n in range(1, count + 1)]
    tenants(conn, names[:5], 1)
    tenants(conn, names[5:30], 2)
    tenants(conn, names[30:], None, "classic")
    conn.execute(
        "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, lag_s, depth, rows_per_s)"
        " SELECT p, 1, '999999999:999999999:', clock_timestamp() + interval '1 hour', 0.2 + p * 0.1, 40 * p, 120"
        " FROM generate_series(0, 2) p"
    )
    conn.execute(
        "INSERT INTO migrator.worker (worker_id, plan_id, digest, shim, version, queues, seen_at)"
        " SELECT 'host:1', plan_id, digest, shim, %s, %s, clock_timestamp() + interval '1 hour' FROM migrator.plan",
        (__version__, ["control", "incident", "mirror", "bulk"]),
    )
    conn.execute("UPDATE migrator.tenant SET validated_at = clock_timestamp(), clean_at = clock_timestamp()")
    conn.execute(
        "INSERT INTO migrator.validation (run_id, kind, started_at, finished_at, rows)"
        " VALUES (gen_random_uuid(), 'schedule', clock_timestamp(), clock_timestamp(), 4000000)"
    )
    _measured(conn)
    for subject, reason in (("wave-1", "5 tenants"), ("wave-1", "5 tenants on Limitless"), ("wave-2", "25 tenants")):
        decide(conn, "cutover", "wave.chosen", subject, reason)


def _measured(conn: Connection) -> None:
    """Six hours of what is drawn."""
    conn.execute(
        "INSERT INTO migrator.state_sample (grain, at, lag_s, lag_max_s, depth, rows_per_s, pending, copying, mirrored,"
        " quarantined, joining, limitless, held, copied_rows, to_copy_rows, oldest_clean_s, never_validated, divergent,"
        " fallbacks, open_breakers, processes)"
        " SELECT 'minute', date_trunc('minute', now()) - make_interval(mins => n), 0.2, 0.2 + 0.1 * random()"
        " + CASE WHEN n = 100 THEN 9 ELSE 0 END, 40, 120, 0, 0, 60, 0, 0,"
        " CASE WHEN n > 200 THEN 5 ELSE 30 END, 0, 1, 1,"
        " 300 + 10 * (n % 60), 0, 0, 0, 0, 4 FROM generate_series(1, 355) n"
    )
    for side, at in (("classic", 8), ("limitless", 10)):
        conn.execute(
            "INSERT INTO migrator.read_minute (at, side, reads, errors, buckets)"
            " SELECT date_trunc('minute', now()) - make_interval(mins => n), %s, 6000 + 500 * (n %% 7), n %% 3,"
            " array_fill(0::bigint, ARRAY[%s]) || ARRAY[5900, 80, 20 + n %% 50]::bigint[]"
            " || array_fill(0::bigint, ARRAY[%s]) FROM generate_series(5, 355) n",
            (side, at, latency.SIZE - at - 3),
        )


def gate_waits(conn: Connection) -> None:
    """The same, and the next wave waits for an approval."""
    cutover(conn)
    set_phase(conn, "cutover", "waiting", "waiting for an approval of wave-3", (), "migrator approve wave-3 --as NAME")


def incident(conn: Connection) -> None:
    """The same after a bad night: everybody was rolled back, one tenant is quarantined, others are held."""
    cutover(conn)
    conn.execute(
        "UPDATE migrator.tenant SET state = 'quarantined', reason = 'value too long for type character varying(40)'"
        " WHERE tenant_id = 'tenant-0031'"
    )
    raise_fallback(conn, FallbackScope.PART, "1", by="monitor", reason="p99 1,840 ms over 1,000 ms", held=True)
    hold(conn, [TenantId("tenant-0003")], who="Ada", reason="their release is on Friday", timeout_s=0)
    add_incident(conn, IncidentKind.SLO_BREACH, "reads on Limitless: p99 1,840 ms over 1,000 ms", "monitor")
    roll_back(conn, all=True, who="Grace", reason="p99 tripled at 03:10", timeout_s=0)


def finished(conn: Connection) -> None:
    """The end: classic is retired."""
    cutover(conn)
    tenants_left = "UPDATE migrator.tenant SET wave = 3 WHERE wave IS NULL"
    conn.execute(tenants_left)
    conn.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
        " SELECT tenant_id, part, 'limitless', 3, 2, 'cutover', 'wave' FROM migrator.tenant WHERE wave = 3"
    )
    for phase in ("cutover", "stabilize", "decommission"):
        set_phase(conn, phase, "done", "approved by Ada")
    conn.execute("UPDATE migrator.switch SET write_mode = 'limitless_only'")
    conn.execute("UPDATE migrator.plan SET created_at = clock_timestamp() - interval '166 days'")


STATES = {"calm": cutover, "gate": gate_waits, "incident": incident, "finished": finished}


def nothing_installed(conn: Connection) -> None:
    """Drop the tool's schema, which a server reads meanwhile: PostgreSQL may choose this session to end a deadlock."""

    def dropped() -> bool:
        try:
            conn.execute("DROP SCHEMA IF EXISTS migrator CASCADE")
        except psycopg.errors.DeadlockDetected:
            return False
        return True

    eventually(dropped, "the tool's schema is dropped")
