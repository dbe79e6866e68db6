"""How many ACU, and how much money a month, would the load of the peak take? Pure; each assumption is a line.

Limitless is billed by the ACU it uses, between `min_acu` and `max_acu`, standbys too (migrator/capacity/bill.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from migrator.capacity.bill import HOURS_PER_MONTH, Usd, reserved, usd
from migrator.model.cost import Prices, Used

MARGIN = 1.5
"""Above so many times the highest rate with a measurement nothing is projected."""


@dataclass(frozen=True, slots=True)
class Use:
    """ACU that the shard group's writers used, on average, while it served so many transactions a second."""

    rate: float
    acu: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the plan says: of the shard group, of prices, of storage. None: not known."""

    min_acu: float
    max_acu: float
    redundancy: int
    prices: Prices
    storage_gb: float | None = None


@dataclass(frozen=True, slots=True)
class Projection:
    """What is expected.

    Attributes:
        peak_acu, mean_acu: with standbys, at the peak after growth and at the mean rate; None: not known.
        monthly_usd: 730 hours at the mean rate, with storage where it is known; None: no price.
        least_usd: the same at min_acu.
        assumptions: what the figures rest on, one line each.
        enough: whether `max_acu` is enough for the peak; None: not known.
    """

    peak_acu: float | None
    mean_acu: float | None
    monthly_usd: float | None
    least_usd: float | None
    enough: bool | None
    assumptions: tuple[str, ...]


def project(uses: Sequence[Use], peak: float, growth: float, mean: float, cluster: Cluster) -> Projection:
    """Return what *peak* transactions a second, times *growth*, and *mean* ones on average take.

    Args:
        uses: measured while the test ran; empty where nothing measured them.
        mean: transactions a second over the whole month.
    """
    said = [
        f"the peak is {peak:,.0f} transactions/s, times {growth:.3g} for growth; the month's mean is {mean:,.0f}/s",
        f"{cluster.redundancy} standby per shard uses what its shard uses",
    ]
    least = reserved(cluster.min_acu, cluster.max_acu, cluster.redundancy)
    times = least.least_acu / cluster.min_acu
    at_peak, at_mean = _acu(uses, peak * growth), _acu(uses, mean)
    if uses:
        said.append(
            "ACU grow in a straight line between the rates that were measured, and from the last two of them on"
        )
    else:
        said.append("no ACU were measured, so only what the plan reserves at least is priced")
    if uses and at_peak is None:
        said.append(f"the peak is more than {MARGIN:g} times the highest rate that was measured: its ACU are not known")
    # What is used below min_acu is billed as min_acu; what is above max_acu is not there to be used.
    billed = None if at_mean is None else min(max(at_mean, cluster.min_acu), cluster.max_acu) * times
    monthly = None if billed is None else _monthly(billed, cluster)
    if cluster.prices.acu_hour_usd is None:
        said.append("the plan states no price (cost.acu_hour_usd)")
    if cluster.storage_gb is None or cluster.prices.storage_gb_month_usd is None:
        said.append("storage is not in it: its size or its price is not known")
    return Projection(
        None if at_peak is None else max(at_peak, cluster.min_acu) * times,
        billed,
        monthly,
        _monthly(least.least_acu, cluster),
        None if at_peak is None else at_peak <= cluster.max_acu,
        tuple(said),
    )


def _monthly(acu: float, cluster: Cluster) -> float | None:
    gb = cluster.storage_gb
    hours = HOURS_PER_MONTH
    used = Used(hours, acu * hours, (gb or 0.0) * hours, hours if gb is not None else 0.0)
    found: Usd | None = usd(used, cluster.prices, hours)
    return None if found is None else found.total


def _acu(uses: Sequence[Use], rate: float) -> float | None:
    """Return the ACU at *rate*: between two measured rates in proportion, above them on the line of the last two, below
    them as at the lowest. None: nothing was measured near enough."""
    known = sorted(uses, key=lambda u: u.rate)
    if not known or rate > known[-1].rate * MARGIN:
        return None
    if rate <= known[0].rate or len(known) == 1:
        # Of one rate alone: in proportion, which is at least what it takes while something is used at rest.
        return known[0].acu if rate <= known[0].rate else known[0].acu * rate / known[0].rate
    below, above = next(((a, b) for a, b in pairwise(known) if a.rate <= rate <= b.rate), (known[-2], known[-1]))
    if above.rate == below.rate:
        return max(below.acu, above.acu)
    found = below.acu + (above.acu - below.acu) * (rate - below.rate) / (above.rate - below.rate)
    return max(found, above.acu if rate > above.rate else 0.0)
