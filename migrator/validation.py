"""Compares both sides, records divergences and repairs them: the one way for commands, gates, schedule and monitor.

The comparison (`migrator.consistency`) and the repair (`migrator.dataplane.repair`) do not import each other; this
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.consistency.order import Budget
from migrator.consistency.run import validate
from migrator.dataplane import repair as marks
from migrator.dataplane.repair import DIRECTION
from migrator.db.connect import connect
from migrator.model.divergence import ValidationReport
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.cutover import divergence

__all__ = ["DIRECTION", "SCHEDULED", "ToRecopy", "compare", "recopy", "repair", "to_recopy", "touched"]

Connection = psycopg.Connection[Any]

APP = "migrator validate"
SCHEDULED = "scheduled"


async def compare(
    classic_dsn: str,
    limitless_dsn: str,
    plan: Plan,
    kind: str,
    *,
    who: str | None = None,
    tenants: Sequence[TenantId] | None = None,
    tables: Sequence[str] | None = None,
    rest: bool | None = None,
    reference: bool | None = None,
    sample: int = 20,
    show_values: bool = False,
    record: bool = True,
    replica_dsn: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ValidationReport:
    """Compare *tenants* (None: all) as *plan* says. A divergence is an incident, whatever the comparison was for.

    Args:
        who: reports it; by default the kind of validation.
        rest, reference: the reference tables and orphan rows too; the reference tables. See `consistency.run`.
        record: False records no incident, for a dry run.
        on_progress: called with (tenants done, tenants in all) after each fence.
        replica_dsn: of classic; rows are read there rather than on the writer, where the plan lets them.
    """
    section = plan.validation
    report = await validate(
        classic_dsn,
        limitless_dsn,
        tenants=tenants,
        tables=tables,
        kind=kind,
        tenants_per_fence=section.tenants_per_fence,
        rows_per_fence=section.rows_per_fence,
        sample=sample,
        show_values=show_values,
        rest=rest,
        reference=reference,
        # Gates and people wait for an answer; only the schedule spares classic.
        budget=Budget(section.every_s, section.share, section.max_active_sessions) if kind == SCHEDULED else None,
        replica_dsn=replica_dsn if section.replica_reads else None,
        on_progress=on_progress,
    )
    if report.divergent_rows and record:
        await asyncio.to_thread(_record, classic_dsn, report, plan, who or f"validation ({kind})")
    return report


def _record(classic_dsn: str, report: ValidationReport, plan: Plan, who: str) -> None:
    with closing(_open(classic_dsn)) as conn:
        divergence.record(conn, report, plan.validation.on_divergence, who)


def _open(dsn: str, side: str = "classic") -> Connection:
    return connect(dsn, APP, lock_timeout_s=10, side=side)


def repair(classic_dsn: str, who: str, tenants: Sequence[TenantId] | None) -> int:
    """Have the mirror write again what is known to differ; returns the rows marked. Whether they
    are equal then is for the next comparison to say.

    Rows of tenants that classic does not have are not among them: those are for `recopy`.
    """
    with closing(_open(classic_dsn)) as conn:
        return marks.repair(conn, who, tenants)


def touched(report: ValidationReport) -> list[TenantId] | None:
    """Return the tenants to compare again after the rows of *report* were repaired; None: all."""
    tenants = {d.tenant_id for d in report.sample}
    return None if None in tenants else sorted(t for t in tenants if t)


@dataclass(frozen=True, slots=True)
class ToRecopy:
    """What is copied again as a whole. unknown: tenants that classic does not have."""

    tenants: tuple[TenantId, ...] = ()
    reference: bool = False
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tenants or self.reference or self.unknown)


def to_recopy(report: ValidationReport) -> ToRecopy:
    """Return what *report* found to differ. Pure."""
    return ToRecopy(
        tuple(sorted({v.tenant_id for v in report.tenants if v.divergent_rows and v.tenant_id is not None})),
        any(v.divergent_rows for v in report.tenants if v.tenant_id is None),
        tuple(report.strays),
    )


def recopy(classic_dsn: str, limitless_dsn: str, who: str, what: ToRecopy, why: str) -> tuple[int, int]:
    """Copy *what* again; returns tenants that are copied again, and keys of reference tables that are marked."""
    copied = marked = 0
    with closing(_open(classic_dsn)) as conn:
        if what.tenants:
            copied += marks.recopy(conn, who, what.tenants, why)
        if what.unknown:
            copied += marks.clear_unknown_tenants(conn, who, what.unknown, why)
        if what.reference:
            with closing(_open(limitless_dsn, "Limitless")) as limitless:
                marked = marks.recopy_reference(conn, limitless, who, why)
    return copied, marked
