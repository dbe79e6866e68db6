"""Takes a tenant out of the mirrored set, to be copied again.

Through the mirror only, between two cycles: its reads go back to classic, confirmed; then it leaves in a
transaction that locks the checkpoint, so that no other mirror and no fence sees half of it. Each step may be
repeated: a tenant whose state was not brought up to date leaves once more, which changes nothing.
"""

from __future__ import annotations

from migrator.control import tenant_copy
from migrator.dataplane.mirror import position
from migrator.dataplane.mirror.partition import Partition
from migrator.dataplane.mirror.quarantine import release_members
from migrator.errors import LeaseLost


async def remove_leaving(p: Partition) -> None:
    """Take every tenant of the partition that is to be copied again out of the mirrored set.

    Raises:
        LeaseLost: another mirror has the partition.
    """
    leaving = await tenant_copy.leaving(p.control, p.part)
    if not leaving:
        return
    await p.options.fall_back_tenants({t: f"it is copied again: {reason}" for t, reason in leaving.items()})
    async with p.limitless.transaction():
        if not await position.lock_checkpoint(p.limitless, p.stand):
            raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")
        await release_members(p, set(leaving))
    p.members -= set(leaving)
    await tenant_copy.may_be_copied(p.control, p.part, p.stand.epoch, sorted(leaving))
