"""Clocks that go on while a process, or the machine under it, is stopped.

CLOCK_MONOTONIC stops while a machine is suspended; CLOCK_BOOTTIME does not. A process that slept for a minute
must find its routes a minute old. That clock stops as well where a machine is paused from outside and goes on, or is
restored from a picture of its memory (a virtual machine, a function's snapshot); its wall clock is then set right. So
routes age by whichever of the two went further. A wall clock that is set forward makes them old too early, which costs
one reading of them; one that is set back changes nothing.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)

now_s: Callable[[], float] = time.monotonic if _BOOTTIME is None else functools.partial(time.clock_gettime, _BOOTTIME)
"""Returns seconds of a clock that never goes back and goes on while the machine sleeps, where there is one."""

APART_S = 0.1
"""The wall clock may run ahead by so much before it counts: two readings of clocks are some time apart."""


class Clock:
    """Returns seconds that never go back, and go on with the machine's clock and with the wall clock alike."""

    def __init__(self, machine: Callable[[], float] = now_s, wall: Callable[[], float] = time.time) -> None:
        self._machine = machine
        self._wall = wall
        self._lock = threading.Lock()
        self._missed_s = 0.0  # by the machine's clock, so far
        self._apart_s = wall() - machine()

    def __call__(self) -> float:
        at_s = self._machine()
        apart_s = self._wall() - at_s
        if apart_s < self._apart_s or apart_s > self._apart_s + APART_S:
            self._compare()
        return at_s + self._missed_s

    def _compare(self) -> None:
        """Read both again, as the thread may have been held up between two readings, and add what was missed."""
        with self._lock:
            apart_s = self._wall() - self._machine()
            if apart_s > self._apart_s + APART_S:
                self._missed_s += apart_s - self._apart_s
                self._apart_s = apart_s
            elif apart_s < self._apart_s:
                self._apart_s = apart_s
