"""Wakes a thread that waits for a server's news: it waits for this beside them."""

from __future__ import annotations

import os
from contextlib import suppress


class Wake:
    """A pipe. Any thread may call it, at any time; also when the one that waits is gone."""

    def __init__(self) -> None:
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)

    def __call__(self) -> None:
        """Wake the thread."""
        with suppress(OSError):  # a full pipe wakes it as well; after `close` there is no thread
            os.write(self._ends[1], b"!")

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._ends[0]

    def heard(self) -> None:
        """Note that the thread is awake."""
        with suppress(BlockingIOError):
            os.read(self._ends[0], 4096)

    def close(self) -> None:
        """Give the pipe back."""
        ends, self._ends = self._ends, (-1, -1)
        for end in ends:
            with suppress(OSError):
                os.close(end)
