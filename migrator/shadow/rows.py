"""Are two results the same? Pure.

Results are rows of texts, as both servers write them under one set of session settings. Order counts where the
statement asks for one, and only as far as it does: rows that are equal in its keys may come in any order, and which of
them a LIMIT leaves out is the server's choice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

Row = tuple[bytes | None, ...]

MOST_ROWS = 20_000
"""Rows of one result that are kept, in memory and no longer than it takes to compare them. More are not compared."""

TOLERANCE = 1e-9
"""Relative difference of two floats that counts as none: sums of them depend on the order in which rows come."""

_FLOATS = frozenset((700, 701))
"""float4, float8."""


class Same(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """How a statement orders its result.

    Attributes:
        by: it has an ORDER BY.
        keys: columns of the result, by name or by number from 1; empty where they are not all in the result.
        limited: it has a LIMIT or an OFFSET.
    """

    by: bool = False
    keys: tuple[str | int, ...] = ()
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement returned. more: it has more rows than are kept."""

    names: tuple[str, ...]
    types: tuple[int, ...]
    rows: Sequence[Row]
    more: bool = False


def compare(classic: Result, limitless: Result, order: Order) -> tuple[Same, str]:
    """Return whether both results are the same, and in a few words why not, or why that cannot be told."""
    if classic.more or limitless.more:
        return Same.UNKNOWN, f"more than {MOST_ROWS:,} rows"
    aligned = _aligned(classic, limitless)
    if aligned is None:
        return Same.NO, "other columns"
    if len(classic.rows) != len(aligned):
        return Same.NO, "another number of rows"
    if list(classic.rows) == aligned:
        return Same.YES, ""
    floats = [i for i, kind in enumerate(classic.types) if kind in _FLOATS]
    here, there = _canonical(classic.rows, aligned, floats)
    keys = _positions(order, classic.names)
    if Counter(here) == Counter(there):
        if not order.by or not keys or _keyed(here, keys) == _keyed(there, keys):
            return Same.YES, ""
        return Same.NO, "the same rows in another order"
    if order.limited and order.by:
        return _at_the_limit(here, there, keys)
    return Same.NO, "other rows"


def _aligned(classic: Result, limitless: Result) -> list[Row] | None:
    """Return Limitless' rows with the columns of classic; more of them there (a derived tenant column) are left out."""
    if classic.names == limitless.names:
        return list(limitless.rows)
    if len(set(limitless.names)) < len(limitless.names) or not set(classic.names) <= set(limitless.names):
        return None
    at = [limitless.names.index(name) for name in classic.names]
    return [tuple(row[i] for i in at) for row in limitless.rows]


def _positions(order: Order, names: Sequence[str]) -> list[int]:
    """Return where the keys of *order* are; empty where one of them is in no column, or in several."""
    found = []
    for key in order.keys:
        if isinstance(key, int):
            found.append(key - 1)
        elif names.count(key) == 1:
            found.append(names.index(key))
        else:
            return []
    return found if all(0 <= at < len(names) for at in found) else []


def _keyed(rows: Sequence[Row], keys: Sequence[int]) -> list[Row]:
    return [tuple(row[i] for i in keys) for row in rows]


def _at_the_limit(here: Sequence[Row], there: Sequence[Row], keys: Sequence[int]) -> tuple[Same, str]:
    """Judge results that a LIMIT or OFFSET has cut: in the first and the last group of equal keys rows may differ."""
    if not keys:
        return Same.UNKNOWN, "LIMIT, and the order is not in the result"
    if _keyed(here, keys) != _keyed(there, keys):
        return Same.NO, "other rows"
    at = 0
    groups = [len(list(group)) for _, group in groupby(_keyed(here, keys))]
    for number, size in enumerate(groups):
        inside = 0 < number < len(groups) - 1
        if inside and Counter(here[at : at + size]) != Counter(there[at : at + size]):
            return Same.NO, "other rows"
        at += size
    return Same.UNKNOWN, "LIMIT cuts rows that are equal in its order"


def _canonical(here: Sequence[Row], there: Sequence[Row], floats: Sequence[int]) -> tuple[list[Row], list[Row]]:
    """Return both with every float of *there* that is close to one of *here* written as that one is."""
    if not floats:
        return list(here), list(there)
    spellings: list[dict[bytes, bytes]] = []
    for column in floats:
        spellings.append(_spellings([row[column] for row in here], [row[column] for row in there]))

    def written(row: Row) -> Row:
        values = list(row)
        for column, known in zip(floats, spellings, strict=True):
            value = values[column]
            values[column] = known.get(value, value) if value is not None else None
        return tuple(values)

    return [written(row) for row in here], [written(row) for row in there]


def _spellings(here: Sequence[bytes | None], there: Sequence[bytes | None]) -> dict[bytes, bytes]:
    """Return for each float the one that stands for all that are close to each other, one after the other."""
    texts = sorted({v for v in (*here, *there) if v is not None}, key=lambda v: (_number(v), v))
    found: dict[bytes, bytes] = {}
    first: bytes | None = None
    before: bytes | None = None
    for text in texts:
        # Beside its neighbour: from the first of them, one of two that are equal could be just beyond the tolerance.
        if before is None or not _close(_number(before), _number(text)):
            first = text
        found[text] = first or text
        before = text
    return found


def _number(text: bytes) -> float:
    value = float(text)
    return math.inf if math.isnan(value) else value


def _close(one: float, other: float) -> bool:
    if math.isinf(one) or math.isinf(other):
        return one == other
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-300)
