"""An error counts against Limitless unless classic gives it too, wherever it arrives and whoever swallows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest

from migrator.model.route import FallbackScope
from migrator.model.side import Side
from migrator.shim import Read, Shim
from migrator.shim.breaker import State
from migrator.shim.metrics import Metrics
from migrator.shim.shadow import Shadow
from migrator.traffic.route.move import watch
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import CALM, Heard, World, get, ids, up

pytestmark = pytest.mark.pg

ODD = """
CREATE FUNCTION app.odd(state text, said text DEFAULT 'odd') RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = said; END $$
"""
FINE = """
CREATE FUNCTION app.odd(state text, said text DEFAULT 'odd') RETURNS text LANGUAGE sql AS $$ SELECT 'fine' $$
"""
ANY_CLASS = (
    "42501", "42883", "42P01", "42703", "42804", "3F000", "0A000", "21000", "22P02", "22012", "23514", "25006",
    "40001", "40P01", "53200", "55P03", "57014", "P0001", "XX000",
)  # fmt: skip


@pytest.fixture
def shim(world: World) -> Iterator[Shim]:
    """One process whose tenant t1 reads from Limitless; the position stays fresh enough without a mirror."""
    watch(world.classic, ids("t1"), True)
    with world.mirror(), world.shim(listener=Heard(), settings=CALM) as made:
        up(world, "t1")
        eventually(lambda: made.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        yield made


def odd(state: str, said: str = "odd") -> Callable[[Any], Any]:
    return lambda r: r.connection.execute("SELECT app.odd(%s, %s)", (state, said)).fetchone()[0]


def counted(shim: Shim) -> int:
    """Reads of t1 on Limitless that counted against it since the last flush."""
    with shim._metrics._lock:
        found = shim._metrics._reads.get((ids("t1")[0], Side.LIMITLESS))
        return found.errors if found else 0


def during(shim: Shim, fn: Callable[[], Any]) -> int:
    """Return how many reads *fn* made count, on a breaker that has seen only good reads."""
    assert shim._watcher is not None
    shim._watcher._flush = lambda link: 0
    for _ in range(3):
        shim.run_read("t1", get("t1", 1))
    before = counted(shim)
    fn()
    return counted(shim) - before


def denied_on_limitless(world: World) -> None:
    """The role of the shim keeps everything but this table."""
    world.limitless.execute("ALTER TABLE app.note RENAME TO hidden")


@pytest.mark.parametrize("state", ANY_CLASS)
def test_what_only_limitless_refuses_is_answered_by_classic_and_counts(world: World, shim: Shim, state: str) -> None:
    world.limitless.execute(ODD)
    world.classic.execute(FINE)

    def one() -> None:
        assert shim.run_read("t1", odd(state)) == "fine"

    assert during(shim, one) == 1


def test_what_classic_refuses_too_is_the_callers_own(world: World, shim: Shim) -> None:
    """Raised as it is, counted for nobody, and asked about once."""
    for conn in (world.limitless, world.classic):
        conn.execute(ODD)
    asked: list[str] = []

    def fn(state: str) -> Callable[[Any], Any]:
        def read(r: Any) -> Any:
            asked.append(str(r.side))
            return odd(state)(r)

        return read

    def all_of_them() -> None:
        for state in ANY_CLASS:
            for _ in range(5):
                with pytest.raises(psycopg.Error) as refused:
                    shim.run_read("t1", fn(state))
                assert refused.value.sqlstate == state

    assert during(shim, all_of_them) == 0
    assert asked.count("classic") == len(ANY_CLASS)
    assert shim._breakers.states() == {}


def test_a_total_outage_by_missing_rights_opens_the_breaker(world: World, shim: Shim) -> None:
    """Nobody sees an error; after a few reads nobody asks Limitless any more."""
    denied_on_limitless(world)
    sides = [shim.run_read("t1", get("t1", 1))[0] for _ in range(10)]

    assert sides == ["classic"] * 10
    assert shim._breakers.states()[FallbackScope.ALL, ""] is State.OPEN


def test_a_wrapped_error_of_a_shard_is_own_when_classic_errs(world: World, shim: Shim) -> None:
    """A router says XX000 and loses the SQLSTATE; the caller gets classic's error, which names the cause."""
    world.limitless.execute(ODD)
    world.classic.execute(ODD.replace("ERRCODE = state", "ERRCODE = '22012'"))

    def one() -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            shim.run_read("t1", odd("XX000", "failed to execute remote query"))

    assert during(shim, one) == 0


def test_another_error_on_classic_counts_and_the_caller_gets_classics(world: World, shim: Shim) -> None:
    world.limitless.execute(ODD)
    world.classic.execute(ODD.replace("ERRCODE = state", "ERRCODE = '22012'"))

    def one() -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            shim.run_read("t1", odd("42501"))

    assert during(shim, one) == 1


ROWS = "SELECT app.late(i) FROM generate_series(1, 300) AS i"


def fetched(r: Any) -> int:
    """The error comes with a later row of a server-side cursor."""
    with r.connection.cursor("slow") as cursor:
        cursor.itersize = 10
        cursor.execute(ROWS)
        return sum(1 for _ in cursor)


def streamed(r: Any) -> int:
    return sum(1 for _ in r.connection.cursor().stream(ROWS))


def copied(r: Any) -> int:
    with r.connection.cursor().copy(f"COPY ({ROWS}) TO STDOUT") as copy:
        return sum(1 for _ in copy.rows())


def own_cursor(r: Any) -> int:
    return len(psycopg.ClientCursor(r.connection).execute(ROWS).fetchall())


def wrapped(r: Any) -> int:
    try:
        return own_cursor(r)
    except psycopg.Error as error:
        raise RuntimeError("the application's own words") from error


def swallowed(r: Any) -> int:
    with suppress(psycopg.Error):
        return own_cursor(r)
    return -1


def swallowed_in_a_savepoint(r: Any) -> int:
    with suppress(psycopg.Error), r.connection.transaction():
        return own_cursor(r)
    return int(r.connection.execute("SELECT -1").fetchone()[0])


WAYS = (fetched, streamed, copied, own_cursor, wrapped, swallowed, swallowed_in_a_savepoint)


@pytest.mark.parametrize("way", WAYS)
def test_wherever_the_error_arrives_classic_answers(world: World, shim: Shim, way: Callable[[Any], int]) -> None:
    late = (
        "CREATE FUNCTION app.late(i int) RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN IF i > 200 THEN RAISE 'late' USING ERRCODE = '42501'; END IF; RETURN i; END $$"
    )
    world.limitless.execute(late)
    world.classic.execute("CREATE FUNCTION app.late(i int) RETURNS int LANGUAGE sql AS 'SELECT i'")

    def one() -> None:
        assert shim.run_read("t1", way) == 300

    assert during(shim, one) == 1


def test_an_error_that_is_swallowed_on_both_sides_changes_nothing(world: World, shim: Shim) -> None:
    """The answer stays that of Limitless, and nothing counts."""
    for conn in (world.limitless, world.classic):
        conn.execute("CREATE FUNCTION app.late(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")

    def one() -> None:
        assert shim.run_read("t1", swallowed_in_a_savepoint) == -1
        assert shim.run_read("t1", swallowed) == -1

    assert during(shim, one) == 0


def test_a_statement_that_is_canceled_on_limitless_alone(world: World, shim: Shim) -> None:
    """Whatever set the timeout there; classic, asked, takes its time and answers."""

    def slow(r: Any) -> Any:
        if str(r.side) == "limitless":
            r.connection.execute("SET LOCAL statement_timeout = 1")
        return r.connection.execute("SELECT 1 FROM pg_sleep(0.05)").fetchone()[0]

    def one() -> None:
        assert shim.run_read("t1", slow) == 1

    assert during(shim, one) == 1


def test_a_block_that_cannot_be_run_again_is_judged_by_what_is_usual_for_the_tenant(world: World, shim: Shim) -> None:
    """Its error reaches the caller. It counts when the tenant never had it on classic, and not when it usually has."""
    world.limitless.execute(ODD)
    world.classic.execute(FINE)

    def block(state: str) -> None:
        with pytest.raises(psycopg.Error), shim.read("t1") as r:
            odd(state)(r)

    def swallowing(state: str) -> None:
        with shim.read("t1") as r, suppress(psycopg.Error):
            odd(state)(r)

    assert during(shim, lambda: swallowing("42883")) == 1, "the caller's silence changes nothing"
    assert during(shim, lambda: block("42501")) == 1, "nothing is known: the class decides"
    assert during(shim, lambda: block("22P02")) == 0, "nothing is known: the class decides"

    tenant = ids("t1")[0]
    for number in range(100):
        shim._doubts.ended(tenant, Side.CLASSIC, frozenset({"42501"} if number < 60 else ()))
    assert during(shim, lambda: block("42501")) == 0, "classic gives it more often"
    assert during(shim, lambda: block("22P02")) == 1, "classic never gave it"


def _call(r: Read, name: str) -> object:
    return r.connection.execute(f"SELECT app.{name}('42501')").fetchall()


def test_shadow_reads_compare_errors_too(world: World) -> None:
    """The same error on both sides is the same answer; one that only Limitless gives is a difference."""
    for name, on_classic in (("same", ODD), ("other", FINE)):
        world.limitless.execute(ODD.replace("app.odd", f"app.{name}"))
        world.classic.execute(on_classic.replace("app.odd", f"app.{name}"))
    with world.shim(listener=Heard()) as shim:
        metrics = Metrics()
        shadow = Shadow(shim._pool, shim._evidence(), metrics, Heard(), 60.0)
        for name in ("same", "other"):
            shadow.offer(ids("t1")[0], partial(_call, name=name))
        shadow.close()

    found = metrics.take_shadows()
    assert found is not None and (found.compared, found.mismatched) == (2, 1)


def test_classic_cannot_be_asked(world: World, shim: Shim) -> None:
    """The caller gets the error that there is, and what is not known to be its own counts."""
    world.limitless.execute(ODD)

    def one() -> None:
        shim._classic._free = threading.BoundedSemaphore(1)
        shim._classic._wait_s = 0.01
        with shim._classic._free, pytest.raises(psycopg.errors.InsufficientPrivilege):  # no connection becomes free
            shim.run_read("t1", odd("42501"))

    assert during(shim, one) == 1
