"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.model.shown import moment

__all__ = ["moment", "who"]

PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        "-p",
        help="Plan file. Without it: MIGRATOR_PLAN, then the plan stored on classic (MIGRATOR_CLASSIC_DSN).",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
UnaskedOption = Annotated[
    bool, typer.Option("--yes", "-y", hidden=True, help="Changes nothing: this command never asks.")
]
WhoOption = Annotated[
    str | None,
    typer.Option("--as", help="Your name, for the decision log. Without it: MIGRATOR_OPERATOR, then the login name."),
]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; goes into the decision log.")]
ApproverOption = Annotated[str | None, typer.Option("--as", help="Who approves; required, by name.")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="REF",
        help="Where your token is: env:NAME, file:PATH, aws-secret:ID. Without it: MIGRATOR_APPROVER_TOKEN.",
    ),
]
EvidenceOption = Annotated[
    str | None, typer.Option("--evidence", metavar="DIGEST", help="What you saw: migrator gate prints its digest.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every tenant, not only those named.")]
EveryOption = Annotated[bool, typer.Option("--all", help="List every blocker, not one line for each cause.")]
WaveOption = Annotated[int | None, typer.Option("--wave", min=1, help="Only the tenants of this wave.")]
TenantsOption = Annotated[list[str] | None, typer.Option("--tenant", "-t", help="A tenant; may be repeated.")]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on.")]
TlsCertOption = Annotated[
    Path | None, typer.Option("--tls-cert", help="Certificate in PEM, with those that signed it; then it is HTTPS.")
]
TlsKeyOption = Annotated[Path | None, typer.Option("--tls-key", help="Its key in PEM, without a password.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write one self-contained page to this file, too.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow until it ends.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show, the newest first.")]
ScriptsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE|DIR...",
        help="SQL, or a folder of a tool's migrations; several are taken in this order, files of one folder in their"
        " tool's. - is standard input.",
        show_default=False,
    ),
]
StdinOption = Annotated[bool, typer.Option("--from-stdin", help="Read SQL from standard input, as - does.")]
BookkeepingOption = Annotated[
    list[str] | None,
    typer.Option("--tool-table", help="Table in which the tool notes what it did, if not its usual one; repeatable."),
]
NewFileArgument = Annotated[Path, typer.Argument(help="File to write; must not exist.")]
PlanNameOption = Annotated[str, typer.Option("--name", help="Name of the migration.")]


PatienceOption = Annotated[
    float, typer.Option("--patience", min=1, help="Seconds to wait for locks, mirrors and copies, each.")
]


def who(name: str | None) -> str:
    """Return the name a decision is recorded under."""
    from migrator import settings

    return name or settings.operator()
