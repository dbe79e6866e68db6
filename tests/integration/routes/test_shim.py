"""One process: routes, acknowledged writes, reads that may be believed."""

from __future__ import annotations

import pytest

from migrator.model.route import Level
from migrator.route.advance import Outcome, rejoin
from tests.integration.routes.world import World, get, ids, put

pytestmark = pytest.mark.pg


def test_a_tenant_that_never_moved_reads_and_writes_classic(world: World) -> None:
    with world.shim() as shim:
        shim.run_write("t1", put("t1", 1, "hello"))

        assert shim.run_read("t1", get("t1", 1)) == ("classic", "hello")


def test_a_write_is_seen_on_limitless_as_soon_as_it_returns(world: World) -> None:
    with world.mirror(), world.shim() as shim:
        moved = rejoin(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=10)

        assert moved.outcome is Outcome.DONE
        for number in range(20):
            shim.run_write("t1", put("t1", number, "hello"))
            side, body = shim.run_read("t1", get("t1", number))
            assert body == "hello"
        assert side == "limitless"
        assert shim.run_read("u1", get("u1", 1))[0] == "classic"
        assert Level.LIMITLESS is shim._board.view.level(ids("t1")[0])
