"""Chooses what is drawn over time of a migration: twelve panels, from its lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time

from markupsafe import Markup

from migrator.model.cost import Basis
from migrator.model.migration import MigrationFacts
from migrator.report import words
from migrator.report.panels import Drawn, Times, bars, panel, stacked

AGES_S = (60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 365 * 86_400.0)

BASES = {Basis.CLOUDWATCH: "", Basis.MIXED: ", partly a model", Basis.MODEL: ", a model"}


def over_time(facts: MigrationFacts, marks: Sequence[datetime]) -> list[Markup]:
    """Return the panels; *marks* are numbered in each of them. None without lines."""
    series = facts.series
    if series is None:
        return []
    times = Times(series.since, series.until, series.at[0], series.step_s, marks)
    v = series.values
    calendar, bill = facts.calendar, facts.status.bill
    projected = bill.projected_monthly_usd if bill else None
    moving = stacked(v["limitless"], v["joining"])
    reads = _reads(v["classic_reads_per_s"], v["limitless_reads_per_s"])
    return [
        panel(
            "Tenants", "", times,
            [
                Drawn("Limitless", "limitless", moving[0], area=True, stepped=True),
                Drawn("joining", "write", moving[1], stepped=True),
                Drawn("mirrored", "mirrored", v["mirrored"], stepped=True),
            ],
            words.short,
        ),
        panel(
            "Reads per second", "by the side that answered", times,
            [
                Drawn("Limitless", "limitless", reads[0], area=True),
                Drawn("classic", "classic", reads[1], area=True),
            ],
            words.short,
        ),
        panel(
            "Mirror lag", "of the partition that lags most, logarithmic; faint: the highest", times,
            [Drawn("", "lag", v["lag_max_s"], faint=True), Drawn("", "lag", v["lag_s"])],
            words.tick, log_from=0.01,
        ),
        panel(
            "Latency of reads, p99", "logarithmic; faint: the median", times,
            [
                Drawn("", "classic", v["classic_p50_ms"], faint=True),
                Drawn("", "limitless", v["limitless_p50_ms"], faint=True),
                Drawn("classic", "classic", v["classic_p99_ms"]),
                Drawn("Limitless", "limitless", v["limitless_p99_ms"]),
            ],
            lambda ms: words.tick(ms / 1000), log_from=0.1,
        ),
        panel(
            "Reads that failed", "share of all of that side", times,
            [
                Drawn("classic", "classic", v["classic_error_ratio"]),
                Drawn("Limitless", "limitless", v["limitless_error_ratio"]),
            ],
            _percent, highest=_at_least(0.001, v["classic_error_ratio"], v["limitless_error_ratio"]),
        ),
        panel(
            "Age of the oldest verdict", "of a clean validation, over all tenants, logarithmic", times,
            [Drawn("", "limitless", v["oldest_clean_s"])],
            words.seconds_axis, log_from=60.0, ticks=AGES_S,
            limit=(calendar.max_age_s, "a gate takes") if calendar else None,
        ),
        panel(
            "Divergent and quarantined tenants", "", times,
            [
                Drawn("divergent", "lag", v["divergent"], area=True, stepped=True),
                Drawn("quarantined", "write", v["quarantined"], stepped=True),
            ],
            words.short, highest=_at_least(4, v["divergent"], v["quarantined"]),
        ),
        panel(
            "Fallbacks and open breakers", "the most at a time", times,
            [
                Drawn("fallbacks", "lag", v["fallbacks"], area=True, stepped=True),
                Drawn("breakers", "classic", v["open_breakers"], stepped=True),
            ],
            words.short, highest=_at_least(4, v["fallbacks"], v["open_breakers"]),
        ),
        panel(
            "Backfill, rows", "copied, of those to be copied as estimated", times,
            [
                Drawn("copied", "limitless", v["copied_rows"], area=True),
                Drawn("to copy", "mirrored", v["to_copy_rows"]),
            ],
            words.short,
        ),
        panel(
            "Journal on disk", "", times, [Drawn("", "classic", v["journal_bytes"], area=True)], _bytes
        ),
        panel(
            "Classic's writer, CPU", "mean over the time of a point", times,
            [Drawn("", "classic", v["cpu"], area=True)],
            words.percent, highest=1.05, limit=(calendar.full, "full") if calendar else None,
        ),
        bars(
            "Cost", "of a month, if every day were like this one", times, _costs(facts),
            lambda usd: f"${words.short(usd)}",
            limit=(projected, "projection") if projected else None,
        ),
    ]  # fmt: skip


def _reads(classic: Sequence[float | None], limitless: Sequence[float | None]) -> list[list[float | None]]:
    """Return Limitless's reads, and both sides' on top; a side that had none while the other had some had 0."""
    pairs = list(zip(limitless, classic, strict=True))
    known = [[None if a is None and b is None else v or 0.0 for v in (a, b)] for a, b in pairs]
    return stacked([one for one, _ in known], [other for _, other in known])


def _costs(facts: MigrationFacts) -> list[tuple[datetime, float, str]]:
    """Return the middle of each day that has a price, what a month like it costs, and both in words."""
    return [
        (
            datetime.combine(day.day, time(12), UTC),
            day.monthly_usd,
            f"{day.day:%-d %B %Y}: ${words.count(day.monthly_usd)}" + BASES[day.basis],
        )
        for day in facts.costs
        if day.monthly_usd is not None
    ]


def _at_least(low: float, *lines: Sequence[float | None]) -> float:
    return max([low, *(value * 1.06 for line in lines for value in line if value is not None)])


def _percent(ratio: float) -> str:
    return f"{words.two_digits(ratio * 100)} %" if ratio else "0"


def _bytes(size: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1e6:.1g} MB"
