"""What a shim asks before COMMIT is the same, whichever way it asks: of the control schema's function, or itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from migrator.errors import UsageError, WritesClosed
from migrator.shim import Settings
from migrator.shim import statements as st
from migrator.shim.clock import now_s
from migrator.shim.lent import lent
from migrator.shim.link import Link
from migrator.shim.marks import Identity, Marks, identity, touched
from tests.integration.traffic.test_sessions import DECOY, DOUBTS, MEDDLING, _run
from tests.integration.traffic.world import World, body, put

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]

WITHOUT = "DROP FUNCTION migrator.before_commit(text)"
"""What 0.1.0 left."""

ODD: dict[str, Callable[[Connection], object]] = {
    "parts with spaces": _run("SET LOCAL migrator.parts = '2 4'"),
    "parts that look like an answer": _run("SET LOCAL migrator.parts = '- begun on dual 1 x 2'"),
    "parts of two lines": _run("SELECT set_config('migrator.parts', E'2\\n4', true)"),
    "begun of two words": _run("SET LOCAL migrator.begun = 'begun on'"),
    "begun emptied": _run("SET LOCAL migrator.begun = ''"),
    "operators of its own": _run(
        "CREATE FUNCTION decoy.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
        "CREATE OPERATOR decoy.= (FUNCTION = decoy.same, LEFTARG = bigint, RIGHTARG = bigint)",
        "SET search_path = decoy, pg_catalog",
    ),
    "another plan each time": _run("SET plan_cache_mode = force_custom_plan", "DISCARD PLANS"),
    "no durability": _run("SET synchronous_commit = off"),
}


ALL = {**MEDDLING, **DOUBTS, **ODD}


@pytest.fixture
def decoyed(world: World) -> Iterator[World]:
    world.classic.execute(DECOY)
    world.classic.execute("CREATE ROLE nobody")
    yield world
    world.classic.execute("DROP ROLE nobody")


def _seen(world: World, number: int, meddle: Callable[[Connection], object], statement: str) -> tuple[object, ...]:
    """Return what is asked before COMMIT, after a write and what was done to its session; nothing is committed."""
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
        conn.execute(st.BEGIN.format(mark="1a"))
        conn.execute("INSERT INTO app.note VALUES ('t1', %s, 'x')", (number,))
        meddle(conn)
        link = Link(lent(conn.pgconn), socket.socket())
        row = link.ask(statement.format(mark="1a"))
        marks = Marks.said(row[0] or "", "1a") if len(row) == 1 else Marks.of(row)
        known = identity(marks, "1a")
        xid = None if known is Identity.UNKNOWN else marks.xid is not None
        durable = link.ask("SHOW synchronous_commit")
        link.close()
        return marks.mode, marks.epoch, marks.history, known, touched(marks, known), xid, durable


def test_both_ways_say_the_same_whatever_was_done_to_the_session(decoyed: World) -> None:
    for number, (what, meddle) in enumerate(ALL.items()):
        brief = _seen(decoyed, 2 * number, meddle, st.BEFORE_COMMIT_BRIEFLY)
        whole = _seen(decoyed, 2 * number + 1, meddle, st.BEFORE_COMMIT)
        assert brief == whole, what
        assert brief[-1] == ["on"], what


@pytest.mark.parametrize("earlier", [False, True])
def test_a_write_is_asked_about_with_and_without_the_function(world: World, earlier: bool) -> None:
    """An application may have the new shim before classic has the new control schema, and the other way round."""
    if earlier:
        world.classic.execute(WITHOUT)
    with world.shim() as shim:
        assert shim._current.asks_briefly is not earlier
        with shim.write("t1") as w:
            put("t1", 1, "hello")(w)
        row = world.classic.execute("SELECT xmin::text::bigint FROM app.note").fetchone()
        assert row is not None and w.token is not None
        assert (w.token.xid, w.token.parts) == (row[0], 2)
        assert shim._current.view.knows(w.token.epoch, w.token.mark)
        with pytest.raises(UsageError, match="ended inside"), shim.write("t1") as w:
            w.connection.execute("COMMIT")
            w.connection.execute("BEGIN")
        with shim.write("t1") as w:
            assert w.connection.execute("SELECT 1").fetchone() == (1,)
        assert w.token is None, "nothing was written"


@pytest.mark.parametrize("earlier", [False, True])
def test_a_process_that_does_not_know_yet_that_writes_are_closed_commits_nothing(world: World, earlier: bool) -> None:
    """Not where capture refuses nothing either, as in a table that is not captured, or behind the hand-over."""
    if earlier:
        world.classic.execute(WITHOUT)
    with world.shim(settings=Settings(poll_s=60.0, staleness_s=120.0)) as shim:
        with pytest.raises(WritesClosed), shim.write("t1") as w:
            put("t1", 1, "hello")(w)
            world.classic.execute("UPDATE migrator.switch SET write_mode = 'closed'")  # and nobody is told
    assert body(world, "t1", 1) is None


@pytest.mark.parametrize(("mode", "committed"), [("limitless_only", False), ("dual", True)])
def test_a_process_that_slept_asks_by_level_none_too(world: World, mode: str, committed: bool) -> None:
    """The hand-over may have passed meanwhile: then no trigger refuses a write on classic, and nobody would see it."""
    ahead = 0.0
    with world.shim(settings=Settings(poll_s=60.0, staleness_s=120.0)) as shim:
        shim._current.now_s = lambda: now_s() + ahead
        with suppress(WritesClosed), shim.write("t1", ack="none") as w:
            put("t1", 1, "hello")(w)
            world.classic.execute("UPDATE migrator.switch SET write_mode = %s", (mode,))
            ahead = 600.0
        assert w.committed is committed and w.token is None
    assert body(world, "t1", 1) == ("hello" if committed else None)
