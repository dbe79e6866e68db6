"""The shims of this process, one for each database alias, opened when the first statement needs one.

Never before a fork: gunicorn with --preload and Celery's pools fork a process that may have read something already. A
child keeps no connection and no thread of its parent's shim, and opens its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from migrator.errors import UsageError
from migrator.shim import Shim

DEFAULT = "default"


class Shims:
    """By alias. Threads share it; a forked child begins with none."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[str, Shim] = {}
        self._given: dict[str, Shim] = {}
        self._of_parents: list[Shim] = []  # never used nor collected here: their sockets are the parent's

    def of(self, alias: str, make: Callable[[], Shim]) -> Shim:
        """Return the shim of *alias*, opened."""
        found = self._given.get(alias) or self._made.get(alias)
        if found is not None:
            return found
        with self._lock:
            found = self._given.get(alias) or self._made.get(alias)
            if found is None:
                found = make()
                found.open()
                self._made[alias] = found
            return found

    @property
    def given(self) -> Collection[str]:
        """Aliases for which a test, or the application, gave a shim of its own."""
        return self._given.keys()

    @contextmanager
    def use(self, alias: str, shim: Shim) -> Iterator[Shim]:
        with self._lock:
            if alias in self._given:
                raise UsageError(f"another shim is in use for the database {alias!r} already")
            self._given[alias] = shim
        try:
            yield shim
        finally:
            with self._lock:
                self._given.pop(alias, None)

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, {}
        for shim in made.values():
            with suppress(Exception):  # the process ends; its registration expires by itself
                shim.close()

    def begin_child(self) -> None:
        """Forget what a fork brought along."""
        self._lock = threading.RLock()
        self._of_parents += [*self._made.values(), *self._given.values()]
        self._made, self._given = {}, {}


SHIMS = Shims()
os.register_at_fork(after_in_child=SHIMS.begin_child)
atexit.register(SHIMS.close)


def shim_of(alias: str = DEFAULT) -> Shim:
    """Return the shim of a database, for its own calls: `run_read`, `session`, `stats`, `outcome`.

    Raises:
        UsageError: the database has another backend.
        ClusterUnavailable, NotInstalled: as `Shim.open`.
    """
    from django.db import connections

    wrapper = connections[alias]
    found = getattr(wrapper, "shim", None)
    if not isinstance(found, Shim):
        raise UsageError(f"the database {alias!r} has the backend {wrapper.settings_dict['ENGINE']}, which has no shim")
    return found


@contextmanager
def use_shim(shim: Shim, alias: str = DEFAULT) -> Iterator[Shim]:
    """Have a database use *shim*, which is open: a MemoryShim in tests, for example. For the calling thread's tests.

    Raises:
        UsageError: a transaction is open (use TransactionTestCase), or another one is in use.
    """
    from django.db import connections

    wrapper = connections[alias]
    if wrapper.in_atomic_block:
        raise UsageError("a transaction is open, which began without this shim", hint="Use TransactionTestCase.")
    with SHIMS.use(alias, shim):
        wrapper.close()
        try:
            yield shim
        finally:
            wrapper.close()


def close_shims() -> None:
    """Close the shims of this process. For what ends a process without Python's own end, as Celery's pools do."""
    SHIMS.close()
