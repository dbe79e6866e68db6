"""Brings a quarantined tenant, or everything, back into the mirrored set by copying it again.

A quarantined tenant is copied again once the cause is corrected. After classic's history forked (a restored backup, a
lost tail) nothing on Limitless can be trusted: all of it is copied again, and no mirror or copy of before may commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.control import copy_unit, journal, tenant_copy
from migrator.control import partition as partitions
from migrator.control.epoch import begin_history
from migrator.control.log import decide
from migrator.control.tenant_copy import quarantined as quarantined
from migrator.dataplane.capture.reinstall import reinstall
from migrator.errors import PreconditionFailed
from migrator.model.action import Action, Step, carry_out

Connection = psycopg.Connection[Any]


def retry(classic: Connection, tenants: Sequence[str] | None, who: str) -> list[str]:
    """Let quarantined *tenants* (None: all) be copied again; returns them. Safe to run twice.

    Their reads stay on classic until they are enrolled again: the fallback is not touched here.

    Raises:
        PreconditionFailed: one of *tenants* is not quarantined.
    """
    with classic.transaction():
        retried = tenant_copy.retry(classic, tenants)
        missing = sorted(set(tenants or ()) - set(retried))
        if missing:
            raise PreconditionFailed(
                f"not quarantined: tenant {', '.join(missing)}", hint="See them with: migrator mirror quarantine"
            )
        if retried:
            decide(classic, who, "tenant.retried", ", ".join(retried[:20]), "copied again after a quarantine")
    return retried


@dataclass(slots=True)
class _Recopy:
    """What copying everything again works with. known: the tenants that Limitless had, by partition; count: copied."""

    classic: Connection
    limitless: Connection
    who: str
    reason: str
    known: list[tuple[int, str]] = field(default_factory=list)
    count: int = 0


def _revoke(on: _Recopy) -> None:
    """Keep earlier mirrors and copies from committing on Limitless."""
    with on.limitless.transaction():
        partitions.revoke_all(on.limitless, str(uuid.uuid4()))
        copy_unit.close_leases(on.limitless)
        on.known = partitions.all_members(on.limitless)


def _copy_all(on: _Recopy) -> None:
    with on.classic.transaction():
        begin_history(on.classic)
        # Tenants that only Limitless knows (classic lost them) are copied too: that removes their rows there.
        for part, tenant in on.known:
            tenant_copy.add_tenants(on.classic, part, [tenant])
        on.count = tenant_copy.copy_all_again(on.classic)
        copy_unit.supersede_all(on.classic)
        journal.release_all(on.classic)
        decide(on.classic, on.who, "mirror.recopied", "everything", on.reason)
    for part in partitions.mirror_partitions(on.limitless):
        _restart(on.classic, on.limitless, part)
    journal.forget_loss(on.classic)


def _restart(classic: Connection, limitless: Connection, part: int) -> None:
    """Have mirror partition *part* begin at classic's present snapshot, with no members."""
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


RECOPY = (
    Step[_Recopy](
        Action("recopy/capture", "Reinstall capture's own triggers and guards where they differ", None),
        lambda on: reinstall(on.classic),
    ),
    Step[_Recopy](
        Action(
            "recopy/positions",
            "Take every checkpoint and copy lease away from the mirrors and copies that have it",
            None,
        ),
        _revoke,
    ),
    Step[_Recopy](
        Action("recopy/tenants", "Copy every tenant and the reference tables again", "the copy itself"), _copy_all
    ),
)
"""Limitless goes first: from then on no earlier mirror or copy can commit there, and running this again finishes it."""


def recopy(classic: Connection, limitless: Connection, who: str, reason: str) -> int:
    """Begin again from classic as it is now: every tenant is copied again; returns how many. Safe to run twice.

    The caller has put all reads on classic, confirmed, and no mirror needs to be stopped: those that run lose their
    lease. Capture is reinstalled before, and mirrors that it had stalled go on afterwards.

    Raises:
        PreconditionFailed: captured tables are not what they were; nothing was changed.
    """
    on = _Recopy(classic, limitless, who, reason)
    carry_out(RECOPY, on)
    return on.count
