"""Options that many commands share, so that they read the same everywhere."""

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
TenantsOption = Annotated[list[str] | None, typer.Option("--tenant", "-t", help="A tenant; may be repeated.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Follow until it ends.")]


def who(name: str | None) -> str:
    """Return the name a decision is recorded under."""
    from migrator import settings

    return name or settings.operator()
