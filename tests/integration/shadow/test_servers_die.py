"""Servers that die or freeze under a run: it ends by itself, says why, and gives what it had by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from migrator.audit.evidence.live import collect
from migrator.model.side import Side
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST
from migrator.plan.schema import Tables
from migrator.shadow import replay, stopping
from migrator.shadow.prepare import Preparer, Repeated, Scope
from migrator.shadow.replay import Pacing, Played, Replay
from tests.fixtures.postgres import Servers
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = [pytest.mark.pg, pytest.mark.once]

TABLE = "CREATE SCHEMA app; CREATE TABLE app.t (tenant_id int, id int); INSERT INTO app.t VALUES (1, 1)"
PACING = Pacing(speed=None, concurrency=2, rate_per_s=300, timeout_s=TIMEOUT_S)


def played(servers: Servers, break_it: Callable[[], None], pacing: Pacing = PACING) -> Played:
    """Repeat more than there is time for; something breaks once the first calls were answered."""
    for dsn in (servers.classic_dsn, servers.limitless_dsn):
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(TABLE)
    with psycopg.connect(servers.classic_dsn, autocommit=True) as conn:
        preparer = Preparer(collect(conn).catalog, Tables(schemas=["app"]))
    call = Call("SELECT * FROM app.t WHERE tenant_id = $1", ("1",))
    calls = [preparer.prepare(call, Scope({"1": 1}, reference=False, whole=False))] * 5000
    broken = False

    def progress(pairs: int) -> None:
        nonlocal broken
        if pairs > 10 and not broken:
            broken = True
            break_it()

    run = Replay(servers.classic_dsn, servers.limitless_dsn, ["app"], pacing)
    done = run.run([one for one in calls if isinstance(one, Repeated)], progress)
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


def test_limitless_freezes(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is stopped sends nothing, not even its timeouts: it is disconnected."""
    monkeypatch.setattr(replay, "GRACE_S", 0.2)
    monkeypatch.setattr(stopping, "LOST_THERE", 1)  # no login is tried on it, for which it would wait after the thaw
    done = played(servers, servers.limitless.freeze, replace(PACING, concurrency=1, timeout_s=3.0))
    servers.limitless.thaw()

    assert done.stopped.startswith("Limitless did not answer")
    lost = [pair.limitless.state for pair in done.pairs if pair.limitless.state]
    assert lost in ([LOST], []), "a statement, or one of the questions for the round trip"
