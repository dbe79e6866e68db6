"""Prices what was used, and forecasts the bill of a month. Pure.

Aurora Limitless bills ACU-hours, standbys' too, and storage by the GB-month; I/O is in the price of its storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from migrator.model.capacity import nodes_of
from migrator.model.cost import Against, Basis, Day, Forecast, Prices, Stored, Used

HOURS_PER_MONTH = 730.0
"""365 * 24 / 12, the month AWS price examples use; the projection is for such a month."""

RECENT_DAYS = 7
"""The rest of a month is forecast from so many days, today included, so that each day of the week counts once."""

ENOUGH_HOURS = 24.0
"""Below so many known hours of the recent days nothing but what is certain is over the projection."""

WHOLE_DAY = 12.0
"""Hours that must be known of a day for it to be the cheapest or the dearest one."""

ENOUGH_DAYS = 3


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that can be used at any moment, in ACU, standbys included."""

    least_acu: float
    most_acu: float


def reserved(min_acu: float, max_acu: float, redundancy: int) -> Range:
    """Return what a shard group uses at least and at most: standbys double or triple the shards' part of it.

    Args:
        min_acu, max_acu: of the shard group.
        redundancy: standbys per shard.
    """
    times = 1 + standby_share(max_acu) * redundancy
    return Range(min_acu * times, max_acu * times)


def standby_share(max_acu: float) -> float:
    """Return the part of a shard group's ACU that one standby for each shard uses: the shards among its nodes."""
    nodes = nodes_of(max_acu)
    return nodes.shards / (nodes.routers + nodes.shards)


def settled(prices: Sequence[Prices]) -> tuple[Prices, ...]:
    """Return the prices of every period: one that states none has those of the next one that does.

    A price that comes later says what was not known before; one that changes leaves what was priced as it is.
    """
    found: list[Prices] = []
    acu: float | None = None
    storage: float | None = None
    for one in reversed(prices):
        acu = one.acu_hour_usd if one.acu_hour_usd is not None else acu
        storage = one.storage_gb_month_usd if one.storage_gb_month_usd is not None else storage
        found.append(replace(one, acu_hour_usd=acu, storage_gb_month_usd=storage))
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Usd:
    """Money for ACU-hours, and for storage."""

    compute: float
    storage: float

    def __add__(self, other: Usd) -> Usd:
        return Usd(self.compute + other.compute, self.storage + other.storage)

    def times(self, factor: float) -> Usd:
        return Usd(self.compute * factor, self.storage * factor)

    @property
    def total(self) -> float:
        return self.compute + self.storage

    def monthly(self, hours: float, of_month: float) -> float:
        """Return it as a month of 730 hours, where it is for *hours* of a month of *of_month*: storage is priced by
        the month, however long."""
        return self.compute / hours * HOURS_PER_MONTH + self.storage / hours * of_month


def usd(used: Used, prices: Prices, of_month: float) -> Usd | None:
    """Return what *used* costs in a month of so many hours; None without a price of ACU.

    Storage without a price, or of which nothing is known, costs nothing. Hours of which the storage is not known have
    the mean of the others.
    """
    if prices.acu_hour_usd is None:
        return None
    storage = (used.gb or 0.0) * used.hours / of_month * (prices.storage_gb_month_usd or 0.0)
    return Usd(used.acu_hours * prices.acu_hour_usd, storage)


def priced(rows: Sequence[Stored], prices: Sequence[Prices], of_month: float) -> Usd | None:
    """Return what all *rows* cost, each at its price; None where one has none."""
    found = Usd(0.0, 0.0)
    for row in rows:
        cost = usd(row.used, prices[row.price], of_month)
        if cost is None:
            return None
        found += cost
    return found


def with_storage(rows: Sequence[Stored]) -> list[Stored]:
    """Return *rows*, where those of which no storage is known have the mean of the others."""
    gb = total(row.used for row in rows).gb
    return [
        row
        if gb is None or row.used.storage_hours > 0
        else replace(row, used=replace(row.used, gb_hours=gb * row.used.hours, storage_hours=row.used.hours))
        for row in rows
    ]


def total(parts: Iterable[Used]) -> Used:
    return sum(parts, Used())


# -- months and days, in UTC: each day has 24 hours ------------------------------------------------------------------


def month_begin(now: datetime) -> datetime:
    """Return when the calendar month of *now* began, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(begin: datetime) -> datetime:
    """Return the beginning of the month after the one that begins at *begin*."""
    return (begin + timedelta(days=32)).replace(day=1)


def hours_between(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0) / 3600


def hours_of_month(day: date) -> float:
    begin = datetime(day.year, day.month, 1, tzinfo=UTC)
    return hours_between(begin, month_end(begin))


def days(stored: Sequence[Stored], prices: Sequence[Prices], now: datetime) -> tuple[Day, ...]:
    """Return each day that has figures, the oldest first."""
    found = []
    for day, group in groupby(sorted(stored, key=lambda s: s.day), key=lambda s: s.day):
        rows = list(group)
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        used = total(row.used for row in rows)
        cost = priced(rows, prices, hours_of_month(day))
        peaks = [row.peak_acu for row in rows if row.peak_acu is not None]
        found.append(
            Day(
                day,
                used.hours,
                min(hours_between(begin, now), 24.0),
                used.acu,
                max(peaks, default=None),
                used.gb,
                None if cost is None else cost.total,
                None if cost is None or not used.hours else cost.monthly(used.hours, hours_of_month(day)),
                basis_of(rows),
            )
        )
    return tuple(found)


def basis_of(rows: Sequence[Stored]) -> Basis:
    """Return where the figures of *rows* (one at least) are from."""
    kinds = {row.basis for row in rows}
    return kinds.pop() if len(kinds) == 1 else Basis.MIXED


# -- the forecast ----------------------------------------------------------------------------------------------------


def recent(stored: Sequence[Stored], now: datetime) -> list[Stored]:
    """Return what the rest of the month is forecast from: the last seven days; without any, the last ones known."""
    if not stored:
        return []
    last = min(now.astimezone(UTC).date(), max(row.day for row in stored))
    return [row for row in stored if last - timedelta(days=RECENT_DAYS) < row.day <= last]


def forecast(
    stored: Sequence[Stored], prices: Sequence[Prices], reserve: Range, first: datetime, now: datetime
) -> Forecast | None:
    """Return the bill of the month of *now*; None without figures of the recent days, or without a price.

    Hours that are known cost what they cost. Hours that are over and not known, and the rest of the month, are taken to
    be like the mean of the last seven days, at the present price; low and high like the cheapest and the dearest of
    them.

    Args:
        stored: of this month and of the seven days before *now*, at least.
        prices: as `settled` returns them.
        reserve: what can be used at least and at most, while there are too few days to tell.
        first: when the first figure begins: nothing is charged before it.
    """
    begin = month_begin(now)
    end = month_end(begin)
    of_month = hours_between(begin, end)
    stored = with_storage(stored)
    lately = recent(stored, now)
    mean = _per_hour(total(row.used for row in lately), prices[-1], of_month)
    known = [row for row in stored if begin.date() <= row.day < end.date()]
    so_far = priced(known, prices, of_month)
    if mean is None or so_far is None:
        return None
    covered_from = max(begin, min(first, now))
    covered = hours_between(covered_from, end)
    missing = max(hours_between(covered_from, now) - sum(row.used.hours for row in known), 0.0)
    left = missing + hours_between(now, end)
    low, high, method = _spread(lately, prices[-1], reserve, of_month)
    likely_bill = so_far + mean.times(left)
    low_bill = so_far + min(low, mean, key=lambda rate: rate.total).times(left)
    high_bill = so_far + max(high, mean, key=lambda rate: rate.total).times(left)
    return Forecast(
        so_far.total,
        low_bill.total,
        likely_bill.total,
        high_bill.total,
        mean.times(missing).total,
        likely_bill.monthly(covered, of_month),
        low_bill.monthly(covered, of_month),
        method,
    )


def _per_hour(used: Used, price: Prices, of_month: float) -> Usd | None:
    cost = usd(used, price, of_month)
    return None if cost is None or used.hours <= 0 else cost.times(1 / used.hours)


def _spread(lately: Sequence[Stored], price: Prices, reserve: Range, of_month: float) -> tuple[Usd, Usd, str]:
    """Return an hour's price on the cheapest and the dearest of these days, and the words for it."""
    by_day: dict[date, Used] = {}
    for row in lately:
        by_day[row.day] = by_day.get(row.day, Used()) + row.used
    rates = [_per_hour(used, price, of_month) for used in by_day.values() if used.hours >= WHOLE_DAY]
    costs = sorted((rate for rate in rates if rate is not None), key=lambda rate: rate.total)
    if len(costs) >= ENOUGH_DAYS:
        return costs[0], costs[-1], f"like the cheapest and the dearest of the last {len(costs)} days"
    gb = total(row.used for row in lately).gb or 0.0
    bounds = [
        usd(Used(1.0, acu, gb, 1.0), price, of_month) or Usd(0.0, 0.0) for acu in (reserve.least_acu, reserve.most_acu)
    ]
    return bounds[0], bounds[1], f"at min_acu and max_acu of the plan, since only {len(costs)} whole days are known"


def against(bill: Forecast | None, known_hours: float, projected: float | None, over_pct: float) -> Against:
    """Return how the forecast stands to the projection, of a month of 730 hours.

    It is over once a day is known and the likely bill is more than *over_pct* above the projection; before that once
    even the lowest is, or what is spent already.

    Args:
        bill: None where there are no prices; *known_hours* (of the recent days) then says whether there are figures.
    """
    if known_hours <= 0:
        return Against.UNKNOWN
    if bill is None:
        return Against.UNPRICED
    if projected is None or projected <= 0:
        return Against.UNPROJECTED
    limit = projected * (1 + over_pct / 100)
    certain = max(bill.monthly_low, bill.so_far)
    judged = max(bill.monthly, bill.so_far) if known_hours >= ENOUGH_HOURS else certain
    return Against.OVER if judged > limit else Against.WITHIN
