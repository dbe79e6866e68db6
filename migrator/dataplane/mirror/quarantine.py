"""Quarantines a tenant whose row Limitless refuses.

That tenant alone is quarantined: its reads are on classic, confirmed, before the checkpoint moves past its
unapplied rows, and it leaves the mirrored set in the transaction that moves the checkpoint. Copying it again, once
the cause is corrected, brings it back.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from migrator.control import tenant_copy
from migrator.control.partition import remove_members
from migrator.dataplane.mirror.apply import apply_by_tenant
from migrator.dataplane.mirror.batch import TableBatch
from migrator.dataplane.mirror.partition import Partition
from migrator.model.sqlstate import Fault, fault_of


def is_refusal(error: psycopg.Error) -> bool:
    """Return whether Limitless refused a tenant's data (and is not merely unhealthy or busy)."""
    return fault_of(error.sqlstate) is Fault.DATA


async def find_refused(p: Partition, batches: Sequence[TableBatch]) -> set[str]:
    """Return the tenants whose rows of *batches* Limitless refuses, after their fallback is confirmed."""
    async with p.limitless.transaction(force_rollback=True):
        reasons = await apply_by_tenant(p.limitless, batches)
    if reasons:
        await p.options.fall_back_tenants({t: f"quarantined: {reason}" for t, reason in sorted(reasons.items())})
        await tenant_copy.quarantine(p.control, p.part, p.stand.epoch, reasons)
    return set(reasons)


async def release_members(p: Partition, refused: set[str]) -> None:
    """Take *refused* out of the mirrored set, in the transaction that moves the checkpoint."""
    if refused:
        await remove_members(p.limitless, p.part, sorted(refused))
