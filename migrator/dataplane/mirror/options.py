"""Limits of one mirror partition, and what it reports to its caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from migrator.plan.schema import Plan


@dataclass(frozen=True, slots=True)
class CycleStats:
    """One cycle, as reported to heartbeats and status."""

    part: int
    snapshot: str
    rows: int
    lag_s: float
    seconds: float
    joined: int = 0


async def _nothing(_: str, __: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """Limits of one mirror partition.

    Attributes:
        batch_rows: rows one Limitless transaction applies at most.
        batch_mb: megabytes of their text it applies at most, and one row: what bounds a mirror's memory.
        idle_commit_s: an idle partition publishes a fresh position this often.
        fence_wait_s: how long it pauses for a validator at most.
        wait_told_s: a wait because of a foreign key is reported when it has lasted so long, and as often.
        journal_limit_mb: a journal larger than this is an incident (partition 0 checks it); entries are never dropped.
        fall_back: called with (scope key, reason) before rows of a tenant ('' means the whole partition) become
            unreadable on Limitless; must return only when the fallback is confirmed.
        for_tenant: the same for a tenant, whatever it is called: its name may be ''. None: by *fall_back*.
        for_tenants: the same for many, each with its reason, confirmed once. None: one by one.
    """

    batch_rows: int = 20_000
    batch_mb: float = 32.0
    poll_min_s: float = 0.01
    poll_max_s: float = 0.1
    idle_commit_s: float = 1.0
    fence_wait_s: float = 2.0
    wait_told_s: float = 5.0
    ring_turn_s: float = 30.0
    journal_limit_mb: float = 4096.0
    fall_back: Callable[[str, str], Awaitable[None]] = _nothing
    for_tenant: Callable[[str, str], Awaitable[None]] | None = None
    for_tenants: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
    on_cycle: Callable[[CycleStats], None] | None = None

    async def fall_back_tenant(self, tenant: str, reason: str) -> None:
        """Bring one tenant's reads back to classic, confirmed."""
        await (self.for_tenant or self.fall_back)(tenant, reason)

    async def fall_back_tenants(self, reasons: Mapping[str, str]) -> None:
        """Bring the reads of each tenant of *reasons* back to classic, confirmed."""
        if self.for_tenants is not None:
            await self.for_tenants(reasons)
            return
        for tenant, reason in reasons.items():
            await self.fall_back_tenant(tenant, reason)

    @property
    def batch_bytes(self) -> int:
        return int(self.batch_mb * 1_000_000)


def options_of(plan: Plan) -> MirrorOptions:
    """Return the limits of every partition as *plan* says."""
    section = plan.dual_write
    return MirrorOptions(
        batch_rows=section.batch_rows,
        poll_min_s=section.poll_min_ms / 1000,
        poll_max_s=section.poll_max_ms / 1000,
        fence_wait_s=plan.validation.fence_wait_ms / 1000,
        ring_turn_s=section.ring_turn_s,
        journal_limit_mb=section.journal_limit_mb,
    )
