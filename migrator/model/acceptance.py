"""What the team accepts of a finding that has a size: its name alone, or up to how large it may become. Pure.

`shadow.slower:3fa1c09be27d` accepts it whatever becomes of it, `shadow.slower:3fa1c09be27d<=6` as long as it is at most
6, in its own unit: a later run in which it is worse brings it back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

UP_TO = "<="

ROOM = 1.5
"""The bound that is offered is so many times what was measured: two runs of the same statements differ by less."""

_NUMBER = re.compile(r"\s*[0-9]{1,9}(?:\.[0-9]{1,6})?\s*")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a finding is. most: it cannot become larger, 100 where it is a share in percent."""

    value: float
    unit: str
    most: float = math.inf

    def __str__(self) -> str:
        return f"{self.value:.3g} {self.unit}"


def parted(entry: str) -> tuple[str, float | None]:
    """Return the name in *entry* and up to which size it is accepted; None: whatever its size.

    Raises:
        ValueError: what stands behind `UP_TO` is no number.
    """
    name, mark, bound = entry.partition(UP_TO)
    if not mark:
        return entry, None
    if not _NUMBER.fullmatch(bound):
        raise ValueError(f"{bound.strip() or 'nothing'} is no number")
    return name.strip(), float(bound)


def accepted(acknowledged: Iterable[str], names: Collection[str], size: Size | None) -> bool:
    """Return whether one of the entries *acknowledged* accepts what has these *names* and this *size*."""
    bounds = [bound for _, bound in _of(acknowledged, names)]
    return any(bound is None or (size is not None and size.value <= bound) for bound in bounds)


def outgrown(acknowledged: Iterable[str], names: Collection[str], size: Size | None) -> float | None:
    """Return up to which size it was accepted, where it is larger by now; None where it was not accepted by size."""
    if size is None:
        return None
    bounds = [bound for _, bound in _of(acknowledged, names) if bound is not None]
    return max(bounds, default=None)


def _of(acknowledged: Iterable[str], names: Collection[str]) -> Iterable[tuple[str, float | None]]:
    for entry in acknowledged:
        try:
            name, bound = parted(entry)
        except ValueError:  # the plan's check names it; it accepts nothing
            continue
        if name in names:
            yield name, bound


def entry_for(name: str, size: Size | None) -> str:
    """Return what to write into `gates.acknowledged` so that *name* is accepted, and comes back when much worse."""
    if size is None or not math.isfinite(size.value):
        return name
    bound = _rounded_up(size.value * ROOM)
    return name if bound >= size.most else f"{name}{UP_TO}{bound:.10g}"


def _rounded_up(value: float) -> float:
    """Return *value* with two digits that count, not below it."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    # Two decimals at least: that many are read again without loss.
    unit = max(unit, 0.01)
    return round(math.ceil(value / unit - 1e-9) * unit, 2)
