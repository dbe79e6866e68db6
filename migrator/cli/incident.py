"""Commands for alarms and incidents: the webhook, what it was sent, and one that reports an incident."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import (
    DryRunOption,
    HostOption,
    JsonOption,
    LimitOption,
    PlanOption,
    TlsCertOption,
    TlsKeyOption,
    UnaskedOption,
    WhoOption,
    who,
)
from migrator.cli.render import emit_json, note, out, print_table
from migrator.errors import MigratorError, UsageError

group = typer.Typer(no_args_is_help=True, help="Serve the webhook for alarms, show what it was sent, report incidents.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="incident")


@group.command(epilog="Example: MIGRATOR_INCIDENT_TOKEN=… migrator incident serve --port 8099")
def serve(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8099,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    plan: PlanOption = None,
) -> None:
    """Serve POST /rollback, POST /alarms/SOURCE and GET /health until Ctrl-C.

    Needs MIGRATOR_INCIDENT_TOKEN and classic, nothing else. What alarms do is in the plan's section [alarms], read from
    classic twice a minute, or from --plan: docs/alarms.md.
    """
    from migrator import settings
    from migrator.cli.context import find_classic
    from migrator.cli.webhook import Renewed, alarm_sources, certificate, log
    from migrator.traffic.incident.serve import serve as run

    secret = settings.incident_token()
    if secret is None:
        raise UsageError("MIGRATOR_INCIDENT_TOKEN is not set", hint="Set it to a secret of at least 16 characters.")
    dsn = Renewed(lambda: find_classic(plan))
    tls = certificate(tls_cert, tls_key)

    def say(at: int) -> None:
        note(f"Serving POST {'https' if tls else 'http'}://{host}:{at}/rollback and /alarms/SOURCE; Ctrl-C ends.")

    sources = alarm_sources(plan, dsn)
    run(dsn, secret, host=host, port=port, sources=sources, log=log(), certificate=tls, on_ready=say)


@group.command(epilog="Example: migrator incident alarms --limit 20")
def alarms(
    limit: LimitOption = 20,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the webhook was sent and what came of it, the newest first."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.alarm import newest

    with classic(plan) as conn:
        require_installed(conn)
        found = newest(conn, limit)
    if as_json:
        emit_json([row._asdict() for row in found])
    elif not found:
        out("The webhook was sent nothing yet.")
    else:
        rows = [
            (r.at, r.source, r.name or "-", r.state or "-", r.rule or "-", r.target or "-", r.outcome, r.note)
            for r in found
        ]
        print_table(["at", "source", "alarm", "state", "rule", "target", "outcome", "note"], rows)


@group.command(epilog='Example: migrator incident report --reason "checkout p99 over 2 s for 10 min"')
def report(
    reason: Annotated[str, typer.Option("--reason", "-r", help="What happened.")],
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
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
