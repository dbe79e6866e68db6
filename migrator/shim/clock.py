"""A monotonic clock that goes on while the machine sleeps.

CLOCK_MONOTONIC stops while a machine is suspended; CLOCK_BOOTTIME does not. A process that slept for a minute
must find its routes a minute old.
"""

from __future__ import annotations

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def now_s() -> float:
    """Return seconds of a clock that never goes back and goes on while the machine sleeps, where there is one."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
