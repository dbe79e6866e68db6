"""BEGIN goes with a block's first statement: nothing of an application runs outside of its transaction, however it
talks to the server, and a block costs as few round trips as that allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from migrator.shim import Settings, Shim, link
from tests.fixtures.round_trips import RoundTrips
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import World, body, get, put, up

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]

SLOW_POLLS = Settings(poll_s=60.0, staleness_s=120.0, max_lag_s=1e6)
"""So that the process' own look at the routes is not counted."""

MANY = 65_536
"""Parameters; libpq takes one less."""


def _write(number: int) -> str:
    return f"INSERT INTO app.note VALUES ('t1', {number}, 'x')"


def _executemany(conn: Connection) -> None:
    conn.cursor().executemany("INSERT INTO app.note VALUES ('t1', %s, 'x')", [(1,), (2,)])


def _copy(conn: Connection) -> None:
    with conn.cursor().copy("COPY app.note FROM STDIN") as copy:
        copy.write_row(("t1", 1, "x"))


def _pipeline(conn: Connection) -> None:
    with conn.pipeline() as pipeline:
        conn.execute(_write(1))
        pipeline.sync()
        conn.execute(_write(2))


def _savepoint(conn: Connection) -> None:
    with conn.transaction():
        conn.execute(_write(1))


def _rolled_back_savepoint(conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute(_write(2))
    conn.execute(_write(1))


def _server_cursor(conn: Connection) -> None:
    with conn.cursor("mine") as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
    conn.execute(_write(1))


def _stream(conn: Connection) -> None:
    assert list(conn.cursor().stream("INSERT INTO app.note VALUES ('t1', 1, 'x') RETURNING id")) == [(1,)]


def _raw(conn: Connection) -> None:
    conn.pgconn.exec_(_write(1).encode())


def _not_sent(conn: Connection) -> None:
    with pytest.raises(psycopg.ProgrammingError):
        conn.execute("SELECT %s", (object(),))
    conn.execute(_write(1))


def _too_many(conn: Connection) -> None:
    values = ", ".join(["%s"] * MANY)
    with pytest.raises(psycopg.OperationalError, match="number of parameters"):
        conn.execute(f"SELECT 1 WHERE 1 IN ({values})".encode(), [1] * MANY)
    conn.execute(_write(1))


def _two_threads(conn: Connection) -> None:
    threads = [threading.Thread(target=conn.execute, args=(_write(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


WAYS: dict[str, Callable[[Connection], object]] = {
    "execute": lambda conn: conn.execute(_write(1)),
    "parameters": lambda conn: conn.execute("INSERT INTO app.note VALUES (%s, %s, %s)", ("t1", 1, "x")),
    "named parameters": lambda conn: conn.execute("INSERT INTO app.note VALUES ('t1', %(n)s, 'x')", {"n": 1}),
    "binary": lambda conn: conn.execute("INSERT INTO app.note VALUES ('t1', %b, 'x') RETURNING id", (1,), binary=True),
    "prepared": lambda conn: conn.execute(_write(1), prepare=True),
    "several in one text": lambda conn: conn.execute(f"{_write(1)}; {_write(2)}"),
    "cursor made before": lambda conn: [conn.cursor() for _ in range(3)][1].execute(_write(1)),
    "cursor of its own": lambda conn: psycopg.ClientCursor(conn).execute(_write(1)),
    "cursor with rows of its own": lambda conn: conn.cursor(row_factory=dict_row).execute(_write(1)),
    "executemany": _executemany,
    "copy": _copy,
    "pipeline": _pipeline,
    "transaction": _savepoint,
    "transaction rolled back": _rolled_back_savepoint,
    "server cursor": _server_cursor,
    "stream": _stream,
    "libpq itself": _raw,
    "arguments that cannot be sent": _not_sent,
    "more parameters than there can be": _too_many,
    "information first": lambda conn: (conn.info.transaction_status, conn.execute(_write(1))),
    "threads": _two_threads,
    "SET TRANSACTION": lambda conn: (
        conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
        conn.execute(_write(1)),
    ),
}


@pytest.fixture
def shim(world: World) -> Iterator[Shim]:
    with world.shim(pool_size=1) as shim:
        shim.run_read("t1", get("t1", 1))  # a connection that was heard of lately
        yield shim


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_whatever_comes_first_runs_inside_the_transaction(
    world: World, shim: Shim, monkeypatch: pytest.MonkeyPatch, way: Callable[[Connection], object]
) -> None:
    monkeypatch.setattr(link, "RECENT_S", 60.0)  # on a busy machine too
    with pytest.raises(ZeroDivisionError), shim.write("t1") as w:
        assert w._link is not None and w._link.conn.owed, "it has not begun"
        way(w.connection)
        raise ZeroDivisionError
    assert world.classic.execute("SELECT count(*) FROM app.note").fetchone() == (0,), "rolled back"

    with shim.write("t1") as w:
        way(w.connection)
    assert body(world, "t1", 1) == "x"
    assert w.token is not None and w.token.parts == 2


def test_an_error_of_the_first_statement_leaves_a_failed_transaction(shim: Shim) -> None:
    """And not one that was never begun, in which the next statement would commit by itself."""
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), shim.write("t1") as w:
        for wrong in ("SELEC 1", "SELECT * FROM app.nothing"):
            with pytest.raises(psycopg.errors.Error) as raised:
                w.connection.execute(wrong)
            assert raised.value.sqlstate in ("42601", "42P01", "25P02")
        w.connection.execute(_write(1))


def test_a_read_begins_read_only_and_bounded_whatever_comes_first(world: World, shim: Shim) -> None:
    up(world, "t1")
    eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
    seen = shim.run_read("t1", lambda r: r.connection.execute("SHOW statement_timeout").fetchone())
    assert seen == ("1min",)
    for way in ("execute", "several in one text", "pipeline", "stream"):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), shim.read("t1") as r:
            WAYS[way](r.connection)


def test_a_block_that_says_nothing_sends_nothing(world: World) -> None:
    with RoundTrips(world.classic_dsn) as classic:
        quiet = World(classic.dsn, world.limitless_dsn, world.classic, world.limitless)
        with quiet.shim(settings=SLOW_POLLS) as shim:
            shim.run_read("t1", get("t1", 1))
            with shim.read("t1"):
                pass
            classic.taken()
            with shim.read("t1"):
                pass
            with shim.write("t1") as w:
                pass
            assert classic.taken() == []
            assert w.committed and w.token is None


def _trips(trips: RoundTrips, block: Callable[[], object]) -> int:
    """Return how often a block waited for an answer: round trips, but for the last message of a read."""
    trips.taken()
    block()
    return sum(any(word in said for word in OF_A_BLOCK) for said in trips.taken())


@pytest.mark.parametrize("statements", [1, 3])
def test_round_trips(world: World, monkeypatch: pytest.MonkeyPatch, statements: int) -> None:
    """A plain transaction takes two more than it has statements: for BEGIN and for COMMIT."""
    monkeypatch.setattr(link, "RECENT_S", 60.0)
    up(world, "t1")
    with RoundTrips(world.classic_dsn) as classic, RoundTrips(world.limitless_dsn) as limitless:
        through = World(classic.dsn, limitless.dsn, world.classic, world.limitless)
        with through.shim(pool_size=1, settings=SLOW_POLLS) as shim:

            def read(tenant: str, times: int) -> None:
                for _ in range(times):
                    with shim.read(tenant) as r:
                        for number in range(statements):
                            get(tenant, number)(r)

            def write() -> None:
                with shim.write("u1") as w:
                    for number in range(statements):
                        put("u1", number, "x")(w)

            for tenant, trips in (("u1", classic), ("t1", limitless)):
                read(tenant, 1)  # makes the connection
                count = _trips(trips, partial(read, tenant, 5))
                # The last message of a read is not waited for: that of the one before may come late.
                assert 5 * statements <= count <= 5 * (statements + 1) + 1, f"{tenant}: {count}"
            eventually(lambda: not shim._current.view.history, "nothing is owed to others")
            write()
            assert _trips(classic, write) == statements + WRITE_ENDS


OF_A_BLOCK = (b"BEGIN READ", b"app.note", b"migrator.before_commit", b"COMMIT; CLOSE ALL")
"""What only messages of blocks have in them; those of the shim's threads have not."""

WRITE_ENDS = 2
"""Messages that end a write: its marks are asked for, then COMMIT."""


def test_the_next_borrower_finds_out_that_the_end_of_a_read_failed(world: World) -> None:
    """Nobody waits for that answer, so the session may be lost or unclean by then: it is replaced, without an error."""
    with world.shim(pool_size=1) as shim:
        first = shim.run_read("t1", lambda r: r.connection.info.backend_pid)
        shim._classic._resets.append("SELECT 1 / 0")
        for _ in range(3):
            assert shim.run_read("t1", lambda r: r.connection.execute("SELECT 1").fetchone()) == (1,)
        del shim._classic._resets[-1]
        shim.run_read("t1", lambda r: r.connection.execute("SELECT 1").fetchone())
        pid = shim.run_read("t1", lambda r: r.connection.info.backend_pid)
        assert pid != first

        world.classic.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        assert shim.run_read("t1", lambda r: r.connection.execute("SELECT 1").fetchone()) == (1,)
        with shim.write("t1") as w:  # in a plain block too, which nobody runs again
            other = w.connection.info.backend_pid
        world.classic.execute("SELECT pg_terminate_backend(%s, 10000)", (other,))
        with shim.write("t1") as w:
            w.connection.execute(_write(1))
    assert body(world, "t1", 1) == "x"


def test_a_connection_that_rested_is_tried_before_it_is_lent(
    world: World, shim: Shim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RECENT_S", 0.0)
    with shim.write("t1") as w:
        assert w._link is not None and not w._link.conn.owed
        w.connection.execute(_write(1))
    assert body(world, "t1", 1) == "x"


def test_a_lost_connection_at_the_first_statement_wrote_nothing(world: World, shim: Shim) -> None:
    """BEGIN and the statement are lost together; run_write starts again on another connection."""
    victims: list[int] = []

    def fn(w: Any) -> None:
        if not victims:
            victims.append(w._link.conn.pg.backend_pid)
            world.classic.execute("SELECT pg_terminate_backend(%s, 10000)", (victims[0],))
        w.connection.execute(_write(1))

    shim.run_write("t1", fn)

    assert world.classic.execute("SELECT count(*) FROM app.note").fetchone() == (1,)


def test_two_threads_may_make_the_first_cursors_of_a_block(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is made while the first is: a thread may be switched anywhere."""
    made: list[psycopg.Cursor[Any]] = []
    init = psycopg.Cursor.__init__

    def switched(cursor: psycopg.Cursor[Any], connection: Connection, **options: Any) -> None:
        init(cursor, connection, **options)
        if not made:
            made.append(cursor)
            connection.execute(_write(2))
            made.append(connection.cursor())

    with world.shim(settings=SLOW_POLLS) as shim:
        shim.run_write("t1", put("t1", 9, "so that the connection is known to work"))
        with shim.write("t1") as w:
            monkeypatch.setattr(psycopg.Cursor, "__init__", switched)
            w.connection.execute(_write(1))

    assert (body(world, "t1", 1), body(world, "t1", 2)) == ("x", "x")


def test_two_threads_may_make_cursors_before_anything_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[psycopg.Cursor[Any]] = []
    init = psycopg.Cursor.__init__

    def switched(cursor: psycopg.Cursor[Any], connection: Connection, **options: Any) -> None:
        init(cursor, connection, **options)
        if not made:
            made.append(cursor)
            connection.cursor()

    with world.shim(settings=SLOW_POLLS) as shim:
        shim.run_write("t1", put("t1", 9, "so that the connection is known to work"))
        with shim.write("t1") as w:
            monkeypatch.setattr(psycopg.Cursor, "__init__", switched)
            w.connection.execute(_write(1))

    assert body(world, "t1", 1) == "x"
