"""Decides whether rollbacks stop the cutover until a person says go forward.

Pure. An operator's rollback always stops it. The guard's rollbacks of single tenants do not, up to the plan's
limit per wave: those tenants stay on classic and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.facts import RolledBack
from migrator.model.route import Level


def hold(
    switch: Level, switched_by: str, switch_reason: str, back: Sequence[RolledBack], guard: str, max_failed: int
) -> tuple[str, tuple[Blocker, ...]]:
    """Return why the cutover stops and the details; an empty reason means it goes on."""
    if switch is not Level.LIMITLESS:
        return f"all reads were rolled back by {switched_by}: {switch_reason}", ()
    by_hand = [b for b in back if b.who != guard]
    if by_hand:
        waves = sorted({b.wave for b in by_hand})
        what = f"wave {waves[0]}" if len(waves) == 1 and len(by_hand) > 1 else counted(len(by_hand), "tenant")
        return f"{what} rolled back by {by_hand[0].who}: {by_hand[0].reason}", details(by_hand)
    for wave, failed in sorted(Counter(b.wave for b in back).items()):
        if failed > max_failed:
            mine = [b for b in back if b.wave == wave]
            return f"wave {wave} was rolled back: {counted(failed, 'tenant')} exceeded limits on Limitless", details(
                mine
            )
    return "", ()


def details(back: Sequence[RolledBack]) -> tuple[Blocker, ...]:
    """Return one line per tenant, at most twenty."""
    lines = [
        Blocker("tenant.rolled_back", b.tenant_id, f"tenant {b.tenant_id} (wave {b.wave}): {b.reason}")
        for b in back[:20]
    ]
    if len(back) > len(lines):
        lines.append(Blocker("tenant.rolled_back", "", f"… {counted(len(back), 'tenant')} in all"))
    return tuple(lines)
