"""Which tenants, buckets and rows differ? Pure: digests and rows of both sides in, differences out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping
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


@dataclass(frozen=True, slots=True)
class Split:
    """Buckets that differ: both sides have rows there, or only one has."""

    both: tuple[int, ...]
    classic_only: tuple[int, ...]
    limitless_only: tuple[int, ...]


def split(classic: Mapping[int, Digest], limitless: Mapping[int, Digest]) -> Split:
    """Sort the buckets that differ. Rows of a bucket that one side does not have need no comparison."""
    found = sorted(differing(classic, limitless))
    return Split(
        tuple(b for b in found if b in classic and b in limitless),
        tuple(b for b in found if b not in limitless),
        tuple(b for b in found if b not in classic),
    )


Key = tuple[str, ...]
Keyed = tuple[Key, int]
"""A row's key texts and the hash of all of it."""


async def merge(
    classic: AsyncIterator[Keyed], limitless: AsyncIterator[Keyed]
) -> AsyncIterator[tuple[Key, DivergenceKind]]:
    """Yield every row that differs. Both sides come in the order of their keys' bytes; one row of each is held."""
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
