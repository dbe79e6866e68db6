"""A classic and a Limitless with the tool's tables, one application table, and a mirror that tests drive by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg

from migrator.control.install import install, install_limitless
from migrator.model.route import WriteMode
from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.testing import Heard as Heard
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests import ROOT
from tests.fixtures.waiting import TIMEOUT_S, eventually

QUICK = Settings(staleness_s=1.5, poll_s=0.1, ack_wait_s=0.4, closed_wait_s=3.0, open_s=0.3, read_timeout_s=1.0)
"""For tests of what happens when something takes too long: it takes too long soon."""

CALM = replace(
    QUICK, staleness_s=60.0, ack_wait_s=TIMEOUT_S, closed_wait_s=TIMEOUT_S, read_timeout_s=60.0, max_lag_s=600.0,
    p99_ms=60_000.0,
)  # fmt: skip
"""For all others: nothing runs out because the machine stood still for some seconds."""

BRIEF_ROUTES = replace(CALM, staleness_s=QUICK.staleness_s)
"""Of a process that is frozen until its routes have run out."""

APP = """
CREATE SCHEMA app;
CREATE TABLE app.note (tenant_id text, id int, body text, PRIMARY KEY (tenant_id, id));
"""

# What capture does for the shim: note the touched partition. Tenants whose name starts with t live in partition 1,
# all others in 2.
MARK = """
CREATE FUNCTION app.mark() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bits bigint;
BEGIN
    SELECT bit_or(CASE WHEN tenant_id LIKE 't%' THEN 2 ELSE 4 END) INTO bits FROM changed;
    PERFORM set_config('migrator.parts',
        (coalesce(nullif(current_setting('migrator.parts', true), ''), '0')::bigint | coalesce(bits, 0))::text, true);
    RETURN NULL;
END $$;
CREATE TRIGGER mark_insert AFTER INSERT ON app.note REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION app.mark();
CREATE TRIGGER mark_update AFTER UPDATE ON app.note REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION app.mark();
"""


def part_of(tenant: str) -> int:
    return 1 if tenant.startswith("t") else 2


@dataclass
class World:
    classic_dsn: str
    limitless_dsn: str
    classic: psycopg.Connection[Any]
    limitless: psycopg.Connection[Any]

    @classmethod
    def make(cls, classic_dsn: str, limitless_dsn: str) -> World:
        """The world of two empty databases."""
        build(classic_dsn, limitless_dsn)
        return cls.opened(classic_dsn, limitless_dsn)

    @classmethod
    def opened(cls, classic_dsn: str, limitless_dsn: str) -> World:
        """The world of two databases as `build` leaves them: positions are published now."""
        classic, limitless = (psycopg.connect(dsn, autocommit=True) for dsn in (classic_dsn, limitless_dsn))
        world = cls(classic_dsn, limitless_dsn, classic, limitless)
        world.publish()
        write_mode(classic, WriteMode.DUAL, who="test", reason="test")
        return world

    def close(self) -> None:
        for conn in (self.classic, self.limitless):
            with suppress(psycopg.Error):
                conn.close()

    def shim(self, name: str = "web", settings: Settings = CALM, **options: Any) -> Shim:
        return Shim(self.classic_dsn, self.limitless_dsn, name, settings=settings, **options)

    def publish(self, parts: Sequence[int] = (0, 1, 2), conn: psycopg.Connection[Any] | None = None) -> None:
        """What a mirror does: copy classic's state of the partitions, then publish the snapshot it was read at."""
        conn = conn or self.classic
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            snapshot, at = conn.execute("SELECT pg_current_snapshot()::text, clock_timestamp()").fetchone()  # type: ignore[misc]
            rows = conn.execute("SELECT tenant_id, id, body FROM app.note").fetchall()
        wanted = [row for row in rows if part_of(row[0]) in parts]
        with psycopg.connect(self.limitless_dsn, autocommit=True) as limitless, limitless.transaction():
            limitless.cursor().executemany(
                "INSERT INTO app.note VALUES (%s, %s, %s)"
                " ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body",
                wanted,
            )
        for part in parts:
            conn.execute(
                "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (%s, 1, %s, %s)"
                " ON CONFLICT (part) DO UPDATE SET snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at"
                " WHERE migrator.position.fresh_at <= EXCLUDED.fresh_at",  # several may publish at once
                (part, snapshot, at),
            )

    @contextmanager
    def mirror(self, parts: Sequence[int] = (0, 1, 2)) -> Any:
        """A mirror in a thread."""
        stop = threading.Event()

        def run() -> None:
            with psycopg.connect(self.classic_dsn, autocommit=True) as conn:
                while not stop.wait(0.02):
                    with suppress(psycopg.OperationalError):  # Limitless is down
                        self.publish(parts, conn)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def build(classic_dsn: str, limitless_dsn: str) -> None:
    """Make the tables of both sides and three mirrored tenants."""
    with psycopg.connect(classic_dsn, autocommit=True) as classic:
        install(classic, "test", "digest", {}, {})
        classic.execute(APP + MARK)
        for tenant in ("t1", "t2", "u1"):
            classic.execute(
                "INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%s, %s, 'mirrored')",
                (tenant, part_of(tenant)),
            )
    with psycopg.connect(limitless_dsn, autocommit=True) as limitless:
        install_limitless(limitless)
        limitless.execute(APP)


def put(tenant: str, number: int, body: str) -> Callable[[Any], None]:
    def fn(w: Any) -> None:
        w.connection.execute(
            "INSERT INTO app.note VALUES (%s, %s, %s) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body",
            (tenant, number, body),
        )

    return fn


def get(tenant: str, number: int, *, with_side: bool = True) -> Callable[[Any], Any]:
    """Return a read of one body, with the side that answered."""

    def fn(r: Any) -> Any:
        statement = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"
        row = r.connection.execute(statement, (tenant, number)).fetchone()
        body = None if row is None else row[0]
        return (str(r.side), body) if with_side else body

    return fn


def ids(*tenants: str) -> list[TenantId]:
    return [TenantId(t) for t in tenants]


def up(world: World, *tenants: str) -> None:
    """Move reads of *tenants* to Limitless."""
    with world.mirror():
        moved = promote_reads(world.classic, tenants=ids(*tenants), who="test", reason="test", timeout_s=TIMEOUT_S)
        assert moved.done, moved


def end(world: World, *knowing: Shim) -> None:
    """Hand over to Limitless; *knowing* processes have heard of it."""
    write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
    world.publish()
    write_mode(world.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test")
    for shim in knowing:
        eventually(lambda shim=shim: shim._current.settled, "the process knows")  # type: ignore[misc]


@contextmanager
def deaf(shim: Shim) -> Iterator[Callable[[], None]]:
    """Within it the process renews and learns nothing, as one whose watching thread gets no processor.

    Gives what ends it.
    """
    watcher, hears = shim._watcher, threading.Event()
    assert watcher is not None
    work, stuck = watcher._work, threading.Event()

    def late() -> None:
        stuck.set()
        hears.wait(TIMEOUT_S)
        work()

    watcher._work = late  # type: ignore[method-assign]
    watcher.wake()
    assert stuck.wait(TIMEOUT_S)
    try:
        yield hears.set
    finally:
        hears.set()
        watcher._work = work  # type: ignore[method-assign]


def run_out(shim: Shim) -> None:
    eventually(lambda: not shim._current.view.valid(shim._current.now_s()), "its routes have run out")


def expire(world: World, name: str) -> None:
    """Let the registration of a process that is frozen, or deaf, have run out."""
    world.classic.execute("UPDATE migrator.process SET staleness_s = 0 WHERE name = %s", (name,))


class Writing(threading.Thread):
    """A write in a thread of its own."""

    def __init__(self, shim: Shim, number: int, **options: Any) -> None:
        super().__init__()
        self.shim, self.number, self.options = shim, number, options
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.shim.run_write("t1", put("t1", self.number, "hello"), **self.options)
        except Exception as error:
            self.error = error

    def committed(self, world: World) -> None:
        found = "SELECT FROM app.note WHERE tenant_id = 't1' AND id = %s"
        eventually(lambda: world.limitless.execute(found, (self.number,)).fetchall(), "it is committed on limitless")


def body(world: World, tenant: str, number: int) -> Any:
    """Return what classic holds; None without such a row."""
    row = world.classic.execute(
        "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s", (tenant, number)
    ).fetchone()
    return row and row[0]


class Peer:
    """Another process; see peer.py."""

    def __init__(self, world: World, name: str = "peer", settings: Settings = CALM) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.traffic.peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.send([world.classic_dsn, world.limitless_dsn, name, asdict(settings)])
        self.process_id = self.answer()["ready"]

    def send(self, command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, *command: Any) -> Any:
        self.send(list(command))
        return self.answer()

    def freeze(self) -> None:
        """Stop the process; returns when it has stopped, which is a moment after the signal was sent."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
