"""A monotonic clock that goes on while the machine sleeps.

CLOCK_MONOTONIC stops while a machine is suspended; CLOCK_BOOTTIME does not. A process that slept for a minute
must find its routes a minute old.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)

now_s: Callable[[], float] = time.monotonic if _BOOTTIME is None else functools.partial(time.clock_gettime, _BOOTTIME)
"""Returns seconds of a clock that never goes back and goes on while the machine sleeps, where there is one."""
