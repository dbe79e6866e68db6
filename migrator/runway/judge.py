"""Does classic's writer last until it is retired, with what this tool costs it? Pure: facts in, an answer out.

All writes stay on classic until the end, so its writer carries the growth of the whole calendar and the cost of capture
on top. The answer is about the worse ends of what is known: the highest growth and the dearest capture of their ranges.
What is not known never closes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.runway.growth import MONTH_DAYS, WEEK_DAYS, Growth

CAPTURE_SHARE = (0.05, 0.15)
"""What capture adds to the writer's load, as shares of it, where nothing says more: the tool's own range."""

CAPTURE_US = (10.0, 26.0)
"""Processor time of capture for one written row, in microseconds: on idle and on busy processors, rows written one by
one (docs/performance.md)."""

FULL = 1.0
"""Load at which the writer is full. Above about 0.85 its latency already grows."""

COMFORT = 0.85
"""Load that a larger writer is chosen for."""

UNKNOWN, SHORT, FLOOR = "runway.unknown", "runway.short", "runway.floor"
"""Names of the blockers; `gates.acknowledged` takes them, or `runway` for all."""

NAMES = ("runway", UNKNOWN, SHORT, FLOOR)


@dataclass(frozen=True, slots=True)
class Capture:
    """What capture adds to the present load, as shares of it; (0, 0) where the measured load has it already.

    Attributes:
        source: where the range comes from, in words.
    """

    low: float
    high: float
    source: str


MODELLED = Capture(*CAPTURE_SHARE, "the tool's own range, not measured here")
INCLUDED = Capture(0.0, 0.0, "in the measured load already")


def capture_cost(cpu: float | None, vcpus: int | None, writes_per_s: float | None, *, busiest: bool = True) -> Capture:
    """Return what capture will cost a writer at *cpu* (0 to 1), from the rows it writes where those are known.

    Args:
        busiest: the rows are those of the busiest hour, as the CPU is. Otherwise they are a mean, which says only that
            capture costs no less.
    """
    if not cpu or not vcpus or not writes_per_s:
        return MODELLED
    low, high = (writes_per_s * us / 1e6 / (cpu * vcpus) for us in CAPTURE_US)
    if not busiest and high <= MODELLED.high:
        return MODELLED
    each = f"{CAPTURE_US[0]:g} to {CAPTURE_US[1]:g} us of processor for each of {writes_per_s:,.0f} row writes/s"
    return Capture(low, high, f"modelled: {each}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the answer is about.

    Attributes:
        cpu: use of the writer's processors in the busiest hour, 0 to 1; None: unknown.
        cpu_source: where it comes from, or why it is unknown.
        needed_weeks: until classic is retired, from now.
        full: the load that counts as full.
        read_share: of the time that the application's statements take on the writer, 0 to 1; None: unknown.
        busiest: tables with their shares of row writes, the most written first.
        doubts: what is not known, or not believed yet, in words.
    """

    cpu: float | None
    cpu_source: str
    vcpus: int | None
    growth: Growth
    capture: Capture
    needed_weeks: float
    full: float = FULL
    read_share: float | None = None
    busiest: tuple[tuple[str, float], ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One way to close the runway.

    Attributes:
        name: `replica_reads`, `larger_writer`, `fewer_tables`, `writes_early`, `shorter_calendar`.
        closes: by itself; None where that is not known.
        weeks: until the writer is full then; None: without end, or not known.
    """

    name: str
    text: str
    closes: bool | None
    weeks: float | None = None


@dataclass(frozen=True, slots=True)
class Runway:
    """The answer.

    Attributes:
        closes: whether the writer lasts as long as it is needed; None: unknown, which is no yes.
        weeks: until it is full, at the worse ends of the ranges; None: without end (see `endless`) or unknown.
        likely_weeks: the same at the middle of the ranges.
        options: what would close it; empty where it does.
    """

    closes: bool | None
    weeks: float | None
    likely_weeks: float | None
    endless: bool
    needed_weeks: float
    cpu: float | None
    cpu_source: str
    vcpus: int | None
    growth: Growth
    capture: Capture
    needed_capacity_factor: float | None
    options: tuple[Option, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        needed = f"classic is needed for {self.needed_weeks:.1f} weeks more"
        if self.cpu is None:
            return f"how long classic's writer lasts is unknown: {self.cpu_source}; {needed}"
        full = "never full" if self.endless else f"full after {self.weeks:.1f} weeks"
        with_capture = (
            f", capture {self.capture.low:.0%} to {self.capture.high:.0%} on top" if self.capture.high else ""
        )
        return (
            f"classic's writer is {full} (CPU {self.cpu:.0%} in the busiest hour, {self.cpu_source}{with_capture}; "
            f"growth {self.growth}); {needed}"
        )

    @property
    def advice(self) -> str:
        if self.closes:
            return "the writer carries the migration: capture by triggers is affordable"
        return "; ".join(option.text for option in self.options)


def weeks_until_full(cpu: float, monthly: float, extra: float, full: float = FULL) -> float:
    """Return the weeks until *cpu*, with *extra* of it on top and growing by *monthly*, reaches *full*."""
    load = cpu * (1 + extra)
    if load >= full:
        return 0.0
    if monthly <= 0 or load <= 0:  # a load that shrinks is no promise to go on shrinking, but none to be full either
        return math.inf
    return math.log(full / load) / math.log1p(monthly) * MONTH_DAYS / WEEK_DAYS


def factor(monthly: float, weeks: float) -> float:
    """Return what growth multiplies a load by in *weeks*; a load that shrinks counts as one that stays."""
    try:
        return float((1 + max(monthly, 0.0)) ** (weeks * WEEK_DAYS / MONTH_DAYS))
    except OverflowError:
        return sys.float_info.max


def judge(facts: Facts) -> Runway:
    """Return whether the runway closes, and what would close it."""
    if facts.cpu is None:
        return Runway(
            None, None, None, False, facts.needed_weeks, None, facts.cpu_source, facts.vcpus, facts.growth,
            facts.capture, None, _to_know(), facts.doubts,
        )  # fmt: skip
    worst = weeks_until_full(facts.cpu, facts.growth.high, facts.capture.high, facts.full)
    middle = (facts.capture.low + facts.capture.high) / 2
    likely = weeks_until_full(facts.cpu, facts.growth.monthly, middle, facts.full)
    closes = worst >= facts.needed_weeks
    at_end = facts.cpu * (1 + facts.capture.high) * factor(facts.growth.high, facts.needed_weeks)
    return Runway(
        closes, _finite(worst), _finite(likely), math.isinf(worst), facts.needed_weeks, facts.cpu, facts.cpu_source,
        facts.vcpus, facts.growth, facts.capture, round(at_end / COMFORT, 2), () if closes else _options(facts, at_end),
        facts.doubts,
    )  # fmt: skip


def _finite(weeks: float) -> float | None:
    return None if math.isinf(weeks) else weeks


def _to_know() -> tuple[Option, ...]:
    text = (
        "say it in the plan (runway.cpu_pct and runway.vcpus: CPUUtilization of the writer in its busiest hour), or"
        " name the cluster (classic.cluster_id) and let workers read CloudWatch"
    )
    return (Option("measure", text, None),)


# -- what would close it ---------------------------------------------------------------------------------------------


SIZES = (2, 4, 8, 16, 32, 48, 64, 96, 128, 192)
"""vCPUs of the instance classes that Aurora PostgreSQL has (large to 48xlarge; not every family has all)."""


def _options(facts: Facts, at_end: float) -> tuple[Option, ...]:
    """Return the ways out, the cheapest to try first. *at_end*: the load when classic is retired."""
    assert facts.cpu is not None
    return (
        _replica_reads(facts),
        _larger_writer(facts, at_end),
        *_fewer_tables(facts),
        _writes_early(facts, at_end),
        _shorter(facts),
    )


def _weeks(facts: Facts, cpu: float, extra: float | None = None) -> float:
    return weeks_until_full(cpu, facts.growth.high, facts.capture.high if extra is None else extra, facts.full)


def _then(weeks: float) -> str:
    return "then it is never full" if math.isinf(weeks) else f"then it is full after {weeks:.1f} weeks"


def _replica_reads(facts: Facts) -> Option:
    """What leaves is the application's own load: capture stays, as it costs what is written."""
    assert facts.cpu is not None
    load = facts.cpu * factor(facts.growth.high, facts.needed_weeks)
    must_go = 1 + facts.capture.high - facts.full / load
    if facts.read_share is None:
        text = (
            f"move reads to replicas first: {must_go:.0%} of the application's load has to leave the writer; how much"
            " of it are reads is unknown (pg_stat_statements is not installed, or hides its texts from this role)"
        )
        return Option("replica_reads", text, None)
    left = facts.cpu * (1 - facts.read_share)
    weeks = _weeks(facts, left, facts.capture.high * facts.cpu / left if left else 0.0)
    closes = weeks >= facts.needed_weeks
    text = (
        f"move reads to replicas first: {must_go:.0%} of the application's load has to leave the writer, and reads are"
        f" {facts.read_share:.0%} of its statements' time; {_then(weeks)} with all of them gone"
    )
    return Option("replica_reads", text, closes, _finite(weeks))


def _larger_writer(facts: Facts, at_end: float) -> Option:
    times = at_end / COMFORT
    text = f"a larger writer: {times:.1f} times the present one"
    if facts.vcpus is None:
        return Option("larger_writer", f"{text} (its vCPUs are unknown: runway.vcpus)", True)
    fits = next((size for size in SIZES if size > facts.vcpus and size >= facts.vcpus * times), None)
    if fits is None:
        text += f" with {facts.vcpus} vCPUs is more than the largest instance class has ({SIZES[-1]})"
        return Option("larger_writer", text, False)
    assert facts.cpu is not None
    weeks = _weeks(facts, facts.cpu * facts.vcpus / fits)
    text += f", that is {fits} vCPUs for {facts.vcpus}; {_then(weeks)}"
    return Option("larger_writer", text, weeks >= facts.needed_weeks, _finite(weeks))


def _fewer_tables(facts: Facts) -> tuple[Option, ...]:
    """Capture follows rows written, so the tables that are written most cost most. None where capture is paid for."""
    if not facts.busiest or not facts.capture.high:
        return ()
    assert facts.cpu is not None
    names, share = [], 0.0
    for name, part in facts.busiest[:3]:
        names.append(name)
        share += part
    extra = facts.capture.high * (1 - min(share, 1.0))
    weeks = _weeks(facts, facts.cpu, extra)
    text = (
        f"fewer tables at first: {', '.join(names)} have {share:.0%} of all row writes; without them capture costs"
        f" {extra:.1%} of the load instead of {facts.capture.high:.1%}, {_then(weeks)}"
    )
    return (Option("fewer_tables", text, weeks >= facts.needed_weeks, _finite(weeks)),)


def _writes_early(facts: Facts, at_end: float) -> Option:
    must_go = 1 - facts.full / at_end
    due = _weeks(facts, facts.cpu or 0.0)
    text = (
        f"move writes early: from week {due:.1f} on, tenants with a growing share of the load, {must_go:.0%} of it at"
        " the end, have to write on Limitless alone"
    )
    return Option("writes_early", text, None)


def _shorter(facts: Facts) -> Option:
    weeks = _weeks(facts, facts.cpu or 0.0)
    if weeks <= 0:
        return Option("shorter_calendar", "no calendar is short enough: with capture the writer is full now", False)
    return Option("shorter_calendar", f"a calendar of at most {weeks:.1f} weeks from now", True, _finite(weeks))


# -- gates -----------------------------------------------------------------------------------------------------------


def gate_blockers(runway: Runway, acknowledged: Collection[str]) -> tuple[Blocker, ...]:
    """Return why dual write may not begin, or not be left: the runway is short, or unknown."""
    if runway.closes:
        return ()
    code = UNKNOWN if runway.closes is None else SHORT
    verb = "to know it" if runway.closes is None else "what would close it"
    text = f'{runway.summary}. {verb}: {runway.advice}; or accept it: gates.acknowledged = ["{code}"]'
    return () if accepted(code, acknowledged) else (Blocker(code, "classic", text),)


def floor_blockers(runway: Runway, floor_weeks: float, acknowledged: Collection[str]) -> tuple[Blocker, ...]:
    """Return why no further wave may begin: the writer is full in fewer weeks than the plan's floor."""
    if runway.weeks is None or runway.closes or runway.weeks >= floor_weeks or accepted(FLOOR, acknowledged):
        return ()
    text = (
        f"{runway.summary}, below runway.floor_weeks ({floor_weeks:g} weeks); what would close it: {runway.advice};"
        f' or go on, as waves take reads off the writer: gates.acknowledged = ["{FLOOR}"]'
    )
    return (Blocker(FLOOR, "classic", text),)


def accepted(code: str, acknowledged: Collection[str]) -> bool:
    return code in acknowledged or code.partition(".")[0] in acknowledged
