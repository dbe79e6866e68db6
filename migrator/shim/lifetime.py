"""What becomes of a shim with its process: opened, forked, frozen between two invocations, copied, closed.

A process is one registration: it has connections, threads and an id of its own, whatever it was made from. After a fork
the child has none of its parent's; a shim that was open opens again with the first read or write there.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from migrator.errors import UsageError
from migrator.shim import forked
from migrator.shim.current_view import CurrentView
from migrator.shim.identity import Identity
from migrator.shim.inline import InlineWatcher
from migrator.shim.watcher import Watcher


class Lifetime:
    """Of one shim. Which process it is open in, and whether by threads."""

    name: str
    _watcher: Watcher | None
    _current: CurrentView

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._pid = 0  # the process it is open in, or opens
        self._usable = 0  # the same, once it is open
        self._closed = False
        self._by_itself = not threads  # opens with the first use
        self._locks: dict[int, threading.RLock] = {}  # of a process each: a fork may leave one locked
        self._invocations = 0  # under way
        forked.lives(self)

    # -- what a shim does ------------------------------------------------------------------------------------

    def _open(self) -> None:
        raise NotImplementedError  # each kind of shim's own

    def close(self) -> None:
        raise NotImplementedError  # each kind of shim's own

    def _renamed(self, identity: Identity) -> None:
        """Go by another id."""
        raise NotImplementedError  # each kind of shim's own

    def _make(self) -> None:
        """Make everything that belongs to one process; nothing of it is open yet."""
        raise NotImplementedError  # each kind of shim's own

    # -- opened and closed -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Register this process and read the routes.

        Without classic it works only when the migration is over, which Limitless then says.

        Raises:
            ClusterUnavailable: classic cannot be reached and the migration is not known to be over.
            NotInstalled: classic has no control schema and the migration is not known to be over.
            UsageError: it is open or was closed, or this process has no real threads.
        """
        with self._opening:
            self._opens()
            try:
                self._open()
            except BaseException:
                self._pid = 0
                raise
            self._usable = self._pid

    @property
    def _opening(self) -> threading.RLock:
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def _opens(self) -> None:
        if self._closed:
            raise UsageError("the shim is closed")
        if self._pid == os.getpid():
            raise UsageError("the shim is open already")
        if self._pid:
            self.begin_anew()
        _refuse_green_threads()
        self._renamed(Identity.new(self.name))  # not before: a picture of memory may be taken meanwhile
        self._pid = os.getpid()

    def _closes(self) -> bool:
        """Note that it is closed; return whether there is anything to close in this process."""
        if self._closed or not (self._pid or self._by_itself):
            return False
        self._closed = True
        return self._pid == os.getpid()

    def _check(self) -> None:
        """Be open, with routes that are valid if classic can be asked."""
        if self._usable != os.getpid():
            self._open_here()
        if not self._threads and isinstance(self._watcher, InlineWatcher):
            self._watcher.renew()

    def _open_here(self) -> None:
        with self._opening:
            if self._pid == os.getpid():
                return  # by another thread
            if self._pid:
                self.begin_anew()  # Python was not told of the fork
            if self._closed:
                raise UsageError("the shim is closed")
            if not self._by_itself:
                raise UsageError("the shim is not open")
            self.open()

    # -- another process of the same memory ------------------------------------------------------------------

    def begin_anew(self) -> None:
        """Go on in a process that is a copy of the one so far: with an id, connections and threads of its own."""
        settled = self._current.settled  # which stays true
        self._by_itself = self._by_itself or bool(self._pid)
        self._pid = self._usable = self._invocations = 0
        forked.let_go()
        if self._watcher is not None:
            self._watcher.let_go()
        self._make()
        if settled:
            self._current.settle()

    def restored(self) -> None:
        """Call it when the process was restored from a picture of its memory that others may be restored from too.

        Nothing that it knew counts any more, and it goes by another id. Only for `threads=False`.

        Raises:
            UsageError: the shim has threads, which cannot be told.
        """
        if self._threads:
            raise UsageError("a process with threads cannot be restored", hint="Open the shim with threads=False.")
        self.begin_anew()

    # -- frozen between two invocations ----------------------------------------------------------------------------

    @contextmanager
    def invocation(self) -> Iterator[Self]:
        """Within it the process takes part; then it leaves, and may be frozen for as long as it may be.

        For functions that are frozen between two invocations. The first read or write in it costs one round
        trip more, and its end another. A shim with threads stays registered.
        """
        with self._opening:
            self._invocations += 1
        try:
            yield self
        finally:
            with self._opening:
                self._invocations = max(0, self._invocations - 1)
                over = not self._invocations and self._pid == os.getpid() and not self._closed
            if over and isinstance(self._watcher, InlineWatcher):
                self._watcher.leave()


def _refuse_green_threads() -> None:
    """Raise UsageError where a library has replaced threads by its own: the guarantees were not shown to hold there."""
    for module, asked, what in (
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ):
        patched = getattr(sys.modules.get(module), asked, None)
        if patched is not None and patched(what):
            raise UsageError(
                f"{module.partition('.')[0]} has replaced the threads of this process; a shim needs real ones",
                hint="Use workers with threads, for example gunicorn's gthread, or an asyncio front.",
            )
