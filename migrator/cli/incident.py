"""Commands for the alarm system: a webhook that rolls back, and one that reports an incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, WhoOption, who
from migrator.cli.render import emit_json, note, out
from migrator.errors import MigratorError, UsageError

if TYPE_CHECKING:
    from migrator.traffic.incident.request import Request
    from migrator.traffic.incident.rollback import RollbackResult

group = typer.Typer(no_args_is_help=True, help="Serve the rollback webhook, report incidents.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="incident")


@group.command(epilog="Example: MIGRATOR_INCIDENT_TOKEN=… migrator incident serve --port 8099")
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8099,
    plan: PlanOption = None,
) -> None:
    """Serve POST /rollback and GET /health until Ctrl-C. Needs MIGRATOR_INCIDENT_TOKEN and classic, nothing else.

    A caller sends `Authorization: Bearer TOKEN`, or signs the body: docs/cli.md shows both.
    """
    from migrator import settings
    from migrator.cli.context import find_classic
    from migrator.traffic.incident.serve import serve as run

    secret = settings.incident_token()
    if secret is None:
        raise UsageError("MIGRATOR_INCIDENT_TOKEN is not set", hint="Set it to a secret of at least 16 characters.")
    dsn = find_classic(plan)
    note(f"Serving POST http://{host}:{port}/rollback; Ctrl-C ends.")

    def on_rollback(request: Request, result: RollbackResult) -> None:
        what = "all" if request.everybody else f"wave {request.wave}" if request.wave else ", ".join(request.tenants)
        note(
            f"rollback of {what} by {request.who}: epoch {result.epoch}, "
            f"{result.confirmed} of {result.processes} confirmed"
        )

    run(dsn, secret, host=host, port=port, on_rollback=on_rollback)


@group.command(epilog='Example: migrator incident report --reason "checkout p99 over 2 s for 10 min"')
def report(
    reason: Annotated[str, typer.Option("--reason", "-r", help="What happened.")],
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Report an incident: it restarts or pauses the stabilization days, as the plan says."""
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.decommission.record import report_incident

    operator = who(name)
    if not reason.strip():
        raise UsageError("an incident needs a reason")
    if dry_run:
        out(f"Would be recorded, by {operator}: {reason}")
        return
    told = True
    try:
        from workflows import client

        client.report_incident(find_plan(plan), reason, operator)
    except (MigratorError, ImportError):
        # the record on classic is what counts; the window reads it at its next check
        told = False
        with classic(plan) as conn:
            require_installed(conn)
            report_incident(conn, reason, operator)
    if as_json:
        emit_json({"recorded": True, "temporal_told": told})
    else:
        out("Incident recorded." + ("" if told else " Temporal does not answer; it is taken into account later."))
