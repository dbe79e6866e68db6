"""The command that shows stored reports, the decision log and the incidents."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import JsonOption, LimitOption, PlanOption
from migrator.cli.render import emit_json, out, print_table
from migrator.errors import UsageError
from migrator.model.near import unknown


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator report audit --json")(report)


def report(
    kind: Annotated[
        str | None, typer.Argument(help="audit, provision, shadow, cost, decommission …, or decisions, or incidents.")
    ] = None,
    limit: LimitOption = 50,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the stored reports, or print the newest one of a kind, the decisions, or the incidents."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.history import decisions, incidents, newest_report, reports

    with classic(plan) as conn:
        require_installed(conn)
        match kind:
            case None:
                listed = reports(conn)
                columns = ["kind", "reports", "newest"]
            case "decisions":
                listed = decisions(conn, limit)
                columns = ["at", "who", "kind", "subject", "reason"]
            case "incidents":
                listed = incidents(conn, limit)
                columns = ["at", "kind", "reason", "reported_by"]
            case _:
                body = newest_report(conn, kind)
                if body is None:
                    known = [str(r["kind"]) for r in reports(conn)]
                    raise UsageError(
                        unknown("report of kind", [kind], [*known, "decisions", "incidents"]),
                        hint=f"Stored: {', '.join(known) or 'none yet'}.",
                    )
                emit_json(body)  # a report's body is JSON; it has no other form
                return
    if as_json:
        emit_json(listed)
    elif listed:
        print_table(columns, [[row[c] for c in columns] for row in listed])
    else:
        out("None yet.")
