"""Acts on a validation that found divergent rows: an incident, and by the plan a fallback.

The gate of a divergent tenant blocks until a later validation is clean. With "hold_and_fall_back"
its reads return to classic too, under a manual fallback: the monitor does not clear it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import psycopg

from migrator.control.incident import add_incident
from migrator.control.log import decide
from migrator.model.counted import counted
from migrator.model.divergence import ValidationReport
from migrator.model.incident import IncidentKind
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.traffic.route.fallback import raise_fallback, raise_fallbacks


def divergent_tenants(report: ValidationReport) -> tuple[TenantId | None, ...]:
    """Return the divergent tenants; None stands for the reference tables."""
    return tuple(v.tenant_id for v in report.tenants if v.divergent_rows)


def describe(report: ValidationReport) -> str:
    """Return the finding in one line, without values of rows."""
    tables = sorted({d.table for d in report.sample})
    names = [t if t is not None else "(reference tables)" for t in divergent_tenants(report)]
    shown = ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
    return (
        f"{counted(report.divergent_rows, 'divergent row')} in "
        f"{', '.join(tables) or 'unknown tables'}; tenants: {shown}"
    )


def record(
    conn: psycopg.Connection[Any],
    report: ValidationReport,
    on_divergence: Literal["hold", "hold_and_fall_back"],
    who: str,
) -> str:
    """Write the incident of *report* on classic and raise fallbacks; returns its reason.

    Safe to run twice for the same finding: fallbacks are set, not counted, and a repeated incident row only
    restarts a window that has restarted already.
    """
    reason = describe(report)
    with conn.transaction():
        add_incident(conn, IncidentKind.DIVERGENCE, reason, who)
        decide(conn, who, "divergence.found", "validation", reason, after={"rows": report.divergent_rows})
    if on_divergence == "hold_and_fall_back":
        fall_back(conn, divergent_tenants(report), reason, who)
    return reason


def fall_back(conn: psycopg.Connection[Any], tenants: Sequence[TenantId | None], reason: str, who: str) -> None:
    """Bring the reads of *tenants* back to classic; divergent reference tables concern all tenants."""
    if None in tenants:
        raise_fallback(conn, FallbackScope.ALL, "", by=who, reason=reason, held=True, incident=False)
        return
    reasons = {tenant: reason for tenant in tenants if tenant is not None}
    raise_fallbacks(conn, reasons, by=who, held=True, incident=False)
