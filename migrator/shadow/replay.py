"""Repeats calls on both sides, each on one right after the other, and takes their latencies.

Both sides are asked by the same thread, in turns first by statement, so that whatever slows this machine or the network
slows both: the side that is asked first pays for the thread's waking up.
Calls of one session stay in their order. Nothing that is done lasts: reads run in read-only transactions on classic,
writes on Limitless only, and everything is rolled back.
"""

from __future__ import annotations

import statistics
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.db.hang_up import hang_up
from migrator.errors import ClusterUnavailable
from migrator.model.side import Side
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST
from migrator.shadow.ask import Answer, ask, session
from migrator.shadow.prepare import Repeated, reads
from migrator.shadow.stopping import TIMED_OUT, Watch

PING = Call("SELECT")
PING_EVERY = 5
"""Calls of a worker between two round trips that are measured."""

WARM_UP = 1
"""Calls of a statement that each worker does not count: the first one plans, and reads what is in no cache."""

PATIENCE = 2
"""Timeouts of a statement on either side after which it is not repeated any more."""

GRACE_S = 5.0
"""A server that has not answered so long after its statement timeout is disconnected."""

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast calls are repeated.

    Attributes:
        speed: factor by which the pauses between calls are shortened; None for no pauses.
        concurrency: calls that run at once, at most.
        rate_per_s: calls a second, at most: the limit on what classic is asked.
        most_s: seconds after which a run ends.
        timeout_s: of one statement.
        stop_ms: median round trip to classic above which a run stops.
    """

    speed: float | None = 1.0
    concurrency: int = 4
    rate_per_s: float = 50.0
    most_s: float = 600.0
    timeout_s: float = 10.0
    stop_ms: float = 250.0


@dataclass(frozen=True, slots=True)
class Pair:
    """One call on both sides. classic: None for a write, which runs on Limitless alone. warm: its latency counts."""

    repeated: Repeated
    classic: Answer | None
    limitless: Answer
    warm: bool


@dataclass(slots=True)
class Played:
    """What a replay gave.

    Attributes:
        stopped: what broke it off; '' also when its time was up, which `time_up` says.
        trips_ms: median round trip by side.
        apart_ms: median of what a round trip to Limitless took longer than the one to classic beside it.
        dropped: statements that took too long, by id.
    """

    pairs: list[Pair]
    seconds: float
    stopped: str
    trips_ms: dict[Side, float | None]
    dropped: Counter[str]
    apart_ms: float = 0.0
    time_up: bool = False


@dataclass
class _Rate:
    """Lets calls begin one after the other, at a rate."""

    per_s: float
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self) -> float:
        """Return when the caller may begin, on the monotonic clock."""
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + 1 / self.per_s
            return at


class Replay:
    """One replay of some calls."""

    def __init__(
        self, classic_dsn: str, limitless_dsn: str, path: Sequence[str], pacing: Pacing, writes: bool = True
    ) -> None:
        self._dsns = {Side.CLASSIC: classic_dsn, Side.LIMITLESS: limitless_dsn}
        self._path = list(path)
        self._pacing = pacing
        self._writes = writes
        self._watch = Watch(pacing.stop_ms)
        self._rate = _Rate(pacing.rate_per_s)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._pairs: list[Pair] = []
        self._dropped: Counter[str] = Counter()
        self._apart: list[float] = []
        self._failure: BaseException | None = None
        self._began: float | None = None
        self._time_up = False
        self._paced = True

    def run(
        self, calls: Sequence[Repeated], progress: Callable[[int], None] | None = None, *, paced: bool = True
    ) -> Played:
        """Repeat *calls*; return what became of these and of those before, also after a stop or Ctrl-C.

        Args:
            paced: with the pauses of the trace; without them as fast as the rate allows.

        Raises:
            ClusterUnavailable: a side could not be reached at the beginning.
        """
        began = time.monotonic()
        if self._began is None:
            self._began = began
        self._paced = paced
        self._over.clear()
        queues = split(calls, self._pacing.concurrency)
        first_s = min((c.call.at_s for c in calls if c.call.at_s is not None), default=0.0)
        workers = [_Worker(self, queue, began, first_s) for queue in queues if queue]
        ended = False
        try:
            for worker in workers:
                worker.open()
            for worker in workers:
                worker.start()
            with suppress(KeyboardInterrupt):
                while any(worker.is_alive() for worker in workers) and not self._over.wait(_LOOK_S):
                    self._look(workers, time.monotonic() - self._began)
                    if progress is not None:
                        progress(len(self._pairs))
                ended = True
            if not ended:
                self._watch.interrupted()
        finally:
            self._over.set()
            self._end(workers)
        if self._failure is not None:
            raise self._failure
        return Played(
            list(self._pairs),
            time.monotonic() - self._began,
            self._watch.why,
            {side: self._watch.trip_ms(side) for side in Side},
            Counter({name: n for name, n in self._dropped.items() if n >= PATIENCE}),
            max(0.0, statistics.median(self._apart)) if self._apart else 0.0,
            self._time_up,
        )

    def _look(self, workers: Sequence[_Worker], elapsed_s: float) -> None:
        if elapsed_s > self._pacing.most_s:
            self._time_up = True
        if self._watch.why or self._time_up:
            self._over.set()
        for worker in workers:
            worker.hang_up_if_silent(self._pacing.timeout_s + GRACE_S)

    def _end(self, workers: Sequence[_Worker]) -> None:
        """Wait for what runs, not longer than one statement may take; then disconnect."""
        _join(workers, self._pacing.timeout_s + GRACE_S)
        for worker in workers:
            if worker.is_alive():
                worker.hang_up()
        _join(workers, GRACE_S)
        for worker in workers:
            worker.close()

    # -- what workers share -------------------------------------------------------------------------------------------

    @property
    def over(self) -> threading.Event:
        return self._over

    @property
    def speed(self) -> float | None:
        return self._pacing.speed if self._paced else None

    def connect(self, side: Side) -> psycopg.Connection[Any]:
        name = "classic" if side is Side.CLASSIC else "Limitless"
        timeout_s = self._pacing.timeout_s
        return session(self._dsns[side], name, self._path, timeout_s, read_only=side is Side.CLASSIC)

    def wanted(self, repeated: Repeated) -> bool:
        """Return whether a call is repeated still."""
        if not self._writes and not reads(repeated):
            return False
        return self._dropped[repeated.statement.fingerprint.id] < PATIENCE

    def wait(self, due: float) -> bool:
        """Wait until a call is due and the rate lets it begin; return whether it still should."""
        at = max(due, self._rate.turn())
        return not self._over.wait(max(0.0, at - time.monotonic()))

    def answered(self, side: Side, answer: Answer, fingerprint: str) -> None:
        with self._lock:
            self._watch.answered(side, answer)
            if answer.state == TIMED_OUT:
                self._dropped[fingerprint] += 1

    def went(self, side: Side, answer: Answer) -> None:
        with self._lock:
            self._watch.answered(side, answer)
            if not answer.state:
                self._watch.went(side, answer.ms)

    def pinged(self, answers: dict[Side, Answer]) -> None:
        for side, answer in answers.items():
            self.went(side, answer)
        if not any(answer.state for answer in answers.values()):
            with self._lock:
                self._apart.append(answers[Side.LIMITLESS].ms - answers[Side.CLASSIC].ms)

    def add(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.append(pair)

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._over.set()


class _Worker(threading.Thread):
    """Repeats the calls of some sessions, with a connection to either side."""

    def __init__(self, replay: Replay, calls: Sequence[Repeated], began: float, first_s: float) -> None:
        super().__init__(name="migrator-shadow", daemon=True)
        self._replay = replay
        self._calls = calls
        self._began, self._first_s = began, first_s
        self._conns: dict[Side, psycopg.Connection[Any]] = {}
        self._seen: Counter[str] = Counter()
        self._pings = 0
        self._busy: tuple[Side, float] | None = None

    def open(self) -> None:
        for side in Side:
            self._conns[side] = self._replay.connect(side)

    def close(self) -> None:
        for conn in self._conns.values():
            conn.close()

    def hang_up_if_silent(self, longest_s: float) -> None:
        busy = self._busy
        if busy is not None and time.monotonic() - busy[1] > longest_s:
            hang_up(self._conns.get(busy[0]))

    def hang_up(self) -> None:
        for conn in self._conns.values():
            hang_up(conn)

    def run(self) -> None:
        try:
            for number, repeated in enumerate(self._calls):
                if not self._replay.wanted(repeated):
                    continue
                if not self._replay.wait(self._due(repeated)):
                    return
                if number % PING_EVERY == 0:
                    self._ping()
                self._repeat(repeated)
        except BaseException as error:  # of the thread that waits for this one
            self._replay.fail(error)
        finally:
            self.close()

    def _due(self, repeated: Repeated) -> float:
        at_s, speed = repeated.call.at_s, self._replay.speed
        return self._began if at_s is None or not speed else self._began + (at_s - self._first_s) / speed

    def _sides(self, turn: int) -> tuple[Side, Side]:
        return (Side.CLASSIC, Side.LIMITLESS) if turn % 2 else (Side.LIMITLESS, Side.CLASSIC)

    def _ping(self) -> None:
        self._pings += 1
        self._replay.pinged({side: self._ask(side, PING) for side in self._sides(self._pings)})

    def _repeat(self, repeated: Repeated) -> None:
        fingerprint, answers = repeated.statement.fingerprint.id, {}
        for side in self._sides(self._seen[fingerprint]) if reads(repeated) else (Side.LIMITLESS,):
            answers[side] = self._ask(side, repeated.call)
            self._replay.answered(side, answers[side], fingerprint)
        self._seen[fingerprint] += 1
        warm = self._seen[fingerprint] > WARM_UP
        self._replay.add(Pair(repeated, answers.get(Side.CLASSIC), answers[Side.LIMITLESS], warm))

    def _ask(self, side: Side, call: Call) -> Answer:
        self._busy = (side, time.monotonic())
        try:
            conn = self._conns[side]
            if conn.closed:
                try:
                    conn = self._conns[side] = self._replay.connect(side)
                except ClusterUnavailable as error:
                    return Answer(0.0, LOST, str(error))
            return ask(conn, call, begin="BEGIN READ ONLY" if side is Side.CLASSIC else "BEGIN")
        finally:
            self._busy = None


def _join(workers: Sequence[_Worker], seconds: float) -> None:
    """Wait until all of *workers* have ended, so many seconds together; one that did not begin has."""
    until = time.monotonic() + seconds
    for worker in workers:
        if worker.ident is not None:
            worker.join(max(0.0, until - time.monotonic()))


def split(calls: Sequence[Repeated], workers: int) -> list[list[Repeated]]:
    """Return the calls of each worker: those of one session together, in the order in which they began."""
    queues: list[list[Repeated]] = [[] for _ in range(workers)]
    for number, repeated in enumerate(calls):
        name = repeated.call.session
        worker = zlib.crc32(name.encode()) if name else number
        queues[worker % workers].append(repeated)
    for queue in queues:
        queue.sort(key=lambda c: c.call.at_s if c.call.at_s is not None else -1.0)
    return queues
