"""A process is registered before it asks: a route change that counted it as gone is in what it learns next.

The dangerous moment is a process that was silent for longer than anybody waits, and comes back while an operator
changes routes: the operator does not wait for it. What it polled before its heartbeat was on classic must not count.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from migrator.model.route import FallbackScope
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.clock import now_s
from migrator.shim.current_view import CurrentView
from migrator.shim.inflight import Inflight
from migrator.shim.pool import Pool
from migrator.shim.routing import choose
from migrator.shim.watcher import Identity, Watcher
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import QUICK, Heard, World, ids, up

pytestmark = pytest.mark.pg

GATE = 4711
STALENESS_S = 600.0
"""So that a heartbeat is due only when a test says so, by `due`."""

# A heartbeat waits here before it touches its row, as it would for a lock, a slow disk or a packet sent again.
SLOW = f"""
CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
CREATE TRIGGER slow BEFORE INSERT ON migrator.process FOR EACH STATEMENT EXECUTE FUNCTION app.slow();
"""


@contextmanager
def a_watcher(world: World) -> Iterator[tuple[Watcher, CurrentView]]:
    """What keeps the routes of one process, refreshed when the test says so."""
    board = CurrentView()
    pool = Pool(Side.CLASSIC, world.classic_dsn, "test", size=2, connect_timeout_s=60, silent_s=30)
    settings = replace(QUICK, staleness_s=STALENESS_S)
    watcher = Watcher(
        Identity("sleeper", "web"), settings, board, Inflight(), Heard(), pool.connect,
        lambda: False, lambda _: None, lambda _: None,
    )  # fmt: skip
    watcher._adopt(pool.connect())
    try:
        watcher._refresh()
        yield watcher, board
    finally:
        watcher.close()
        pool.close()


@pytest.mark.parametrize("how", ["rollback", "rollback of all", "fallback"])
def test_a_heartbeat_that_is_late_vouches_for_nothing_older(world: World, how: str) -> None:
    up(world, "t1")
    with a_watcher(world) as (watcher, board), psycopg.connect(world.classic_dsn, autocommit=True) as operator:
        tenant = TenantId("t1")
        assert choose(board.view, tenant, now_s(), 0.0).side is Side.LIMITLESS
        # It sleeps: here its routes run out, on classic its row.
        board.install(replace(board.view, valid_until_s=now_s() - 1))
        world.classic.execute("UPDATE migrator.process SET seen_at = seen_at - interval '1 hour'")
        world.classic.execute(SLOW)
        operator.execute("SELECT pg_advisory_lock(%s)", (GATE,))

        refresh = threading.Thread(target=watcher._refresh)
        refresh.start()
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: world.classic.execute(waits).fetchall(), "its heartbeat is under way")
        if how == "fallback":
            epoch = raise_fallback(world.classic, FallbackScope.ALL, "", by="test", reason="test")
        else:
            which = {"all": True} if how == "rollback of all" else {"tenants": ids("t1")}
            epoch = roll_back(world.classic, **which, who="test", reason="test", timeout_s=TIMEOUT_S).epoch
        found = confirmed(world.classic, epoch)
        assert (found.complete, found.expired) == (True, 1), "nobody waits for a process that is silent for so long"
        operator.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
        refresh.join(TIMEOUT_S)

        assert choose(board.view, tenant, now_s(), 0.0).side is Side.CLASSIC, "the change was in force everywhere"
        assert confirmed(world.classic, epoch).confirmed == 1


def due(watcher: Watcher) -> None:
    """Let the next look send a heartbeat."""
    watcher._beat_s -= STALENESS_S / 2


def seen(world: World) -> list[tuple[object, ...]]:
    return world.classic.execute("SELECT seen_at FROM migrator.process").fetchall()


def test_a_look_without_a_heartbeat_makes_nothing_valid_for_longer(world: World) -> None:
    """Several looks share one heartbeat, and what they find runs out at the same moment: others count from it."""
    with a_watcher(world) as (watcher, board):
        watcher._refresh()
        before, until_s = seen(world), board.view.valid_until_s
        watcher._refresh()
        watcher._positions()
        world.publish()
        watcher._positions()
        assert (seen(world), board.view.valid_until_s) == (before, until_s)

        due(watcher)
        watcher._refresh()
        assert seen(world) > before
        assert board.view.valid_until_s > until_s


def test_a_new_connection_begins_with_a_heartbeat(world: World) -> None:
    """The server behind it may not be the one that has the last heartbeat."""
    with a_watcher(world) as (watcher, board):
        world.classic.execute("DELETE FROM migrator.process")  # as one that was promoted without its tail
        assert watcher._link is not None
        watcher._link.close()
        watcher._adopt(watcher._connect_classic())
        watcher._refresh()
        assert len(seen(world)) == 1
        assert board.view.valid(now_s())


def test_what_was_read_after_a_heartbeat_that_failed_counts_for_nothing(world: World) -> None:
    refuse = """
        CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON migrator.process DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION app.refuse();
    """
    with a_watcher(world) as (watcher, board):
        world.classic.execute(refuse)  # at COMMIT
        due(watcher)
        before, beat_s = board.view, watcher._beat_s
        world.publish()
        with pytest.raises(psycopg.errors.RaiseException):
            watcher._refresh()
        assert (board.view, watcher._beat_s) == (before, beat_s)


def test_positions_of_another_moment_are_read_with_its_routes(world: World) -> None:
    """They cover writes of that moment; a process that still acts on older routes must not count them for its own."""
    up(world, "t1")
    with a_watcher(world) as (watcher, board):
        watcher._positions()
        before = board.view
        epoch = roll_back(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=0.1).epoch
        world.publish()
        watcher._positions()

        assert (before.epoch < epoch, board.view.epoch) == (True, epoch)
        assert board.view.positions != before.positions
        assert choose(board.view, TenantId("t1"), now_s(), 0.0).side is Side.CLASSIC
