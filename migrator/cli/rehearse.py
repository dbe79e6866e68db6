"""The command that rehearses a whole migration, with accidents, and proves that nothing was lost."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: migrator rehearse plans/demo.toml")(rehearse)


def rehearse(
    plan: Annotated[
        Path, typer.Argument(help="Plan file with a [rehearsal] section, or one of this release: demo, compose.")
    ] = Path("plans/demo.toml"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the servers up for inspection.")] = False,
    workdir: Annotated[
        Path | None,
        typer.Option(
            "--workdir",
            help="Where servers, logs, ledgers and reports go; default ./.migrator/rehearsal.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rehearse a migration from end to end on this machine: real servers, traffic, accidents, proof.

    Starts classic, a Limitless stand-in and Temporal, loads a demo shop, and moves it through every phase while
    traffic goes on. A worker and Limitless are killed, a rollback runs while Temporal is down, an incident restarts
    the 90 days. Ends with report.html and report.json. Exit code 0 only if nothing was lost.
    """
    from rich.console import Console

    from migrator import carried, settings
    from migrator.cli.exits import ExitCode
    from migrator.cli.render import console
    from migrator.rehearse.output import print_summary
    from migrator.rehearse.run import rehearse as run

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the servers then too, as Ctrl-C does
    progress = Console(stderr=True)
    result = run(carried.plan(plan), keep, workdir or settings.home() / "rehearsal", progress)
    if as_json:
        json.dump(result.report, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        print_summary(result.report, result.places, console())
    if not result.ok:
        raise typer.Exit(ExitCode.DIVERGENCE if result.report["divergent_rows"] else ExitCode.UNEXPECTED)
