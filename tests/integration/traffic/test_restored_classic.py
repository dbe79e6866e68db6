"""Classic is restored from a backup while a process sleeps: what it knew belongs to a history that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.dataplane.recovery import recopy
from migrator.model.route import FallbackScope
from migrator.shim import Token
from migrator.shim import statements as st
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.promote import Promoted, promote_reads
from tests.fixtures.postgres import Machines
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import BRIEF_ROUTES, CALM, QUICK, Peer, World, get, put, up

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
                admin.execute(sql.SQL(statement).format(current=current, backup=backup))
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
    with Peer(world, "sleeper", BRIEF_ROUTES) as peer:
        up(world, "t1")
        eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        known, frozen_s = epoch(world), time.monotonic()
        peer.freeze()
        restore()
        if documented:
            assert roll_back(world.classic, all=True, who="test", reason="restored", timeout_s=TIMEOUT_S).complete
            recopy(world.classic, world.limitless, "test", "restored")
            world.classic.execute("UPDATE migrator.tenant SET state = 'mirrored'")  # the copies are not this test's
            with world.mirror():
                assert promote_reads(
                    world.classic, switch=True, who="test", reason="restored", timeout_s=TIMEOUT_S
                ).done
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
            eventually(lambda: not shim._current.view.owed & 2, "nobody is known to read partition 1 from limitless")
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


def copied_again(world: World, *tenants: str) -> None:
    world.classic.execute("UPDATE migrator.tenant SET state = 'mirrored' WHERE tenant_id = ANY (%s)", (list(tenants),))


def test_nobody_goes_forward_before_everybody_is_copied_again(world: World) -> None:
    """Positions move on without the tenants that wait for their copy, and say nothing about those."""

    def forward() -> Promoted:
        return promote_reads(world.classic, switch=True, who="test", reason="forward", timeout_s=TIMEOUT_S)

    with world.shim() as shim, world.mirror():
        for tenant in ("t1", "u1"):
            shim.run_write(tenant, put(tenant, 1, "as it is"))
            up(world, tenant)
        assert roll_back(world.classic, all=True, who="test", reason="restored", timeout_s=TIMEOUT_S).complete
        recopy(world.classic, world.limitless, "test", "restored")

        for waiting in (("t1", "u1"), ("u1",)):  # t2 is on classic anyway
            refused = forward()
            assert not refused.done
            assert all(f"tenant {tenant}" in refused.detail for tenant in waiting), refused.detail
            assert shim.run_read("t1", get("t1", 1)) == ("classic", "as it is")
            copied_again(world, "t1")
        copied_again(world, "u1")
        assert forward().done
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads go back")


@pytest.mark.parametrize("units", [[(True, "joined")], [(True, "joined"), (False, "copying")]], ids=["none", "one"])
def test_nobody_goes_forward_before_the_reference_tables_are_copied_again(
    world: World, units: list[tuple[bool, str]]
) -> None:
    """They have no tenant and no route, and everybody reads them."""
    with world.mirror():
        up(world, "t1")
        assert roll_back(world.classic, all=True, who="test", reason="restored", timeout_s=TIMEOUT_S).complete
        for superseded, state in units:
            world.classic.execute(
                "INSERT INTO migrator.copy_unit (unit_id, part, tenants, superseded, state)"
                " VALUES (%s, 0, '{}', %s, %s)",
                (state, superseded, state),
            )
        assert "the reference tables" in promote_reads(world.classic, switch=True, who="test", reason="forward").detail

        world.classic.execute("UPDATE migrator.copy_unit SET superseded = false, state = 'joined'")
        assert promote_reads(world.classic, switch=True, who="test", reason="forward").done


def test_a_fallback_stays_while_a_tenant_under_it_is_copied_again(world: World) -> None:
    """Whoever wants it away, the monitor or a person; a tenant that has one of its own holds nobody else up."""
    part, own = (FallbackScope.PART, "1"), (FallbackScope.TENANT, "t1")

    def lift(fallback: tuple[FallbackScope, str]) -> Promoted:
        return promote_reads(world.classic, fallback=fallback, who="test", reason="well again", timeout_s=TIMEOUT_S)

    with world.mirror():
        for tenant in ("t1", "t2"):
            up(world, tenant)
        raise_fallback(world.classic, *part, by="test", reason="a trigger was disabled")
        world.classic.execute("UPDATE migrator.tenant SET state = 'pending' WHERE tenant_id = 't1'")
        assert "tenant t1" in lift(part).detail

        raise_fallback(world.classic, *own, by="test", reason="quarantined")
        assert lift(part).done
        assert "tenant t1" in lift(own).detail
        copied_again(world, "t1")
        assert lift(own).done


OF_A_LATER_VERSION = """
DROP FUNCTION migrator.before_commit(text);
DROP FUNCTION migrator.take_replicas_out() CASCADE;
DROP TABLE migrator.replica, migrator.replica_reach;
"""


def test_a_classic_that_was_restored_to_before_an_upgrade_is_read_and_written(world: World) -> None:
    """A process that was started behind the upgrade goes on, as one of that release that starts now."""
    with world.shim("web", readers=[world.classic_dsn]) as shim:
        shim.run_write("t1", put("t1", 1, "behind the upgrade"))
        world.classic.execute(OF_A_LATER_VERSION)
        looks = shim._current.looks
        eventually(lambda: shim._current.looks > looks + 2, "routes are read")

        shim.run_write("t1", put("t1", 1, "before it"))

        asked_s = shim._current.now_s()
        eventually(lambda: shim._current.view.valid(asked_s + CALM.staleness_s), "routes are still renewed")
        assert shim.run_read("t1", get("t1", 1)) == ("classic", "before it")
        assert world.classic.execute("SELECT count(*) FROM migrator.process").fetchone() == (1,)
