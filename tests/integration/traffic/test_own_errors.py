"""What a statement of an application makes by itself opens no breaker and fails no tenant back, in any kind of read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from migrator.model.side import Side
from migrator.shim import Read, Shim
from migrator.traffic.route.move import watch
from tests.fixtures.waiting import eventually
from tests.integration.traffic.test_errors import during
from tests.integration.traffic.world import CALM, Heard, World, get, ids, up

pytestmark = [pytest.mark.pg, pytest.mark.once]

MORE_THAN_A_BREAKER_BEARS = 6


@pytest.fixture
def shim(world: World) -> Iterator[Shim]:
    watch(world.classic, ids("t1"), True)
    with world.mirror(), world.shim(listener=Heard(), settings=CALM) as made:
        up(world, "t1")
        eventually(lambda: made.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        yield made


def says(*statements: str) -> Callable[[Read, World], None]:
    def run(r: Read, world: World) -> None:
        for statement in statements:
            r.connection.execute(statement.encode())

    return run


def at(r: Read, world: World) -> psycopg.Connection[Any]:
    """Another connection to the side that *r* reads."""
    return world.limitless if r.side is Side.LIMITLESS else world.classic


def parameters(r: Read, world: World) -> None:
    psycopg.RawCursor(r.connection).execute("SELECT $1::int, $2::int", [1])


def asks_to_cancel(r: Read, world: World) -> None:
    runs = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'"
    pid, server = r.connection.info.backend_pid, at(r, world)

    def cancel() -> None:
        eventually(lambda: server.execute(runs, [pid]).fetchall(), "it runs")
        r.connection.cancel_safe()

    asking = threading.Thread(target=cancel)
    asking.start()
    try:
        r.connection.execute("SELECT pg_sleep(600)")
    finally:
        asking.join()


def idles(r: Read, world: World) -> None:
    pid = r.connection.info.backend_pid
    r.connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
    there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    server = at(r, world)
    eventually(lambda: not server.execute(there, [pid]).fetchall(), "the server ended it")
    r.connection.execute("SELECT")


def follows(r: Read, world: World) -> None:
    with suppress(psycopg.Error):
        r.connection.execute("SELEC 1")
    r.connection.execute("SELECT")


PROVOKED: dict[str, tuple[str, Callable[[Read, World], None]]] = {
    "a write in a read": ("25006", says("INSERT INTO app.note VALUES ('t1', 99, 'x')")),
    "a lock in a read": ("25006", says("SELECT 1 FROM app.note FOR UPDATE")),
    "an isolation level too late": ("25001", says("SELECT 1", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")),
    "its statement_timeout": ("57014", says("SET LOCAL statement_timeout = 1", "SELECT pg_sleep(5)")),
    "its own cancellation": ("57014", asks_to_cancel),
    "too deep": ("54001", says("SELECT 1" + " + 1" * 100_000)),
    "too long": ("54000", says("SELECT repeat('x', 2000000000)")),
    "no SQL": ("42601", says("SELEC 1")),
    "no group": ("42803", says("SELECT id, count(*) FROM app.note")),
    "too few parameters": ("08P01", parameters),
    "what follows": ("25P02", follows),
}


def test_it_does_not_count(world: World, shim: Shim) -> None:
    """Also for a tenant with many good reads on classic lately: the application is a new release."""
    for _ in range(50):
        shim._doubts.ended(ids("t1")[0], Side.CLASSIC, frozenset())

    def blocks(provoke: Callable[[Read, World], None], told: list[str | None]) -> None:
        for _ in range(MORE_THAN_A_BREAKER_BEARS):
            with pytest.raises(psycopg.Error) as error, shim.read("t1") as r:
                provoke(r, world)
            told.append(error.value.sqlstate)

    def run(provoke: Callable[[Read, World], None], told: list[str | None]) -> None:
        with pytest.raises(psycopg.Error) as error:
            shim.run_read("t1", lambda r: provoke(r, world))
        told.append(error.value.sqlstate)

    wrong = []
    for what, (state, provoke) in PROVOKED.items():
        told: list[str | None] = []
        counts = during(shim, lambda: blocks(provoke, told)), during(shim, lambda: run(provoke, told))  # noqa: B023 - at once
        if counts != (0, 0) or set(told) != {state} or shim._breakers.states():
            wrong.append((what, counts, told, shim._breakers.states()))
    assert wrong == []
    assert shim.run_read("t1", get("t1", 1))[0] == "limitless"


def test_a_block_that_idles_does_not_count(world: World, shim: Shim) -> None:
    """Where the server's last word got lost with the connection, it looks like any other lost connection."""
    told: list[str | None] = []

    def blocks() -> None:
        for _ in range(2):
            with pytest.raises(psycopg.Error) as error, shim.read("t1") as r:
                idles(r, world)
            told.append(error.value.sqlstate)

    counted = during(shim, blocks)
    assert counted <= told.count(None)


def test_what_the_application_canceled_is_not_run_again(world: World, shim: Shim) -> None:
    runs: list[str] = []

    def fn(r: Read) -> None:
        runs.append(str(r.side))
        asks_to_cancel(r, world)

    with pytest.raises(psycopg.errors.QueryCanceled):
        shim.run_read("t1", fn)
    assert runs == ["limitless"]


def test_a_write_on_a_server_that_only_reads_now_goes_to_another_connection(world: World, shim: Shim) -> None:
    """As after a failover, where the old writer is a reader, and connections to it live on."""
    pids: list[int] = []

    def add(w: Any) -> None:
        pids.append(w.connection.info.backend_pid)
        if len(pids) == 1:
            w.connection.execute("SET TRANSACTION READ ONLY")
        w.connection.execute("INSERT INTO app.note VALUES ('t1', 50, 'x')")

    shim.run_write("t1", add)
    first, second = pids
    assert first != second
    row = world.classic.execute("SELECT count(*) FROM app.note WHERE id = 50").fetchone()
    assert row == (1,)
