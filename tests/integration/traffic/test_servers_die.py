"""What a process does when Limitless or classic dies, falls silent, or comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.model.tenant import TenantId
from migrator.shim import CommittedUnconfirmed, Shim
from tests.fixtures.postgres import Servers
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import CALM, QUICK, Heard, World, body, get, put, up

pytestmark = pytest.mark.pg


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
    settings = replace(CALM, read_timeout_s=0.3)
    with Shim(world.classic_dsn, between.dsn(world.limitless_dsn), "web", heard, settings=settings) as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")

        before = heard.names().count("read.fell_back")

        def fn(r: Any) -> tuple[str, Any]:
            if str(r.side) == "limitless":
                between.stall()
            side, found = get("t1", 1)(r)
            return side, found

        assert shim.run_read("t1", fn)[0] == "classic", "silent in the middle of a read"
        assert heard.names().count("read.fell_back") == before + 1
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


def test_without_classic_reads_stop_trusting_routes(breakable: World, servers: Servers) -> None:
    world = breakable
    with world.shim(settings=QUICK) as shim:
        up(world, "t1")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        servers.classic.kill()
        eventually(lambda: not shim._current.view.valid(_now()), "the routes go stale")

        with pytest.raises(ClusterUnavailable) as caught:
            shim.run_read("t1", get("t1", 1))
        assert caught.value.side == "classic"
        with pytest.raises(ClusterUnavailable):
            shim.run_write("t1", put("t1", 1, "x"))

        servers.classic.start()
        eventually(lambda: shim._current.view.valid(_now()), "the routes are read again")
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
        eventually(lambda: shim._current.view.waits, "writes wait for the mirror")

        with pytest.raises(CommittedUnconfirmed) as caught:
            with shim.write("t1") as w:
                put("t1", 1, "hello")(w)
                original = shim._ack.wait  # type: ignore[union-attr]

                async def wait(tenant_id: TenantId, token: Any) -> None:
                    between.cut_off()
                    await original(tenant_id, token)

                shim._ack.wait = wait  # type: ignore[method-assign,union-attr]

        assert body(world, "t1", 1) == "hello"
        assert caught.value.xid


def test_without_classic_and_before_the_end_nothing_opens(world: World) -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/none"
    with pytest.raises(ClusterUnavailable) as caught:
        Shim(nowhere, world.limitless_dsn, "web").open()
    assert "secret" not in str(caught.value)
    world.classic.execute("DROP SCHEMA migrator CASCADE")
    with pytest.raises(NotInstalled):
        world.shim().open()
