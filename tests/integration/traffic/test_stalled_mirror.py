"""What a process does when the mirror stands still."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from migrator.traffic.route.confirm import confirmed
from tests.fixtures.waiting import eventually
from tests.integration.traffic.world import CALM, Heard, World, get, put, up

pytestmark = pytest.mark.pg

BRIEF = replace(CALM, ack_wait_s=0.4)
"""A write does not wait for its mirror for long."""


def test_a_write_whose_mirror_stands_still_returns_after_a_confirmed_fallback(world: World) -> None:
    heard = Heard()
    with world.shim("web-1", BRIEF, listener=heard) as shim, world.shim("web-2", BRIEF) as other:
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
    with world.shim("web-1", BRIEF) as shim, world.shim("web-2", BRIEF) as other:
        up(world, "t1")
        eventually(lambda: other._current.view.waits, "web-2 waits for the mirror")
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
    with world.shim(settings=BRIEF) as shim:
        up(world, "u1")

        def touch_reference(w: Any) -> None:
            w.connection.execute("INSERT INTO app.note VALUES ('r', 1, 'x')")
            w.connection.execute("SELECT set_config('migrator.parts', '1', true)")

        shim.run_write("t1", touch_reference)

        assert world.classic.execute("SELECT scope, scope_key FROM migrator.fallback").fetchall() == [("part", "0")]
        assert shim.run_read("u1", get("u1", 1))[0] == "classic"


def test_a_stale_partition_is_not_read(world: World) -> None:
    with world.shim(settings=replace(CALM, max_lag_s=0.2)) as shim:
        up(world, "t1")

        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "classic", "the position is too old")

        def read_after_a_publication() -> bool:
            world.publish()  # each time: it is fresh for 0.2 s, which a busy machine lets pass
            side: str = shim.run_read("t1", get("t1", 1))[0]
            return side == "limitless"

        eventually(read_after_a_publication, "the position is fresh again")
