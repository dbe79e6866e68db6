"""Offers one side a ramp of rates until it no longer keeps up, and says what became of each.

The ramp ends at the first rate that is not held, since what comes above it says nothing new and hurts. Then rates
between that one and the last that was held are tried, so that the answer is finer than the ramp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrator.load import fleet, trial, worse
from migrator.load.arrivals import Pattern, Window, steps
from migrator.load.draw import Rows
from migrator.load.fleet import Seen
from migrator.load.histogram import merged, percentiles
from migrator.load.knee import Bounds, Failure, Knee, Step, at_rate, failure, knee
from migrator.load.orders import Count, Orders
from migrator.load.stop import Limits, Watched, reason
from migrator.load.workload import Transaction
from migrator.load.worse import Point, Worse
from migrator.model.traffic_test import Percentiles, SideLoad

SETTLED_S = 1.0
"""How long after its end a window is judged: what arrived last in it is answered by then, or late."""

SATURATED = "saturated"
LEAST_CUT_S = 1.0
"""A window that the stop rule cut short counts if it lasted so long: what stopped the test is what it shows."""

_NOT_THE_SERVERS = ("classic", "neither", fleet.INTERRUPTED)
"""How reasons of a stop begin that say nothing about the rate that was offered."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a test is run; see docs/load.md for each. refine: rates tried between the last that was held and the first
    that was not."""

    windows: tuple[Window, ...]
    pattern: Pattern = Pattern.POISSON
    seed: int = 1
    processes: int = 1
    connections: int = 16
    storm: bool = False
    commit: bool = False
    turns: int = 1
    think_s: float = 0.0
    timeout_s: float = 10.0
    patience_s: float = 10.0
    refine: int = 2
    bounds: Bounds = field(default_factory=Bounds)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Target:
    """A side. reference: where its connection string is found. watch: of classic; None: it is not watched."""

    side: str
    reference: str
    watch: Callable[[], Watched] | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered: transactions, their tenants and pools, and where unique numbers begin."""

    transactions: tuple[Transaction, ...]
    tenants: tuple[Mapping[str, float] | None, ...]
    pools: Mapping[str, Rows]
    unique_from: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A second of a test, for drawings. at_s: since the side's test began; rate: offered by the ramp then."""

    at_s: float
    rate: float
    answered: int
    errors: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Span:
    """When a rate was offered, in seconds since the side's test began, for what others measured meanwhile."""

    rate: float
    begin_s: float
    end_s: float
    served: float


@dataclass(frozen=True, slots=True)
class SideRun:
    """What one side did.

    Attributes:
        steps: in the order of their rates.
        stopped: why the stop rule ended it; '' when it did not. Saturation is an end, not a stop.
        generator_per_s: transactions a second that these processes could begin at most, from what one took of a
            processor at the highest rate; None: not known.
        connect: of connections made while the test ran.
    """

    side: str
    steps: tuple[Step, ...]
    answer: Knee
    errors: Mapping[str, int]
    statements: tuple[Worse, ...]
    moments: tuple[Moment, ...]
    spans: tuple[Span, ...]
    seconds: float
    stopped: str
    generator_per_s: float | None
    connect: Mapping[str, float] | None
    errors_by_step: tuple[Mapping[str, int], ...] = field(default=())

    def result(self, peak: float) -> SideLoad:
        """Return it as gates read it."""
        shown = at_rate(self.steps, peak, self.answer)
        latency = None
        if shown is not None and shown.p50_ms is not None:
            latency = Percentiles(shown.p50_ms, shown.p99_ms or 0.0, shown.p999_ms or 0.0)
        held = self.answer.held
        return SideLoad(
            offered_per_s=max((s.offered for s in self.steps), default=0.0),
            served_per_s=held.served if held is not None else 0.0,
            saturation_per_s=self.answer.saturation_per_s,
            latency=latency,
            errors=dict(self.errors),
            generator_limited=self.answer.generator is not None,
        )


def run_side(target: Target, load: Load, settings: Settings, tell: Callable[[str], None]) -> SideRun:
    """Run the whole ramp against one side. Raises as `fleet.run`.

    Args:
        tell: is told what is going on.
    """
    parts = [_part(target, load, settings, settings.windows, tell)]
    for _ in range(settings.refine):
        judged = knee([s for part in parts for s in part.steps], settings.bounds)
        if parts[-1].stopped or judged.held is None or judged.failed is None:
            break
        between = (judged.held.rate + judged.failed.rate) / 2
        if between < judged.held.rate * 1.05:
            break
        lasts = judged.failed.seconds
        parts.append(_part(target, load, settings, steps([between], lasts, min(lasts / 4, 5.0)), tell))
    return _together(target.side, parts, load, settings.bounds)


@dataclass(frozen=True, slots=True)
class _Part:
    steps: tuple[Step, ...]
    counts: tuple[Count, ...]
    rest: tuple[Count, ...]
    seen: Seen
    spans: tuple[Span, ...]
    moments: tuple[Moment, ...]
    seconds: float
    stopped: str


def _part(
    target: Target, load: Load, settings: Settings, windows: tuple[Window, ...], tell: Callable[[str], None]
) -> _Part:
    all_orders = [_orders(target, load, replace(settings, windows=windows), n) for n in range(settings.processes)]

    def on_second(seen: Seen, at_s: float) -> str:
        number = next((n for n, w in enumerate(windows) if at_s < w.end_s), len(windows) - 1)
        answered = seen.seconds[-1].answered
        step = f"step {number + 1} of {len(windows)}"
        tell(f"{target.side}: {windows[number].rate:,.0f}/s offered, {answered:,}/s answered, {step}")
        watched = target.watch() if target.watch is not None else None
        if why := reason(seen.seconds, watched, settings.limits):
            return why
        over = [(n, w) for n, w in enumerate(windows) if not w.warm_up and w.end_s + SETTLED_S <= at_s]
        judged = (failure(step_of(w, seen.count(n), w.seconds, settings.turns), settings.bounds) for n, w in over)
        return SATURATED if any(why not in (None, Failure.FEW) for why in judged) else ""

    seen = fleet.run(all_orders, on_second)
    return _judged(windows, seen, settings.turns)


def _judged(windows: Sequence[Window], seen: Seen, turns: int) -> _Part:
    """Return the windows that were whole, and the one that the stop rule cut short where it is about the server."""
    lasted = seen.seconds_of[-1] if seen.seconds_of else 0.0
    cut_by_server = bool(seen.stopped) and seen.stopped != SATURATED and not seen.stopped.startswith(_NOT_THE_SERVERS)
    found, counts, spans, used = [], [], [], set()
    for number, window in enumerate(windows):
        seconds = window.seconds
        if seen.stopped and lasted < window.end_s:
            seconds = lasted - window.begin_s
            if not cut_by_server or seconds < LEAST_CUT_S:
                continue
        count = seen.count(number)
        if window.warm_up or not count.arrived:
            continue
        used.add(number)
        step = step_of(window, count, seconds, turns)
        found.append(step)
        counts.append(count)
        spans.append(Span(step.rate, window.begin_s, window.begin_s + seconds, step.served))
    moments = tuple(
        Moment(at_s, _rate_at(windows, at_s), second.answered, second.errors, second.waiting)
        for at_s, second in zip(seen.seconds_of, seen.seconds, strict=True)
    )
    rest = tuple(count for number, count in seen.counts.items() if number not in used)
    stopped = "" if seen.stopped == SATURATED else seen.stopped
    return _Part(tuple(found), tuple(counts), rest, seen, tuple(spans), moments, lasted, stopped)


def step_of(window: Window, count: Count, seconds: float, turns: int = 1) -> Step:
    """Return what became of the arrivals of *window*, of which *seconds* passed.

    A generator that is behind has not counted yet what was due: then as many arrived as must have (less four standard
    deviations). Not so with several *turns* of a session, which come when they come.
    """
    latency = percentiles(count.latency) or {}
    ended = count.latency.total
    due = window.expected * seconds / window.seconds
    arrived = max(count.arrived, math.floor(due - 4 * math.sqrt(due))) if turns == 1 else count.arrived
    return Step(
        rate=window.rate,
        seconds=seconds,
        arrived=arrived,
        offered=arrived / seconds,
        served=count.served / seconds,
        p50_ms=latency.get("p50_ms"),
        p99_ms=latency.get("p99_ms"),
        p999_ms=latency.get("p999_ms"),
        error_share=sum(count.errors.values()) / ended if ended else 0.0,
        abandoned=count.abandoned,
        generator_cpu=max(count.cpu_s.values(), default=0.0) / seconds,
        generator_late_ms=count.late.percentile_ms(0.99) or 0.0,
    )


def _together(side: str, parts: Sequence[_Part], load: Load, bounds: Bounds) -> SideRun:
    pairs = sorted(
        ((step, count) for part in parts for step, count in zip(part.steps, part.counts, strict=True)),
        key=lambda pair: pair[0].rate,
    )
    all_steps = tuple(step for step, _ in pairs)
    counts = [count for part in parts for count in (*part.counts, *part.rest)]
    errors: dict[str, int] = {}
    for count in counts:
        for state, number in count.errors.items():
            errors[state] = errors.get(state, 0) + number
    begun, moments, spans = 0.0, [], []
    for part in parts:
        moments += [replace(m, at_s=m.at_s + begun) for m in part.moments]
        spans += [replace(s, begin_s=s.begin_s + begun, end_s=s.end_s + begun) for s in part.spans]
        begun += part.seconds
    return SideRun(
        side=side,
        steps=all_steps,
        answer=knee(all_steps, bounds),
        errors=errors,
        statements=worse.first_worse(_points(pairs, load)),
        moments=tuple(moments),
        spans=tuple(spans),
        seconds=begun,
        stopped=next((part.stopped for part in parts if part.stopped), ""),
        generator_per_s=_generator(pairs),
        connect=percentiles(merged(count.connect for count in counts)),
        errors_by_step=tuple(dict(count.errors) for _, count in pairs),
    )


def _points(pairs: Sequence[tuple[Step, Count]], load: Load) -> dict[str, list[Point]]:
    """Return the points of each statement, by its name in words."""
    called = trial.names(load.transactions)
    found: dict[str, list[Point]] = {}
    for step, count in pairs:
        for key, took in count.statements.items():
            found.setdefault(called[key], []).append(Point(step.rate, took.total, took.percentile_ms(0.99) or 0.0))
    return found


def _generator(pairs: Sequence[tuple[Step, Count]]) -> float | None:
    """Return what the processes could begin at most, if each used all of a processor as it did at the highest rate."""
    for _, count in reversed(pairs):
        used_s = sum(count.cpu_s.values())
        if used_s > 0 and count.latency.total:
            return len(count.cpu_s) * count.latency.total / used_s
    return None


def _rate_at(windows: Sequence[Window], at_s: float) -> float:
    window = next((w for w in windows if at_s <= w.end_s), None)
    if window is None:
        return 0.0
    part = min(max((at_s - window.begin_s) / window.seconds, 0.0), 1.0)
    return window.begin_rate + (window.end_rate - window.begin_rate) * part


def _orders(target: Target, load: Load, settings: Settings, process: int) -> Orders:
    many = settings.processes
    return Orders(
        reference=target.reference,
        side=target.side,
        process=process,
        processes=many,
        connections=settings.connections // many + (process < settings.connections % many),
        storm=settings.storm,
        windows=settings.windows,
        pattern=settings.pattern,
        seed=settings.seed,
        transactions=load.transactions,
        tenants=load.tenants,
        pools=load.pools,
        turns=settings.turns,
        think_s=settings.think_s,
        unique_from=load.unique_from,
        commit=settings.commit,
        timeout_s=settings.timeout_s,
        patience_s=settings.patience_s,
        slow_ms=settings.limits.p99_ms,
    )
