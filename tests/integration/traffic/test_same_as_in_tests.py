"""The shim that applications test with keeps every promise of the real one: each test here runs on all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale, TokenInvalid, UsageError, WritesClosed
from migrator.shim import Event, FallbackRaised, ReadFellBack, RoutesLost, SettledOnLimitless
from migrator.testing import Level, Side, WriteMode
from tests.fixtures.rows import value
from tests.fixtures.waiting import eventually
from tests.integration.traffic.bench import DEADLOCK, SETTINGS, Bench, Fake, Real
from tests.integration.traffic.world import get, put

pytestmark = pytest.mark.pg

DOC = Path(__file__).parents[3] / "docs" / "testing.md"


KINDS = ("real", "no server", "one database")


@pytest.fixture(params=KINDS)
def closed(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench whose shim is not open."""
    with ExitStack() as cleanup:
        if request.param == "real":
            yield Real(request.getfixturevalue("world"), request.getfixturevalue("proxy"), cleanup)
        elif request.param == "no server":
            yield Fake.without_server()
        else:
            databases = [request.getfixturevalue("classic_dsn")]
            if request.param == "two databases":
                databases.append(request.getfixturevalue("limitless_dsn"))
            yield Fake.on_postgresql(*databases)


@pytest.fixture
def bench(closed: Bench) -> Iterator[Bench]:
    with closed.shim:
        yield closed


def of(bench: Bench, kind: type[Event]) -> list[Event]:
    return [event for event in bench.events if isinstance(event, kind)]


def side(bench: Bench, tenant: str = "t1") -> str:
    return str(bench.shim.run_read(tenant, get(tenant, 1))[0])


def test_reads_follow_their_tenant_there_and_back(bench: Bench) -> None:
    bench.shim.run_write("t1", put("t1", 1, "before"))
    assert bench.shim.run_read("t1", get("t1", 1)) == ("classic", "before")

    bench.move("t1", Level.LIMITLESS)
    bench.shim.run_write("t1", put("t1", 1, "after"))
    assert bench.shim.run_read("t1", get("t1", 1)) == ("limitless", "after")
    assert side(bench, "t2") == "classic"

    bench.move("t1", Level.CLASSIC)
    assert bench.shim.run_read("t1", get("t1", 1)) == ("classic", "after")


def test_an_answer_whose_route_changed_counts_for_nothing(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    with pytest.raises(ReadStale) as stale, bench.shim.read("t1") as r:
        assert r.side is Side.LIMITLESS
        bench.move("t1", Level.CLASSIC)
    assert (stale.value.retryable, stale.value.hint) == (True, "Read again; run_read does so by itself.")

    bench.move("t1", Level.LIMITLESS)

    def moved_meanwhile(r: Any) -> str:
        if r.side is Side.LIMITLESS:
            bench.move("t1", Level.CLASSIC)
        return str(r.side)

    assert bench.shim.run_read("t1", moved_meanwhile) == "classic"
    assert len(of(bench, ReadFellBack)) == 1


def test_a_write_names_itself(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    with bench.shim.write("t1") as w:
        put("t1", 1, "x")(w)
    assert w.token is not None and (w.committed, w.lost, w.side, w.token.parts) == (True, False, Side.CLASSIC, 2)
    assert bench.shim.outcome(w.token.xid) == "committed"
    assert bench.shim.run_read("t1", get("t1", 1), after=w.token) == ("limitless", "x")

    with bench.shim.write("t1") as nothing:
        get("t1", 1)(nothing)
    assert (nothing.token, nothing.committed) == (None, True)


@pytest.mark.parametrize("level", ["session", "none"])
def test_a_weaker_write_waits_for_nothing(bench: Bench, level: str) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.stall_mirror()
    with bench.shim.write("t1", ack=level) as w:
        put("t1", 1, "x")(w)

    assert (w.committed, w.token is None) == (True, level == "none")
    assert side(bench) == "limitless" and not of(bench, FallbackRaised)
    with pytest.raises(UsageError, match="ended inside"), bench.shim.write("t1", ack=level) as ended:
        put("t1", 2, "x")(ended)
        ended.connection.execute("COMMIT")
        ended.connection.execute("BEGIN")


def test_a_session_sees_what_it_wrote(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.stall_mirror()
    with bench.shim.session() as session:
        session.run_write("t1", put("t1", 1, "x"))
        assert session.run_read("t1", get("t1", 1)) == ("classic", "x")
    later = bench.shim.session(session.token)
    assert later.run_read("t1", get("t1", 1)) == ("classic", "x")

    bench.run_mirror()
    assert eventually(lambda: later.run_read("t1", get("t1", 1)) == ("limitless", "x"), "the mirror brought it")
    with pytest.raises(TokenInvalid):
        bench.shim.session(session.token[:-2])


def test_a_session_goes_on_after_the_hand_over(bench: Bench) -> None:
    session = bench.shim.session()
    session.run_write("t1", put("t1", 1, "x"))
    bench.write_mode(WriteMode.CLOSED)
    bench.write_mode(WriteMode.LIMITLESS_ONLY)
    with session.write("t1") as w:
        put("t1", 2, "y")(w)

    assert (w.side, w.committed) == (Side.LIMITLESS, True)
    assert [session.run_read("t1", get("t1", n)) for n in (1, 2)] == [("limitless", "x"), ("limitless", "y")]


def test_errors_roll_back_and_reach_the_caller(bench: Bench) -> None:
    bench.shim.run_write("t1", put("t1", 1, "x"))
    with pytest.raises(ZeroDivisionError), bench.shim.write("t1") as w:
        put("t1", 2, "x")(w)
        raise ZeroDivisionError
    assert (w.token, w.committed) == (None, False)

    def twice(w: Any) -> None:
        put("t1", 2, "x")(w)
        w.connection.execute("INSERT INTO app.note VALUES (%s, %s, %s)", ("t1", 1, "again"))

    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        bench.shim.run_write("t1", twice)
    assert refused.value.sqlstate == "23505"
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "x"
    assert bench.shim.run_read("t1", get("t1", 2, with_side=False)) is None
    with pytest.raises(KeyError):
        bench.shim.run_read("t1", lambda r: dict[str, str]()["missing"])


def test_savepoints_are_fine_and_ending_the_transaction_is_not(bench: Bench) -> None:
    with bench.shim.write("t1") as w:
        put("t1", 1, "kept")(w)
        with pytest.raises(ZeroDivisionError), w.connection.transaction():
            put("t1", 1, "undone")(w)
            raise ZeroDivisionError
        with suppress(psycopg.errors.UniqueViolation), w.connection.transaction():
            w.connection.execute("INSERT INTO app.note VALUES (%s, %s, %s)", ("t1", 1, "refused"))
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "kept"

    for statements in (["COMMIT"], ["ROLLBACK"], ["COMMIT", "BEGIN"]):
        with pytest.raises(UsageError, match="ended inside the with-block"), bench.shim.write("t1") as w:
            for statement in statements:
                w.connection.execute(statement.encode())
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), bench.shim.write("t1") as w:
        put("t1", 1, "not kept")(w)
        with suppress(psycopg.errors.UniqueViolation):
            w.connection.execute("INSERT INTO app.note VALUES (%s, %s, %s)", ("t1", 1, "refused"))
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "kept"


def test_reads_cannot_write(bench: Bench) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused:
        bench.shim.run_read("t1", put("t1", 1, "x"))
    assert (refused.value.sqlstate, str(refused.value)) == (
        "25006",
        "cannot execute INSERT in a read-only transaction",
    )


def test_a_connection_ends_with_its_block(bench: Bench) -> None:
    with bench.shim.read("t1") as r:
        assert not r.connection.closed
    assert r.connection.closed
    with pytest.raises(psycopg.OperationalError):
        get("t1", 1)(r)


def test_a_block_does_not_see_what_another_has_not_committed(bench: Bench) -> None:
    with bench.shim.write("t1") as w:
        put("t1", 1, "x")(w)
        assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) is None
        assert get("t1", 1, with_side=False)(w) == "x"


def test_two_writes_at_once_both_stay(bench: Bench) -> None:
    with bench.shim.write("t1") as one:
        put("t1", 1, "one")(one)
        bench.shim.run_write("t2", put("t2", 1, "two"))
        assert get("t2", 1, with_side=False)(one) == "two"

    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "one"
    assert bench.shim.run_read("t2", get("t2", 1, with_side=False)) == "two"


def test_deadlocks_are_run_again_and_connections_lost_before_commit_too(bench: Bench) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        put("t1", calls, "x")(w)
        if calls == 1:
            w.connection.execute(DEADLOCK.encode())
        if calls == 2:
            bench.lose(Side.CLASSIC)
            bench.restore(Side.CLASSIC)
            get("t1", 1)(w)

    bench.shim.run_write("t1", fn)

    assert calls == 3
    assert [bench.shim.run_read("t1", get("t1", n, with_side=False)) for n in (1, 2, 3)] == [None, None, "x"]


def test_writes_wait_while_they_are_closed_and_give_up_after_their_bound(bench: Bench) -> None:
    bench.write_mode(WriteMode.CLOSED)
    bench.later(lambda: bench.write_mode(WriteMode.DUAL))
    bench.shim.run_write("t1", put("t1", 1, "waited"))
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "waited"

    bench.write_mode(WriteMode.CLOSED)
    with pytest.raises(WritesClosed) as closed:
        bench.shim.run_write("t1", put("t1", 2, "never"))
    assert (closed.value.side, closed.value.retryable, closed.value.hint) == ("classic", True, "Retry the transaction.")
    assert closed.value.waited_s >= 0.5
    assert bench.shim.run_read("t1", get("t1", 2, with_side=False)) is None


def test_a_write_under_way_when_writes_close_is_refused_at_its_end(bench: Bench) -> None:
    with pytest.raises(WritesClosed) as closed, bench.shim.write("t1") as w:
        put("t1", 1, "late")(w)
        bench.write_mode(WriteMode.CLOSED)
    assert (closed.value.waited_s, w.committed) == (0.0, False)
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) is None


def test_limitless_is_lost(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    with pytest.raises(psycopg.OperationalError), bench.shim.read("t1") as r:
        bench.lose(Side.LIMITLESS)
        get("t1", 1)(r)
    assert (r.failed, r.lost) == (True, True)
    bench.restore(Side.LIMITLESS)
    eventually(lambda: side(bench) == "limitless", "it answers again")

    def lost_meanwhile(r: Any) -> Any:
        if r.side is Side.LIMITLESS:
            bench.lose(Side.LIMITLESS)
        return get("t1", 1)(r)

    assert bench.shim.run_read("t1", lost_meanwhile)[0] == "classic"
    assert len(of(bench, ReadFellBack)) == 1
    assert {side(bench) for _ in range(6)} == {"classic"}
    opened = [event for event in bench.events if event.name == "breaker.opened"]
    # One that was probed meanwhile has opened once more.
    assert {(e.scope, e.key) for e in opened} == {("all", ""), ("part", "1"), ("tenant", "t1")}  # type: ignore[attr-defined]

    bench.restore(Side.LIMITLESS)
    bench.pass_time(SETTINGS.open_s)
    eventually(lambda: side(bench) == "limitless", "it is asked again")
    eventually(lambda: side(bench) and "breaker.closed" in [e.name for e in bench.events], "the breaker closes")


def test_classic_is_lost(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.lose(Side.CLASSIC)
    eventually(lambda: of(bench, RoutesLost), "it is heard")
    with pytest.raises(ClusterUnavailable) as lost:
        side(bench, "t2")
    assert (lost.value.side, lost.value.retryable) == ("classic", True)
    with pytest.raises(ClusterUnavailable) as lost:
        bench.shim.run_write("t1", put("t1", 1, "x"))
    assert lost.value.side == "classic"

    with pytest.raises(ReadStale), bench.shim.read("t1") as r:
        if r.side is Side.CLASSIC:
            raise AssertionError("the routes hold for a while")
        bench.pass_time(SETTINGS.staleness_s)
        eventually(lambda: not bench.shim._current.view.valid(bench.shim._current.now_s()), "the routes have run out")
    with pytest.raises(ClusterUnavailable):
        side(bench)

    bench.restore(Side.CLASSIC)
    eventually(lambda: bench.shim._current.view.valid(bench.shim._current.now_s()), "the routes are read again")
    bench.shim.run_write("t1", put("t1", 1, "x"))
    assert bench.shim.run_read("t1", get("t1", 1)) == ("limitless", "x")


def test_a_write_whose_mirror_is_stalled_brings_reads_back(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.stall_mirror()

    bench.shim.run_write("t1", put("t1", 1, "x"))

    assert [(e.part, e.waited_s >= SETTINGS.ack_wait_s) for e in of(bench, FallbackRaised)] == [(1, True)]  # type: ignore[attr-defined]
    assert bench.shim.run_read("t1", get("t1", 1)) == ("classic", "x")


def test_limitless_is_not_read_while_the_mirror_lags(bench: Bench) -> None:
    bench.shim._settings = replace(SETTINGS, max_lag_s=0.3)
    if bench.shim._watcher is not None:
        bench.shim._watcher._settings = bench.shim._settings
    bench.move("t1", Level.LIMITLESS)
    eventually(lambda: side(bench) == "limitless", "the mirror follows")
    bench.stall_mirror()
    bench.pass_time(0.4)
    eventually(lambda: side(bench) == "classic", "the mirror lags")

    bench.run_mirror()
    eventually(lambda: side(bench) == "limitless", "it has caught up")


def test_the_answer_to_commit_is_lost(bench: Bench) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        put("t1", 1, "x")(w)
        bench.lose_commit()

    with pytest.raises(CommitUnknown) as unknown:
        bench.shim.run_write("t1", fn)

    assert (calls, unknown.value.tenant_id) == (1, "t1")
    assert unknown.value.xid is not None and bench.shim.outcome(unknown.value.xid) == "committed"
    assert bench.shim.run_read("t1", get("t1", 1, with_side=False)) == "x"


def test_the_migration_is_over(bench: Bench) -> None:
    bench.shim.run_write("t1", put("t1", 1, "before"))
    bench.write_mode(WriteMode.LIMITLESS_ONLY)
    bench.lose(Side.CLASSIC)

    assert len(of(bench, SettledOnLimitless)) == 1
    assert bench.shim.run_read("t1", get("t1", 1)) == ("limitless", "before")
    with bench.shim.write("t2") as w:
        put("t2", 1, "after")(w)
    assert (w.side, w.token, w.committed) == (Side.LIMITLESS, None, True)
    assert bench.shim.run_read("t2", get("t2", 1)) == ("limitless", "after")
    with pytest.raises(UsageError, match="classic is retired"):
        bench.shim.outcome(1)


@pytest.mark.parametrize("closed", ["real", "no server", "two databases"], indirect=True)
def test_an_error_of_limitless_alone_is_answered_by_classic(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.odd(Side.LIMITLESS)

    found = bench.shim.run_read("t1", lambda r: (str(r.side), value(r.connection, "SELECT app.odd()")))

    assert found == ("classic", "fine")
    assert [(e.tenant_id, e.why) for e in of(bench, ReadFellBack)] == [("t1", "denied")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("closed", ["real", "no server", "two databases"], indirect=True)
def test_an_error_of_both_sides_is_the_callers(bench: Bench) -> None:
    bench.move("t1", Level.LIMITLESS)
    bench.odd(Side.CLASSIC, Side.LIMITLESS)

    for _ in range(10):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            bench.shim.run_read("t1", lambda r: r.connection.execute("SELECT app.odd()"))

    assert bench.events and not of(bench, ReadFellBack)
    assert side(bench) == "limitless"


def test_a_shim_that_is_not_open(closed: Bench) -> None:
    with pytest.raises(UsageError, match="not open"):
        closed.shim.read("t1")
    with closed.shim as shim:
        with pytest.raises(UsageError, match="open already"):
            shim.open()
    with pytest.raises(UsageError, match="closed"):
        shim.run_read("t1", get("t1", 1))


def test_a_shim_does_not_open_without_classic(closed: Bench) -> None:
    closed.lose(Side.CLASSIC)
    with pytest.raises(ClusterUnavailable) as lost:
        closed.shim.open()
    assert lost.value.side == "classic"


def test_a_pool_is_bounded(bench: Bench) -> None:
    bench.shim._classic._wait_s = 0.05
    with bench.shim.read("t1"), bench.shim.write("t1"), pytest.raises(ClusterUnavailable, match="pool"):
        side(bench, "t2")


def test_the_example_of_the_docs_holds(classic_dsn: str) -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)[1], names)

    names["test_on_postgresql"](classic_dsn)
