"""What a shim tells of itself: to `stats()`, and to the application's OpenTelemetry where it has set that up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from migrator.model.ack import Ack
from migrator.shim import telemetry
from migrator.shim.breakers import Breakers
from migrator.shim.current_view import CurrentView
from migrator.shim.listener import Counting, Listener
from migrator.shim.metrics import Metrics
from migrator.shim.read import Read
from migrator.shim.stats import Stats, stats_of
from migrator.shim.write import Write

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class Observed:
    """Of one shim. listener: counts on the way to the application's."""

    def __init__(self, shim: telemetry.Told, listener: Listener, metrics: Metrics) -> None:
        self._shim = shim
        self._metrics = metrics
        self._tracer: Tracer | None = None
        self._meter: telemetry.Meter | None = None
        self._due_s = 0.0
        self._closed = False
        self.listener = Counting(listener, metrics.fell_back)

    def look(self) -> None:
        """Take part in what the application has set up by now."""
        with suppress(Exception):  # what an application has set up ends nothing here
            self._tracer = telemetry.tracer()
        with suppress(Exception):
            self._meter = telemetry.meter(self._shim)
        if self._closed:  # meanwhile, by another thread: asked last, so that one of both takes it out again
            self._forget()

    def look_now_and_then(self, now_s: float) -> None:
        """Recheck once a second: an application may set it up late."""
        if now_s >= self._due_s:
            self._due_s = now_s + 1.0
            self.look()

    def close(self) -> None:
        """Tell of the shim no more, also when another thread is looking just now."""
        self._closed = True
        self._forget()

    def _forget(self) -> None:
        telemetry.forget(self._shim)
        self._tracer = self._meter = None

    @property
    def tracer(self) -> Tracer | None:
        """The application's, while it has one."""
        return self._tracer

    def read(self, retry: int) -> Callable[..., Read]:
        """Return what makes a read; *retry*: tries of the same before it."""
        if self._tracer is None:
            return Read
        from migrator.shim.traced import TracedRead

        return partial(TracedRead, tracer=self._tracer, retry=retry)

    def write(self, retry: int) -> Callable[..., Write]:
        """Return what makes a write; *retry*: tries of the same before it."""
        if self._tracer is None:
            return Write
        from migrator.shim.traced import TracedWrite

        return partial(TracedWrite, tracer=self._tracer, retry=retry)

    def wrote(self, ack: Ack, waited_ms: float, *, unconfirmed: bool) -> None:
        """Count a write that was committed, and how long it waited for its acknowledgement."""
        self._metrics.wrote(ack, waited_ms, unconfirmed=unconfirmed)
        if self._meter is None:
            return
        with suppress(Exception):  # the write is committed
            self._meter.acknowledge.record(waited_ms / 1000, {"shim": self._shim.name, "ack": ack.value})

    def stats(self, current: CurrentView, breakers: Breakers, staleness_s: float) -> Stats:
        """Return the counts, and how things are; *staleness_s*: for how long routes are valid once vouched for."""
        view = current.view
        unknown = view.epoch < 0 or view.settled
        age_s = current.now_s() - (view.valid_until_s - staleness_s)
        return stats_of(
            self._metrics.counts(),
            routes_age_s=None if unknown else max(0.0, age_s),
            epoch=view.epoch,
            settled=view.settled,
            breakers=Counter(scope.value for scope, _, _ in breakers.open()),
        )
