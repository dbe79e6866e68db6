"""What an application does to the connection it was lent reaches neither the promise nor the next borrower."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.adapt import Loader
from psycopg.rows import dict_row, tuple_row

from migrator.errors import UsageError
from migrator.shim import Shim, Token, acknowledge
from migrator.shim.link import Link
from migrator.shim.view import ALL_PARTS
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import CALM, Heard, World, body, get, put, up

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]


class Shouting(Loader):
    """An application may load integers as whatever it likes."""

    def load(self, data: Any) -> str:
        return "number " + bytes(data).decode()


class Broken(Loader):
    """Or not at all."""

    def load(self, data: Any) -> str:
        raise NotImplementedError


class Named(psycopg.ClientCursor[Any]):
    """A cursor class of the application's."""

    def execute(self, *args: Any, **options: Any) -> Named:
        super().execute(*args, **options)
        return self

    def fetchone(self) -> Any:
        raise NotImplementedError


def _set(name: str, value: object) -> Callable[[Connection], object]:
    return lambda conn: setattr(conn, name, value)


def _run(*statements: str) -> Callable[[Connection], object]:
    def meddle(conn: Connection) -> None:
        for statement in statements:
            conn.execute(statement.encode())

    return meddle


def _loaders(loader: type[Loader]) -> Callable[[Connection], object]:
    def meddle(conn: Connection) -> None:
        for kind in ("text", "int8", "xid", "xid8", "varchar"):
            conn.adapters.register_loader(kind, loader)

    return meddle


def _handlers(conn: Connection) -> None:
    conn.add_notice_handler(print)
    conn.add_notify_handler(print)


# What it does after its write; every one of these leaves the transaction the one it was.
MEDDLING: dict[str, Callable[[Connection], object]] = {
    "row factory": _set("row_factory", dict_row),
    "cursor class": _set("cursor_factory", Named),
    "server cursors": _set("server_cursor_factory", psycopg.RawServerCursor),
    "prepares everything": _set("prepare_threshold", 0),
    "loads integers as text": _loaders(Shouting),
    "loads nothing": _loaders(Broken),
    "handlers": _handlers,
    "search path": _run("SET search_path = decoy, pg_catalog"),
    "search path of the transaction": _run("SET LOCAL search_path = decoy, pg_catalog"),
    "role": _run("SET ROLE nobody"),
    "role of the transaction": _run("SET LOCAL ROLE nobody"),
    "session authorization": _run("SET SESSION AUTHORIZATION nobody"),
    "encoding": _run("SET client_encoding = 'LATIN1'"),
    "value formats": _run("SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'; SET extra_float_digits = -15"),
    "defaults of transactions": _run(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"
    ),
    "timeouts": _run("SET statement_timeout = '10min'; SET lock_timeout = '10min'"),
    "a statement timeout just long enough": _run("SET LOCAL statement_timeout = '10s'"),
    "asynchronous commit": _run("SET synchronous_commit = off"),
    "temporary table": _run("CREATE TEMPORARY TABLE note (id int)", "INSERT INTO pg_temp.note VALUES (1)"),
    "prepared statement": _run("PREPARE mine AS SELECT 1"),
    "cursor": _run("DECLARE mine CURSOR FOR SELECT 1"),
    "cursor with hold": _run("DECLARE mine CURSOR WITH HOLD FOR SELECT 1"),
    "advisory lock": _run("SELECT pg_catalog.pg_advisory_lock(7)"),
    "LISTEN": _run("LISTEN mine", "NOTIFY mine"),
    "sequence": _run("SELECT pg_catalog.nextval('decoy.numbers')"),
    "savepoint": _run("SAVEPOINT a", "DELETE FROM app.note", "ROLLBACK TO a"),
    "savepoint named twice": _run("SAVEPOINT a", "SAVEPOINT a", "RELEASE a"),
    "deferred constraints": _run("SET CONSTRAINTS ALL DEFERRED"),
    "DISCARD PLANS": _run("DISCARD PLANS"),
    "setting of its own": _run("SET LOCAL app.tenant = 't1'", "SET app.person = 'ana'"),
}

# These take the marks away or put others there: the write then waits for everybody.
DOUBTS: dict[str, Callable[[Connection], object]] = {
    "RESET ALL": _run("RESET ALL"),
    "RESET of the mark": _run("RESET migrator.parts"),
    "mark set to its default": _run("SET LOCAL migrator.parts TO DEFAULT"),
    "mark emptied": _run("SELECT set_config('migrator.parts', '', true)"),
    "mark set to zero": _run("SET LOCAL migrator.parts = '0'"),
    "mark set for the session": _run("SET migrator.parts = '0'"),
    "mark that is no number": _run("SET LOCAL migrator.parts = 'all of them'"),
    "mark below zero": _run("SET LOCAL migrator.parts = '-1'"),
    "mark of many digits": _run(f"SET LOCAL migrator.parts = '{10**30}'"),
    "mark of the transaction": _run("SET LOCAL migrator.begun = 'something'"),
    "next of a chain": _run("COMMIT AND CHAIN"),
}

# What a borrower can see of those before it; nothing of it is there on a new connection.
TRACES = """
SELECT current_user::text, session_user::text, current_schemas(false)::text,
       (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings WHERE source = 'session')::text,
       current_setting('app.person', true), current_setting('migrator.parts', true),
       (SELECT array_agg(name) FROM pg_prepared_statements)::text, (SELECT array_agg(name) FROM pg_cursors)::text,
       (SELECT array_agg(c) FROM pg_listening_channels() c)::text,
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())
"""


def _traces(conn: Connection) -> tuple[object, ...]:
    with psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        seen = cursor.execute(TRACES).fetchone()
    assert seen is not None
    # An empty value is what is left of a setting with a prefix of its own; there is no way to forget its name.
    server = tuple(value or None for value in seen)
    python = (
        conn.row_factory, conn.cursor_factory, conn.server_cursor_factory, conn.prepare_threshold, conn.autocommit,
        conn.isolation_level, conn.read_only, conn.deferrable, len(conn._notice_handlers), len(conn._notify_handlers),
        conn.adapters.get_loader(20, psycopg.pq.Format.TEXT),
    )  # fmt: skip
    return server + python


DECOY = """
CREATE SCHEMA decoy;
CREATE SEQUENCE decoy.numbers;
CREATE FUNCTION decoy.pg_current_xact_id_if_assigned() RETURNS xid8 LANGUAGE sql AS 'SELECT NULL::xid8';
CREATE FUNCTION decoy.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT '2' $$;
CREATE FUNCTION decoy.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT $2';
"""


@pytest.fixture
def decoyed(world: World) -> Iterator[World]:
    """The world with a schema that pretends to be the system's, and a role that may do nothing."""
    world.classic.execute(DECOY)
    world.classic.execute("CREATE ROLE nobody")
    yield world
    world.classic.execute("DROP ROLE nobody")


def _note(number: int, meddle: Callable[[Connection], object]) -> Callable[[Any], None]:
    """Return a write of one row, and what the application does to its connection afterwards."""

    def fn(w: Any) -> None:
        put("t1", number, "hello")(w)
        meddle(w.connection)

    return fn


def _xid_of(world: World, number: int) -> int:
    row = world.classic.execute("SELECT xmin::text FROM app.note WHERE id = %s", (number,)).fetchone()
    assert row is not None
    return int(row[0])


def _written(shim: Shim, number: int, meddle: Callable[[Connection], object]) -> Token:
    """Return the token of a write after which *meddle* was done."""
    with shim.write("t1") as w:
        _note(number, meddle)(w)
    assert w.token is not None
    return w.token


def test_a_write_is_acknowledged_as_what_it_is_whatever_was_done_to_its_connection(decoyed: World) -> None:
    with decoyed.shim() as shim:
        for number, (what, meddle) in enumerate(MEDDLING.items()):
            token = _written(shim, number, meddle)

            assert (token.xid, token.parts) == (_xid_of(decoyed, number), 2), what


def test_the_next_borrower_finds_a_connection_as_the_pool_made_it(decoyed: World) -> None:
    """After a write, after one that failed, and after a read; on the same connection, which is kept."""

    def seen(borrowed: Any) -> tuple[object, ...]:
        return (*_traces(borrowed.connection), borrowed.connection.info.backend_pid)

    with decoyed.shim(pool_size=1) as shim:
        fresh = shim.run_read("t1", seen)
        for number, (what, meddle) in enumerate({**MEDDLING, **DOUBTS}.items()):
            shim.run_write("t1", _note(number, meddle))
            assert shim.run_read("t1", seen) == fresh, f"after a write: {what}"

            with pytest.raises(ZeroDivisionError), shim.write("t1") as w:
                meddle(w.connection)
                raise ZeroDivisionError
            assert shim.run_read("t1", seen) == fresh, f"after a write that failed: {what}"

            with suppress(psycopg.errors.ReadOnlySqlTransaction), shim.read("t1") as r:
                meddle(r.connection)
            assert shim.run_read("t1", seen) == fresh, f"after a read: {what}"


def test_where_the_marks_are_gone_a_write_waits_for_every_partition(decoyed: World) -> None:
    with decoyed.shim() as shim:
        for number, (what, meddle) in enumerate(DOUBTS.items()):
            token = _written(shim, number, meddle)

            assert token.parts == ALL_PARTS, what
            assert token.xid >= _xid_of(decoyed, number), what


@pytest.mark.parametrize("what", ["RESET ALL", "mark set to zero", "next of a chain"])
def test_a_write_whose_marks_are_gone_is_seen_while_the_mirror_stands_still(
    decoyed: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(acknowledge, "DOUBT_S", 0.0)
    heard = Heard()
    with decoyed.shim(settings=replace(CALM, ack_wait_s=0.4), listener=heard) as shim:
        up(decoyed, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")

        shim.run_write("t1", _note(1, DOUBTS[what]))

        assert shim.run_read("t1", get("t1", 1)) == ("classic", "hello")
        assert "fallback.raised" in heard.names()


@pytest.mark.parametrize(
    "ending",
    [
        _run("COMMIT", "BEGIN"),
        _run("COMMIT; BEGIN; INSERT INTO app.note VALUES ('t1', 2, 'second')"),
        _run("ROLLBACK", "BEGIN", "INSERT INTO app.note VALUES ('t1', 2, 'second')"),
        _run("COMMIT", "SET migrator.begun = '1'", "BEGIN"),
        lambda conn: conn.commit(),
        lambda conn: conn.rollback(),
    ],
)
def test_another_transaction_than_the_one_begun_is_refused(
    world: World, ending: Callable[[Connection], object]
) -> None:
    with world.shim() as shim:
        with pytest.raises(UsageError, match="ended inside"), shim.write("t1") as w:
            _note(1, ending)(w)

        assert w.token is None
        assert body(world, "t1", 2) is None


def _pipeline(conn: Connection) -> None:
    OPEN.enter_context(conn.pipeline())


def _copy(conn: Connection) -> None:
    OPEN.enter_context(conn.cursor().copy("COPY app.note TO STDOUT"))


def _stream(conn: Connection) -> None:
    rows = conn.cursor().stream("SELECT generate_series(1, 100000)")
    assert isinstance(rows, Generator)
    OPEN.callback(rows.close)
    next(rows)


OPEN = ExitStack()
"""What an application forgets to leave."""


@pytest.mark.parametrize("left", [_pipeline, _copy, _stream])
def test_what_is_left_running_is_rolled_back_and_said(world: World, left: Callable[[Connection], object]) -> None:
    with suppress(psycopg.Error), OPEN, world.shim(pool_size=1) as shim:
        with pytest.raises(UsageError, match="block ended"), shim.write("t1") as w:
            _note(1, left)(w)
        assert body(world, "t1", 1) is None

        with shim.read("t1") as r:
            left(r.connection)
        assert shim.run_read("t1", get("t1", 1)) == ("classic", None)


def test_a_connection_kept_beyond_its_block_is_closed_to_whoever_kept_it(world: World) -> None:
    """The session serves another tenant by then."""
    with world.shim(pool_size=1) as shim:
        with shim.write("t1") as w:
            put("t1", 1, "hello")(w)
            kept, cursor = w.connection, w.connection.cursor()
        with shim.read("u1") as r:
            for late in (kept.execute, cursor.execute):
                with pytest.raises(psycopg.OperationalError, match="went back to the pool"):
                    late("SELECT 1")
            assert kept.closed
            kept.close()
            assert r.connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("chosen", "used"), [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")]
)
def test_a_write_is_acknowledged_when_it_is_durable(
    world: World, monkeypatch: pytest.MonkeyPatch, chosen: str, used: str
) -> None:
    """After a crash its number would name another transaction. What waits for more than the disk goes on doing so."""
    with world.shim() as shim, shim.write("t1") as w:
        put("t1", 1, "hello")(w)
        w.connection.execute(sql.SQL("SET synchronous_commit = {}").format(sql.Literal(chosen)))
        link = w._link
        assert isinstance(link, Link)
        seen: list[object] = []
        finish = link.finish

        def asked(how: str) -> str:
            seen.append(link.ask("SHOW synchronous_commit"))
            return finish(how)

        monkeypatch.setattr(link, "finish", asked)

    assert seen == [[used]]
