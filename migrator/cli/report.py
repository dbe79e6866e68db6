"""The command that shows where the migration stands, stored reports, the decision log and the incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.cli import completion
from migrator.cli.options import JsonOption, LimitOption, PlanOption
from migrator.cli.render import emit_json, note, out, print_table
from migrator.errors import UsageError
from migrator.model.near import unknown

MIGRATION = "migration"


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator report migration --html migration.html")(report)


def report(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="migration: where it stands; decisions; incidents; or a stored report: audit, shadow, cost …",
            autocompletion=completion.reports,
        ),
    ] = None,
    limit: LimitOption = 50,
    plan: PlanOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="With migration: write one self-contained page to this file.")
    ] = None,
) -> None:
    """Say where the migration stands, list the stored reports, or print the newest one of a kind, the decisions, or
    the incidents.

    "migration" works from classic alone: with Temporal and Limitless down, before anything has begun, in every phase.
    """
    from migrator.cli.context import classic, require_installed
    from migrator.control.history import decisions, incidents, newest_report, reports

    if kind == MIGRATION:
        _migration(plan, html, as_json)
        return
    if html is not None:
        raise UsageError(
            "--html writes the page of a migration", hint=f"Write: migrator report {MIGRATION} --html {html}"
        )
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
                        unknown("report of kind", [kind], [*known, MIGRATION, "decisions", "incidents"]),
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


def _migration(plan: Path | None, html: Path | None, as_json: bool) -> None:
    """Print where the migration stands, or write its page."""
    from migrator.cli.context import classic
    from migrator.control.migration import facts
    from migrator.report.standing import stand
    from migrator.report.words import seconds_long

    with classic(plan, any_version=True) as conn:
        found = facts(conn)
    standing = stand(found)
    if html is not None:
        from migrator.report.migration import page

        try:
            html.write_text(page(found, standing), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html} cannot be written: {error.strerror}") from error
        note(f"{html} written")
    if as_json:
        emit_json({"standing": standing, **{name: getattr(found, name) for name in found.__dataclass_fields__}})
    elif html is None:
        out(f"{standing.state}. {standing.sentence}")
        if standing.answers:
            out()
            print_table(("question", "answer", ""), [(a.question, a.answer, a.note) for a in standing.answers])
        if standing.outlook.legs:
            out()
            print_table(
                ("still to come", "takes", "by"),
                [
                    (leg.what, "-" if not leg.seconds else seconds_long(leg.seconds), leg.basis)
                    for leg in standing.outlook.legs
                ],
            )
        for step in found.status.next_steps:
            out(f"→ {step}")
