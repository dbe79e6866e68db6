"""The effective level of a tenant.

The lowest of its route, the global switch and every fallback that covers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrator.model.route import FallbackScope, Level, Route, lowest
from migrator.model.tenant import REFERENCE_PART, TenantId


@dataclass(frozen=True, slots=True)
class Fallback:
    """Reads of what it covers come from classic for now.

    Attributes:
        key: '' for all, the partition number, or the tenant.
        level: CLASSIC, or JOINING on its way out.
    """

    scope: FallbackScope
    key: str
    level: Level
    epoch: int

    def covers(self, tenant_id: TenantId, part: int) -> bool:
        """Return whether it applies to a tenant of mirror partition *part*."""
        return self.scope is FallbackScope.ALL or (
            self.key in part_keys(part) if self.scope is FallbackScope.PART else self.key == tenant_id
        )


def part_keys(part: int) -> tuple[str, str]:
    """Return the keys of partition fallbacks that cover *part*.

    Reference tables are read by every tenant, so a fallback of their partition covers all.
    """
    return (str(part), str(REFERENCE_PART))


def effective(route: Route | None, switch: Level, fallbacks: Iterable[Fallback]) -> Level:
    """Return a tenant's level. A tenant without a route reads classic."""
    if route is None:
        return Level.CLASSIC
    caps = [f.level for f in fallbacks if f.covers(route.tenant_id, route.part)]
    return lowest([route.level, switch, *caps])
