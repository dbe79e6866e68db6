"""Runs a test on several processes, and hears from them once a second.

Each process is one of Python with an event loop of its own, because one alone begins some two thousand transactions a
second. They are given no connection string, only where it is found, and end when this process does.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from migrator.errors import ClusterUnavailable, InvariantBroken
from migrator.load.orders import REPORT_S, Count, Orders
from migrator.load.stop import Second

READY_S = 60.0
HEAD_START_S = 0.3
INTERRUPTED = "interrupted (Ctrl-C)"
SILENT_S = 15.0
"""A process that reports nothing for so long has stopped, or its machine has."""


@dataclass
class Seen:
    """What all processes have reported. counts: by window; the one after the last has what was answered later."""

    counts: dict[int, Count] = field(default_factory=dict)
    seconds: list[Second] = field(default_factory=list)
    seconds_of: list[float] = field(default_factory=list)
    stopped: str = ""
    broken: list[str] = field(default_factory=list)

    def count(self, window: int) -> Count:
        return self.counts.setdefault(window, Count())


OnSecond = Callable[[Seen, float], str]
"""Is called once a second with all that was seen and the seconds since the test began; returns why to stop, or ''."""


class _Process:
    """One generator's process, and a thread that reads what it says."""

    def __init__(self, orders: Orders, said: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "migrator.load.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the command, which ends them in order
        )
        self.number = orders.process
        self._thread = threading.Thread(target=self._read, args=(said,), name=f"generator {self.number}", daemon=True)
        self._thread.start()
        self.tell(orders.to_json())

    def tell(self, what: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; that is heard
            self._child.stdin.write(json.dumps(what) + "\n")
            self._child.stdin.flush()

    def _read(self, said: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            said.put((self.number, json.loads(line)))
        said.put((self.number, None))

    def end(self) -> None:
        """End it, whatever it does."""
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._thread.join(timeout=3)
        if self._child.stdout is not None:
            self._child.stdout.close()


@contextmanager
def _processes(all_orders: Sequence[Orders], said: queue.Queue[Any]) -> Iterator[list[_Process]]:
    running: list[_Process] = []
    try:
        for orders in all_orders:
            running.append(_Process(orders, said))
        yield running
    finally:
        for process in running:
            process.end()


def run(all_orders: Sequence[Orders], on_second: OnSecond) -> Seen:
    """Run a test, the orders of each of its processes given, to its end or until *on_second* says why to stop.

    Raises:
        ClusterUnavailable: the target cannot be reached, or refuses.
        InvariantBroken: a process of the generator has failed.
        KeyboardInterrupt: Ctrl-C before the test began, or a second time; all processes have ended. One while it runs
            stops it, and what was seen until then is returned.
    """
    said: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    with _processes(all_orders, said) as running:
        _ready(running, said, all_orders[0].side)
        begin = time.monotonic() + HEAD_START_S
        for process in running:
            process.tell({"begin": begin})
        with _interrupts() as interrupted:
            return _hear(running, said, begin, lambda seen, at_s: interrupted() or on_second(seen, at_s))


@contextmanager
def _interrupts() -> Iterator[Callable[[], str]]:
    """Yield what says whether Ctrl-C was pressed; a second one raises KeyboardInterrupt. Only the main thread hears of
    signals: on others nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    pressed = threading.Event()

    def press(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: INTERRUPTED if pressed.is_set() else ""
    finally:
        signal.signal(signal.SIGINT, before)


def _ready(running: Sequence[_Process], said: queue.Queue[Any], side: str) -> None:
    waiting = {process.number for process in running}
    until = time.monotonic() + READY_S
    while waiting:
        try:
            number, what = said.get(timeout=max(until - time.monotonic(), 0.01))
        except queue.Empty:
            raise ClusterUnavailable(side, f"not all connections were open after {READY_S:.0f} s") from None
        if what is None:
            raise InvariantBroken(f"process {number} of the generator ended before the test began")
        if "refused" in what:
            raise ClusterUnavailable(side, what["refused"], what.get("hint", ""))
        waiting.discard(number)


def _hear(running: Sequence[_Process], said: queue.Queue[Any], begin: float, on_second: OnSecond) -> Seen:
    seen = Seen()
    going = {process.number: time.monotonic() for process in running}
    waiting: dict[int, tuple[int, float]] = {}
    here = Second()
    due = begin + REPORT_S
    while going:
        now = time.monotonic()
        with suppress(queue.Empty):
            number, what = said.get(timeout=max(due - now, 0.0) if due > now else 0.01)
            if what is None:
                if number in going:
                    raise InvariantBroken(f"process {number} of the generator ended before the test did")
                continue
            going[number] = time.monotonic()
            for window, count in what["windows"].items():
                seen.count(int(window)).merge(Count.from_json(count))
            waiting[number] = (what["waiting"], what["oldest_s"])
            here = Second(
                here.answered + what["answered"],
                here.errors + what["errors"],
                here.slow + what["slow"],
                sum(many for many, _ in waiting.values()),
                max(oldest for _, oldest in waiting.values()),
            )
            if what.get("over"):
                del going[number]
                seen.broken += [what["broken"]] if what["broken"] else []
        now = time.monotonic()
        if now < due and going:
            continue
        seen.seconds.append(here)
        seen.seconds_of.append(now - begin)
        here, due = Second(waiting=here.waiting, oldest_s=here.oldest_s), max(due + REPORT_S, now)
        if silent := [number for number, at in going.items() if now - at > SILENT_S]:
            raise InvariantBroken(f"process {silent[0]} of the generator has said nothing for {SILENT_S:.0f} s")
        if not seen.stopped and going:
            seen.stopped = on_second(seen, now - begin)
            if seen.stopped:
                for process in running:
                    process.tell({"stop": True})
    if seen.broken:
        raise InvariantBroken(f"a process of the generator failed: {seen.broken[0]}")
    return seen
