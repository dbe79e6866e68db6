"""Everything at once on one shop: traffic with a ledger, mirrors, a copy, validation, routes moved, the monitor.

Each runs in a thread of its own and is started again when it fails, as its supervisor would. The ledger and the
comparison are independent of the product.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from migrator.consistency.run import validate
from migrator.db.connect import connect
from migrator.errors import MigratorError
from migrator.model.route import Level, WriteMode
from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.traffic.breaker.monitor import MonitorSettings, pass_once
from migrator.traffic.incident.rollback import RollbackResult, roll_back
from migrator.traffic.route.move import move
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.shop import Shop
from tests.fixtures.world import PARTS

TENANTS = 12
EXPECTED = (MigratorError, psycopg.Error, OSError, TimeoutError)
QUICK = Settings(staleness_s=2.0, poll_s=0.2, ack_wait_s=2.0, max_lag_s=4.0, read_timeout_s=1.5, open_s=0.5)
"""Bounds that a busy machine of two cores keeps while nothing is wrong."""


@dataclass
class Ledger:
    """What was acknowledged, what was read, and when; each row has one writer, each value is larger than the last."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    perhaps: dict[int, int] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    write_times: list[float] = field(default_factory=list)
    read_times: list[float] = field(default_factory=list)
    read_sides: dict[str, int] = field(default_factory=dict)

    def failed(self, error: Exception) -> None:
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1


def longest_gap(times: list[float], since: float, until: float) -> float:
    """Return the longest time without a success between two moments."""
    inside = [since, *sorted(t for t in times if since <= t <= until), until]
    return max(b - a for a, b in itertools.pairwise(inside))


def tenant_of(row: int) -> int:
    return 1 + row % TENANTS


class Town:
    """See the module."""

    def __init__(self, shop: Shop, shim_classic: str | None = None, shim_limitless: str | None = None) -> None:
        self.shop = shop
        self.ledger = Ledger()
        self.divergent = 0
        self.validations = 0
        self.moves = 0
        self.rolled_back: RollbackResult | None = None
        self.bugs: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._shims = [
            Shim(shim_classic or shop.classic_dsn, shim_limitless or shop.limitless_dsn, f"web-{n}", settings=QUICK)
            for n in (1, 2)
        ]

    # -- before

    async def settle(self) -> list[str]:
        """Capture on, all but one copy unit copied and their tenants on Limitless; returns the unit that is left."""
        await self.shop.start()
        async with self.shop.mirrors():
            units = await asyncio.to_thread(self.shop.units, unit_tenants=3)
            for unit in units[:-1]:
                await self.shop.copy(unit)
            await self.shop.caught_up()
        write_mode(self.shop.classic, WriteMode.DUAL, who="test", reason="test")
        return units[-1:]

    # -- the parts

    def mirrors(self) -> None:
        async def run() -> None:
            tasks = [self.shop.mirror(part) for part in range(PARTS + 1)]
            while not self._stop.is_set():
                await asyncio.sleep(0.05)  # how often a supervisor looks, as one does in production
                for number, task in enumerate(tasks):
                    if task.done():  # its supervisor starts it again
                        self._note(task.exception())
                        tasks[number] = self.shop.mirror(number)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(run())

    def monitor(self) -> None:
        settings = MonitorSettings(open_s=0.5, validate_before_close=False, fresh_s=2.0, probe_s=1.0)
        while not self._stop.wait(0.5):
            with contextlib.suppress(*EXPECTED), connect(self.shop.classic_dsn, "monitor", connect_timeout_s=2) as conn:
                while not self._stop.wait(0.3):
                    pass_once(conn, self.shop.limitless_dsn, settings, datetime.now(UTC))

    def validator(self) -> None:
        while not self._stop.wait(1.0):
            with contextlib.suppress(*EXPECTED):
                found = asyncio.run(validate(self.shop.classic_dsn, self.shop.limitless_dsn, timeout_s=5))
                self.divergent += found.divergent_rows
                self.validations += 1

    def copier(self, units: list[str]) -> None:
        """Copy what is left, again and again until it has joined, slowly enough to be hit."""
        while not self._stop.wait(0.3):
            for unit in units:
                with contextlib.suppress(*EXPECTED):
                    asyncio.run(self.shop.copy(unit))

    def mover(self) -> None:
        """Cutover of tenants, there and back."""
        while not self._stop.wait(0.2):
            with contextlib.suppress(*EXPECTED), connect(self.shop.classic_dsn, "mover", connect_timeout_s=2) as conn:
                while not self._stop.wait(1.0):
                    rows = conn.execute("SELECT tenant_id FROM migrator.tenant WHERE state = 'mirrored'").fetchall()
                    some = [TenantId(t) for (t,) in random.sample(rows, min(3, len(rows)))]
                    move(conn, some, Level.CLASSIC, who="mover", reason="there and back")
                    everybody = [TenantId(t) for (t,) in rows]
                    self.moves += promote_reads(conn, tenants=everybody, who="mover", reason="wave", timeout_s=5).done

    def writer(self, number: int) -> None:
        shim, r, value = self._shims[number % 2], random.Random(number), 0
        while not self._stop.wait(0.05):
            row = 10_000 + number * 100 + r.randrange(20)
            value += 1
            try:
                shim.run_write(str(tenant_of(row)), put(row, value))
            except EXPECTED as error:
                self.ledger.failed(error)
                self.ledger.perhaps[row] = value
            else:
                with self._lock:
                    self.ledger.acknowledged[row] = value
                self.ledger.write_times.append(time.monotonic())

    def reader(self, number: int) -> None:
        shim, r = self._shims[number % 2], random.Random(number)
        while not self._stop.wait(0.03):
            with self._lock:
                known = list(self.ledger.acknowledged.items())
            if not known:
                continue
            row, least = r.choice(known)
            try:
                side, value = shim.run_read(str(tenant_of(row)), get(row))
            except EXPECTED as error:
                self.ledger.failed(error)
                continue
            self.ledger.read_times.append(time.monotonic())
            self.ledger.read_sides[side] = self.ledger.read_sides.get(side, 0) + 1
            if value is None or value < least:
                self.ledger.stale.append(f"row {row} on {side}: read {value}, acknowledged {least}")

    def roll_back(self) -> RollbackResult:
        with connect(self.shop.classic_dsn, "operator", connect_timeout_s=2) as conn:
            return roll_back(conn, all=True, who="operator", reason="3 a.m.", timeout_s=10)

    def forward(self) -> bool:
        """Take the rollback back, once the mirrors have caught up."""
        with contextlib.suppress(*EXPECTED), connect(self.shop.classic_dsn, "operator", connect_timeout_s=2) as conn:
            return bool(promote_reads(conn, switch=True, who="operator", reason="mended", timeout_s=5).done)
        return False

    @contextmanager
    def open(self, units: list[str]) -> Iterator[Town]:
        """Everything runs until left."""
        jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self.mirrors, ()), (self.monitor, ()), (self.validator, ()), (self.mover, ()), (self.copier, (units,)),
            *((self.writer, (n,)) for n in range(3)), *((self.reader, (n,)) for n in range(3)),
        ]  # fmt: skip
        threads = [threading.Thread(target=self._guard, args=job, name=job[0].__name__) for job in jobs]
        for shim in self._shims:
            shim.open()
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(90)
            for shim in self._shims:
                shim.close()
            self.bugs += [f"{t.name} hangs" for t in threads if t.is_alive()]

    def _guard(self, job: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            job(*args)
        except Exception as error:
            self.bugs.append(f"{job.__name__}: {type(error).__name__}: {error}")

    def _note(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, EXPECTED):
            self.bugs.append(f"mirror: {type(error).__name__}: {error}")

    # -- afterwards

    def lost(self) -> list[str]:
        """Acknowledged writes that are not on Limitless, by SQL of our own on a new connection."""
        with psycopg.connect(self.shop.limitless_dsn) as conn:
            there: dict[int, int] = dict(
                conn.execute("SELECT id, total::int FROM shop.purchase WHERE id >= 10000").fetchall()
            )
        return [
            f"row {row}: acknowledged {value}, there {there.get(row)}"
            for row, value in self.ledger.acknowledged.items()
            if there.get(row) is None
            or (there[row] != value and not value < there[row] <= self.ledger.perhaps.get(row, 0))
        ]


def put(row: int, value: int) -> Callable[[Any], None]:
    def fn(w: Any) -> None:
        w.connection.execute(
            "INSERT INTO shop.purchase (id, tenant_id, total) VALUES (%s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET total = EXCLUDED.total",
            (row, tenant_of(row), value),
        )

    return fn


def get(row: int) -> Callable[[Any], tuple[str, int | None]]:
    def fn(r: Any) -> tuple[str, int | None]:
        found = r.connection.execute(
            "SELECT total::int FROM shop.purchase WHERE tenant_id = %s AND id = %s", (tenant_of(row), row)
        ).fetchone()
        return str(r.side), found and found[0]

    return fn
