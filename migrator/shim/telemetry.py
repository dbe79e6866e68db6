"""Tells the application's OpenTelemetry what the shim does, where the application uses it.

Nothing is imported: a process that has not imported OpenTelemetry itself gets none of it, and pays nothing. It is
looked for when the shim opens and about once a second after that, so the order in which an application sets things
up does not matter. Spans need a tracer provider; without one reads and writes are the plain ones.

No statement, no row, no error text and no tenant is told: only sides, levels, epochs, SQLSTATEs.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from migrator.model import latency
from migrator.shim.stats import Stats

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Histogram, Observation
    from opentelemetry.trace import Tracer

SCOPE = "migrator.shim"
BOUNDS_S = tuple(latency.upper_ms(bucket) / 1000 for bucket in range(8, 73, latency.STEPS))
"""0.25 ms to 16 s, each twice the one before: as the tool's own metrics have them."""

Labelled = Iterable[tuple[float, dict[str, str]]]


class Told(Protocol):
    """An open shim, as the meter asks it."""

    @property
    def name(self) -> str: ...
    def stats(self) -> Stats: ...


def tracer() -> Tracer | None:
    """Return the application's tracer; None where it has set up none."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return provider.get_tracer(SCOPE)


def _reads(stats: Stats) -> Labelled:
    return ((number, {"side": side}) for side, number in stats.reads.items())


def _failures(stats: Stats) -> Labelled:
    return ((number, {"side": side, "sqlstate_class": state}) for (side, state), number in stats.failures.items())


def _fell_back(stats: Stats) -> Labelled:
    return [(stats.fell_back, {})]


def _writes(stats: Stats) -> Labelled:
    return ((waits.writes, {"ack": ack}) for ack, waits in stats.writes.items())


def _unconfirmed(stats: Stats) -> Labelled:
    return ((waits.unconfirmed, {"ack": ack}) for ack, waits in stats.writes.items())


def _routes_age(stats: Stats) -> Labelled:
    return [] if stats.routes_age_s is None else [(stats.routes_age_s, {})]


def _breakers(stats: Stats) -> Labelled:
    return ((number, {"scope": scope}) for scope, number in stats.breakers.items())


COUNTERS: tuple[tuple[str, str, Callable[[Stats], Labelled]], ...] = (
    ("reads", "Reads by the side that answered.", _reads),
    ("read_failures", "Reads that failed through the fault of the side that was asked.", _failures),
    ("reads_fell_back", "Reads answered by classic after Limitless had failed or been too late.", _fell_back),
    ("writes", "Writes by level of acknowledgement.", _writes),
    ("writes_unconfirmed", "Writes that are committed and whose acknowledgement failed.", _unconfirmed),
)
GAUGES: tuple[tuple[str, str, str, Callable[[Stats], Labelled]], ...] = (
    ("routes_age", "s", "Since classic last vouched for the routes.", _routes_age),
    ("breakers_open", "", "Breakers that the process holds open.", _breakers),
)
"""Names behind `migrator.shim.`, unit, description, and what to tell. The names are those of docs/metrics.md."""


_WAITED = "How long writes waited behind their COMMIT."


class Meter:
    """The instruments of this process: they exist once, however many shims open and close."""

    def __init__(self) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter(SCOPE)
        histogram = partial(meter.create_histogram, f"{SCOPE}.write_acknowledge", "s", _WAITED)
        try:
            self.acknowledge: Histogram = histogram(explicit_bucket_boundaries_advisory=BOUNDS_S)
        except TypeError:  # an API before 1.30 takes no bounds
            self.acknowledge = histogram()
        for name, text, told in COUNTERS:
            meter.create_observable_counter(f"{SCOPE}.{name}", [_observed(told)], description=text)
        for name, unit, text, told in GAUGES:
            meter.create_observable_gauge(f"{SCOPE}.{name}", [_observed(told)], unit=unit, description=text)


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_meter: Meter | None = None
_tried = False
_making = threading.Lock()
_listed = threading.Lock()  # of _open; not _making, under which the application's SDK is called, as it calls `observe`


def _observed(told: Callable[[Stats], Labelled]) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(options: CallbackOptions) -> Iterator[Observation]:
        from opentelemetry.metrics import Observation

        with _listed:
            shims = [*_open]
        for shim in shims:
            for value, labels in told(shim.stats()):
                yield Observation(value, {"shim": shim.name, **labels})

    return observe


def meter(shim: Told) -> Meter | None:
    """Have the application's meter ask *shim*; None where the application has imported no OpenTelemetry metrics.

    One that cannot be made is not tried again: instruments that were made before it failed would be made twice.
    """
    global _meter, _tried
    if "opentelemetry.metrics" not in sys.modules:
        return None
    with _making:
        if not _tried:
            _tried = True
            _meter = Meter()
    with _listed:
        _open.add(shim)
    return _meter


def forget(shim: Told) -> None:
    """A shim that is closed is asked no more."""
    with _listed:
        _open.discard(shim)


def _in_child() -> None:
    """What the parent opened is not open here."""
    global _making, _listed
    _making, _listed = threading.Lock(), threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
