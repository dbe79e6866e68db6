"""How large must the target be, and how sure can one be of it?

Nodes by capacity are AWS's table for clusters created new (create-cluster page); they never change afterwards.
Figures without a source are ranges of our own and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GIB = 2**30

# upper bound of MaxACU: routers, shards, default MinACU
_NODES: tuple[tuple[int, int, int, int], ...] = (
    (400, 2, 2, 16),
    (500, 2, 3, 20),
    (600, 2, 4, 24),
    (700, 3, 4, 28),
    (800, 3, 5, 32),
    (900, 3, 6, 36),
    (1000, 4, 6, 40),
    (1100, 4, 7, 44),
    (1200, 4, 8, 48),
    (1300, 5, 8, 52),
    (1400, 5, 9, 56),
    (1500, 5, 10, 60),
    (1600, 6, 10, 64),
    (1700, 6, 11, 68),
    (1800, 6, 12, 72),
    (1900, 7, 12, 76),
    (2000, 7, 13, 80),
    (2100, 7, 14, 84),
    (2200, 8, 14, 88),
    (2300, 8, 15, 92),
    (6144, 8, 16, 96),
)


def nodes_for(max_acu: float) -> tuple[int, int, int]:
    """Return (routers, shards, default minimum ACU) of a shard group created with *max_acu*."""
    for bound, routers, shards, minimum in _NODES:
        if max_acu <= bound:
            return routers, shards, minimum
    return _NODES[-1][1:]


@dataclass(frozen=True, slots=True)
class Demand:
    """What the target has to carry at the end of the calendar."""

    cores: float  # of the classic writer, used at the peak
    data_bytes: int
    largest_tenant_share: float  # of rows, 0 to 1
    growth: float  # factor over the calendar
    cross_shard_share: float  # of calls, 0 to 1


ACU_PER_CORE = (2.0, 4.0)
"""ACU per core of the classic writer: an ACU is about 2 GiB with its CPU; memory-optimised classes have 8 GiB per
core, so 4 ACU match memory and 2 match a CPU-bound load. A range of ours: measure with a load test."""

DISTRIBUTION_COST = (1.1, 1.4)
"""Routers and two-phase commits on top of the statements themselves. A range of ours."""


def size(demand: Demand, shards: int) -> dict[str, Any]:
    """Return the capacity to plan for: low, likely and high, with what each number assumes."""
    fan_out = 1 + demand.cross_shard_share * max(0, shards - 1) * 0.25  # a scatter costs each shard part of the whole
    low = demand.cores * ACU_PER_CORE[0] * DISTRIBUTION_COST[0] * demand.growth * fan_out
    high = demand.cores * ACU_PER_CORE[1] * DISTRIBUTION_COST[1] * demand.growth * fan_out
    likely = (low + high) / 2
    routers, planned_shards, minimum = nodes_for(max(16.0, likely))
    # A tenant lives on one shard: that shard needs room for it, whatever the others do.
    hottest_shard = likely * max(demand.largest_tenant_share, 1 / planned_shards)
    return {
        "max_acu": {"low": round(max(16.0, low)), "likely": round(max(16.0, likely)), "high": round(max(16.0, high))},
        "min_acu": minimum,
        "routers": routers,
        "shards": planned_shards,
        "compute_redundancy": 1,
        "hottest_shard_acu": round(hottest_shard, 1),
        "data_gib": round(demand.data_bytes * demand.growth / GIB, 2),
        "assumptions": [
            f"{demand.cores:g} cores of the classic writer in use at the peak",
            f"{ACU_PER_CORE[0]:g} to {ACU_PER_CORE[1]:g} ACU per core, {DISTRIBUTION_COST[0]:g} to "
            f"{DISTRIBUTION_COST[1]:g} times for distribution (our range, to be measured by a load test)",
            f"growth by a factor of {demand.growth:.2f} over the plan's calendar",
            f"{demand.cross_shard_share:.0%} of calls go to all shards",
            "nodes are fixed at creation: routers and shards can be added, never removed",
            "99.99 % needs compute redundancy of at least 1, which doubles the shards' ACU",
        ],
    }
