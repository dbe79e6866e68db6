"""Estimates the capacity of the target, and how certain the estimate is.

Figures without a source are the tool's own ranges and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrator.model.capacity import nodes_of

GIB = 2**30


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
core, so 4 ACU match memory and 2 match a CPU-bound load. The tool's own range: measure with a load test."""

DISTRIBUTION_COST = (1.1, 1.4)
"""Routers and two-phase commits on top of the statements themselves. The tool's own range."""


def size(demand: Demand, shards: int) -> dict[str, Any]:
    """Return the capacity to plan for: low, likely and high, with what each number assumes."""
    fan_out = 1 + demand.cross_shard_share * max(0, shards - 1) * 0.25  # a scatter costs each shard part of the whole
    low = demand.cores * ACU_PER_CORE[0] * DISTRIBUTION_COST[0] * demand.growth * fan_out
    high = demand.cores * ACU_PER_CORE[1] * DISTRIBUTION_COST[1] * demand.growth * fan_out
    likely = (low + high) / 2
    nodes = nodes_of(min(6144.0, max(16.0, likely)))
    # A tenant is on one shard, which needs room for it independent of the others.
    hottest_shard = likely * max(demand.largest_tenant_share, 1 / nodes.shards)
    return {
        "max_acu": {"low": round(max(16.0, low)), "likely": round(max(16.0, likely)), "high": round(max(16.0, high))},
        "min_acu": nodes.usual_min_acu,
        "routers": nodes.routers,
        "shards": nodes.shards,
        "compute_redundancy": 1,
        "hottest_shard_acu": round(hottest_shard, 1),
        "data_gib": round(demand.data_bytes * demand.growth / GIB, 2),
        "assumptions": [
            f"{demand.cores:g} cores of the classic writer in use at the peak",
            f"{ACU_PER_CORE[0]:g} to {ACU_PER_CORE[1]:g} ACU per core, {DISTRIBUTION_COST[0]:g} to "
            f"{DISTRIBUTION_COST[1]:g} times for distribution (the tool's own range, to be measured by a load test)",
            f"growth by a factor of {demand.growth:.2f} over the plan's calendar",
            f"{demand.cross_shard_share:.0%} of calls go to all shards",
            "nodes are fixed at creation: routers and shards can be added, never removed",
            "99.99 % needs compute redundancy of at least 1, which doubles the shards' ACU",
        ],
    }
