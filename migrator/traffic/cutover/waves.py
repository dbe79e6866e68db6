"""Orders tenants into waves.

Pure. Small tenants first, because a mistake there costs least; hot ones alone and last, because only they can
saturate a shard by themselves. What a person says about a tenant's wave comes before that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from migrator.model.tenant import TenantId, TenantSize, hot_tenants

_NO_ORDERS: Mapping[TenantId, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WaveRules:
    """The plan's [waves], as far as the choice of tenants goes.

    Attributes:
        sizes: tenants of the first waves; the last number repeats.
        hot_ratio: of the median; see `migrator.model.tenant.hot_tenants`.
    """

    sizes: tuple[int, ...]
    hot_ratio: float
    ramp_pct: tuple[int, ...] = (100,)
    hot_ramp_pct: tuple[int, ...] = (10, 50, 100)


@dataclass(frozen=True, slots=True)
class Wave:
    """Tenants cut over together. `number` counts from 1."""

    number: int
    tenants: tuple[TenantId, ...]
    hot: bool
    ramp_pct: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Ordered:
    """A tenant that a person wants in *wave*."""

    wave: int
    tenant: TenantId
    hot: bool


class _Queue:
    """The tenants that wait, each list in the order they move; waves are taken off it one by one."""

    def __init__(
        self,
        everybody: Sequence[TenantSize],
        waiting: frozenset[TenantId],
        rules: WaveRules,
        orders: Mapping[TenantId, int],
    ) -> None:
        self.rules = rules
        hot = hot_tenants(everybody, rules.hot_ratio)
        small_first = sorted((s for s in everybody if s.tenant_id in waiting), key=lambda s: (s.rows, s.tenant_id))
        names = [s.tenant_id for s in small_first]
        self.calm = deque(t for t in names if t not in hot and t not in orders)
        self.hot = deque(t for t in names if t in hot and t not in orders)
        self.ordered = sorted((_Ordered(orders[t], t, t in hot) for t in names if t in orders), key=lambda o: o.wave)

    def take(self, number: int) -> Wave | None:
        due = self._due(number)
        calm = [o.tenant for o in due if not o.hot]
        alone = [o.tenant for o in due if o.hot]
        if calm or (self.calm and not alone):
            size = self.rules.sizes[min(number, len(self.rules.sizes)) - 1]
            chosen = calm[:size]
            while self.calm and len(chosen) < size:
                chosen.append(self.calm.popleft())
            return self._wave(number, chosen, hot=False)
        if alone:
            return self._wave(number, alone[:1], hot=True)
        return self._wave(number, [self.hot.popleft()], hot=True) if self.hot else None

    def _due(self, number: int) -> list[_Ordered]:
        """Those whose wave has come, or is the first of all when no other tenant waits."""
        if not self.calm and not self.hot and self.ordered:
            number = max(number, self.ordered[0].wave)
        return [o for o in self.ordered if o.wave <= number]

    def _wave(self, number: int, tenants: Sequence[TenantId], hot: bool) -> Wave:
        taken = frozenset(tenants)
        self.ordered = [o for o in self.ordered if o.tenant not in taken]
        return Wave(number, tuple(tenants), hot, self.rules.hot_ramp_pct if hot else self.rules.ramp_pct)


def next_wave(
    number: int,
    everybody: Sequence[TenantSize],
    waiting: frozenset[TenantId],
    rules: WaveRules,
    orders: Mapping[TenantId, int] = _NO_ORDERS,
) -> Wave | None:
    """Return wave *number* out of the *waiting* tenants, None when none waits.

    Which are hot is judged among *everybody*, so that the last tenants waiting do not look small to each other.

    Args:
        orders: the wave that a tenant moves in, by a person's word. It comes first in that wave, or in the next one
            where that has no place left, and is in no earlier one as long as others wait.
    """
    return _Queue(everybody, waiting, rules, orders).take(number)


def all_waves(
    first: int,
    everybody: Sequence[TenantSize],
    waiting: frozenset[TenantId],
    rules: WaveRules,
    orders: Mapping[TenantId, int] = _NO_ORDERS,
) -> list[Wave]:
    """Return every wave from number *first* on, as a dry run shows them."""
    queue = _Queue(everybody, waiting, rules, orders)
    waves: list[Wave] = []
    while wave := queue.take(first + len(waves)):
        waves.append(wave)
    return waves
