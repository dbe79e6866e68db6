"""Phase 2 as the migration runs it: makes what is missing, and keeps the result on classic."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.history import add_report
from migrator.plan.schema import Plan
from migrator.provision.apply import ProvisionResult, provision
from migrator.provision.tables import tables_in_force

Connection = psycopg.Connection[Any]


def provision_and_keep(classic: Connection, limitless: Connection, plan: Plan) -> ProvisionResult:
    """Build the schema on Limitless but for indexes that wait for the copy; store a report, and a verdict for the gate.

    Running it again finds what exists.
    """
    result = provision(classic, limitless, tables_in_force(classic, plan.tables), plan, indexes="after", ask=True)
    blockers = list(result.verdict.blockers)
    body = {
        "made": [action.summary for action in result.made],
        "warnings": list(result.warnings),
        "blockers": blockers,
        "seconds": round(result.seconds, 3),
    }
    with classic.transaction():
        add_report(classic, "provision", body)
        add_report(classic, "provision.verdict", {"blockers": blockers})
    return result
