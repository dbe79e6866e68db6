"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
WhoOption = Annotated[
    str | None,
    typer.Option("--as", help="Your name, for the decision log. Without it: MIGRATOR_OPERATOR, then the login name."),
]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; goes into the decision log.")]
ApproverOption = Annotated[str | None, typer.Option("--as", help="Who approves; required, by name.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every tenant, not only those named.")]
WaveOption = Annotated[int | None, typer.Option("--wave", min=1, help="Only the tenants of this wave.")]
TenantsOption = Annotated[list[str] | None, typer.Option("--tenant", "-t", help="A tenant; may be repeated.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow until it ends.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show, the newest first.")]
NewFileArgument = Annotated[Path, typer.Argument(help="File to write; must not exist.")]
PlanNameOption = Annotated[str, typer.Option("--name", help="Name of the migration.")]


def who(name: str | None) -> str:
    """Return the name a decision is recorded under."""
    from migrator import settings

    return name or settings.operator()
