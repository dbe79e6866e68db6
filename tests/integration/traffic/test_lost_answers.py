"""What a process, and an operator, learn when the answer to a COMMIT is lost."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from migrator.errors import ClusterUnavailable, CommitUnknown
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.shim import Shim
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.move import move, routes
from tests.fixtures.proxy import MakeProxy
from tests.integration.traffic.world import QUICK, World, body, put, up

pytestmark = pytest.mark.pg

T1 = TenantId("t1")


def test_a_lost_answer_to_commit_is_said_and_never_repeated(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    calls = 0

    def fn(w: Any) -> None:
        nonlocal calls
        calls += 1
        put("t1", 1, "hello")(w)
        between.faults.lose_reply_to = b"COMMIT;"  # not READ COMMITTED, which the watcher says

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
