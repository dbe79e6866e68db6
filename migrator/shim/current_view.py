"""Shares one view among the threads of a process: replaced by the watcher, read by all without a lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from migrator.model.route import WriteMode
from migrator.shim.clock import Clock
from migrator.shim.pace import Pace
from migrator.shim.view import View

Drive = Callable[[Callable[[View], bool], float], bool]


class CurrentView:
    """The current view, the clock by which it is valid, and a way to wait for the next one."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.now_s = clock or Clock()
        self.asks_briefly = False  # whether classic has migrator.before_commit
        self.view = View()
        self.changed = threading.Condition()
        self.wake: Callable[[], None] = lambda: None  # makes the watcher look at positions at once
        self.refresh: Callable[[], None] = lambda: None  # makes it read the routes at once
        self.settled_s = 0.0  # when it was first known that the migration is over
        self.known_to_all = False  # that it is over, to every process; once true it stays true
        self.longest_s = 0.0  # after which a live process is taken to be silent, of any, when it was over
        self.waiting = 0  # threads that wait for positions or confirmations
        self.looks = 0  # at positions, so far
        self.pace = Pace()
        self.drive: Drive | None = None  # how a thread that waits makes things go on, where none does it for it

    @property
    def settled(self) -> bool:
        """Whether the migration is over; once true it stays true."""
        return self.view.write_mode is WriteMode.LIMITLESS_ONLY

    def install(self, view: View) -> None:
        """Replace the view. A process that knows the migration is over never returns to classic."""
        with self.changed:
            if self.settled:
                view = replace(view, write_mode=WriteMode.LIMITLESS_ONLY)
            elif view.settled:
                self.settled_s = self.now_s()
            self.view = view
            self.changed.notify_all()

    def settle(self) -> None:
        """Remember that the migration is over, as classic or Limitless said past the routes."""
        with self.changed:
            self.install(replace(self.view, write_mode=WriteMode.LIMITLESS_ONLY))

    def all_know(self) -> None:
        """Remember that every process knows that the migration is over."""
        with self.changed:
            self.known_to_all = True
            self.changed.notify_all()

    @contextmanager
    def attention(self) -> Iterator[None]:
        """Within it the watcher looks at positions, at its pace."""
        with self.changed:
            self.waiting += 1
            looks, first = self.looks, self.waiting == 1
            if first:
                self.pace.began(self.now_s())
        if first:
            self.wake()
        try:
            yield
        finally:
            with self.changed:
                self.waiting -= 1
                self.pace.ended(self.looks - looks)

    def wait_until(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool:
        """Return whether *satisfied* held for the current view before the time ran out."""
        if self.drive is not None:
            return self.drive(satisfied, timeout_s)
        with self.changed:
            return self.changed.wait_for(lambda: satisfied(self.view), timeout_s)
