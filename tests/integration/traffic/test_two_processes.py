"""Two processes: what one acknowledged, the other sees, while tenants move there and back."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest

from migrator.model.route import FallbackScope, Level
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.confirm import confirmed, wait_confirmed
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import routes
from migrator.traffic.route.promote import Outcome, promote_reads
from migrator.traffic.route.tenant_hold import release
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import BRIEF_ROUTES, CALM, Peer, World, Writing, body, expire, get, ids, put

pytestmark = pytest.mark.pg


def test_a_change_is_confirmed_by_every_process(world: World) -> None:
    with world.shim("web-1") as shim, Peer(world, "web-2") as peer, world.mirror():
        found = promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S)
        assert found.outcome is Outcome.DONE

        done = wait_confirmed(world.classic, found.epoch, TIMEOUT_S)

        assert (done.processes, done.confirmed, done.expired, done.pending) == (2, 2, 0, [])
        assert shim.run_read("t1", get("t1", 1))[0] == "limitless"
        assert peer.ask("read", "t1", 1)[0] == "limitless"


def test_a_process_that_left_is_not_waited_for(world: World) -> None:
    with world.shim("web-1"):
        with world.shim("web-2"):
            assert confirmed(world.classic, 0).processes == 2

        assert confirmed(world.classic, 0).processes == 1
    assert confirmed(world.classic, 0).processes == 0


def test_reads_do_not_move_up_while_a_process_may_still_acknowledge_early(world: World) -> None:
    """A frozen process has not applied JOINING; until its staleness limit ran out, nobody reads Limitless."""
    with world.shim("web-1"), Peer(world, "web-2") as peer, world.mirror():
        peer.freeze()

        def pending() -> list[str]:
            """Who it waited for in vain; web-1 may need some time, too."""
            found = promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=0.3)
            assert found.outcome is Outcome.UNCONFIRMED
            return [name.split(" ")[0] for name in found.confirmation.pending]

        eventually(lambda: pending() == ["web-2"], "it waits for nobody else")
        assert routes(world.classic)[0].level is Level.JOINING

        expire(world, "web-2")
        again = promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S)
        assert again.outcome is Outcome.DONE
        assert again.confirmation.expired == 1


def test_a_process_frozen_beyond_its_staleness_discards_the_read_it_was_in(world: World) -> None:
    """Routes change and a write is acknowledged without the mirror while the process sleeps inside a read."""
    with world.shim("web-1") as shim, Peer(world, "web-2", BRIEF_ROUTES) as peer:

        def reading() -> bool:
            """Whether it reads from limitless; it does not where it was held up until its routes had run out."""
            side = peer.ask("begin_read", "t1")
            if side != "limitless":
                peer.ask("end_read", "t1", 1)
            return bool(side == "limitless")

        with world.mirror():
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
            eventually(reading, "the peer reads from limitless")
        peer.freeze()

        result = roll_back(world.classic, all=True, who="test", reason="test", timeout_s=TIMEOUT_S)
        assert result.complete
        assert result.expired == 1
        shim.run_write("t1", put("t1", 1, "after the rollback"))  # the mirror stands still: Limitless misses it
        peer.thaw()

        assert peer.ask("end_read", "t1", 1) == {"error": "ReadStale"}
        assert peer.ask("read", "t1", 1) == ["classic", "after the rollback"]


def test_a_read_under_way_is_discarded_when_its_tenant_is_rolled_back(world: World) -> None:
    with world.shim("web-1") as shim, Peer(world, "web-2") as peer:
        with world.mirror():
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
            eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        assert peer.ask("begin_read", "t1") == "limitless"

        assert (
            roll_back(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).confirmed == 2
        )
        shim.run_write("t1", put("t1", 1, "after the rollback"))

        assert peer.ask("end_read", "t1", 1) == {"error": "ReadStale"}


def test_a_write_still_waits_while_another_process_may_read_under_the_old_routes(world: World) -> None:
    """Going down is not done when this process knows of it."""
    with Peer(world, "web-2") as peer, world.shim("web-1", replace(CALM, ack_wait_s=0.4)) as shim:
        with world.mirror():
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
            eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        peer.freeze()
        epoch = raise_fallback(world.classic, FallbackScope.TENANT, "t1", by="test", reason="test")
        eventually(lambda: shim._current.view.epoch >= epoch, "web-1 applied the fallback")
        assert not confirmed(world.classic, epoch).complete

        write = Writing(shim, 1)
        eventually(lambda: body(world, "t1", 1), "it is committed")
        eventually(lambda: shim._current.waiting or not write.is_alive(), "it waits")
        assert write.is_alive() and not confirmed(world.classic, epoch).complete
        expire(world, "web-2")
        write.join(TIMEOUT_S)

        assert (write.error, write.is_alive()) == (None, False)
        assert confirmed(world.classic, epoch).complete, "acknowledged only when the frozen process had expired"


def test_every_process_sees_acknowledged_writes_while_reads_move_there_and_back(world: World) -> None:
    """Cutovers, rollbacks, switches and fallbacks under load; each write is read back by the other process at once."""
    missed: list[object] = []
    errors: list[BaseException] = []
    sides: set[str] = set()
    stop = threading.Event()

    with world.shim("web-1") as one, world.shim("web-2") as two, Peer(world, "web-3") as peer, world.mirror():
        asking = threading.Lock()

        def load(tenant: str, writer: object, reader: object) -> None:
            try:
                for number in itertools.count():
                    if stop.is_set():
                        return
                    body = f"{tenant}-{number}"
                    writer.run_write(tenant, put(tenant, number % 7, body))  # type: ignore[attr-defined]
                    if number % 3 == 0:
                        with asking:
                            side, found = peer.ask("read", tenant, number % 7)
                    else:
                        side, found = reader.run_read(tenant, get(tenant, number % 7))  # type: ignore[attr-defined]
                    sides.add(side)
                    if found != body:
                        missed.append((tenant, number, side, found))
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=load, args=("t1", one, two)),
            threading.Thread(target=load, args=("t2", two, one)),
            threading.Thread(target=load, args=("u1", one, two)),
        ]
        for thread in threads:
            thread.start()
        conn = world.classic
        everybody = ids("t1", "t2", "u1")
        for turn in range(3):
            assert promote_reads(conn, tenants=everybody, pct=100 if turn else 50, who="test", reason=f"up {turn}").done
            if turn:  # the changes below may come faster than the next read
                eventually(lambda: "limitless" in sides or bool(errors), "a read comes from Limitless")
            epoch = raise_fallback(conn, FallbackScope.PART, "1", by="test", reason="test")
            assert wait_confirmed(conn, epoch, TIMEOUT_S).complete
            assert promote_reads(conn, fallback=(FallbackScope.PART, "1"), who="test", reason="test").done
            assert roll_back(conn, all=True, who="test", reason=f"back {turn}").complete
            assert promote_reads(conn, switch=True, who="test", reason="test").done
            assert roll_back(conn, tenants=everybody, who="test", reason=f"back {turn}").complete
            assert release(conn, everybody, who="test", reason="test") == everybody
        stop.set()
        for thread in threads:
            thread.join()

    assert not errors
    assert not missed
    assert sides == {"classic", "limitless"}
