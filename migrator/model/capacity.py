"""The nodes that a capacity means.

Quoted from the Aurora User Guide, "Creating a DB cluster that uses Aurora PostgreSQL Limitless Database" (read
2026-11): nodes are fixed when a shard group is created, and never change afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

_NODES: tuple[tuple[int, int, int, int], ...] = (
    # largest MaxACU, routers, shards, smallest MinACU the console proposes
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


@dataclass(frozen=True, slots=True)
class Nodes:
    """What a maximum capacity means when a shard group is created; later changes of capacity keep the nodes."""

    routers: int
    shards: int
    usual_min_acu: int


def nodes_of(max_acu: float) -> Nodes:
    """Return the nodes a shard group gets that is created with *max_acu*.

    Raises:
        ValueError: outside 16 to 6144.
    """
    if not 16 <= max_acu <= 6144:
        raise ValueError(f"max_acu must be 16 to 6144, got {max_acu:g}")
    return next(Nodes(r, s, m) for largest, r, s, m in _NODES if max_acu <= largest)
