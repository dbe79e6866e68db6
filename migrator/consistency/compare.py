"""Which tenants, buckets and rows differ? Pure: digests and rows of both sides in, differences out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from migrator.model.divergence import DivergenceKind

K = TypeVar("K", bound=Hashable)

ROWS_PER_BUCKET = 2000
"""A bucket's rows are held in memory on both sides, so it stays small whatever the table's size."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows and the sum of their hashes."""

    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class RowHash:
    """One row: the hash of all of it, and of each column."""

    whole: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowDifference:
    key: tuple[str, ...]
    kind: DivergenceKind
    columns: tuple[int, ...] = ()
    """Indexes of the columns that differ."""


EMPTY = Digest(0, 0)


def differing(classic: Mapping[K, Digest], limitless: Mapping[K, Digest]) -> list[K]:
    """Return the keys whose digests differ; a missing one counts as empty."""
    return [k for k in dict.fromkeys((*classic, *limitless)) if classic.get(k, EMPTY) != limitless.get(k, EMPTY)]


def bucket_count(rows: int) -> int:
    """Return into how many buckets to split a table of *rows* rows."""
    return max(1, -(-rows // ROWS_PER_BUCKET))


def row_differences(
    classic: Mapping[tuple[str, ...], RowHash], limitless: Mapping[tuple[str, ...], RowHash]
) -> list[RowDifference]:
    """Return every row that differs, in key order."""
    found = []
    for key in sorted({*classic, *limitless}):
        here, there = classic.get(key), limitless.get(key)
        if here == there:
            continue
        if there is None:
            found.append(RowDifference(key, DivergenceKind.MISSING))
        elif here is None:
            found.append(RowDifference(key, DivergenceKind.EXTRA))
        else:
            pairs = zip(here.columns, there.columns, strict=True)
            found.append(
                RowDifference(key, DivergenceKind.MISMATCHED, tuple(i for i, (a, b) in enumerate(pairs) if a != b))
            )
    return found
