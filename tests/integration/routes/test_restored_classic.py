"""Classic is restored from a backup while a process sleeps: what it knew belongs to a history that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.incident.rollback import roll_back
from migrator.mirror.recover import recopy
from migrator.route.advance import rejoin
from migrator.route.confirm import confirmed
from migrator.shim import Token
from migrator.shim import statements as st
from tests.fixtures.postgres import Machines
from tests.integration.routes.world import QUICK, Peer, World, eventually, get, put, up

pytestmark = pytest.mark.pg


@pytest.fixture
def restore(world: World, machines: Machines) -> Callable[[], None]:
    """Take a backup of classic's database now; the function puts it back, as a restore does."""
    name = str(conninfo.conninfo_to_dict(world.classic_dsn)["dbname"])
    current, backup = sql.Identifier(name), sql.Identifier(f"{name}_backup")

    def run(*statements: str) -> None:
        world.classic.close()
        with psycopg.connect(machines.classic_admin, autocommit=True) as admin:
            for statement in statements:
                admin.execute(sql.SQL(statement).format(current=current, backup=backup))  # type: ignore[arg-type]
        world.classic = psycopg.connect(world.classic_dsn, autocommit=True)

    run("CREATE DATABASE {backup} TEMPLATE {current}")
    return lambda: run("DROP DATABASE {current} WITH (FORCE)", "ALTER DATABASE {backup} RENAME TO {current}")


def epoch(world: World) -> int:
    row = world.classic.execute("SELECT epoch FROM migrator.switch").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("documented", [True, False], ids=["copied again", "routes changed by hand"])
def test_a_process_that_slept_through_a_restore_starts_over(
    world: World, restore: Callable[[], None], documented: bool
) -> None:
    """The new history's epochs pass those the process knew; by number alone it would notice nothing."""
    with Peer(world, "sleeper") as peer:
        up(world, "t1")
        eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        known, frozen_s = epoch(world), time.monotonic()
        peer.freeze()
        restore()
        if documented:
            assert roll_back(world.classic, all=True, who="test", reason="restored", timeout_s=10).complete
            recopy(world.classic, world.limitless, "test", "restored")
            world.classic.execute("UPDATE migrator.tenant SET state = 'mirrored'")  # the copies are not this test's
            with world.mirror():
                assert rejoin(world.classic, switch=True, who="test", reason="restored", timeout_s=10).done
        for _ in range(known):  # other tenants come and go
            world.classic.execute("UPDATE migrator.switch SET epoch = epoch + 1")
        up(world, "u1")  # in another partition; t1 never moved in this history
        # A classic that comes back sooner than that does not know who may still act on what it said before.
        eventually(lambda: time.monotonic() - frozen_s > QUICK.registered_s, "the sleeper's routes are stale")
        with world.shim("awake") as shim:
            peer.thaw()
            eventually(lambda: confirmed(world.classic, epoch(world)).confirmed == 2, "both applied this history")
            world.publish()
            eventually(lambda: peer.ask("read", "u1", 1)[0] == "limitless", "the sleeper acts on its routes again")
            eventually(lambda: not shim._board.view.owed & 2, "nobody is known to read partition 1 from limitless")
            shim.run_write("t1", put("t1", 1, "acknowledged"))  # nobody has to wait for the mirror, which stands still

            assert peer.ask("read", "t1", 1) == ["classic", "acknowledged"]


@pytest.mark.parametrize("ahead", [0, 5])
def test_an_epoch_of_another_history_confirms_nothing(world: World, ahead: int) -> None:
    """A process that wakes up first says how far it is, then reads the routes."""
    beat = {"process_id": "p", "name": "web", "registered_s": 10, "epoch": epoch(world) + ahead}
    world.classic.execute(st.HEARTBEAT, {**beat, "mark": "00000000-0000-0000-0000-000000000001"})

    found = confirmed(world.classic, epoch(world))

    assert (found.confirmed, [name.split(" ")[0] for name in found.pending]) == (0, ["web"])


def test_a_token_of_another_history_is_answered_by_classic(world: World) -> None:
    """Its transaction's number may have been given to another transaction since."""
    with world.shim() as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        with world.mirror(), shim.write("t1") as write:
            put("t1", 1, "known")(write)
        token = write.token
        assert token is not None
        world.publish()
        assert eventually(lambda: shim.run_read("t1", get("t1", 1), after=token)[0] == "limitless", "it is covered")

        for other in (Token(token.xid, token.parts, token.epoch, "another"), Token(token.xid, token.parts)):
            assert shim.run_read("t1", get("t1", 1), after=other) == ("classic", "known")
        recopy(world.classic, world.limitless, "test", "restored")

        eventually(lambda: shim.run_read("t1", get("t1", 1), after=token)[0] == "classic", "its history has ended")


def test_an_epoch_set_by_hand_is_another_history(world: World) -> None:
    """Whoever moves the number back has processes start over, not take old routes for new ones."""
    with world.shim() as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        now = epoch(world)
        with world.classic.transaction():
            world.classic.execute("UPDATE migrator.switch SET epoch = 0")
            world.classic.execute("UPDATE migrator.route SET level = 'classic', epoch = 0")
            world.classic.execute("UPDATE migrator.switch SET epoch = %s", (now,))

        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "classic", "the routes were read again")
