"""Compares digests and rows of both sides: which tenants, buckets and rows differ. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from migrator.model.divergence import DivergenceKind

K = TypeVar("K", bound=Hashable)

ROWS_PER_BUCKET = 256
MAX_BUCKETS = 65_536
"""What a side answers with at most, whatever the table's size."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Rows and the sum of their hashes."""

    rows: int
    total: int


EMPTY = Digest(0, 0)


def differing(classic: Mapping[K, Digest], limitless: Mapping[K, Digest]) -> list[K]:
    """Return the keys whose digests differ; a missing one counts as empty."""
    return [k for k in dict.fromkeys((*classic, *limitless)) if classic.get(k, EMPTY) != limitless.get(k, EMPTY)]


def bucket_count(rows: int) -> int:
    """Return into how many buckets to split a table of *rows* rows."""
    return min(MAX_BUCKETS, max(1, -(-rows // ROWS_PER_BUCKET)))


Bucket = tuple[str, int]
"""A tenant ('' in a table without) and the number of a bucket of its keys."""


@dataclass(frozen=True, slots=True)
class Split:
    """Buckets that differ: both sides have rows there, or only one has."""

    both: tuple[Bucket, ...]
    classic_only: tuple[Bucket, ...]
    limitless_only: tuple[Bucket, ...]


def split(classic: Mapping[Bucket, Digest], limitless: Mapping[Bucket, Digest]) -> Split:
    """Sort the buckets that differ. Rows of a bucket that one side does not have need no comparison."""
    buckets = sorted(differing(classic, limitless))
    return Split(
        tuple(b for b in buckets if b in classic and b in limitless),
        tuple(b for b in buckets if b not in limitless),
        tuple(b for b in buckets if b not in classic),
    )


def batches(sizes: Mapping[str, int]) -> Iterator[tuple[list[str], int]]:
    """Yield (tenants, buckets per tenant) so that one query per side answers for many small tenants.

    Args:
        sizes: rows per tenant, at most.
    """
    batch: list[str] = []
    for tenant, rows in sorted(sizes.items(), key=lambda item: item[1]):
        if batch and (len(batch) + 1) * bucket_count(rows) > MAX_BUCKETS:
            yield batch, bucket_count(sizes[batch[-1]])
            batch = []
        batch.append(tenant)
    if batch:
        yield batch, bucket_count(sizes[batch[-1]])


Place = tuple[str, ...]
"""Where a row is: its tenant ('' in a table without), then its key."""
Placed = tuple[Place, int]
"""A row's place and the hash of all of it."""


async def merge(
    classic: AsyncIterator[Placed], limitless: AsyncIterator[Placed]
) -> AsyncIterator[tuple[Place, DivergenceKind]]:
    """Yield every row that differs. Both sides come in the order of places; one row of each is held."""
    here, there = await anext(classic, None), await anext(limitless, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here[0] < there[0]):
            assert here is not None
            yield here[0], DivergenceKind.MISSING
            here = await anext(classic, None)
        elif here is None or there[0] < here[0]:
            yield there[0], DivergenceKind.EXTRA
            there = await anext(limitless, None)
        else:
            if here[1] != there[1]:
                yield here[0], DivergenceKind.MISMATCHED
            here, there = await anext(classic, None), await anext(limitless, None)
