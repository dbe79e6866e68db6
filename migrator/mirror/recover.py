"""How does a tenant, or everything, get back into the mirrored set after it was put aside?

A quarantined tenant is copied again once its cause is gone. After classic's history forked (a restored backup, a
lost tail) nothing on Limitless can be trusted: all of it is copied again, and no mirror or copy of before may commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.capture.mend import mend
from migrator.control.epoch import begin_history
from migrator.control.generation import RENEW
from migrator.control.log import decide
from migrator.errors import PreconditionFailed

Connection = psycopg.Connection[Any]


def quarantined(classic: Connection) -> list[tuple[str, str]]:
    """Return the tenants put aside, each with the reason."""
    rows = classic.execute(
        "SELECT tenant_id, coalesce(reason, '') FROM migrator.tenant WHERE state = 'quarantined' ORDER BY tenant_id"
    )
    return [(str(tenant), str(reason)) for tenant, reason in rows]


def retry(classic: Connection, tenants: Sequence[str] | None, who: str) -> list[str]:
    """Let quarantined *tenants* (None: all) be copied again; returns them. Safe to run twice.

    Their reads stay on classic until they have joined again: the fallback is not touched here.

    Raises:
        PreconditionFailed: one of *tenants* is not quarantined.
    """
    with classic.transaction():
        rows = classic.execute(
            sql.SQL(
                "UPDATE migrator.tenant SET state = 'pending', reason = NULL, {} WHERE state = 'quarantined'"
                " AND (%(all)s OR tenant_id = ANY (%(tenants)s)) RETURNING tenant_id"
            ).format(RENEW),
            {"all": tenants is None, "tenants": list(tenants or ())},
        )
        found = sorted(str(tenant) for (tenant,) in rows)
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
        limitless.execute("UPDATE migrator.mirror_position SET epoch = epoch + 1, token = %s", (str(uuid.uuid4()),))
        limitless.execute("UPDATE migrator.copy_lease SET state = 'closed'")
        known = limitless.execute("SELECT part, tenant_id FROM migrator.mirrored WHERE part <> 0").fetchall()
    with classic.transaction():
        begin_history(classic)
        # Tenants that only Limitless knows (classic lost them) are copied too: that removes their rows there.
        for part, tenant in known:
            classic.execute(
                "INSERT INTO migrator.tenant (tenant_id, part) VALUES (%s, %s) ON CONFLICT DO NOTHING", (tenant, part)
            )
        count = classic.execute(
            sql.SQL("UPDATE migrator.tenant SET state = 'pending', reason = NULL, recopy = NULL, {}").format(RENEW)
        ).rowcount
        classic.execute("UPDATE migrator.copy_unit SET state = 'joined', superseded = true, problem = NULL")
        classic.execute("DELETE FROM migrator.hold")
        decide(classic, who, "mirror.recopied", "everything", reason)
    parts = [int(p) for (p,) in limitless.execute("SELECT part FROM migrator.mirror_position ORDER BY part")]
    for part in parts:
        epoch = _epoch(limitless, part)
        token = uuid.uuid4()
        classic.execute(
            "INSERT INTO migrator.heartbeat (part, token, epoch) VALUES (%s, %s, %s) ON CONFLICT (part)"
            " DO UPDATE SET token = EXCLUDED.token, base_token = NULL, epoch = EXCLUDED.epoch",
            (part, token, epoch),
        )
        row = classic.execute("SELECT pg_current_snapshot()::text").fetchone()
        snapshot = str(row[0]) if row else ""
        classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, state)"
            " VALUES (%s, %s, %s, clock_timestamp(), 'starting') ON CONFLICT (part) DO UPDATE SET"
            " epoch = EXCLUDED.epoch, snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at, state = 'starting',"
            " problem = NULL",
            (part, epoch, snapshot),
        )
        with limitless.transaction():
            limitless.execute("DELETE FROM migrator.mirrored WHERE part = %s", (part,))
            limitless.execute(
                "UPDATE migrator.mirror_position SET snapshot = %s, token = %s WHERE part = %s AND epoch = %s",
                (snapshot, str(token), part, epoch),
            )
    classic.execute("DELETE FROM migrator.capture_loss")
    return count


def _epoch(limitless: Connection, part: int) -> int:
    row = limitless.execute("SELECT epoch FROM migrator.mirror_position WHERE part = %s", (part,)).fetchone()
    return int(row[0]) if row else 0
