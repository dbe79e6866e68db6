"""How does a tenant, or everything, get back into the mirrored set after it was put aside?

A quarantined tenant is copied again once its cause is gone. After classic's history forked (a restored backup, a
lost tail) nothing on Limitless can be trusted: all of it is copied again, and no mirror or copy of before may commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.control import copy_unit, journal, tenant_copy
from migrator.control import partition as partitions
from migrator.control.epoch import begin_history
from migrator.control.log import decide
from migrator.control.tenant_copy import quarantined as quarantined
from migrator.dataplane.capture.reinstall import mend
from migrator.errors import PreconditionFailed

Connection = psycopg.Connection[Any]


def retry(classic: Connection, tenants: Sequence[str] | None, who: str) -> list[str]:
    """Let quarantined *tenants* (None: all) be copied again; returns them. Safe to run twice.

    Their reads stay on classic until they have joined again: the fallback is not touched here.

    Raises:
        PreconditionFailed: one of *tenants* is not quarantined.
    """
    with classic.transaction():
        found = tenant_copy.retry(classic, tenants)
        missing = sorted(set(tenants or ()) - set(found))
        if missing:
            raise PreconditionFailed(
                f"not quarantined: tenant {', '.join(missing)}", hint="See them with: migrator mirror quarantine"
            )
        if found:
            decide(classic, who, "tenant.retried", ", ".join(found[:20]), "copied again after a quarantine")
    return found


def recopy(classic: Connection, limitless: Connection, who: str, reason: str) -> int:
    """Begin again from classic as it is now: every tenant is copied again; returns how many. Safe to run twice.

    The caller has put all reads on classic, confirmed, and no mirror needs to be stopped: those that run lose their
    lease. Limitless goes first: from then on nothing of before can commit there, and running this again finishes it.
    Capture is made whole before, and mirrors that stand still because it was not go on afterwards.

    Raises:
        PreconditionFailed: captured tables are not what they were; nothing was changed.
    """
    mend(classic)
    with limitless.transaction():
        partitions.revoke_all(limitless, str(uuid.uuid4()))
        copy_unit.close_leases(limitless)
        known = partitions.all_members(limitless)
    with classic.transaction():
        begin_history(classic)
        # Tenants that only Limitless knows (classic lost them) are copied too: that removes their rows there.
        for part, tenant in known:
            tenant_copy.meet(classic, part, [tenant])
        count = tenant_copy.copy_all_again(classic)
        copy_unit.supersede_all(classic)
        journal.release_all(classic)
        decide(classic, who, "mirror.recopied", "everything", reason)
    for part in partitions.mirror_partitions(limitless):
        now = partitions.checkpoint(limitless, part)
        epoch = now.epoch if now is not None else 0
        token = uuid.uuid4()
        partitions.restart_heartbeat(classic, part, epoch, token)
        row = classic.execute("SELECT pg_current_snapshot()::text").fetchone()
        snapshot = str(row[0]) if row else ""
        partitions.restart_position(classic, part, epoch, snapshot)
        with limitless.transaction():
            partitions.clear_members(limitless, part)
            partitions.restart_mirror_position(limitless, part, epoch, snapshot, str(token))
    journal.forget_loss(classic)
    return count
