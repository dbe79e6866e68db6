"""Watches who uses classic: looks at the sessions of the writer and of each reader, and stores what it found.

In the turn of the one worker that watches (workflows/sampling.py). A look between two short connections sees neither of
them: days of looks say who comes regularly, never that no one else came.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.control import sighting
from migrator.control.sighting import WRITER, Who
from migrator.errors import MigratorError
from migrator.log_events import tell
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

WRITER_S = 10.0
READER_S = 60.0
STORE_S = 60.0
FORGET_S = 3600.0


@dataclass
class Watcher:
    """What one process remembers between two looks.

    Attributes:
        open_reader: opens a session at a reader of the plan, by its reference.
        clock: monotonic seconds.
    """

    open_reader: Callable[[str], Connection]
    clock: Callable[[], float] = time.monotonic
    _due: dict[str, float] = field(default_factory=dict)
    _seen: dict[str, Counter[Who]] = field(default_factory=dict)
    _looks: Counter[str] = field(default_factory=Counter)

    def step(self, conn: Connection, plan: Plan) -> None:
        """Look where a look is due, and store what was found once a minute."""
        if self._is_due("look/writer", WRITER_S):
            self._look(WRITER, conn)
        for number, reference in enumerate(plan.classic.readers, 1):
            if self._is_due(f"look/reader {number}", READER_S):
                try:
                    with closing(self.open_reader(reference)) as reader:
                        self._look(f"reader {number}", reader)
                except (MigratorError, psycopg.Error) as error:  # not watched, which is what the hours then say
                    tell("reader.not_watched", reader=number, error=type(error).__name__)
        if self._is_due("store", STORE_S):
            self.store(conn)
        if self._is_due("forget", FORGET_S):
            sighting.forget(conn)

    def store(self, conn: Connection) -> None:
        """Store what was found since the last time."""
        for server, looks in list(self._looks.items()):
            sighting.add(conn, server, self._seen.get(server, Counter()), looks)
            del self._looks[server]
            self._seen.pop(server, None)

    def _look(self, server: str, conn: Connection) -> None:
        if not sighting.sees_all(conn):
            return  # its own sessions alone: that is no look
        self._seen.setdefault(server, Counter()).update(sighting.look(conn))
        self._looks[server] += 1

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self.clock()
        if now_s < self._due.get(what, 0.0):
            return False
        self._due[what] = now_s + every_s
        return True
