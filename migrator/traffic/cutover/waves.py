"""Orders tenants into waves.

Pure. Small tenants first, because a mistake there costs least; hot ones alone and last, because only they can
saturate a shard by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.model.tenant import TenantId, TenantSize, hot_tenants


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


def next_wave(
    number: int, everybody: Sequence[TenantSize], waiting: frozenset[TenantId], rules: WaveRules
) -> Wave | None:
    """Return wave *number* out of the *waiting* tenants, None when none waits.

    Which are hot is judged among *everybody*, so that the last tenants waiting do not look small to each other.
    """
    order = sorted((s for s in everybody if s.tenant_id in waiting), key=lambda s: (s.rows, s.tenant_id))
    hot = hot_tenants(everybody, rules.hot_ratio)
    calm = [s.tenant_id for s in order if s.tenant_id not in hot]
    if calm:
        size = rules.sizes[min(number, len(rules.sizes)) - 1]
        return Wave(number, tuple(calm[:size]), hot=False, ramp_pct=rules.ramp_pct)
    if order:
        return Wave(number, (order[0].tenant_id,), hot=True, ramp_pct=rules.hot_ramp_pct)
    return None


def all_waves(
    first: int, everybody: Sequence[TenantSize], waiting: frozenset[TenantId], rules: WaveRules
) -> list[Wave]:
    """Return every wave from number *first* on, as a dry run shows them."""
    waves: list[Wave] = []
    while wave := next_wave(first + len(waves), everybody, waiting, rules):
        waves.append(wave)
        waiting = waiting - frozenset(wave.tenants)
    return waves
