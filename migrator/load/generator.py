"""One process of the load generator: begins each arrival at its time, whatever became of those before it.

`python -m migrator.load.generator`; what it reads and writes is in orders.py. It ends by itself when the process that
began it has ended, so that no load goes on that is watched by no process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from migrator.errors import MigratorError
from migrator.load import session
from migrator.load.arrivals import Arrival, arrivals
from migrator.load.histogram import Histogram
from migrator.load.orders import REPORT_S, Count, Orders, window_at
from migrator.model.traffic_test import LOST

REAP_S = 0.1
CONNECTING = 16
"""Connections that are opened at once before the test begins: it is no storm."""
ENDING_S = 2.0


@dataclass(eq=False, slots=True)
class Request:
    """One transaction that is due. at_s: when it was planned, since the test's begin."""

    number: int
    turn: int
    at_s: float
    window: int
    began_s: float = 0.0


@dataclass(eq=False, slots=True)
class Slot:
    """Room for one transaction at a time, with the connection that it keeps."""

    conn: session.Connection | None = None


class Generator:
    """Runs a test's part. Times are seconds since the test began, on the monotonic clock that all processes share."""

    def __init__(self, orders: Orders, dsn: str) -> None:
        self.orders = orders
        self._dsn = dsn
        self._deck = orders.deck()
        self._free = [Slot() for _ in range(orders.connections)]
        self._pending: deque[Request] = deque()
        self._active: dict[asyncio.Task[None], tuple[Request, Slot]] = {}
        self._later: dict[int, asyncio.TimerHandle] = {}
        self._begin = 0.0
        self._counts: dict[int, Count] = {}
        self._second = {"answered": 0, "errors": 0, "slow": 0}
        self._cpu_s, self._cpu_at = time.process_time(), time.monotonic()
        self._stopping = asyncio.Event()

    def now_s(self) -> float:
        return time.monotonic() - self._begin

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def prepare(self) -> None:
        """Open the connections that are kept. Raises as `session.connect`."""
        if self.orders.storm:
            return
        room = asyncio.Semaphore(CONNECTING)

        async def one(slot: Slot) -> None:
            async with room:
                slot.conn = await self._connect()

        await asyncio.gather(*map(one, self._free))

    async def run(self, begin: float) -> None:
        """Run from *begin* on the monotonic clock to the end of the last window, and until what is due was answered."""
        self._begin = begin
        self._cpu_s, self._cpu_at = time.process_time(), time.monotonic()
        reaper = asyncio.create_task(self._reap())
        try:
            await self._dispatch()
            end_s = self.now_s() + self.orders.timeout_s
            while (self._pending or self._active or self._later) and not self._stopping.is_set():
                if self.now_s() > end_s:
                    break
                await asyncio.sleep(REAP_S / 2)
        finally:
            reaper.cancel()
            await self._end()

    def report(self) -> dict[str, Any]:
        """Return what has happened since the last report, and forget it."""
        self._count_cpu()
        counts, self._counts = self._counts, {}
        second, self._second = self._second, {"answered": 0, "errors": 0, "slow": 0}
        oldest = [self._pending[0].at_s] if self._pending else []
        oldest += [request.at_s for request, _ in self._active.values()]
        return {
            "windows": {str(number): count.to_json() for number, count in counts.items()},
            **second,
            "waiting": len(self._pending) + len(self._active),
            "oldest_s": max(self.now_s() - min(oldest), 0.0) if oldest else 0.0,
        }

    # -- arrivals ----------------------------------------------------------------------------------------------------

    def _mine(self) -> Iterator[Arrival]:
        """Yield this process's part: arrivals of sessions, of which each has several transactions."""
        orders = self.orders
        share = 1 / orders.turns
        windows = [replace(w, begin_rate=w.begin_rate * share, end_rate=w.end_rate * share) for w in orders.windows]
        for arrival in arrivals(windows, orders.pattern, orders.seed):
            if arrival.number % orders.processes == orders.process:
                yield arrival

    async def _dispatch(self) -> None:
        """Each arrival at its time. One whose time has passed is begun at once, and its lateness is counted."""
        late = 0
        for arrival in self._mine():
            if arrival.at_s <= self.now_s() and (late := late + 1) % 64 == 0:
                await asyncio.sleep(0)  # answers are taken in a backlog too
            # What was due before a stop is counted: else a slow generator would seem to have offered less.
            if not await self._until(arrival.at_s) and arrival.at_s > self.now_s():
                return
            self._plan(Request(arrival.number, 0, arrival.at_s, arrival.window))

    async def _until(self, at_s: float) -> bool:
        """Wait until *at_s*; False as soon as nothing more is to be begun. No event for each arrival: that costs more
        than a sleep."""
        while not self._stopping.is_set():
            wait_s = at_s - self.now_s()
            if wait_s <= 0:
                return True
            await asyncio.sleep(min(wait_s, REAP_S))
        return False

    def _plan(self, request: Request) -> None:
        count = self._count(request.window)
        count.arrived += 1
        count.late.add(_us(self.now_s() - request.at_s))
        self._pending.append(request)
        self._pump()

    def _pump(self) -> None:
        while self._pending and self._free and not self._stopping.is_set():
            request, slot = self._pending.popleft(), self._free.pop()  # the last one used: its caches are warm
            request.began_s = self.now_s()
            task = asyncio.create_task(self._serve(request, slot))
            self._active[task] = (request, slot)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        found = self._active.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a bug; the loop's handler ends this process
        if found is not None:  # else it was given up, and its slot has gone
            self._free.append(found[1])
            self._pump()

    # -- one transaction ---------------------------------------------------------------------------------------------

    async def _serve(self, request: Request, slot: Slot) -> None:
        orders = self.orders
        drawn = self._deck.draw(request.number, request.turn)
        transaction = orders.transactions[drawn.transaction]

        def took(number: int, seconds: float) -> None:
            name = f"{drawn.transaction}.{number}"
            self._count(request.window).statements.setdefault(name, Histogram()).add(_us(seconds))

        state: str | None
        try:
            if slot.conn is None or slot.conn.closed:
                began_s = self.now_s()
                slot.conn = await self._connect()
                self._count(request.window).connect.add(_us(self.now_s() - began_s))
            state = await session.run(
                slot.conn, transaction, drawn.values,
                timeout_s=orders.timeout_s, commit=orders.commit, now_s=time.monotonic, took=took,
            )  # fmt: skip
        except psycopg.Error as error:
            state = session.state_of(error)
        except MigratorError:  # a token or a secret that cannot be had: an application fails alike
            state = LOST
        if asyncio.current_task() not in self._active:
            return  # given up meanwhile, and counted
        self._answered(request, state)
        if orders.storm and slot.conn is not None:
            await slot.conn.close()
            slot.conn = None
        if request.turn + 1 < orders.turns:
            self._think(request)

    def _answered(self, request: Request, state: str | None) -> None:
        now_s = self.now_s()
        took_s = now_s - request.at_s
        count = self._count(request.window)
        count.latency.add(_us(took_s))
        self._second["answered"] += 1
        self._second["slow"] += took_s * 1000 > self.orders.slow_ms
        if state is None:
            here = window_at(self.orders.windows, now_s)
            self._count(here).served += 1
        else:
            count.errors[state] = count.errors.get(state, 0) + 1
            self._second["errors"] += 1

    def _think(self, request: Request) -> None:
        """Plan the session's next transaction, a pause after this one was answered."""
        chance = random.Random(f"{self.orders.seed} {request.number} {request.turn} pause")
        pause_s = chance.expovariate(1 / self.orders.think_s) if self.orders.think_s > 0 else 0.0
        at_s = self.now_s() + pause_s
        window = window_at(self.orders.windows, at_s)
        if window == len(self.orders.windows) or self._stopping.is_set():
            return  # the test is over by then
        following = Request(request.number, request.turn + 1, at_s, window)

        def due() -> None:
            del self._later[id(following)]
            self._plan(following)

        self._later[id(following)] = asyncio.get_running_loop().call_later(pause_s, due)

    async def _connect(self) -> session.Connection:
        return await session.connect(self._dsn, self.orders.side, self.orders.timeout_s)

    # -- what is not answered ----------------------------------------------------------------------------------------

    async def _reap(self) -> None:
        """Give up what has waited too long: before its turn, or for an answer that the server's timeout should have
        brought."""
        while True:
            await asyncio.sleep(REAP_S)
            now_s = self.now_s()
            while self._pending and now_s - self._pending[0].at_s > self.orders.patience_s:
                self._abandon(self._pending.popleft())
            for task, (request, _) in list(self._active.items()):
                if now_s - request.began_s > 2 * self.orders.timeout_s:
                    del self._active[task]
                    task.cancel()  # it asks the server to cancel, and may wait for that; a new slot goes on meanwhile
                    self._answered(request, LOST)
                    self._free.append(Slot())
            self._pump()

    def _abandon(self, request: Request) -> None:
        waited_s = self.now_s() - request.at_s
        count = self._count(request.window)
        count.abandoned += 1
        count.latency.add(_us(waited_s))
        self._second["answered"] += 1
        self._second["slow"] += waited_s * 1000 > self.orders.slow_ms

    async def _end(self) -> None:
        """Count what is left, end what runs on the server, close every connection."""
        for handle in self._later.values():
            handle.cancel()
        while self._pending:
            self._abandon(self._pending.popleft())
        left = list(self._active.items())
        self._active.clear()
        for task, (request, _) in left:
            if self._stopping.is_set():
                self._abandon(request)
            else:
                self._answered(request, LOST)
            task.cancel()
        if left:
            await asyncio.wait([task for task, _ in left], timeout=ENDING_S)
        for slot in self._free:
            if slot.conn is not None:
                await slot.conn.close()

    # -- counting ----------------------------------------------------------------------------------------------------

    def _count(self, window: int) -> Count:
        return self._counts.setdefault(window, Count())

    def _count_cpu(self) -> None:
        cpu_s, at = time.process_time(), time.monotonic()
        middle_s = (self._cpu_at + at) / 2 - self._begin
        if self._begin and middle_s > 0:
            used = self._count(window_at(self.orders.windows, middle_s)).cpu_s
            used[self.orders.process] = used.get(self.orders.process, 0.0) + cpu_s - self._cpu_s
        self._cpu_s, self._cpu_at = cpu_s, at


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


# -- the process ---------------------------------------------------------------------------------------------------


def _tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**30)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main() -> None:
    from migrator import settings

    # At a stop, statements that a server does not end are left to it: psycopg would tell of each on the terminal.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    broken: list[str] = []

    def fail(_: Any, context: dict[str, Any]) -> None:
        broken.append(f"{type(context.get('exception')).__name__}: {context['message']}")
        generator.stop()

    reader = await _lines()
    orders = Orders.from_json(json.loads(await reader.readline()))
    generator = Generator(orders, settings.resolve(orders.reference))
    loop.set_exception_handler(fail)
    try:
        await generator.prepare()
    except psycopg.Error as error:
        from migrator.login.refusal import refused_connection

        why, hint = refused_connection(str(error), error.sqlstate)
        _tell(refused=why, hint=hint)
        return
    _tell(ready=True)

    async def listen() -> None:
        while line := await reader.readline():
            if json.loads(line).get("stop"):
                generator.stop()
        os._exit(1)  # whoever began this process has ended; sockets close with it

    async def report() -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            _tell(**generator.report())

    begin = json.loads(await reader.readline())["begin"]
    beside = [asyncio.create_task(listen()), asyncio.create_task(report())]
    await generator.run(float(begin))
    for task in beside:
        task.cancel()
    _tell(**generator.report(), over=True, broken="; ".join(broken))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except MigratorError as error:
        _tell(refused=str(error), hint=error.hint)
    sys.stdout.flush()
    os._exit(0)  # a connection that waits for a frozen server must not keep the process
