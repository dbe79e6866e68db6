"""Resets dual write, so that it can begin again from the start.

Only what describes the copy is deleted. Decisions, incidents, reports and validations are history and stay.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.control import history
from migrator.control.install import installed_version
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.db.named import load
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.phase import Phase
from migrator.model.verdict import Verdict

_SQL = load("migrator.control", "reset.sql")

_FORGOTTEN = (
    "tenant",
    "copy_unit",
    "position",
    "heartbeat",
    "hold",
    "fence",
    "fallback",
    "breaker_trip",
    "read_baseline",
    "slo_breach",
    "shadow_read",
    "shadow_read_sample",
    "shadow_statement",
)


def undo_verdict(conn: psycopg.Connection[Any], *, fresh_s: float = 5.0) -> Verdict:
    """Return go, or every reason why dual write cannot be undone now."""
    row = conn.execute(_SQL["standing"], {"fresh_s": fresh_s}).fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    level, write_mode, moved, mirrors, pending = row
    blockers: list[Blocker] = []
    if write_mode == "limitless_only":
        text = "the point of no return has passed: writes go to Limitless only"
        blockers.append(Blocker("decommission.passed", "", text))
    if moved and level != "classic":
        text = (
            f"{counted(moved, 'tenant is', 'tenants are')} joining or "
            f"read from Limitless: migrator rollback --all --reason …"
        )
        blockers.append(Blocker("tenants.on_limitless", "", text))
    elif moved and pending:
        text = f"{counted(pending, 'process has', 'processes have')} not confirmed the rollback yet"
        blockers.append(Blocker("processes.unconfirmed", "", text, True))
    if mirrors:
        text = "the mirror still runs: migrator abort --reason …, and wait for it to end"
        blockers.append(Blocker("mirror.runs", "", text))
    return Verdict(tuple(blockers))


def reset_classic(conn: psycopg.Connection[Any], who: str) -> None:
    """Forget copies, positions and fallbacks, and put every route on classic; owns its transaction. Safe to run twice.

    Capture must be off. Routes stay as rows at level classic: processes learn of changes by epoch and would miss a
    deletion.
    """
    with conn.transaction():
        conn.execute(_SQL["lock_switch"])
        conn.execute(_SQL["switch_back"], {"who": who})
        conn.execute(_SQL["routes_back"], {"who": who})
        for name in _FORGOTTEN:
            conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("migrator", name)))
        history.forget_reports(conn, ["inventory", "stabilize"])
        conn.execute(_SQL["forget_approvals"])
        conn.execute(_SQL["void_votes"])
        later = [phase.value for phase in (Phase.CUTOVER, Phase.STABILIZE, Phase.DECOMMISSION)]
        conn.execute(_SQL["forget_phases"], {"phases": later})
        set_phase(conn, Phase.DUAL_WRITE.value, "undone", f"undone by {who}", next_step="migrator run starts again")
        decide(conn, who, "phase.undone", Phase.DUAL_WRITE.value, "migrator undo dual-write")
        conn.execute(_SQL["notify"])


def reset_limitless(conn: psycopg.Connection[Any]) -> None:
    """Forget positions and leases on Limitless, so that no superseded mirror or copy can commit; owns its
    transaction."""
    if installed_version(conn) is None:
        return
    with conn.transaction():
        for name in ("mirror_position", "mirrored", "copy_lease"):
            conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("migrator", name)))
