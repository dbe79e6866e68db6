"""Reads what the metrics rest on from classic: when asked, at most every few seconds, never longer than a scrape lasts.

A scrape waits a moment for a fresh answer and is answered without one. A classic that does not answer has `migrator_up`
0 and nothing else: a gauge of a minute ago would look like one of now.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from migrator import __version__
from migrator.control.install import VERSION
from migrator.control.measured import measured
from migrator.control.plan import stored
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError
from migrator.metrics import catalogue as c
from migrator.metrics.gather import Reading, gather
from migrator.metrics.metric import Sample
from migrator.model.standing import Limits

FRESH_S = 5.0
"""An answer of classic serves for so long, however many ask."""
WAIT_S = 5.0
"""A scrape waits for a new one at most this long; Prometheus gives up after 10 s."""
OLD_S = 15.0
"""An older answer says nothing about now."""
GIVE_UP_S = 30.0
"""A question that takes longer is given up, and asked anew on another connection."""

APP = "migrator metrics"


class Asks(Protocol):
    """Asks classic. `give_up` makes a call that hangs fail, from another thread."""

    def __call__(self) -> Reading: ...
    def give_up(self) -> None: ...
    def close(self) -> None: ...


class Classic:
    """Asks classic, on one connection that is made anew after an error."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._conn: psycopg.Connection[Any] | None = None

    def __call__(self) -> Reading:
        try:
            if self._conn is None or self._conn.closed:
                self._conn = connect(self._dsn(), APP, statement_timeout_s=10, lock_timeout_s=1, side="classic")
            status = collect(self._conn, events=1)
            if not status.installed or status.phase is None:
                return Reading(status)
            plan = stored(self._conn)
            return Reading(status, measured(self._conn), Limits.of(plan.body if plan else {}))
        except BaseException:
            self.close()
            raise

    def give_up(self) -> None:
        """End the connection under a call that a silent server keeps waiting."""
        conn = self._conn
        if conn is not None:
            with suppress(OSError, psycopg.Error), closing(socket.socket(fileno=os.dup(conn.fileno()))) as line:
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of classic. Times are of one steady clock, in seconds.

    Attributes:
        at_s: when the newest answer was asked for; took_s: how long it took.
        failed: the newest question was not answered.
        failures: since the process began, by reason.
    """

    reading: Reading | None = None
    at_s: float = 0.0
    took_s: float = 0.0
    failed: bool = False
    failures: Mapping[str, int] = field(default_factory=dict)


def exposed(seen: Seen, now_s: float) -> list[Sample]:
    """Return what may be said at *now_s*. Pure."""
    age_s = now_s - seen.at_s
    up = seen.reading is not None and not seen.failed and age_s <= OLD_S
    found = [c.UP.sample(up), c.BUILD.sample(1, version=__version__, schema_version=str(VERSION))]
    for reason in c.STATUS_FAILURES.labels[0].values:
        found.append(c.STATUS_FAILURES.sample(seen.failures.get(reason, 0), reason=reason))
    if seen.reading is not None:
        found.append(c.STATUS_AGE.sample(age_s))
        found.append(c.STATUS_DURATION.sample(seen.took_s))
    return found + (gather(seen.reading) if up and seen.reading is not None else [])


def reason_of(error: BaseException) -> str:
    """Return why classic gave no answer: a word, since messages may quote anything."""
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return "timeout"
    if isinstance(error, ClusterUnavailable) or (isinstance(error, psycopg.Error) and error.sqlstate is None):
        return "unreachable"
    if isinstance(error, psycopg.Error | MigratorError):
        return "refused"
    return "error"


class Source:
    """Samples of one migration, for all who ask. Thread-safe; a thread runs only while classic is asked.

    Args:
        plan: its name, where that is known before classic says it.
    """

    def __init__(
        self,
        ask: Asks,
        plan: str = "",
        *,
        wait_s: float = WAIT_S,
        fresh_s: float = FRESH_S,
        give_up_s: float = GIVE_UP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._plan = plan
        self._wait_s = wait_s
        self._fresh_s = fresh_s
        self._give_up_s = give_up_s
        self._clock = clock
        self._changed = threading.Condition()
        self._seen = Seen()
        self._failures: Counter[str] = Counter()
        self._asked_s: float | None = None  # since when classic is being asked
        self._tried_s: float | None = None  # when it was asked last
        self._closed = False

    @property
    def plan(self) -> str:
        """Name of the plan: what classic said last, else what was given."""
        reading = self._seen.reading
        return (reading.status.plan if reading is not None else None) or self._plan

    def samples(self) -> list[Sample]:
        """Return samples, of an answer that is at most `FRESH_S` old where classic answers within `WAIT_S`."""
        with self._changed:
            self._ask_if_due()
            self._changed.wait_for(lambda: self._asked_s is None, self._wait_s)
            if self._asked_s is not None and self._clock() - self._asked_s >= self._wait_s:
                late = Seen(self._seen.reading, self._seen.at_s, self._seen.took_s, True, dict(self._failures))
                return exposed(late, self._clock())
            return exposed(self._seen, self._clock())

    def close(self) -> None:
        """Ask no more; a question that is on its way ends by itself."""
        with self._changed:
            self._closed = True
            if self._asked_s is None:
                self._ask.close()

    def _ask_if_due(self) -> None:
        now = self._clock()
        if self._asked_s is not None:
            if now - self._asked_s >= self._give_up_s:
                self._ask.give_up()
            return
        if self._closed:
            return
        if self._tried_s is None or now - self._tried_s >= self._fresh_s:
            self._asked_s = self._tried_s = now
            threading.Thread(target=self._answered, args=(now,), name="migrator-metrics", daemon=True).start()

    def _answered(self, began_s: float) -> None:
        before, reading = self._seen, None
        try:
            reading = self._ask()
        except Exception as error:  # whatever it was, a scrape must be answered
            self._failures[reason_of(error)] += 1
        with self._changed:
            took_s = self._clock() - began_s
            if reading is not None:
                self._seen = Seen(reading, began_s, took_s, False, dict(self._failures))
            else:
                self._seen = Seen(before.reading, before.at_s, before.took_s, True, dict(self._failures))
            self._asked_s = None
            if self._closed:
                self._ask.close()
            self._changed.notify_all()
