"""One process of the application's traffic.

Run as `python -m migrator.rehearse.traffic FILE`. It knows nothing of the migration: every statement
goes through the public shim. Its threads write disjoint rows, keep a ledger of what was acknowledged, and read their
process's rows back. It runs until SIGTERM; SIGUSR1 pauses it between two operations (noted in a
file), SIGUSR2 lets it go on; SIGHUP makes it the application's new release, which uses what a deployment brought.

FILE is JSON without secrets; the connection strings come from MIGRATOR_CLASSIC_DSN and MIGRATOR_LIMITLESS_DSN.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrator.rehearse.expectations import Memory
from migrator.rehearse.holdings import Tenant
from migrator.rehearse.ledger import LedgerWriter
from migrator.rehearse.shopper import Shopper
from migrator.shim import Event, Shim


@dataclass(frozen=True, slots=True)
class TrafficConfig:
    """One traffic process.

    Attributes:
        index: of this process among *processes*; rows are dealt to their writers by it.
        threads: that write; as many others read.
        tenants: tenant id and how often it is chosen.
        ledger: file to append to.
        paused: file that exists while the process is paused.
    """

    name: str
    index: int
    processes: int
    threads: int
    writes_per_s: float
    reads_per_s: float
    seed: int
    tenants: list[tuple[int, float]]
    ledger: str
    paused: str


class Reporter:
    """Writes the shim's events into the ledger."""

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger

    def on_event(self, event: Event) -> None:
        if event.level >= logging.INFO:
            self._ledger.note(event.name, str(event))


class Gate:
    """Pauses all threads between two operations."""

    def __init__(self, threads: int) -> None:
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._threads = threads
        self._waiting = 0
        self.all_wait = threading.Event()

    def close(self) -> None:
        self.all_wait.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        """Wait while the gate is closed."""
        if self._open.is_set():
            return
        with self._lock:
            self._waiting += 1
            if self._waiting == self._threads:
                self.all_wait.set()
        self._open.wait()
        with self._lock:
            self._waiting -= 1


def pace(action: Callable[[], None], gate: Gate, stop: threading.Event, every_s: float) -> None:
    """Act at a steady rate until *stop*; turns missed during a wait are skipped."""
    due = time.monotonic() + random.random() * every_s
    while not stop.wait(max(0.0, due - time.monotonic())):
        gate.pass_through()
        action()
        due = max(due + every_s, time.monotonic())


def run(config: TrafficConfig, classic: str, limitless: str, readers: Sequence[str] = ()) -> None:
    """Drive traffic until SIGTERM or SIGINT."""
    ledger = LedgerWriter(Path(config.ledger), config.name)
    memory = Memory()
    writers = config.processes * config.threads
    stop, gate = threading.Event(), Gate(2 * config.threads)
    commands: list[int] = []
    wake = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        commands.append(number)
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, on_signal)

    listener = Reporter(ledger)
    with Shim(classic=classic, limitless=limitless, name=config.name, readers=readers, listener=listener) as shim:
        threads, shoppers = [], []
        for i in range(config.threads):
            writer = config.index * config.threads + i
            tenants = [Tenant(tenant_id, weight) for tenant_id, weight in config.tenants]
            shopper = Shopper(shim, ledger, memory, tenants, writer, writers, config.seed)
            shoppers.append(shopper)
            # Half of the writes are read back by their own thread; the rest of the reads do not wait for writes.
            reads_per_s = max(config.reads_per_s - config.writes_per_s / 2, 1)
            for action, rate in ((shopper.write_once, config.writes_per_s), (shopper.read_once, reads_per_s)):
                job = (action, gate, stop, writers / rate)
                threads.append(threading.Thread(target=pace, args=job, name=f"{config.name}/{i}/{action.__name__}"))
        for thread in threads:
            thread.start()
        _obey(commands, wake, gate, Path(config.paused), threads, shoppers)
        stop.set()
        gate.open()
        for thread in threads:
            thread.join()
    ledger.close()


def _obey(
    commands: list[int],
    wake: threading.Event,
    gate: Gate,
    paused: Path,
    threads: list[threading.Thread],
    shoppers: list[Shopper],
) -> None:
    """Carry out signals until one says to stop, or until a thread has ended by a bug."""
    while True:
        wake.wait(0.5)
        wake.clear()
        if not all(t.is_alive() for t in threads):
            return
        while commands:
            match commands.pop(0):
                case signal.SIGUSR1:
                    gate.close()
                    if gate.all_wait.wait(60):
                        paused.write_text("paused\n")
                case signal.SIGUSR2:
                    paused.unlink(missing_ok=True)
                    gate.open()
                case signal.SIGHUP:
                    for shopper in shoppers:
                        shopper.release()
                case _:
                    return


def main() -> None:
    config = TrafficConfig(**json.loads(Path(sys.argv[1]).read_text()))
    readers = [dsn for dsn in [os.environ.get("MIGRATOR_CLASSIC_READER_DSN", "")] if dsn]
    run(config, os.environ["MIGRATOR_CLASSIC_DSN"], os.environ["MIGRATOR_LIMITLESS_DSN"], readers)


if __name__ == "__main__":
    main()
