"""What a shim promises, on either front."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale, UsageError, WritesClosed
from migrator.model.route import WriteMode
from migrator.shim import FallbackRaised
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.postgres import Servers
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, Heard, World, body, end, get, ids, put, up

pytestmark = [pytest.mark.pg, pytest.mark.once]


def on_limitless(world: World, shim: Any, *tenants: str) -> None:
    """Have reads of *tenants* come from Limitless; nothing follows classic from then on."""
    up(world, *tenants)
    for tenant in tenants:
        eventually(
            lambda t=tenant: shim.run_read(t, get(t, 1))[0] == "limitless",  # type: ignore[misc]  # no type of t
            "reads come from limitless",
        )


def test_what_was_acknowledged_is_read_on_either_side_while_a_tenant_moves(world: World) -> None:
    sides = set()
    with world.mirror(), world.shim("web-1", CALM) as writer, world.shim("web-2", CALM) as reader:
        for number in range(30):
            if number == 10:
                on_limitless(world, reader, "t1")
            if number == 20:
                assert roll_back(world.classic, all=True, who="test", reason="test", timeout_s=TIMEOUT_S).complete
            writer.run_write("t1", put("t1", number, "hello"))
            side, found = reader.run_read("t1", get("t1", number))
            assert found == "hello", (number, side)
            sides.add(side)

    assert sides == {"classic", "limitless"}


def test_a_read_whose_route_changed_meanwhile_is_thrown_away(world: World) -> None:
    with world.shim() as shim:
        on_limitless(world, shim, "t1")

        with pytest.raises(ReadStale), shim.read("t1") as r:
            assert get("t1", 1)(r) == ("limitless", None)
            assert roll_back(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).complete
        shim.run_write("t1", put("t1", 1, "after"))

        assert shim.run_read("t1", get("t1", 1)) == ("classic", "after")
        assert not shim._inflight._flights


def test_a_repeatable_read_is_repeated_when_its_route_changes(world: World) -> None:
    heard, calls = Heard(), 0

    def fn(r: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            assert roll_back(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).complete
            world.classic.execute("INSERT INTO app.note VALUES ('t1', 1, 'after')")
        return get("t1", 1)(r)

    with world.shim(listener=heard) as shim:
        on_limitless(world, shim, "t1")

        assert shim.run_read("t1", fn) == ("classic", "after")
        assert (calls, shim.stats().fell_back) == (2, 1)
        assert "read.fell_back" in heard.names()


def test_a_write_whose_mirror_is_behind_returns_after_a_fallback_of_everybody(world: World) -> None:
    heard = Heard()
    with world.shim("web-1", replace(CALM, ack_wait_s=0.4), listener=heard) as shim, world.shim("web-2") as other:
        on_limitless(world, other, "t1", "u1")
        eventually(lambda: shim._current.view.waits, "web-1 waits for the mirror")

        shim.run_write("t1", put("t1", 1, "hello"))

        raised = {event.epoch for event in heard.events if isinstance(event, FallbackRaised)}
        assert len(raised) == 1
        assert confirmed(world.classic, shim._current.view.epoch).complete
        assert other.run_read("t1", get("t1", 1)) == ("classic", "hello")
        assert other.run_read("u1", get("u1", 1))[0] == "limitless", "another partition goes on"
        assert shim.stats().writes["everywhere"].unconfirmed == 0


def test_a_silent_limitless_is_left_by_its_readers(world: World, proxy: MakeProxy) -> None:
    between, heard = proxy(world.limitless_dsn), Heard()
    limitless_dsn, world.limitless_dsn = world.limitless_dsn, between.dsn(world.limitless_dsn)
    with world.shim(listener=heard, settings=replace(CALM, failures=1, read_timeout_s=0.1)) as shim:
        world.limitless_dsn = limitless_dsn
        with world.mirror():
            on_limitless(world, shim, "t1")
            between.stall()

            def found_out() -> bool:
                assert shim.run_read("t1", get("t1", 1))[0] == "classic", "no caller is told"
                return shim.stats().failures.get(("limitless", "08"), 0) >= 1

            eventually(found_out, "it is seen to be silent")
            assert "breaker.opened" in heard.names()

            between.resume()
            eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "the breaker closes")


def test_without_classic_nothing_is_answered_under_routes_that_have_run_out(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    world.classic_dsn = between.dsn(world.classic_dsn)
    with world.shim(settings=replace(QUICK, staleness_s=0.5)) as shim:
        on_limitless(world, shim, "t1")
        between.cut_off()

        eventually(lambda: not shim._current.view.valid(shim._current.now_s()), "the routes have run out")
        with pytest.raises(ClusterUnavailable):
            shim.run_read("t1", get("t1", 1))
        with pytest.raises(ClusterUnavailable):
            shim.write("t1").__enter__()

        between.clear_faults()
        eventually(lambda: shim._current.view.valid(shim._current.now_s()), "the routes are read again")
        shim.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", get("t1", 1))[1] == "hello"


def test_writes_wait_while_they_are_closed_and_go_on_when_reopened(world: World) -> None:
    with world.shim() as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        eventually(lambda: shim._current.view.write_mode is WriteMode.CLOSED, "the process knows")
        thread = threading.Thread(target=shim.run_write, args=("t1", put("t1", 1, "hello")))
        thread.start()
        eventually(lambda: shim._current.waiting, "the write waits")
        assert body(world, "t1", 1) is None

        write_mode(world.classic, WriteMode.DUAL, who="test", reason="test")
        thread.join()

    assert body(world, "t1", 1) == "hello"


def test_a_write_that_began_before_writes_were_closed_is_refused(world: World) -> None:
    with world.shim(settings=replace(CALM, poll_s=0.9)) as shim, pytest.raises(WritesClosed):
        with shim.write("t1") as w:
            put("t1", 1, "late")(w)
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")

    assert body(world, "t1", 1) is None


def test_after_the_hand_over_everything_is_on_limitless(world: World) -> None:
    with world.shim("web-1") as one, world.shim("web-2") as two:
        with world.mirror():
            one.run_write("t1", put("t1", 1, "before"))
        end(world, one, two)

        one.run_write("t1", put("t1", 2, "after"))
        with one.session() as session:
            session.run_write("t1", put("t1", 3, "in a session"))

        assert two.run_read("t1", get("t1", 1)) == ("limitless", "before")
        assert two.run_read("t1", get("t1", 2)) == ("limitless", "after")
        assert two.session(session.token).run_read("t1", get("t1", 3)) == ("limitless", "in a session")
        assert body(world, "t1", 2) is None
        assert one.stats().settled


def test_a_session_sees_its_writes_before_the_mirror_has_them(world: World) -> None:
    with world.shim("web-1", settings=CALM) as one, world.shim("web-2", settings=CALM) as two:
        on_limitless(world, one, "t1")
        on_limitless(world, two, "t1")
        with one.session() as session:
            session.run_write("t1", put("t1", 1, "hello"))
            with session.write("t1") as w:
                put("t1", 2, "hello")(w)
            with session.read("t1") as r:
                assert get("t1", 2)(r) == ("classic", "hello")
        token = session.token

        assert two.run_read("t1", get("t1", 1)) == ("limitless", None), "another caller is promised nothing"
        assert two.session(token).run_read("t1", get("t1", 1)) == ("classic", "hello")
        world.publish()
        eventually(lambda: two.session(token).run_read("t1", get("t1", 1)) == ("limitless", "hello"), "it is there")


def test_what_only_limitless_refuses_is_answered_by_classic(world: World) -> None:
    with world.mirror(), world.shim() as shim:
        on_limitless(world, shim, "t1")
        world.limitless.execute("CREATE FUNCTION app.odd() RETURNS int LANGUAGE sql AS 'SELECT 1/0'")
        world.classic.execute("CREATE FUNCTION app.odd() RETURNS int LANGUAGE sql AS 'SELECT 1'")

        assert shim.run_read("t1", lambda r: r.connection.execute("SELECT app.odd()").fetchone()) == (1,)
        assert shim.stats().failures["limitless", "22"] == 1
        with pytest.raises(psycopg.errors.UndefinedTable):
            shim.run_read("t1", lambda r: r.connection.execute("SELECT FROM app.missing"))
        assert dict(shim.stats().failures) == {("limitless", "22"): 1}, "what classic refuses too is the caller's own"


def test_a_lost_answer_to_commit_is_said_and_never_repeated(world: World, proxy: MakeProxy) -> None:
    between, calls = proxy(world.classic_dsn), 0
    world.classic_dsn = between.dsn(world.classic_dsn)

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        put("t1", 1, "hello")(w)
        between.lose_reply_to(b"COMMIT;")  # not READ COMMITTED, which the watcher says

    with world.shim() as shim:
        with pytest.raises(CommitUnknown) as caught:
            shim.run_write("t1", fn)

        assert (calls, body(world, "t1", 1)) == (1, "hello")
        assert caught.value.xid is not None
        assert shim.outcome(caught.value.xid) == "committed"


def test_the_transaction_is_the_applications_only_inside_its_block(world: World) -> None:
    with world.shim(pool_size=1) as shim:
        with shim.write("t1") as w:
            w.connection.execute("SET application_name = 'mine'")
            w.connection.execute("SET ROLE pg_monitor")
            w.connection.execute("RESET ROLE")
            with suppress(ZeroDivisionError), w.connection.transaction():
                put("t1", 1, "undone")(w)
                raise ZeroDivisionError
            put("t1", 2, "kept")(w)
        with pytest.raises(psycopg.OperationalError, match="went back to the pool"):
            w.connection.execute("SELECT 1")
        assert w.committed and w.token is not None and w.token.parts == 2

        with shim.read("t1") as r:
            name = r.connection.execute("SHOW application_name").fetchone()
        assert name == ("migrator-shim:web",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            shim.run_read("t1", put("t1", 3, "x"))
        with pytest.raises(UsageError, match="ended inside"), shim.write("t1") as w:
            put("t1", 3, "early")(w)
            w.connection.execute("COMMIT")
        with pytest.raises(ZeroDivisionError), shim.write("t1") as w:
            put("t1", 4, "never")(w)
            raise ZeroDivisionError

    assert [body(world, "t1", number) for number in (1, 2, 4)] == [None, "kept", None]


def test_what_certainly_did_not_happen_is_tried_again(world: World) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            w.connection.execute("DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$")
        if calls == 2:
            world.classic.execute("SELECT pg_terminate_backend(%s, 5000)", (w.connection.info.backend_pid,))
        put("t1", calls, "hello")(w)

    with world.shim() as shim:
        shim.run_write("t1", fn)

    assert [body(world, "t1", number) for number in (1, 2, 3)] == [None, None, "hello"]


def test_a_sampled_share_of_reads_is_compared(world: World) -> None:
    heard = Heard()
    with world.mirror(), world.shim(listener=heard, settings=replace(CALM, shadow_ratio=1.0)) as shim:
        on_limitless(world, shim, "t1")
        world.limitless.execute("INSERT INTO app.note VALUES ('t1', 1, 'only here')")

        def noticed() -> bool:
            assert shim.run_read("t1", get("t1", 1, with_side=False)) == "only here"
            return "shadow.differed" in heard.names()

        eventually(noticed, "the difference is noticed", every_s=0.1)


def test_a_classic_that_says_nothing_keeps_no_process_from_ending(breakable: World, servers: Servers) -> None:
    shim = breakable.shim(settings=QUICK)
    shim.__enter__()
    servers.classic.freeze()
    ending = threading.Thread(target=shim.__exit__, args=(None, None, None), daemon=True)
    try:
        ending.start()
        ending.join(TIMEOUT_S / 4)
        assert not ending.is_alive()
    finally:
        servers.classic.thaw()
    ending.join()
