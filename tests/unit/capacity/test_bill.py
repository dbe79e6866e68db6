"""The bill is arithmetic: whatever was seen, whenever it is asked, and in months of every length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.capacity import bill
from migrator.capacity.bill import Range, against, days, forecast, hours_between, month_begin, month_end, settled
from migrator.model.cost import Against, Basis, Forecast, Prices, Stored, Used

PRICES = (Prices(0.2, 0.1),)
RESERVE = Range(16.0, 64.0)
FIRST = datetime(2020, 1, 1, tzinfo=UTC)

moments = st.datetimes(datetime(2023, 1, 2), datetime(2032, 12, 31), timezones=st.just(UTC))
acus = st.floats(0.5, 6144)


def stored(
    day: date, hours: float, acu: float, gb: float = 0.0, price: int = 0, basis: Basis = Basis.CLOUDWATCH
) -> Stored:
    return Stored(day, price, basis, Used(hours, acu * hours, gb * hours, hours), acu, 0.0)


def every_day(begin: datetime, now: datetime, acu: float, gb: float = 0.0) -> list[Stored]:
    """All hours from the day of *begin* until *now*, each the same."""
    found, day = [], begin.replace(hour=0, minute=0, second=0, microsecond=0)
    while day < now:
        found.append(stored(day.date(), min(hours_between(day, now), 24.0), acu, gb))
        day += timedelta(days=1)
    return [row for row in found if row.used.hours > 0]


def of(rows: list[Stored], now: datetime, first: datetime = FIRST) -> Forecast:
    found = forecast(rows, PRICES, RESERVE, first, now)
    assert found is not None
    return found


@given(moments, acus, st.floats(0, 10_000))
def test_a_load_that_stays_costs_its_hours_in_a_month_of_any_length(now: datetime, acu: float, gb: float) -> None:
    """Februaries, leap years, first hours and last ones; and as a month of 730 hours it always costs the same."""
    begin = month_begin(now)
    hours = hours_between(begin, month_end(begin))
    found = of(every_day(begin - timedelta(days=10), now, acu, gb), now)

    assert hours in (672.0, 696.0, 720.0, 744.0)
    assert found.likely == pytest.approx(acu * hours * 0.2 + gb * 0.1)
    assert found.low == pytest.approx(found.likely) and found.high == pytest.approx(found.likely)
    assert found.missing == pytest.approx(0, abs=1e-6)
    assert found.monthly == pytest.approx(acu * 730 * 0.2 + gb * 0.1)


@given(moments, st.lists(st.tuples(st.integers(0, 40), st.floats(0.01, 24), acus), min_size=1, max_size=40))
def test_whatever_was_seen_the_likely_bill_is_between_low_and_high(
    now: datetime, seen: list[tuple[int, float, float]]
) -> None:
    """Days partly seen, gaps, one sample alone; no bill is below what was spent."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = {
        ago: stored(
            (today - timedelta(days=ago)).date(), min(hours, hours_between(today, now) if ago == 0 else 24), acu
        )
        for ago, hours, acu in seen
    }
    found = forecast([row for row in rows.values() if row.used.hours > 0], PRICES, RESERVE, FIRST, now)
    if found is None:
        assert all(row.used.hours == 0 for row in rows.values())
        return

    assert 0 <= found.so_far <= found.low * (1 + 1e-9) <= found.likely * (1 + 2e-9) <= found.high * (1 + 3e-9)
    assert 0 <= found.missing <= found.likely


@given(moments, st.sets(st.integers(1, 30)), acus)
def test_a_gap_changes_nothing_where_the_load_stays(now: datetime, gone: set[int], acu: float) -> None:
    whole = every_day(month_begin(now) - timedelta(days=10), now, acu)
    left = [row for row in whole if (now.date() - row.day).days not in gone]
    if not left:
        return
    assert of(left, now).likely == pytest.approx(of(whole, now).likely)


@given(moments, acus)
def test_one_sample_makes_a_forecast_as_wide_as_the_plan(now: datetime, acu: float) -> None:
    """Nothing but min_acu and max_acu is known of the rest of the month."""
    found = of([stored(now.date(), 0.5, acu)], now, first=now - timedelta(hours=0.5))
    rest = hours_between(now, month_end(month_begin(now)))

    assert found.high - found.so_far >= 0.999 * rest * 0.2 * max(acu, 64)
    assert found.low - found.so_far <= 1.001 * (rest + 0.5) * 0.2 * min(acu, 16)
    assert "min_acu and max_acu" in found.method


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"])
@pytest.mark.parametrize("at", ["2026-03-08", "2026-11-01", "2028-02-29", "2026-12-31"])
def test_the_operators_clock_changes_no_bill(zone: str, at: str) -> None:
    """Days are UTC, as AWS bills: they have 24 hours where summer time begins or ends."""
    local = datetime.fromisoformat(f"{at}T12:30").replace(tzinfo=ZoneInfo(zone))
    now = local.astimezone(UTC)
    rows = every_day(month_begin(now) - timedelta(days=10), now, 20)

    assert of(rows, local) == of(rows, now)
    assert {day.of_hours for day in days(rows, PRICES, local)[:-1]} == {24.0}


def test_a_month_that_began_late_is_held_against_a_whole_one() -> None:
    """Limitless since the 20th at three times the projected rate: a third of a month, three times the projection."""
    now = datetime(2026, 4, 25, tzinfo=UTC)
    begin = datetime(2026, 4, 20, tzinfo=UTC)
    found = of(every_day(begin, now, 60), now, first=begin)

    assert found.likely == pytest.approx(60 * 0.2 * 24 * 11)
    assert found.monthly == pytest.approx(3 * 20 * 0.2 * 730)
    assert against(found, 120, 20 * 0.2 * 730, 10) is Against.OVER


def test_each_hour_has_the_price_that_was_in_force() -> None:
    """A price that rises on the 11th changes nothing of the ten days before, and everything after."""
    now = datetime(2026, 4, 21, tzinfo=UTC)
    rows = [stored(date(2026, 4, day), 24, 10, price=int(day > 10)) for day in range(1, 21)]
    found = forecast(rows, (Prices(0.2, None), Prices(0.4, None)), RESERVE, FIRST, now)

    assert found is not None and found.so_far == pytest.approx(10 * 24 * (10 * 0.2 + 10 * 0.4))
    assert found.likely == pytest.approx(found.so_far + 10 * 24 * 10 * 0.4)


def test_a_day_with_two_prices_is_one_day() -> None:
    rows = [stored(date(2026, 4, 3), 6, 10), stored(date(2026, 4, 3), 18, 10, price=1, basis=Basis.MODEL)]
    [day] = days(rows, (Prices(0.2, None), Prices(0.4, None)), datetime(2026, 4, 9, tzinfo=UTC))

    assert (day.hours, day.of_hours, day.basis) == (24, 24, Basis.MIXED)
    assert day.usd is not None and day.usd == pytest.approx(10 * (6 * 0.2 + 18 * 0.4))
    assert day.monthly_usd == pytest.approx(day.usd / 24 * 730)


def test_a_price_that_comes_later_prices_what_had_none() -> None:
    """But one that changes, or is taken away, leaves what was priced as it is."""
    at = datetime(2026, 4, 1, tzinfo=UTC)
    found = settled((Prices(None, None), Prices(0.2, None, at), Prices(0.3, 0.1, at), Prices(None, 0.2, at)))

    assert [(p.acu_hour_usd, p.storage_gb_month_usd) for p in found] == [
        (0.2, 0.1),
        (0.2, 0.1),
        (0.3, 0.1),
        (None, 0.2),
    ]


def test_without_a_price_there_is_no_bill() -> None:
    now = datetime(2026, 4, 21, tzinfo=UTC)
    assert forecast(every_day(month_begin(now), now, 10), (Prices(None, 0.1),), RESERVE, FIRST, now) is None
    assert forecast([], PRICES, RESERVE, FIRST, now) is None


def test_storage_of_days_in_which_it_is_not_known_is_like_the_others() -> None:
    now = datetime(2026, 4, 21, tzinfo=UTC)
    rows = every_day(month_begin(now), now, 10, 100)
    unknown = [replace(row, used=replace(row.used, gb_hours=0, storage_hours=0)) for row in rows]
    half = [(row, less)[n % 2] for n, (row, less) in enumerate(zip(rows, unknown, strict=True))]

    assert of(half, now) == of(rows, now)


def test_a_worker_that_rested_for_weeks_leaves_its_last_days() -> None:
    """The forecast rests on what was seen last, and what came after is missing."""
    now = datetime(2026, 4, 28, tzinfo=UTC)
    rows = every_day(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 8, tzinfo=UTC), 10)
    found = of(rows, now)

    assert found.likely == pytest.approx(10 * 720 * 0.2) and found.missing == pytest.approx(10 * 20 * 24 * 0.2)


def bill_of(monthly: float, low: float = 0.0, so_far: float = 0.0) -> Forecast:
    return Forecast(so_far, 0, 0, 0, 0, monthly, low, "")


@pytest.mark.parametrize(
    ("found", "hours", "projected", "answer"),
    [
        (bill_of(26_000), 48, 1000, Against.OVER),
        (bill_of(1100), 48, 1000, Against.WITHIN),
        (bill_of(1101), 48, 1000, Against.OVER),
        (bill_of(26_000), 5, 1000, Against.WITHIN),  # a burst: a day must be known
        (bill_of(26_000, low=1200), 5, 1000, Against.OVER),  # even the plan's min_acu is too much
        (bill_of(26_000, so_far=1200), 5, 1000, Against.OVER),  # spent already
        (bill_of(900, so_far=1200), 48, 1000, Against.OVER),
        (bill_of(26_000), 48, None, Against.UNPROJECTED),
        (bill_of(26_000), 48, 0.0, Against.UNPROJECTED),
        (None, 48, 1000, Against.UNPRICED),
        (None, 0, 1000, Against.UNKNOWN),
    ],
)  # fmt: skip
def test_what_is_over_the_projection(
    found: Forecast | None, hours: float, projected: float | None, answer: Against
) -> None:
    assert against(found, hours, projected, 10) is answer


def test_standbys_are_part_of_the_reserve() -> None:
    """Two shards of four nodes: one standby each adds half."""
    assert bill.reserved(16, 64, 0) == Range(16, 64)
    assert bill.reserved(16, 64, 1) == Range(24, 96)
    assert bill.reserved(16, 64, 2) == Range(32, 128)


def test_days_of_a_zone_that_is_not_utc_are_utc() -> None:
    now = datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    assert month_begin(now) == datetime(2026, 3, 1, tzinfo=UTC)
