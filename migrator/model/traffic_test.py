"""Results of traffic tests, as values: statements repeated on both sides (shadow), and load offered to each (load).

Both are stored as reports, of kind `shadow` and `load`: `to_json` gives the body, `from_json` reads it again. Who
stores one may add keys of their own beside these (a series for a chart); they are passed over. What is missing or
cannot be is an error: a result that was only half understood must not open a gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SHADOW = "shadow"
LOAD = "load"
"""Kinds of the reports, as they are stored."""

CODES = (
    "shadow.missing", "shadow.unreadable", "shadow.old", "shadow.changed", "shadow.stopped", "shadow.empty",
    "shadow.not_compared", "shadow.error", "shadow.differs", "shadow.crossing", "shadow.slower", "shadow.not_run",
    "shadow.too_few", "shadow.shards_unknown",
    "load.missing", "load.unreadable", "load.old", "load.changed", "load.stopped", "load.empty", "load.saturated",
    "load.not_reached", "load.errors", "load.slower",
)  # fmt: skip
"""Every code of a finding that can block; see migrator.traffic_test."""

SIZED = frozenset(
    {"shadow.error", "shadow.differs", "shadow.crossing", "shadow.slower", "load.saturated", "load.slower"}
)
"""Those that can be accepted up to a size; see migrator.model.acceptance."""

LOST = "lost"
"""In place of an SQLSTATE: the connection broke, or no answer came in time."""


class Shards(StrEnum):
    """How many shards a statement visits on Limitless, from its EXPLAIN."""

    ONE = "1"
    MANY = "many"
    UNKNOWN = "unknown"  # EXPLAIN was not possible, or was not understood


class Pace(StrEnum):
    """What is known of a quantile of a statement's latency on Limitless, against classic."""

    SLOWER = "slower"
    NOT_SLOWER = "not_slower"
    TOO_FEW = "too_few"  # its calls are too few, or too uneven, to say either


@dataclass(frozen=True, slots=True)
class Paces:
    """One statement's pace at each quantile."""

    p50: Pace
    p99: Pace
    p999: Pace

    @property
    def any_slower(self) -> bool:
        return Pace.SLOWER in (self.p50, self.p99, self.p999)

    def to_json(self) -> dict[str, str]:
        return {"p50": self.p50.value, "p99": self.p99.value, "p999": self.p999.value}

    @classmethod
    def from_json(cls, body: object) -> Paces:
        values = _object(body, "pace")
        return cls(*(Pace(_text(values, key)) for key in ("p50", "p99", "p999")))


class Writes(StrEnum):
    """What a shadow run did with statements that write."""

    ROLLED_BACK = "rolled_back"  # run in a transaction that is rolled back
    LEFT_OUT = "left_out"  # not run: nothing is known of them


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in ms, of answers and of errors alike."""

    p50_ms: float
    p99_ms: float
    p999_ms: float

    def to_json(self) -> dict[str, Any]:
        return {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "p999_ms": self.p999_ms}

    @classmethod
    def from_json(cls, body: object) -> Percentiles:
        values = _object(body, "percentiles")
        return cls(*(_number(values, key) for key in ("p50_ms", "p99_ms", "p999_ms")))


@dataclass(frozen=True, slots=True)
class StatementResult:
    """What became of the statements of one fingerprint.

    Attributes:
        fingerprint: names the statement; the same in every run, so that it can be acknowledged by name.
        text: its text without values.
        calls: that were repeated; 0 when the run ended before the first one.
        classic, limitless: latencies; None where no call ended on that side.
        classic_errors, limitless_errors: calls that failed, by SQLSTATE (`LOST` where there is none).
        compared: calls whose results were compared at one snapshot that both sides have.
        differing: of those, calls whose results differ.
        pace: whether it is slower on Limitless, by a test of the run's calls; None where no call succeeded on both.
        write: it writes, and ran on Limitless alone.
    """

    fingerprint: str
    text: str
    calls: int
    classic: Percentiles | None
    limitless: Percentiles | None
    classic_errors: Mapping[str, int] = field(default_factory=dict)
    limitless_errors: Mapping[str, int] = field(default_factory=dict)
    shards: Shards = Shards.UNKNOWN
    compared: int = 0
    differing: int = 0
    pace: Paces | None = None
    write: bool = False

    def __post_init__(self) -> None:
        if not self.differing <= self.compared <= self.calls:
            numbers = f"{self.differing} differing of {self.compared} compared of {self.calls} calls"
            raise ValueError(f"statement {self.fingerprint}: {numbers}")

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "text": self.text,
            "calls": self.calls,
            "classic": self.classic and self.classic.to_json(),
            "limitless": self.limitless and self.limitless.to_json(),
            "classic_errors": dict(self.classic_errors),
            "limitless_errors": dict(self.limitless_errors),
            "shards": self.shards.value,
            "compared": self.compared,
            "differing": self.differing,
            "pace": self.pace and self.pace.to_json(),
            "write": self.write,
        }

    @classmethod
    def from_json(cls, body: object) -> StatementResult:
        values = _object(body, "a statement")
        return cls(
            fingerprint=_text(values, "fingerprint"),
            text=_text(values, "text", empty=True),
            calls=_count(values, "calls"),
            classic=_percentiles(values, "classic"),
            limitless=_percentiles(values, "limitless"),
            classic_errors=_counts(values, "classic_errors"),
            limitless_errors=_counts(values, "limitless_errors"),
            shards=Shards(_text(values, "shards")),
            compared=_count(values, "compared"),
            differing=_count(values, "differing"),
            pace=None if _given(values, "pace") is None else Paces.from_json(values["pace"]),
            write=_truth(values, "write"),
        )


@dataclass(frozen=True, slots=True)
class ShadowResult:
    """A shadow run: captured statements, repeated on both sides.

    Attributes:
        statements: one for each fingerprint.
        source: where the statements came from, in a few words ("csvlog", "shim", "pg_stat_statements").
        seconds: how long it ran.
        tenants: how many tenants the statements belonged to.
        writes: what was done with statements that write.
        skipped: captured statements that were not repeated (no parameters, not of a chosen tenant, not understood).
        stopped: what broke it off before all was repeated; '' when it ran to its end, or for as long as it was to.
    """

    statements: tuple[StatementResult, ...]
    source: str
    seconds: float
    tenants: int
    writes: Writes
    skipped: int = 0
    stopped: str = ""

    def __post_init__(self) -> None:
        _no_two(statement.fingerprint for statement in self.statements)

    def to_json(self) -> dict[str, Any]:
        return {
            "statements": [statement.to_json() for statement in self.statements],
            "source": self.source,
            "seconds": self.seconds,
            "tenants": self.tenants,
            "writes": self.writes.value,
            "skipped": self.skipped,
            "stopped": self.stopped,
        }

    @classmethod
    def from_json(cls, body: object) -> ShadowResult:
        """Return the result that *body* holds.

        Raises:
            ValueError: something is missing, or is not what it has to be.
        """
        values = _object(body, "a shadow result")
        statements = values.get("statements")
        if not isinstance(statements, list | tuple):
            raise ValueError("a shadow result: statements is not a list")
        return cls(
            statements=tuple(map(StatementResult.from_json, statements)),
            source=_text(values, "source"),
            seconds=_number(values, "seconds"),
            tenants=_count(values, "tenants"),
            writes=Writes(_text(values, "writes")),
            skipped=_count(values, "skipped"),
            stopped=_text(values, "stopped", empty=True),
        )


@dataclass(frozen=True, slots=True)
class SideLoad:
    """What one side did under load.

    Attributes:
        offered_per_s: the highest rate that was offered, in arrivals per second, whether or not it was served.
        served_per_s: the highest rate that was served in time, without errors.
        saturation_per_s: the rate above which it does not keep up (it queues, or fails); None when every rate that
            was offered was served, so that all that is known is `served_per_s`.
        latency: at the asked-for peak, or at the highest rate that was served when that is lower; measured from the
            planned arrival, so that waiting counts. None when nothing was answered.
        errors: of the whole run, by SQLSTATE (`LOST` where there is none).
        generator_limited: what offers the load was at its own limit above `served_per_s`: nothing is known of the
            server there.
    """

    offered_per_s: float
    served_per_s: float
    saturation_per_s: float | None
    latency: Percentiles | None
    errors: Mapping[str, int] = field(default_factory=dict)
    generator_limited: bool = False

    @property
    def carries_per_s(self) -> float:
        """The rate that it is known to carry."""
        return self.served_per_s if self.saturation_per_s is None else min(self.saturation_per_s, self.served_per_s)

    def to_json(self) -> dict[str, Any]:
        return {
            "offered_per_s": self.offered_per_s,
            "served_per_s": self.served_per_s,
            "saturation_per_s": self.saturation_per_s,
            "latency": self.latency and self.latency.to_json(),
            "errors": dict(self.errors),
            "generator_limited": self.generator_limited,
        }

    @classmethod
    def from_json(cls, body: object) -> SideLoad:
        values = _object(body, "a side under load")
        return cls(
            offered_per_s=_number(values, "offered_per_s"),
            served_per_s=_number(values, "served_per_s"),
            saturation_per_s=_number(values, "saturation_per_s")
            if _given(values, "saturation_per_s") is not None
            else None,
            latency=_percentiles(values, "latency"),
            errors=_counts(values, "errors"),
            generator_limited="generator_limited" in values and _truth(values, "generator_limited"),
        )


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A load test: the same arrivals, offered to either side at a growing rate.

    Attributes:
        peak_per_s: the peak that was asked for, in arrivals per second: what classic was measured to serve at its
            busiest, before any growth.
        peak_source: where that number comes from, in a few words.
        classic: None when only Limitless was loaded.
        seconds: how long it ran.
        stopped: why it ended before its last rate; '' when it ran to its end. Saturation is an end.
    """

    peak_per_s: float
    peak_source: str
    limitless: SideLoad
    classic: SideLoad | None = None
    seconds: float = 0.0
    stopped: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "peak_per_s": self.peak_per_s,
            "peak_source": self.peak_source,
            "limitless": self.limitless.to_json(),
            "classic": self.classic and self.classic.to_json(),
            "seconds": self.seconds,
            "stopped": self.stopped,
        }

    @classmethod
    def from_json(cls, body: object) -> LoadResult:
        """Return the result that *body* holds.

        Raises:
            ValueError: something is missing, or is not what it has to be.
        """
        values = _object(body, "a load result")
        classic = _given(values, "classic")
        return cls(
            peak_per_s=_number(values, "peak_per_s"),
            peak_source=_text(values, "peak_source"),
            limitless=SideLoad.from_json(_given(values, "limitless")),
            classic=None if classic is None else SideLoad.from_json(classic),
            seconds=_number(values, "seconds"),
            stopped=_text(values, "stopped", empty=True),
        )


# -- reading --------------------------------------------------------------------------------------------------------


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is not an object")
    return value


def _given(values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise ValueError(f"{key} is missing")
    return values[key]


def _text(values: Mapping[str, Any], key: str, empty: bool = False) -> str:
    value = _given(values, key)
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{key} is not a text")
    return value


def _truth(values: Mapping[str, Any], key: str) -> bool:
    value = _given(values, key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")
    return value


def _number(values: Mapping[str, Any], key: str) -> float:
    value = _given(values, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{key} is not a number of 0 or more")
    return float(value)


def _count(values: Mapping[str, Any], key: str) -> int:
    value = _given(values, key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key} is not a count")
    return value


def _counts(values: Mapping[str, Any], key: str) -> dict[str, int]:
    counts = _object(_given(values, key), key)
    return {name: _count(counts, name) for name in counts}


def _percentiles(values: Mapping[str, Any], key: str) -> Percentiles | None:
    value = _given(values, key)
    return None if value is None else Percentiles.from_json(value)


def _no_two(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"statement {name} is there twice")
        seen.add(name)
