"""A shim and what happens around it, the same for the real one and for those that applications test with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

import psycopg

from migrator.local.proxy import Proxy
from migrator.shim import Event, Shim
from migrator.testing import Asked, Level, MemoryShim, Side, WriteMode
from migrator.traffic.route.move import move
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.test_closed_writes import SETTLED
from tests.integration.traffic.world import APP, CALM, Heard, World, ids

# What tests wait for comes soon enough; what they do not wait for, not before they have looked.
SETTINGS = replace(CALM, closed_wait_s=0.5, ack_wait_s=3.0, staleness_s=5.0)
DEADLOCK = "DO $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$"
ODD = (
    "CREATE FUNCTION app.odd() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'denied' USING ERRCODE = '42501'; END $$"
)
FINE = "CREATE FUNCTION app.odd() RETURNS text LANGUAGE sql AS $$ SELECT 'fine' $$"


class Bench(Protocol):
    """A shim, and what happens around it."""

    shim: Shim

    @property
    def events(self) -> list[Event]: ...
    def move(self, tenant: str, level: Level) -> None: ...
    def write_mode(self, mode: WriteMode) -> None: ...
    def stall_mirror(self) -> None: ...
    def run_mirror(self) -> None: ...
    def lose(self, side: Side) -> None: ...
    def restore(self, side: Side) -> None: ...
    def lose_commit(self) -> None: ...
    def odd(self, *sides: Side) -> None:
        """Make app.odd() an error on *sides*, and fine on others."""

    def pass_time(self, seconds: float) -> None: ...
    def later(self, fn: Callable[[], None]) -> None:
        """Run *fn* once something waits."""


class Real:
    """Two servers, the tool's tables, a mirror; networks that can be cut."""

    def __init__(self, world: World, proxy: MakeProxy, cleanup: ExitStack) -> None:
        self._world = world
        self._heard = Heard()
        self._cleanup = cleanup
        self._proxies: dict[Side, Proxy] = {
            Side.CLASSIC: proxy(world.classic_dsn),
            Side.LIMITLESS: proxy(world.limitless_dsn),
        }
        dsns = (
            self._proxies[Side.CLASSIC].dsn(world.classic_dsn),
            self._proxies[Side.LIMITLESS].dsn(world.limitless_dsn),
        )
        self._mirror = ExitStack()
        cleanup.callback(lambda: self._mirror.close())
        self.run_mirror()
        self.shim = Shim(*dsns, "web", self._heard, pool_size=2, settings=SETTINGS)

    @property
    def events(self) -> list[Event]:
        return self._heard.events

    def move(self, tenant: str, level: Level) -> None:
        if level is Level.LIMITLESS:
            assert promote_reads(
                self._world.classic, tenants=ids(tenant), who="test", reason="test", timeout_s=TIMEOUT_S
            ).done
        else:
            move(self._world.classic, ids(tenant), level, who="test", reason="test")
        eventually(lambda: self.shim._current.view.level(ids(tenant)[0]) is level, "the process knows")

    def write_mode(self, mode: WriteMode) -> None:
        if mode is WriteMode.LIMITLESS_ONLY:
            write_mode(self._world.classic, WriteMode.CLOSED, who="test", reason="test")
            self._world.publish()
            self._mirror.close()
            self._world.limitless.execute(SETTLED)
        write_mode(self._world.classic, mode, who="test", reason="test")
        eventually(lambda: self.shim._current.view.write_mode is mode, "the process knows")

    def stall_mirror(self) -> None:
        self._mirror.close()

    def run_mirror(self) -> None:
        self._mirror.enter_context(self._world.mirror())

    def lose(self, side: Side) -> None:
        self._proxies[side].cut_off()

    def restore(self, side: Side) -> None:
        self._proxies[side].clear_faults()

    def lose_commit(self) -> None:
        self._proxies[Side.CLASSIC].lose_reply_to(b"COMMIT;")  # not READ COMMITTED, which the watcher says

    def odd(self, *sides: Side) -> None:
        for side, conn in ((Side.CLASSIC, self._world.classic), (Side.LIMITLESS, self._world.limitless)):
            conn.execute((ODD if side in sides else FINE).encode())

    def pass_time(self, seconds: float) -> None:
        pass  # it does by itself; tests wait for what follows

    def later(self, fn: Callable[[], None]) -> None:
        def run() -> None:
            eventually(lambda: self.shim._current.waiting, "something waits")
            fn()

        thread = threading.Thread(target=run)
        thread.start()
        self._cleanup.callback(thread.join)


class Fake:
    """What applications get."""

    def __init__(self, shim: MemoryShim, *databases: str) -> None:
        self.shim: Shim = shim
        self._memory = shim
        self._databases = databases
        self._odd: tuple[Side, ...] = ()

    @classmethod
    def without_server(cls) -> Fake:
        shim = MemoryShim(lambda asked: bench._answers(asked), {}, pool_size=2, settings=SETTINGS)
        bench = cls(shim)
        return bench

    @classmethod
    def on_postgresql(cls, *databases: str) -> Fake:
        for dsn in databases:
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(APP)
        limitless = databases[1] if len(databases) > 1 else ""
        shim = MemoryShim(classic=databases[0], limitless=limitless, pool_size=2, settings=SETTINGS)
        return cls(shim, *databases)

    def _answers(self, asked: Asked) -> Any:
        """app.note and app.odd() without a server."""
        if asked.text == DEADLOCK:
            raise psycopg.errors.DeadlockDetected("deadlock")
        if "app.odd()" in asked.text:
            if asked.side in self._odd:
                raise psycopg.errors.InsufficientPrivilege("denied")
            return [("fine",)]
        if asked.text.startswith("INSERT"):
            *key, body = asked.params
            if tuple(key) in asked.state and "ON CONFLICT" not in asked.text:
                raise psycopg.errors.UniqueViolation("duplicate key value violates unique constraint")
            asked.state[tuple(key)] = body
            return 1
        found = asked.state.get(tuple(asked.params or ()))
        return [] if found is None else [(found,)]

    @property
    def events(self) -> list[Event]:
        return self._memory.heard.events

    def move(self, tenant: str, level: Level) -> None:
        self._memory.move(tenant, level)

    def write_mode(self, mode: WriteMode) -> None:
        self._memory.write_mode(mode)

    def stall_mirror(self) -> None:
        self._memory.stall_mirror()

    def run_mirror(self) -> None:
        self._memory.run_mirror()

    def lose(self, side: Side) -> None:
        self._memory.lose(side)

    def restore(self, side: Side) -> None:
        self._memory.restore(side)

    def lose_commit(self) -> None:
        self._memory.lose_commit(committed=True)

    def odd(self, *sides: Side) -> None:
        self._odd = sides
        for side, dsn in zip(Side, self._databases, strict=False):
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute((ODD if side in sides else FINE).encode())

    def pass_time(self, seconds: float) -> None:
        self._memory.clock.advance(seconds)

    def later(self, fn: Callable[[], None]) -> None:
        self._memory.clock.call_later(0.1, fn)
