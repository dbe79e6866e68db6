"""Measures the backlog of every mirror partition, and lists the retention pins on the journal.

Entries are counted in the journal itself, against the positions as published. A journal larger than `SAMPLED_BYTES` is
sampled: an operator who looks because it grows must not wait for all of it to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.install import active_plan
from migrator.control.journal import count_waiting, size_bytes, sizes
from migrator.control.journal import holds as holds
from migrator.control.partition import ages_s
from migrator.dataplane.capture.names import journal

SAMPLED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartWaiting:
    """What one mirror partition has not applied yet.

    Attributes:
        entries: journal entries; a key without a tenant waits for every partition of tenants.
        oldest_s: the oldest of them is at most this old (the age of the position); 0 without entries.
        bytes: of the journal, by the share of entries; they are freed when a whole slot is passed.
    """

    part: int
    entries: int
    oldest_s: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The journal: `bytes` on disk with its indexes, `entries` applied or not, the plan's limit, and its partitions.

    `estimated`: entries are estimates from a sample.
    """

    bytes: int
    entries: int
    limit_bytes: int
    estimated: bool
    parts: tuple[PartWaiting, ...]


def waiting(conn: psycopg.Connection[Any]) -> Waiting:
    """Return the backlog, as it is now; every table is read in its own short statement.

    Raises:
        NotInstalled: no plan was ever started on this cluster.
    """
    limit = float(active_plan(conn).get("dual_write", {}).get("journal_limit_mb", 4096)) * 1e6
    journals = sizes(conn)
    ages = ages_s(conn)
    heap = sum(size for _, size, _ in journals)
    share = min(1.0, SAMPLED_BYTES / heap) if heap else 1.0
    sample = sql.SQL("" if share == 1.0 else f"TABLESAMPLE SYSTEM ({share * 100:.6f}) REPEATABLE (1)")
    size = size_bytes(conn)
    entries = 0
    counts = dict.fromkeys(ages, 0)
    shares = dict.fromkeys(ages, 0.0)
    for number, _, whole in journals:
        rows = conn.execute(count_waiting(sql.Identifier("migrator", journal(number)), sample)).fetchall()
        there = next(int(count) for part, count in rows if part is None)
        entries += there
        for part, count in rows:
            if part is not None:
                counts[part] += count
                shares[part] += whole * count / max(there, count)  # the ring may be emptied meanwhile
    return Waiting(
        bytes=size,
        entries=round(entries / share),
        limit_bytes=int(limit),
        estimated=share < 1.0,
        parts=tuple(
            PartWaiting(part, round(counts[part] / share), ages[part] if counts[part] else 0.0, round(shares[part]))
            for part in ages
        ),
    )
