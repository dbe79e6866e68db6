"""The command that shows where the migration stands, stored reports, the decision log and the incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import completion
from migrator.cli.from_dossier import DossierOption, announced, from_dossier, gone, instead_of_classic, said
from migrator.cli.from_dossier import as_json as dossier_as_json
from migrator.cli.options import JsonOption, LimitOption, PlanOption
from migrator.cli.render import emit_json, note, out, print_table
from migrator.errors import UsageError
from migrator.model.near import unknown

if TYPE_CHECKING:
    from migrator.dossier.read import Dossier
    from migrator.model.migration import MigrationFacts

MIGRATION = "migration"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """Where a report is read: classic, or a dossier of it. dossier: None on classic."""

    facts: Callable[[], MigrationFacts]
    reports: Callable[[], Rows]
    decisions: Callable[[int], Rows]
    incidents: Callable[[int], Rows]
    newest_report: Callable[[str], dict[str, Any] | None]
    dossier: Dossier | None = None

    def said(self) -> None:
        """Say where what follows comes from, when it is not classic."""
        if self.dossier is not None:
            out(said(self.dossier))


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
    dossier: DossierOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="With migration: write one self-contained page to this file.")
    ] = None,
) -> None:
    """Say where the migration stands, list the stored reports, or print the newest one of a kind, the decisions, or
    the incidents.

    "migration" works from classic alone: with Temporal and Limitless down, before anything has begun, in every phase.
    Once classic is retired, the final dossier answers: that of --dossier, or the one that the plan or this machine's
    home knows.
    """
    if kind != MIGRATION and html is not None:
        raise UsageError(
            "--html writes the page of a migration", hint=f"Write: migrator report {MIGRATION} --html {html}"
        )
    with _source(plan, dossier, any_version=kind == MIGRATION) as source:
        if kind == MIGRATION:
            _migration(source, html, as_json)
        else:
            _listed(source, kind, limit, as_json)


@contextmanager
def _source(plan: Path | None, dossier: str | None, *, any_version: bool) -> Iterator[Source]:
    """Yield where to read: the dossier that was named, else classic, else the final dossier of the migration."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import history
    from migrator.control.migration import facts

    if dossier is not None:
        with from_dossier(dossier, plan) as kept:
            yield _of(kept)
        return
    with ExitStack() as stack:
        try:
            conn = stack.enter_context(classic(plan, any_version=any_version))
        except Exception as error:
            if not gone(error):
                raise
            yield _of(stack.enter_context(instead_of_classic(plan, error)))
            return
        if not any_version:
            require_installed(conn)
        yield Source(
            facts=lambda: facts(conn),
            reports=lambda: history.reports(conn),
            decisions=lambda limit: history.decisions(conn, limit),
            incidents=lambda limit: history.incidents(conn, limit),
            newest_report=lambda kind: history.newest_report(conn, kind),
        )


def _of(dossier: Dossier) -> Source:
    announced(dossier)
    return Source(
        lambda: dossier.facts, dossier.reports, dossier.decisions, dossier.incidents, dossier.newest_report, dossier
    )


def _listed(source: Source, kind: str | None, limit: int, as_json: bool) -> None:
    """Print decisions, incidents, kinds of reports, or the newest report of a kind."""
    match kind:
        case None:
            listed = source.reports()
            columns = ["kind", "reports", "newest"]
        case "decisions":
            listed = source.decisions(limit)
            columns = ["at", "who", "kind", "subject", "reason"]
        case "incidents":
            listed = source.incidents(limit)
            columns = ["at", "kind", "reason", "reported_by"]
        case _:
            body = source.newest_report(kind)
            if body is None:
                known = [str(r["kind"]) for r in source.reports()]
                raise UsageError(
                    unknown("report of kind", [kind], [*known, MIGRATION, "decisions", "incidents"]),
                    hint=f"Stored: {', '.join(known) or 'none yet'}.",
                )
            emit_json(body)  # a report's body is JSON; it has no other form
            return
    if as_json:
        emit_json(listed)
        return
    source.said()
    if listed:
        print_table(columns, [[row[c] for c in columns] for row in listed])
    else:
        out("None yet.")


def _migration(source: Source, html: Path | None, as_json: bool) -> None:
    """Print where the migration stands, or write its page."""
    from migrator.report.standing import stand
    from migrator.report.words import seconds_long

    found = source.facts()
    standing = stand(found)
    if html is not None:
        from migrator.report.migration import page

        origin = said(source.dossier) if source.dossier else ""
        try:
            html.write_text(page(found, standing, origin), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html} cannot be written: {error.strerror}") from error
        note(f"{html} written")
    if as_json:
        more = {"dossier": dossier_as_json(source.dossier)} if source.dossier else {}
        emit_json({"standing": standing, **{n: getattr(found, n) for n in found.__dataclass_fields__}, **more})
    elif html is None:
        source.said()
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
