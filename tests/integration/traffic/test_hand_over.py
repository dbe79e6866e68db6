"""After the hand-over: a write on Limitless is seen by reads of a process that has not heard of it yet.

Such a process reads classic under the routes it knows, or because they have run out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.errors import NotInstalled
from migrator.model.ack import Ack
from migrator.model.route import FallbackScope
from migrator.shim import Settings, Shim, hand_over
from migrator.shim.acknowledge import CommittedUnconfirmed
from migrator.traffic.route.fallback import raise_fallback
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, QUICK, Heard, Peer, World, Writing, deaf, end, get, put, run_out, up

pytestmark = pytest.mark.pg

LASTING = CALM
"""Of a process whose routes do not run out while a test runs."""

BRIEF = replace(QUICK, staleness_s=0.6)
"""Of one whose routes run out soon."""

SETTLED = "INSERT INTO migrator.settled (epoch, write_mode, at, decisions, retiring_try)"
SETTLED += " VALUES (1, 'limitless_only', now(), '', %s)"


def test_a_write_returns_when_every_live_process_has_heard_of_the_hand_over(world: World) -> None:
    with world.shim("web-1") as shim, world.shim("web-2", LASTING) as other, deaf(other) as hears:
        end(world, shim)
        write = Writing(shim, 1)
        write.committed(world)

        assert other.run_read("t1", get("t1", 1)) == ("classic", None), "its routes are valid, and of before"
        assert write.is_alive(), "what others miss is not acknowledged"
        hears()
        write.join(TIMEOUT_S)

        assert (write.error, write.is_alive()) == (None, False)
        assert other.run_read("t1", get("t1", 1)) == ("limitless", "hello")
        assert shim._current.known_to_all, "the next one asks nothing"


@pytest.mark.parametrize("level", [Ack.SESSION, Ack.NONE])
def test_a_weaker_write_does_not_wait_for_other_processes(world: World, level: Ack) -> None:
    with world.shim("web-1") as shim, world.shim("web-2", LASTING) as other, deaf(other):
        end(world, shim)
        shim.run_write("t1", put("t1", 1, "hello"), ack=level)

        assert not shim._current.known_to_all
        assert shim.run_read("t1", get("t1", 1)) == ("limitless", "hello")


def test_a_process_that_stays_behind_is_told_past_the_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.shim("web-1", BRIEF) as shim, world.shim("web-2", LASTING) as other, deaf(other):
        end(world, shim)
        eventually(lambda: shim._current.longest_s > 60, "it has asked which routes last longest")
        monkeypatch.setattr(hand_over, "FURTHER_S", 0.0)
        with pytest.raises(CommittedUnconfirmed, match=r"committed on limitless.*migration is over"):
            shim.run_write("t1", put("t1", 1, "hello"))

        assert other.run_read("t1", get("t1", 1)) == ("classic", None)


@pytest.mark.parametrize("route", ["classic", "limitless", "fallback"])
def test_a_process_whose_routes_have_run_out_asks_classic_who_answers(world: World, route: str) -> None:
    heard = Heard()
    if route != "classic":
        up(world, "t1")
    if route == "fallback":
        raise_fallback(world.classic, FallbackScope.ALL, "", by="test", reason="test")
    with world.shim("web-1") as shim, world.shim("web-2", BRIEF, listener=heard) as other, deaf(other) as hears:
        run_out(other)
        assert other.run_read("t1", get("t1", 1)) == ("classic", None), "nothing is over"
        end(world, shim)
        shim.run_write("t1", put("t1", 1, "hello"))

        assert other.run_read("t1", get("t1", 1)) == ("limitless", "hello")
        assert other._current.settled, "it does not go back"
        hears()
        eventually(lambda: "routes.settled" in heard.names(), "its listener hears of it")


def test_a_frozen_process_is_waited_for_until_its_routes_have_run_out(world: World) -> None:
    with world.shim("web-1") as shim, Peer(world, settings=BRIEF) as peer:
        peer.freeze()
        end(world, shim)
        shim.run_write("t1", put("t1", 1, "hello"))
        peer.thaw()

        assert peer.ask("read", "t1", 1) == ["limitless", "hello"]


def test_a_read_that_asks_leaves_the_transaction_to_the_application(world: World) -> None:
    """Which chooses its isolation level in its first statement; whatever the role's settings are."""
    with psycopg.connect(world.classic_dsn) as conn:
        role = sql.Identifier(conn.info.user)
        for setting in ("search_path = app", "default_transaction_isolation = 'repeatable read'",
                        "default_transaction_deferrable = on", "default_transaction_read_only = on"):  # fmt: skip
            world.classic.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET {}").format(
                role, sql.Identifier(conn.info.dbname), sql.SQL(setting)))  # fmt: skip
    with world.shim("web-1", BRIEF) as other, deaf(other):
        run_out(other)
        with other.read("t1") as r:
            r.connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            found = r.connection.execute("SHOW transaction_isolation").fetchone()
            assert (str(r.side), found) == ("classic", ("serializable",))
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                put("t1", 1, "hello")(r)


def test_routes_that_are_renewed_while_a_read_looks_at_them_do_not_lead_it_to_classic(world: World) -> None:
    """It found them run out; then the process learns that the migration is over, by routes that are valid."""
    with world.shim("web-1") as shim, world.shim("web-2", BRIEF) as other, deaf(other) as hears:
        run_out(other)
        end(world, shim)
        shim.run_write("t1", put("t1", 1, "hello"))
        read = other.read("t1")
        looks = read._try_limitless

        async def learns(**options: Any) -> bool:
            went = await looks(**options)
            hears()
            eventually(lambda: other._current.settled, "it has learnt of it")
            return went

        read._try_limitless = learns  # type: ignore[method-assign]
        with read as r:
            assert get("t1", 1)(r) == ("limitless", "hello")


def test_without_classic_a_write_waits_until_routes_of_before_have_run_out(breakable: World, servers: Servers) -> None:
    world = breakable
    with world.shim("web-1", QUICK) as shim, deaf(shim) as hears:
        servers.classic.kill()
        world.limitless.execute(SETTLED, (None,))
        hears()
        eventually(lambda: shim._current.settled, "it has asked limitless")
        shim.run_write("t1", put("t1", 1, "hello"))

        current = shim._current
        assert current.now_s() >= current.settled_s + QUICK.registered_s, "another one may still reach classic"
        world.limitless.execute("UPDATE migrator.settled SET retiring_try = 1")
        with world.shim("web-2", Settings(staleness_s=600.0)) as late:
            assert late._current.known_to_all, "classic is retired after every process has confirmed"
            late.run_write("t1", put("t1", 2, "hello"))


def test_a_process_that_starts_when_it_is_over_waits_for_the_others(world: World) -> None:
    with (
        world.shim("web-1", listen=False) as shim,
        world.shim("web-2", LASTING, listen=False) as other,
        deaf(other) as hears,
    ):
        end(world, shim)
        with world.shim("web-3") as third:
            writes = [Writing(each, number) for number, each in enumerate((shim, shim, shim, third))]
            for write in writes:
                write.committed(world)
            assert all(write.is_alive() for write in writes)
            assert third.run_read("t1", get("t1", 3)) == ("limitless", "hello")
            hears()
            for write in writes:
                write.join(TIMEOUT_S)
            assert [(write.error, write.is_alive()) for write in writes] == [(None, False)] * 4


def test_control_tables_that_do_not_say_where_writes_go_are_an_error(world: World) -> None:
    with world.shim("web-1", BRIEF) as shim, deaf(shim):
        run_out(shim)
        world.classic.execute("ALTER TABLE migrator.switch RENAME TO elsewhere")
        with pytest.raises(psycopg.errors.UndefinedTable):
            shim.run_read("t1", get("t1", 1))
        world.classic.execute("ALTER TABLE migrator.elsewhere RENAME TO switch")
        assert shim.run_read("t1", get("t1", 1)) == ("classic", None)
        world.classic.execute("DELETE FROM migrator.switch")
        with pytest.raises(NotInstalled):
            shim.run_read("t1", get("t1", 1))


def test_tables_of_an_earlier_release_on_limitless_do_not_say_that_classic_is_retired(world: World) -> None:
    world.limitless.execute(SETTLED, (None,))
    world.limitless.execute("ALTER TABLE migrator.settled DROP COLUMN retiring_try")
    with Shim("host=/nonexistent", world.limitless_dsn, "web-1", settings=QUICK) as shim:
        assert (shim._current.settled, shim._current.known_to_all) == (True, False)
