"""A process without threads: the same guarantees, and what they cost it; it leaves between two invocations."""

from __future__ import annotations

import itertools
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, UsageError
from migrator.local.proxy import Faults, Proxy
from migrator.model.route import Level, WriteMode
from migrator.shim import Shim
from migrator.shim.inline import InlineWatcher
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.move import routes
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.round_trips import RoundTrips
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, Heard, World, body, end, get, ids, put, up

pytestmark = [pytest.mark.pg, pytest.mark.once]

SELDOM = replace(CALM, poll_s=60.0, ack_wait_s=TIMEOUT_S)
PATIENT = replace(CALM, ack_wait_s=TIMEOUT_S)
WORDS: dict[str, Any] = {"who": "test", "reason": "test"}


def without(world: World, **options: Any) -> Shim:
    options.setdefault("settings", PATIENT)
    return world.shim(threads=False, **options)


def registered(world: World) -> list[str]:
    return [row[0] for row in world.classic.execute("SELECT process_id FROM migrator.process ORDER BY 1")]


def watcher(shim: Shim) -> InlineWatcher:
    found = shim._watcher
    assert isinstance(found, InlineWatcher)
    return found


def test_no_thread_is_started_and_what_was_acknowledged_is_seen_on_either_side(world: World) -> None:
    before = set(threading.enumerate())
    brief = replace(PATIENT, staleness_s=QUICK.staleness_s)  # the move waits until this process falls silent
    with without(world, settings=brief) as shim, world.mirror():
        mirror = set(threading.enumerate()) - before
        assert len(mirror) == 1
        shim.run_write("t1", put("t1", 1, "on classic"))
        assert shim.run_read("t1", get("t1", 1)) == ("classic", "on classic")
        assert promote_reads(world.classic, tenants=ids("t1"), timeout_s=TIMEOUT_S, **WORDS).done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "it found out by itself")
        for number in range(10):
            shim.run_write("t1", put("t1", number, f"body {number}"))
            assert shim.run_read("t1", get("t1", number))[1] == f"body {number}"
        eventually(lambda: shim.run_read("t1", get("t1", 9)) == ("limitless", "body 9"), "it is still so")
        assert set(threading.enumerate()) - before == mirror


def test_it_opens_with_the_first_use_and_never_again_once_closed(world: World) -> None:
    shim = without(world)
    assert registered(world) == []
    assert shim.run_read("t1", get("t1", 1)) == ("classic", None)
    assert registered(world) == [shim.process_id]
    shim.close()
    assert registered(world) == []
    for use in (shim.open, lambda: shim.run_read("t1", get("t1", 1))):
        with pytest.raises(UsageError, match="closed"):
            use()
    shim.close()

    never_used = without(world)
    never_used.close()
    with pytest.raises(UsageError, match="closed"):
        never_used.run_read("t1", get("t1", 1))


def test_a_change_is_applied_by_the_next_block_whether_it_is_announced_or_looked_for(world: World) -> None:
    up(world, "t1")
    for settings, listen in ((SELDOM, True), (CALM, False)):
        with without(world, settings=settings, listen=listen) as shim:
            assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
            moved = roll_back(world.classic, tenants=ids("t1"), timeout_s=0.0, **WORDS)
            eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "classic", "it applies the change")
            found = confirmed(world.classic, moved.epoch)
            assert (found.processes, found.confirmed) == (1, 1)
        release(world.classic, ids("t1"), **WORDS)
        up(world, "t1")


def test_between_two_invocations_no_route_change_waits_for_it(world: World) -> None:
    """It said goodbye, so that it may be frozen; what it knew does not count afterwards, whatever its clock says."""
    up(world, "t1")
    with without(world, settings=SELDOM) as shim:
        with shim.invocation():
            assert registered(world) == [shim.process_id]
            assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
        assert registered(world) == []
        back = roll_back(world.classic, all=True, timeout_s=0.0, **WORDS)
        assert (back.complete, back.confirmed, back.expired) == (True, 0, 0)
        with psycopg.connect(world.classic_dsn, autocommit=True) as another:
            another.execute("INSERT INTO app.note VALUES ('t1', 1, 'written without waiting')")
        # Its routes were good for a minute.
        with shim.invocation():
            assert shim.run_read("t1", get("t1", 1)) == ("classic", "written without waiting")
            assert registered(world) == [shim.process_id]
        with shim.invocation():
            pass  # used for nothing
        assert registered(world) == []


def test_invocations_may_overlap(world: World) -> None:
    with without(world) as shim:
        with shim.invocation():
            shim.run_read("t1", get("t1", 1))
            with shim.invocation():
                shim.run_read("t1", get("t1", 1))
            assert registered(world) == [shim.process_id]
        assert registered(world) == []
        with pytest.raises(ZeroDivisionError), shim.invocation():
            shim.run_read("t1", lambda r: 1 / 0)
        assert registered(world) == []


def test_a_goodbye_whose_answer_is_lost_takes_no_later_registration_with_it(world: World, proxy: MakeProxy) -> None:
    through = proxy(world.classic_dsn)
    with Shim(through.dsn(world.classic_dsn), world.limitless_dsn, "f", settings=PATIENT, threads=False) as shim:
        with shim.invocation():
            shim.run_read("t1", get("t1", 1))
            before = shim.process_id
            through.lose_reply_to(b"DELETE FROM migrator.process")
        assert shim.process_id != before
        with shim.invocation():
            shim.run_read("t1", get("t1", 1))
            world.classic.execute("DELETE FROM migrator.process WHERE process_id = %s", (before,))  # it arrives late
            assert registered(world) == [shim.process_id]
            assert shim._reports.process_id == shim.process_id


def test_what_an_invocation_costs(world: World) -> None:
    """One round trip to begin with, one to end with; the blocks between cost what they cost with threads."""
    up(world, "t1")
    with RoundTrips(world.classic_dsn) as classic, RoundTrips(world.limitless_dsn) as limitless:
        shim = Shim(classic.dsn, limitless.dsn, "function", settings=SELDOM, threads=False)
        with shim, world.mirror():
            with shim.invocation():
                shim.run_read("t1", get("t1", 1))
                shim.run_write("t1", put("t1", 1, "x"))
            watcher(shim)._flush_due_s = watcher(shim)._count_due_s = float("inf")
            classic.taken(), limitless.taken()
            with shim.invocation():
                shim.run_read("t1", get("t1", 1))
                begun = classic.taken()
                shim.run_read("t1", get("t1", 1))
                assert classic.taken() == []
            gone = classic.taken()
            for _ in range(3):  # one right after another: no pace holds the question up what all have applied
                with shim.invocation():
                    # No look at the mirror's positions is due, however long the statements before it take.
                    shim._current.pace._looked_s = float("inf")
                    shim.run_write("u1", put("u1", 1, "x"))
                wrote = classic.taken()
                assert sum(b"applied_epoch)" in said for said in wrote) == 1
                assert len(wrote) == 3 + 3
            reads = limitless.taken()
    assert len(begun) == 1 and b"INSERT INTO migrator.process" in begun[0]
    assert len(gone) == 1 and b"DELETE FROM migrator.process" in gone[0]
    assert sum(b"BEGIN" in said for said in reads) == sum(b"SELECT body" in said for said in reads) == 2


def test_threads_may_share_it(world: World) -> None:
    up(world, "t1", "t2")
    errors: list[BaseException] = []
    missed: list[object] = []
    stop = threading.Event()
    with without(world) as shim, world.mirror():

        def load(tenant: str) -> None:
            try:
                for number in itertools.count():
                    if stop.is_set():
                        return
                    with shim.invocation():
                        shim.run_write(tenant, put(tenant, number % 5, f"{number}"))
                        found = shim.run_read(tenant, get(tenant, number % 5, with_side=False))
                        if found != f"{number}":
                            missed.append((tenant, number, found))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=load, args=(tenant,)) for tenant in ("t1", "t2", "u1")]
        for thread in threads:
            thread.start()
        for turn in range(2):
            assert roll_back(world.classic, all=True, timeout_s=TIMEOUT_S, **WORDS).complete
            assert promote_reads(world.classic, switch=True, timeout_s=TIMEOUT_S, **WORDS).done, turn
        stop.set()
        for thread in threads:
            thread.join()
    assert (errors, missed) == ([], [])


def test_a_write_waits_for_the_mirror_and_falls_back_without_one(world: World) -> None:
    up(world, "t1")
    heard = Heard()
    with without(world, settings=replace(CALM, ack_wait_s=0.4), listener=heard) as shim:  # no mirror runs
        shim.run_write("t1", put("t1", 1, "hello"))
        assert "fallback.raised" in heard.names()
        assert shim.run_read("t1", get("t1", 1)) == ("classic", "hello")
    assert world.classic.execute("SELECT scope, scope_key FROM migrator.fallback").fetchall() == [("part", "1")]


def test_writes_wait_until_they_are_open_again(world: World) -> None:
    with without(world) as shim:
        shim.run_write("t1", put("t1", 1, "before"))
        write_mode(world.classic, WriteMode.CLOSED, **WORDS)
        eventually(lambda: shim.run_read("t1", get("t1", 1)) and shim._current.view.write_mode is WriteMode.CLOSED)
        waits = threading.Thread(target=lambda: shim.run_write("t1", put("t1", 1, "after")))
        waits.start()
        eventually(lambda: shim._current.waiting, "the write waits")
        write_mode(world.classic, WriteMode.DUAL, **WORDS)
        waits.join(TIMEOUT_S)
        assert body(world, "t1", 1) == "after"


def test_after_the_hand_over_it_writes_to_limitless_and_needs_no_classic(world: World, proxy: MakeProxy) -> None:
    through = proxy(world.classic_dsn)
    shim = Shim(through.dsn(world.classic_dsn), world.limitless_dsn, "f", settings=PATIENT, threads=False)
    with shim:
        with shim.invocation():
            shim.run_write("t1", put("t1", 1, "before"))
        end(world)
        with shim.invocation():
            shim.run_write("t1", put("t1", 2, "after"))
            assert shim.run_read("t1", get("t1", 2)) == ("limitless", "after")
        through.cut_off()
        with shim.invocation():
            assert shim.run_read("t1", get("t1", 1)) == ("limitless", "before")
            shim.run_write("t1", put("t1", 3, "alone"))
    assert world.limitless.execute("SELECT count(*) FROM app.note").fetchone() == (3,)


def test_a_connection_that_leads_nowhere_after_a_rest_is_replaced(world: World, proxy: MakeProxy) -> None:
    """A network that forgot it: nothing comes back, and nothing says so."""
    up(world, "t1")
    classic, limitless = proxy(world.classic_dsn), proxy(world.limitless_dsn)
    dsns = classic.dsn(world.classic_dsn), limitless.dsn(world.limitless_dsn)
    with Shim(
        *dsns, "f", settings=replace(PATIENT, read_timeout_s=TIMEOUT_S, staleness_s=TIMEOUT_S), threads=False
    ) as shim:
        with shim.invocation():
            assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
            shim.run_read("u1", get("u1", 1))
        links = [watcher(shim)._link, *shim._classic._idle, *shim._limitless._idle]
        assert len(links) == 3
        swallow(classic)
        swallow(limitless)
        for link in links:
            assert link is not None
            link.heard_s -= 3600
        with shim.invocation():
            assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
            assert shim.run_read("u1", get("u1", 1))[0] == "classic"
        assert all(link is None or link.closed for link in links)


def swallow(proxy: Proxy) -> None:
    """Let the connections there are lead nowhere; new ones work."""
    for link in proxy.links:
        link.faults = Faults(delay_s=3600.0)


def test_a_server_that_says_nothing_ends_the_read_without_a_guard(breakable: World, servers: Any) -> None:
    up(breakable, "t1")
    with without(breakable, settings=replace(CALM, read_timeout_s=0.5)) as shim, shim.invocation():
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "it is in time")
        servers.limitless.freeze()
        try:
            assert shim.run_read("t1", get("t1", 1)) == ("classic", None)
        finally:
            servers.limitless.thaw()


def test_without_classic_a_new_one_says_so_and_opens_once_it_is_back(world: World, proxy: MakeProxy) -> None:
    through = proxy(world.classic_dsn)
    through.refuse()
    shim = Shim(through.dsn(world.classic_dsn), world.limitless_dsn, "f", settings=PATIENT, threads=False)
    with pytest.raises(ClusterUnavailable, match="classic"):
        shim.run_read("t1", get("t1", 1))
    through.accept()
    with shim.invocation():
        assert shim.run_read("t1", get("t1", 1)) == ("classic", None)
    shim.close()


def test_routes_that_cannot_be_renewed_lead_to_classic(world: World, proxy: MakeProxy) -> None:
    """The watcher's connection is lost and another one is refused; a pooled one still works."""
    up(world, "t1")
    through, heard = proxy(world.classic_dsn), Heard()
    dsn = through.dsn(world.classic_dsn)
    shim = Shim(dsn, world.limitless_dsn, "f", settings=PATIENT, threads=False, listener=heard)
    with shim, shim.invocation():
        shim.run_read("u1", get("u1", 1))
        link = watcher(shim)._link
        assert link is not None
        link.kill()
        through.refuse()
        with shim._current.changed:
            shim._current.view = replace(shim._current.view, valid_until_s=0.0)
        assert shim.run_read("t1", get("t1", 1)) == ("classic", None)
        assert heard.names().count("routes.lost") == 1
        through.accept()
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "it reads them again")


def test_a_restored_process_is_another_one(world: World) -> None:
    """Functions are started from one picture of memory, many times: each has the same id, sockets and routes."""
    with without(world, settings=SELDOM) as shim:
        shim.run_read("t1", get("t1", 1))
        before = shim.process_id
        shim.restored()
        assert shim.process_id != before
        shim.run_write("t1", put("t1", 1, "x"))
        assert registered(world) == sorted([before, shim.process_id])
    assert registered(world) == [before], "of the one that the picture was taken of"
    with world.shim() as threaded, pytest.raises(UsageError, match="threads"):
        threaded.restored()


def test_those_that_never_said_goodbye_are_cleaned_up_by_those_that_come(world: World) -> None:
    silent = (
        "INSERT INTO migrator.process (process_id, name, staleness_s, seen_at)"
        " SELECT %s::text || '-' || n, %s, 3.55, clock_timestamp() - make_interval(secs => %s)"
        " FROM generate_series(1, %s) n"
    )
    for what in (
        ("gone", "function", 70, 250),
        ("just", "function", 30, 3),
        ("other", "web", 70, 3),
        ("old", "web", 4000, 3),
    ):
        world.classic.execute(silent, what)
    world.classic.execute("INSERT INTO migrator.breaker_trip VALUES ('gone-1', 'all', '', 'test', now())")

    for left in (159, 59, 6):
        with without(world, name="function") as shim:
            shim.run_read("t1", get("t1", 1))
            assert len(registered(world)) == left + 1
    assert {one.partition("-")[0] for one in registered(world)} == {"just", "other"}
    assert world.classic.execute("SELECT count(*) FROM migrator.breaker_trip").fetchone() == (0,)


def test_hundreds_that_never_said_goodbye_are_waited_for_no_longer_than_one(world: World) -> None:
    up(world, "t1")
    world.classic.execute(
        "INSERT INTO migrator.process (process_id, name, staleness_s) SELECT n::text, 'function', 0.4"
        " FROM generate_series(1, 500) n"
    )
    back = roll_back(world.classic, all=True, timeout_s=TIMEOUT_S, **WORDS)
    assert (back.complete, back.expired) == (True, 500)
    assert routes(world.classic)[0].level is Level.LIMITLESS  # the switch alone went down


def test_what_needs_threads_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="replicas"):
        without(world, readers=[world.classic_dsn])
    for module, asked in (("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, SimpleNamespace(**{asked: lambda _: True}))
            for shim in (world.shim(), without(world)):
                with pytest.raises(UsageError, match=f"{module.partition('.')[0]} has replaced the threads"):
                    shim.open()
