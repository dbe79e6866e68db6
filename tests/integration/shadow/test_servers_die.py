"""Servers that die or freeze under a run: it ends by itself, says why, and gives what it had by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.audit.evidence.live import collect
from migrator.model.side import Side
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST, Shards
from migrator.plan.schema import Tables
from migrator.shadow import plans, replay, stopping
from migrator.shadow import run as shadow
from migrator.shadow.prepare import Preparer, Repeated, Scope
from migrator.shadow.replay import Pacing, Played, Replay
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = [pytest.mark.pg, pytest.mark.once]

TABLE = "CREATE SCHEMA app; CREATE TABLE app.t (tenant_id int, id int); INSERT INTO app.t VALUES (1, 1)"
PACING = Pacing(speed=None, concurrency=2, rate_per_s=300, timeout_s=TIMEOUT_S)


def prepared_on(servers: Servers) -> list[Repeated]:
    """The table on both sides, and a call of it as it is repeated."""
    for dsn in (servers.classic_dsn, servers.limitless_dsn):
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(TABLE)
    with psycopg.connect(servers.classic_dsn, autocommit=True) as conn:
        preparer = Preparer(collect(conn).catalog, Tables(schemas=["app"]))
    call = Call("SELECT * FROM app.t WHERE tenant_id = $1", ("1",))
    one = preparer.prepare(call, Scope({"1": 1}, reference=False, whole=False))
    return [one] if isinstance(one, Repeated) else []


def played(servers: Servers, break_it: Callable[[], None], pacing: Pacing = PACING) -> Played:
    """Repeat more than there is time for; something breaks once the first calls were answered."""
    calls = prepared_on(servers) * 5000
    broken = False

    def progress(pairs: int) -> None:
        nonlocal broken
        if pairs > 10 and not broken:
            broken = True
            break_it()

    run = Replay(servers.classic_dsn, servers.limitless_dsn, ["app"], pacing)
    done = run.run(calls, progress)
    assert broken
    return done


def test_classic_dies(servers: Servers) -> None:
    done = played(servers, servers.classic.kill)

    assert done.stopped.startswith("classic is in trouble")
    assert 10 < len(done.pairs) < 5000
    assert {pair.limitless.state for pair in done.pairs} == {""}


def test_limitless_dies(servers: Servers) -> None:
    done = played(servers, servers.limitless.kill)

    assert done.stopped.startswith("Limitless did not answer")
    assert {pair.classic.state for pair in done.pairs if pair.classic is not None} == {""}
    assert done.trips_ms[Side.CLASSIC] is not None


def test_ctrl_c_keeps_what_was_measured(servers: Servers) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    done = played(servers, interrupt)

    assert done.stopped == stopping.INTERRUPTED
    assert 10 < len(done.pairs) < 5000
    assert {pair.limitless.state for pair in done.pairs} == {""}


def test_limitless_freezes(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is stopped sends nothing, not even its timeouts: it is disconnected."""
    monkeypatch.setattr(replay, "GRACE_S", 0.2)
    monkeypatch.setattr(stopping, "LOST_THERE", 1)  # no login is tried on it, for which it would wait after the thaw
    done = played(servers, servers.limitless.freeze, replace(PACING, concurrency=1, timeout_s=3.0))
    servers.limitless.thaw()

    assert done.stopped.startswith("Limitless did not answer")
    lost = [pair.limitless.state for pair in done.pairs if pair.limitless.state]
    assert lost in ([LOST], []), "a statement, or one of the questions for the round trip"


def test_limitless_is_gone_when_it_is_asked_for_plans(servers: Servers) -> None:
    """What was measured before is not lost by it."""
    prepared = shadow.Prepared(tuple(prepared_on(servers)), Counter(), ("app",), (), "log")
    servers.limitless.kill()
    visited, notes = shadow._visited(servers.limitless_dsn, prepared)

    assert set(visited.values()) == {Shards.UNKNOWN} and len(visited) == 1
    assert len(notes) == 1 and notes[0].startswith("no plan was asked for: Limitless")
    stayed = shadow._removed(servers.limitless_dsn, prepared, shadow.Options(("1",), copies=True))
    assert len(stayed) == 1 and "still on Limitless" in stayed[0]


def test_limitless_freezes_while_it_is_asked_for_plans(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own timeouts do not come: the session is ended from here."""
    prepared = shadow.Prepared(tuple(prepared_on(servers)), Counter(), ("app",), (), "log")
    monkeypatch.setattr(shadow, "PLAN_S", 0.1)
    monkeypatch.setattr(shadow, "GRACE_S", 0.1)
    asked = plans.shards

    def freeze(*words: Any) -> Shards:
        servers.limitless.freeze()
        return asked(*words)

    monkeypatch.setattr(shadow, "shards", freeze)
    try:
        visited, notes = shadow._visited(servers.limitless_dsn, prepared)
    finally:
        servers.limitless.thaw()

    assert list(visited.values()) == [Shards.UNKNOWN]
    assert notes == ["1 plan not seen: Limitless did not answer"]
