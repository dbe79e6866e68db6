"""Two processes of an application, operators and a mirror, every statement of theirs in an order that dice choose.

The product's own code on a real classic: what the simulation in tests/unit/shim proves of the protocol, this holds the
statements to. Time passes in jumps, for everybody alike: on the processes' clocks, and in what classic remembers of
them.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from migrator.errors import MigratorError, ReadStale
from migrator.model.route import FallbackScope, Level
from migrator.shim import Session, Settings, Shim, clock
from migrator.shim.acknowledge import Acknowledgement
from migrator.shim.link import Link
from migrator.shim.watcher import Watcher
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import move
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.switch import switch
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.protocol.interleaving import Turns
from tests.integration.traffic.world import World, ids

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

STALENESS_S = 60.0
SETTINGS = Settings(staleness_s=STALENESS_S, poll_s=STALENESS_S, ack_wait_s=1.0, max_lag_s=1e6)
TENANT = "t1"
SEEDS = range(2)
MOST = 8
"""More seeds follow while some kind of read has not come up by chance."""
EACH = ("limitless", "classic", "own on limitless", "own on classic")

COUNT = "UPDATE app.note SET body = (body::int + 1)::text WHERE tenant_id = %s AND id = 1 RETURNING body::int"
LOOK = "SELECT body::int FROM app.note WHERE tenant_id = %s AND id = 1"


@dataclass
class Run:
    """What was acknowledged, and what was read."""

    world: World
    dice: random.Random
    acknowledged: int = 0
    ahead_s: float = 0.0  # of the processes' clocks
    reads: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    over: bool = False

    def now_s(self) -> float:
        return clock.now_s() + self.ahead_s

    def watch(self, shim: Shim) -> None:
        """What the watcher's thread does, when the dice say so."""
        found = shim._watcher
        assert found is not None
        while not self.over:
            step = self.dice.choice([found._refresh, found._refresh, found._settle, found._positions])
            step()

    def write(self, shim: Shim) -> None:
        with suppress(MigratorError):  # one that is committed and not confirmed in time is not acknowledged either
            with shim.write(TENANT) as w:
                row = w.connection.execute(COUNT, (TENANT,)).fetchone()
                assert row is not None
            self.acknowledged = max(self.acknowledged, int(row[0]))

    def read(self, shim: Shim) -> None:
        floor = self.acknowledged
        try:
            with shim.read(TENANT) as r:
                row = r.connection.execute(LOOK, (TENANT,)).fetchone()
        except ReadStale:
            self.reads["stale"] += 1
            return
        self.reads[str(r.side)] += 1
        number = int(row[0]) if row is not None else 0
        if number < floor:
            self.missed.append(f"saw {number} on {r.side}, {floor} was acknowledged")

    def application(self, shim: Shim, other: Shim, times: int) -> None:
        """A caller whose own session goes from one process to the other."""
        token, floor = None, 0
        for _ in range(times):
            what = self.dice.choice(["read", "read", "write", "none", "own", "own read", "own read"])
            if what in ("read", "write"):
                (self.read if what == "read" else self.write)(shim)
                continue
            session = self.dice.choice([shim, other]).session(token)
            if what == "own read":
                self.own_read(session, floor)
                continue
            with suppress(MigratorError):
                with session.write(TENANT, ack="none" if what == "none" else None) as w:
                    row = w.connection.execute(COUNT, (TENANT,)).fetchone()
                    assert row is not None
                floor = int(row[0]) if what == "own" else floor
            token = session.token
            self.own_read(self.dice.choice([shim, other]).session(token), floor)

    def own_read(self, session: Session, floor: int) -> None:
        try:
            with session.read(TENANT) as r:
                row = r.connection.execute(LOOK, (TENANT,)).fetchone()
        except ReadStale:
            return
        self.reads[f"own on {r.side}"] += 1
        number = int(row[0]) if row is not None else 0
        if number < floor:
            self.missed.append(f"saw {number} on {r.side}, its session had written {floor}")

    def operate(self, times: int) -> None:
        """Reads of the tenant go there and back, by all that bounds them."""
        with psycopg.connect(self.world.classic_dsn, autocommit=True) as conn:
            words: dict[str, Any] = {"who": "test", "reason": "test"}
            for _ in range(times):
                way = self.dice.choice(["route", "switch", "fallback", "up", "up", "up", "up", "up"])
                with suppress(MigratorError):
                    if way == "route":
                        move(conn, ids(TENANT), Level.CLASSIC, **words)
                    elif way == "switch":
                        switch(conn, Level.CLASSIC, **words)
                    elif way == "fallback":
                        raise_fallback(conn, FallbackScope.TENANT, TENANT, by="test", reason="test")
                    else:
                        for what in self.everything(conn):
                            promote_reads(conn, **what, **words, timeout_s=5.0)

    def everything(self, conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
        """What bounds the tenant's reads, as `rejoin` takes it."""
        rows = conn.execute("SELECT scope, scope_key FROM migrator.fallback").fetchall()
        fallbacks = [{"fallback": (FallbackScope(scope), key)} for scope, key in rows]
        return [{"tenants": ids(TENANT)}, {"switch": True}, *fallbacks]

    def mirror(self) -> None:
        with psycopg.connect(self.world.classic_dsn, autocommit=True) as conn:
            while not self.over:
                self.world.publish((0, 1, 2), conn)

    def pass_time(self) -> None:
        """Everybody stands still for a while: their routes grow old, and so does what classic heard of them."""
        with psycopg.connect(self.world.classic_dsn, autocommit=True) as conn:
            while not self.over:
                seconds = STALENESS_S * self.dice.choice([0.1, 0.3, 0.6, 1.2])
                if self.dice.random() < 0.9:
                    conn.execute("SELECT")
                    continue
                with conn.transaction():
                    # At one instant for everybody: no process is heard of between its clock's jump and classic's.
                    conn.execute("LOCK TABLE migrator.process IN EXCLUSIVE MODE")
                    self.ahead_s += seconds
                    conn.execute(
                        "UPDATE migrator.process SET seen_at = seen_at - make_interval(secs => %s)", (seconds,)
                    )


@contextmanager
def a_process(found: Run, name: str) -> Any:
    """A shim that has been opened, but for its threads."""
    shim = Shim(found.world.classic_dsn, found.world.limitless_dsn, name, settings=SETTINGS)
    shim._current.now_s = found.now_s
    shim._pid = os.getpid()
    shim._ack = Acknowledgement(shim._current, shim._classic, shim._listener, SETTINGS, name)
    shim._start(shim._classic.connect())
    try:
        yield shim
    finally:
        shim.close()


async def one_run(turn: Turns, found: Run) -> None:
    with a_process(found, "one") as one, a_process(found, "two") as two, ThreadPoolExecutor(12) as threads:
        left = [4]
        for shim in (one, two):
            found.read(shim)

        def in_thread(work: Callable[..., None], *args: Any) -> Callable[[], Coroutine[Any, Any, None]]:
            async def actor() -> None:
                context = contextvars.copy_context()
                try:
                    await asyncio.get_running_loop().run_in_executor(threads, lambda: context.run(work, *args))
                finally:
                    if work in (found.application, found.operate):
                        left[0] -= 1
                        found.over = left[0] == 0

            return actor

        results = await turn.run(
            {
                "one's routes": in_thread(found.watch, one),
                "two's routes": in_thread(found.watch, two),
                "one": in_thread(found.application, one, two, 24),
                "two": in_thread(found.application, two, one, 24),
                "operator": in_thread(found.operate, 4),
                "another operator": in_thread(found.operate, 4),
                "mirror": in_thread(found.mirror),
                "time": in_thread(found.pass_time),
            }
        )
    wrong = {name: result for name, result in results.items() if isinstance(result, BaseException)}
    assert wrong == {}


async def test_no_read_misses_an_acknowledged_write(
    classic_dsn: str, limitless_dsn: str, turns: Callable[[int], Turns], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: Watcher, link: Link) -> None:
        self._adopt(link)
        self._refresh()
        self._settle()

    monkeypatch.setattr(Watcher, "open", opened)
    reads: Counter[str] = Counter()
    world = World.make(classic_dsn, limitless_dsn)
    world.classic.execute("INSERT INTO app.note VALUES (%s, 1, '0')", (TENANT,))
    for seed in range(MOST):
        if seed >= len(SEEDS) and all(reads[side] for side in EACH):
            break
        found = Run(world, random.Random(seed))
        with world.mirror():
            for what in found.everything(world.classic):
                assert promote_reads(world.classic, **what, who="test", reason="test", timeout_s=TIMEOUT_S).done
        world.publish()  # the run before ended with writes that waited for no mirror
        row = world.classic.execute(LOOK, (TENANT,)).fetchone()
        found.acknowledged = int(row[0]) if row else 0
        await asyncio.wait_for(one_run(turns(seed), found), TIMEOUT_S)
        assert found.missed == [], f"seed {seed}"
        reads += found.reads
    world.close()

    assert all(reads[side] for side in EACH), f"reads came from both sides: {reads}"
