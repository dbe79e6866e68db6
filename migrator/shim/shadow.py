"""Shadow reads: repeats a share of reads on the other side and compares them, off the caller's path."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.errors import MigratorError
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.clock import now_s
from migrator.shim.listener import Listener, ShadowDiffered
from migrator.shim.metrics import Metrics
from migrator.shim.pool import Pool
from migrator.shim.read import begin_on_limitless
from migrator.shim.statements import BEGIN_READ

TRIES = 3
"""Both sides are read again before a difference counts: the mirror may not have had the caller's last write."""


def digest(value: object) -> bytes:
    """Return a fingerprint of what a read returned, so that no row is kept."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Sample:
    tenant_id: TenantId
    fn: Callable[[Any], object]


class Shadow:
    """One worker thread with a short queue: what does not fit is simply not compared."""

    def __init__(
        self, run: Callable[[Side, Callable[[Any], object]], object], metrics: Metrics, listener: Listener
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._listener = listener
        self._queue: queue.Queue[_Sample | None] = queue.Queue(maxsize=8)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def offer(self, tenant_id: TenantId, fn: Callable[[Any], object]) -> None:
        """Queue a comparison of *fn* on both sides, unless the queue is full."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="migrator-shim-shadow", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(_Sample(tenant_id, fn))
        except queue.Full:
            return  # not every read need be compared

    def close(self) -> None:
        """Finish what is queued and stop."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while (sample := self._queue.get()) is not None:
            self._compare(sample)

    def _compare(self, sample: _Sample) -> None:
        same, classic_ms, limitless_ms = False, 0.0, 0.0
        for _ in range(TRIES):
            try:
                classic, classic_ms = self._ask(Side.CLASSIC, sample.fn)
                limitless, limitless_ms = self._ask(Side.LIMITLESS, sample.fn)
            except (psycopg.OperationalError, MigratorError):
                return  # a side is unreachable: nothing was compared; breakers count real reads
            except Exception:
                # The caller's function failed on the answer of one side, for example on a missing row.
                continue
            same = classic == limitless
            if same:
                break
        self._metrics.shadow(same, classic_ms, limitless_ms)
        if not same:
            self._listener.on_event(ShadowDiffered(str(sample.tenant_id)))

    def _ask(self, side: Side, fn: Callable[[Any], object]) -> tuple[bytes, float]:
        started = now_s()
        try:
            answer = digest(self._run(side, fn))
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            answer = digest(("error", error.sqlstate))  # an answer like any other: the same on both sides, or not
        return answer, (now_s() - started) * 1000


class _Shadowed:
    """Given to a shadow read in place of a Read."""

    def __init__(self, connection: psycopg.Connection[Any], side: Side) -> None:
        self.connection = connection
        self.side = side


def run_on(pool: Pool, fn: Callable[[Any], object], read_timeout_s: float) -> object:
    """Return what *fn* returns for a read on the side of *pool*, outside routes, breakers and metrics."""
    side = pool.side
    link = pool.take(BEGIN_READ if side is Side.CLASSIC else begin_on_limitless(read_timeout_s))
    try:
        return fn(_Shadowed(link.conn, side))
    finally:
        with suppress(psycopg.Error):  # a read; nothing depends on how it ends
            link.finish("ROLLBACK")
        pool.give(link, discard=side is Side.LIMITLESS)
