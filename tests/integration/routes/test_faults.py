"""What a process does when servers, networks and operators misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import (
    ClusterUnavailable,
    CommitUnknown,
    NotInstalled,
    PreconditionFailed,
    RouteChanged,
    UsageError,
    WritesClosed,
)
from migrator.incident.rollback import roll_back
from migrator.local.proxy import Proxy
from migrator.model.route import FallbackScope, Level, WriteMode
from migrator.model.tenant import TenantId
from migrator.route.advance import rejoin
from migrator.route.confirm import confirmed
from migrator.route.fallback import clear_fallback, ease_fallback, raise_fallback
from migrator.route.move import move, routes
from migrator.route.write_mode import write_mode
from migrator.shim import CommittedUnconfirmed, Settings, Shim
from tests.fixtures.postgres import Servers
from tests.integration.routes.world import QUICK, Heard, World, eventually, get, ids, put

pytestmark = pytest.mark.pg

MakeProxy = Callable[[str], Proxy]
T1 = TenantId("t1")


@pytest.fixture
def breakable(servers: Servers) -> Iterator[World]:
    made = World.make(servers.classic_dsn, servers.limitless_dsn)
    yield made
    made.close()


def up(world: World, *tenants: str) -> None:
    with world.mirror():
        assert rejoin(world.classic, tenants=ids(*tenants), who="test", reason="test", timeout_s=10).done


def body(world: World, tenant: str, number: int) -> Any:
    row = world.classic.execute(
        "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s", (tenant, number)
    ).fetchone()
    return row and row[0]


# -- the mirror stands still


def test_a_write_whose_mirror_stands_still_returns_after_a_confirmed_fallback(world: World) -> None:
    heard = Heard()
    with world.shim("web-1", listener=heard) as shim, world.shim("web-2") as other:
        up(world, "t1", "u1")
        eventually(lambda: other.run_read("t1", get("t1", 1))[0] == "limitless", "web-2 reads from limitless")

        shim.run_write("t1", put("t1", 1, "hello"))

        scope, key, level, epoch = world.classic.execute(
            "SELECT scope, scope_key, level, epoch FROM migrator.fallback"
        ).fetchone()  # type: ignore[misc]
        assert (scope, key, level) == ("part", "1", "classic")
        assert confirmed(world.classic, epoch).complete
        assert other.run_read("t1", get("t1", 1)) == ("classic", "hello")
        assert other.run_read("u1", get("u1", 1))[0] == "limitless", "another partition goes on"
        assert heard.names().count("fallback.raised") == 1
        incidents = world.classic.execute("SELECT kind, reported_by FROM migrator.incident").fetchall()
        assert incidents == [("fallback", "shim web-1")]
        shim.run_write("t1", put("t1", 2, "no wait any more"))


def test_many_writers_raise_one_fallback(world: World) -> None:
    with world.shim("web-1") as shim, world.shim("web-2") as other:
        up(world, "t1")
        eventually(lambda: other._board.view.waits, "web-2 waits for the mirror")
        threads = [
            threading.Thread(target=side.run_write, args=("t1", put("t1", number, "x")))
            for number, side in enumerate([shim, other] * 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        raised = world.classic.execute(
            "SELECT count(*) FROM migrator.decision WHERE kind = 'fallback.raised'"
        ).fetchone()
        assert raised == (1,)


def test_a_reference_row_falls_back_for_everybody(world: World) -> None:
    """Every tenant reads reference tables, so their partition's fallback covers all."""
    with world.shim() as shim:
        up(world, "u1")

        def touch_reference(w: Any) -> None:
            w.connection.execute("INSERT INTO app.note VALUES ('r', 1, 'x')")
            w.connection.execute("SELECT set_config('migrator.parts', '1', true)")

        shim.run_write("t1", touch_reference)

        assert world.classic.execute("SELECT scope, scope_key FROM migrator.fallback").fetchall() == [("part", "0")]
        assert shim.run_read("u1", get("u1", 1))[0] == "classic"


def test_a_stale_partition_is_not_read(world: World) -> None:
    with world.shim(settings=replace(QUICK, max_lag_s=0.2)) as shim:
        up(world, "t1")

        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "classic", "the position is too old")
        world.publish()
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "the position is fresh again")


# -- answers lost


def test_a_lost_answer_to_commit_is_said_and_never_repeated(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        put("t1", 1, "hello")(w)
        between.faults.lose_reply_to = b"COMMIT"

    with Shim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=QUICK) as shim:
        with pytest.raises(CommitUnknown) as caught:
            shim.run_write("t1", fn)

        assert calls == 1
        assert caught.value.tenant_id == "t1"
        assert caught.value.xid is not None
        assert shim.outcome(caught.value.xid) == "committed"
        assert body(world, "t1", 1) == "hello"


def test_a_connection_lost_before_commit_is_tried_again(world: World) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            pid = w.connection.info.backend_pid
            world.classic.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        put("t1", calls, "hello")(w)

    with world.shim() as shim:
        shim.run_write("t1", fn)

    assert calls == 2
    assert (body(world, "t1", 1), body(world, "t1", 2)) == (None, "hello")


def test_a_route_change_whose_answer_was_lost_is_found_done(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    with suppress(psycopg.OperationalError), psycopg.connect(between.dsn(world.classic_dsn), autocommit=True) as conn:
        between.faults.lose_reply_to = b"COMMIT"
        with pytest.raises(ClusterUnavailable):
            move(conn, [T1], Level.JOINING, who="ann", reason="wave 1", expected={T1: 0})

    epoch = routes(world.classic)[0].epoch
    assert move(world.classic, [T1], Level.JOINING, who="ann", reason="wave 1", expected={T1: 0}) == epoch
    decisions = world.classic.execute("SELECT count(*) FROM migrator.decision WHERE kind = 'route.moved'").fetchone()
    assert decisions == (1,), "made once, found once"


def test_a_rollback_whose_answer_was_lost_is_found_done(world: World, proxy: MakeProxy) -> None:
    up(world, "t1")
    between = proxy(world.classic_dsn)
    with suppress(psycopg.OperationalError), psycopg.connect(between.dsn(world.classic_dsn), autocommit=True) as conn:
        between.faults.lose_reply_to = b"COMMIT"
        with pytest.raises(ClusterUnavailable):
            roll_back(conn, all=True, who="ann", reason="slow")

    result = roll_back(world.classic, all=True, who="ann", reason="slow")

    assert (result.already, result.changed) == (True, 0)


# -- two operators


def test_of_two_operators_one_learns_that_the_other_was_first(world: World) -> None:
    start = threading.Barrier(2)
    answers: list[object] = []

    def operate(who: str) -> None:
        with psycopg.connect(world.classic_dsn, autocommit=True) as conn:
            start.wait()
            try:
                answers.append(move(conn, [T1], Level.JOINING, who=who, reason="mine", expected={T1: 0}))
            except RouteChanged as error:
                answers.append(error)

    threads = [threading.Thread(target=operate, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    refused = [a for a in answers if isinstance(a, RouteChanged)]
    (route,) = routes(world.classic)
    assert len(refused) == 1
    assert (refused[0].expected, refused[0].found) == (0, route.epoch)


def test_a_tenant_rolled_back_on_its_way_up_stays_back(world: World) -> None:
    """The way up finds another epoch than the one it confirmed, and gives up."""
    joining = move(world.classic, [T1], Level.JOINING, who="cutover", reason="wave 1")
    roll_back(world.classic, tenants=[T1], who="ann", reason="not today")

    with pytest.raises(RouteChanged):
        move(
            world.classic, [T1], Level.LIMITLESS, who="cutover", reason="wave 1", expected={T1: joining},
        )  # fmt: skip
    assert routes(world.classic)[0].level is Level.CLASSIC


def test_nobody_reaches_limitless_without_proof(world: World) -> None:
    with pytest.raises(PreconditionFailed):
        move(world.classic, [T1], Level.LIMITLESS, who="ann", reason="hurry")
    move(world.classic, [T1], Level.JOINING, who="ann", reason="hurry")
    with pytest.raises(UsageError):
        move(world.classic, [T1], Level.LIMITLESS, who="ann", reason="hurry")
    world.classic.execute("UPDATE migrator.tenant SET state = 'quarantined' WHERE tenant_id = 't2'")
    with pytest.raises(PreconditionFailed, match="t2 \\(quarantined\\)"):
        move(world.classic, ids("t2"), Level.JOINING, who="ann", reason="hurry")


# -- Limitless ill


@contextmanager
def traffic(load: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_killing_limitless_under_reads_reaches_no_caller(breakable: World, servers: Servers) -> None:
    world, heard = breakable, Heard()
    with world.shim("web", listener=heard) as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        stop, errors, count = threading.Event(), [], 0

        def load() -> None:
            nonlocal count
            while not stop.is_set():
                try:
                    shim.run_read("t1", get("t1", 1))
                    count += 1
                except Exception as error:
                    errors.append(error)
                stop.wait(0.005)

        with traffic(load, stop):
            before = count
            eventually(lambda: count > before + 50, "traffic flows")
            servers.limitless.kill()

            eventually(lambda: "breaker.opened" in heard.names(), "the breaker opens")
            before = count
            eventually(lambda: count > before + 50, "traffic flows from classic")
            assert eventually(
                lambda: world.classic.execute("SELECT scope FROM migrator.breaker_trip").fetchall(), "trip reported"
            )
            servers.limitless.start()
            world.publish()
            eventually(lambda: "breaker.closed" in heard.names(), "the breaker closes")
            world.publish()
            eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads from limitless again")

    assert errors == []


def test_a_silent_limitless_holds_no_read_for_ever(world: World, proxy: MakeProxy) -> None:
    """Sockets stay open and nothing comes back: server-side timeouts do not help, and connecting hangs too."""
    between, heard = proxy(world.limitless_dsn), Heard()
    settings = replace(QUICK, read_timeout_s=0.3)
    with Shim(world.classic_dsn, between.dsn(world.limitless_dsn), "web", heard, settings=settings) as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")

        def fn(r: Any) -> tuple[str, Any]:
            if str(r.side) == "limitless":
                between.stall()
            return get("t1", 1)(r)

        assert shim.run_read("t1", fn)[0] == "classic", "silent in the middle of a read"
        assert heard.names().count("read.fell_back") == 1
        assert shim.run_read("t1", get("t1", 1))[0] == "classic", "silent when connecting"
        between.resume()


def test_idle_connections_survive_a_restart_unnoticed(breakable: World, servers: Servers) -> None:
    world, heard = breakable, Heard()
    with world.shim(listener=heard) as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        servers.limitless.stop()
        servers.limitless.start()
        world.publish()

        assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
        assert "read.fell_back" not in heard.names()


# -- classic ill


def test_without_classic_reads_stop_trusting_routes(breakable: World, servers: Servers) -> None:
    world = breakable
    with world.shim() as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        servers.classic.kill()
        eventually(lambda: not shim._board.view.valid(_now()), "the routes go stale")

        with pytest.raises(ClusterUnavailable) as caught:
            shim.run_read("t1", get("t1", 1))
        assert caught.value.side == "classic"
        with pytest.raises(ClusterUnavailable):
            shim.run_write("t1", put("t1", 1, "x"))

        servers.classic.start()
        eventually(lambda: shim._board.view.valid(_now()), "the routes are read again")
        shim.run_write("t2", put("t2", 1, "x"))


def _now() -> float:
    from migrator.shim.clock import now_s

    return now_s()


def test_a_write_that_can_neither_be_mirrored_nor_fall_back_says_so(world: World, proxy: MakeProxy) -> None:
    """It is committed; pretending that everybody sees it would be a lie."""
    between = proxy(world.classic_dsn)
    settings = replace(QUICK, staleness_s=0.5, ack_wait_s=0.2)
    with Shim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=settings) as shim:
        up(world, "t1")
        eventually(lambda: shim._board.view.waits, "writes wait for the mirror")

        with pytest.raises(CommittedUnconfirmed) as caught:
            with shim.write("t1") as w:
                put("t1", 1, "hello")(w)
                original = shim._ack.wait  # type: ignore[union-attr]

                def wait(tenant_id: TenantId, token: Any) -> None:
                    between.cut_off()
                    original(tenant_id, token)

                shim._ack.wait = wait  # type: ignore[method-assign,union-attr]

        assert body(world, "t1", 1) == "hello"
        assert caught.value.xid


# -- the end


def test_writes_wait_while_they_are_closed_and_go_on_when_reopened(world: World) -> None:
    with world.shim() as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        eventually(lambda: shim._board.view.write_mode is WriteMode.CLOSED, "the process knows")
        thread = threading.Thread(target=shim.run_write, args=("t1", put("t1", 1, "hello")))
        thread.start()
        eventually(lambda: shim._board.waiting, "the write waits")
        assert body(world, "t1", 1) is None

        write_mode(world.classic, WriteMode.DUAL, who="test", reason="test")
        thread.join(10)

        assert body(world, "t1", 1) == "hello"


def test_closed_writes_give_up_after_their_bound(world: World) -> None:
    with world.shim(settings=replace(QUICK, closed_wait_s=0.1)) as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        eventually(lambda: shim._board.view.write_mode is WriteMode.CLOSED, "the process knows")

        with pytest.raises(WritesClosed):
            shim.write("t1").__enter__()


def test_a_write_that_slipped_through_is_refused_at_its_end(world: World) -> None:
    """The process had not heard that writes were closed; the transaction itself sees it."""
    with world.shim(settings=replace(QUICK, poll_s=0.9)) as shim, pytest.raises(WritesClosed):
        with shim.write("t1") as w:
            put("t1", 1, "late")(w)
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")

    assert body(world, "t1", 1) is None


def test_a_refusal_by_captures_own_triggers_is_retried(world: World) -> None:
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            w.connection.execute("DO $$ BEGIN RAISE 'writes are closed' USING ERRCODE = 'MG001'; END $$")
        put("t1", 1, "hello")(w)

    with world.shim() as shim:
        shim.run_write("t1", fn)

    assert (calls, body(world, "t1", 1)) == (2, "hello")


def test_after_the_end_classic_is_not_needed(breakable: World, servers: Servers) -> None:
    world = breakable
    with world.shim("web-1") as shim:
        write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
        world.limitless.execute("CREATE TABLE migrator.settled (write_mode text, epoch bigint, at timestamptz)")
        world.limitless.execute("INSERT INTO migrator.settled VALUES ('limitless_only', 1, now())")
        epoch = write_mode(world.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test")
        eventually(lambda: confirmed(world.classic, epoch).confirmed == 1, "the process confirms the end")
        with pytest.raises(PreconditionFailed):
            roll_back(world.classic, all=True, who="ann", reason="too late")
        servers.classic.kill()

        shim.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")
        with world.shim("web-2") as started_without_classic:
            assert started_without_classic.run_read("t1", get("t1", 1)) == ("limitless", "hello")
            started_without_classic.run_write("t1", put("t1", 2, "hello"))
            assert started_without_classic.run_read("t1", get("t1", 2)) == ("limitless", "hello")


def test_a_process_that_missed_the_end_asks_limitless(breakable: World, servers: Servers) -> None:
    """Classic went away before this process heard of it."""
    world = breakable
    with world.shim("web-1") as shim:
        servers.classic.kill()
        world.limitless.execute("CREATE TABLE migrator.settled (write_mode text, epoch bigint, at timestamptz)")
        world.limitless.execute("INSERT INTO migrator.settled VALUES ('limitless_only', 1, now())")

        eventually(lambda: shim._board.settled, "it has asked limitless")
        shim.run_write("t1", put("t1", 1, "hello"))
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")


def test_without_classic_and_before_the_end_nothing_opens(world: World) -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/none"
    with pytest.raises(ClusterUnavailable) as caught:
        Shim(nowhere, world.limitless_dsn, "web").open()
    assert "secret" not in str(caught.value)
    world.classic.execute("DROP SCHEMA migrator CASCADE")
    with pytest.raises(NotInstalled):
        world.shim().open()


def test_settings_come_from_the_plan_on_classic(world: World) -> None:
    world.classic.execute('UPDATE migrator.plan SET shim = \'{"ack_wait_s": 7, "min_reads": 3, "later": true}\'')
    with Shim(world.classic_dsn, world.limitless_dsn, "web") as shim:
        assert shim._settings == Settings(ack_wait_s=7.0, min_reads=3)


def test_fallback_raised_twice_keeps_its_epoch_and_goes_back_from_joining(world: World) -> None:
    conn = world.classic
    first = raise_fallback(conn, FallbackScope.PART, "1", by="a", reason="r")
    assert raise_fallback(conn, FallbackScope.PART, "1", by="b", reason="r") == first
    eased = ease_fallback(conn, FallbackScope.PART, "1", by="b", reason="r")
    assert eased > first

    again = raise_fallback(conn, FallbackScope.PART, "1", by="c", reason="r")

    assert again > eased
    with pytest.raises(PreconditionFailed):
        clear_fallback(conn, FallbackScope.PART, "1", by="b", reason="r", expected=eased)
