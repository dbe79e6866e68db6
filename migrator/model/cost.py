"""What Limitless costs and what it has room for, as values. Money is in USD, days and months are UTC, as AWS bills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Basis(StrEnum):
    """Where the capacity of an hour comes from."""

    CLOUDWATCH = "cloudwatch"  # measured: what AWS bills
    MODEL = "model"  # the least that the plan reserves: a bill is at least that
    MIXED = "mixed"  # some hours are one, some the other


class Against(StrEnum):
    """The bill against the plan's projection."""

    UNKNOWN = "unknown"  # no figures
    UNPRICED = "unpriced"  # the plan states no price of an ACU-hour
    UNPROJECTED = "unprojected"  # the plan states no projection
    WITHIN = "within"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Prices:
    """None: not stated. Valid from `since` on, until the next ones are; None: from the beginning."""

    acu_hour_usd: float | None
    storage_gb_month_usd: float | None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What was used in some hours of which the capacity is known.

    Attributes:
        hours: so many; part of the last one where it is not over.
        acu_hours: of writers and standbys.
        gb_hours, storage_hours: GB (2^30 bytes) times the hours of which the storage is known too.
    """

    hours: float = 0.0
    acu_hours: float = 0.0
    gb_hours: float = 0.0
    storage_hours: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.hours + other.hours,
            self.acu_hours + other.acu_hours,
            self.gb_hours + other.gb_hours,
            self.storage_hours + other.storage_hours,
        )

    @property
    def acu(self) -> float | None:
        """Return the mean ACU; None without hours."""
        return self.acu_hours / self.hours if self.hours > 0 else None

    @property
    def gb(self) -> float | None:
        """Return the mean GB of storage; None where it is not known of any hour."""
        return self.gb_hours / self.storage_hours if self.storage_hours > 0 else None


@dataclass(frozen=True, slots=True)
class Stored:
    """Hours of one day, one basis and one price, added up. price: number of the change that they come after."""

    day: date
    price: int
    basis: Basis
    used: Used
    peak_acu: float | None
    without_standbys: float
    """Hours of which the capacity of the standbys is not known."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day as it was, against the projection.

    Attributes:
        hours: of the day that are known; `of_hours`: that are over.
        acu, peak_acu: mean, and the busiest moment; None: unknown.
        usd: of the known hours; None: not priced.
        monthly_usd: what a month (730 hours) like these hours costs.
    """

    day: date
    hours: float
    of_hours: float
    acu: float | None
    peak_acu: float | None
    storage_gb: float | None
    usd: float | None
    monthly_usd: float | None
    basis: Basis


@dataclass(frozen=True, slots=True)
class Forecast:
    """The bill of a calendar month, in USD.

    Attributes:
        so_far: of the hours that are known.
        low, likely, high: at the end of the month.
        missing: part of `likely` that stands for hours that are over and not known.
        monthly: `likely` as a month of 730 hours would cost, for a month of which only a part is covered too.
        monthly_low: the same of `low`.
        method: what low and high are.
    """

    so_far: float
    low: float
    likely: float
    high: float
    missing: float
    monthly: float
    monthly_low: float
    method: str


@dataclass(frozen=True, slots=True)
class CostLine:
    """What Limitless costs this month, for status, metrics, alarms and reports. None: unknown.

    Attributes:
        month: the calendar month, as 2026-11, in UTC.
        summary: all of it in one line.
        at: beginning of the last hour that is known; `age_s`: since then.
        known_hours, over_hours: of this month, known, and over since the first figure.
        acu, storage_gb: mean of the last seven days.
        against: the forecast against the projection; OVER is what wakes somebody.
        ratio: forecast to projection, 1.0 as projected.
        doubts: what is not known, and what that does to the figures.
    """

    month: str
    summary: str
    against: Against
    basis: Basis | None = None
    at: datetime | None = None
    age_s: float | None = None
    known_hours: float = 0.0
    over_hours: float = 0.0
    acu: float | None = None
    storage_gb: float | None = None
    forecast: Forecast | None = None
    projected_monthly_usd: float | None = None
    classic_monthly_usd: float | None = None
    ratio: float | None = None
    doubts: tuple[str, ...] = ()
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class TenantShare:
    """A large tenant. rows: of all its tables. share: of all tenants' bytes; of rows where bytes are not known.

    shard: where its rows are; None: not found.
    """

    tenant: str
    rows: int
    bytes: int | None
    share: float
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A router or shard.

    Attributes:
        node: its subcluster_id.
        bytes: on its disk; of a shard rows, indexes and copies of reference tables.
        statements_per_s: that it ran since the reading before. None: unknown.
        cpu, acu_use: of its own maximum, 0 to 1: the busiest hour of the last day. None: unknown.
    """

    node: str
    kind: str
    bytes: int
    statements_per_s: float | None = None
    cpu: float | None = None
    acu_use: float | None = None


@dataclass(frozen=True, slots=True)
class SingleShard:
    """Share of statements that one shard answers, 0 to 1, weighted by their calls; and where it is from."""

    share: float
    basis: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found at the last look.

    Attributes:
        at: when Limitless answered; a look that it did not answer changes `unknown` alone.
        tenants: the largest ones, the largest first.
        total_rows: of all tenants.
        unknown: what could not be measured, and why.
    """

    at: datetime
    nodes: tuple[Node, ...]
    tenants: tuple[TenantShare, ...]
    total_rows: int
    single_shard: SingleShard | None
    unknown: tuple[str, ...] = ()

    @property
    def shards(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "shard")


@dataclass(frozen=True, slots=True)
class CapacityLine:
    """How full Limitless is, in a line.

    Attributes:
        skew: bytes of the largest shard over the mean of all; 1.0 is even. `cpu_skew` the same of CPU.
        cause: tenants that make the largest shard large.
        max_acu, peak_acu: the plan's maximum, and the busiest moment of the last seven days without standbys.
    """

    summary: str
    at: datetime | None = None
    age_s: float | None = None
    shards: int = 0
    largest_shard: str | None = None
    skew: float | None = None
    cpu_skew: float | None = None
    cause: tuple[TenantShare, ...] = ()
    max_acu: float | None = None
    peak_acu: float | None = None
    single_shard: SingleShard | None = None
    unknown: tuple[str, ...] = ()
