"""The command that shows the migration's state, what is blocked and what to do next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, note


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator status --watch")(status)


def status(
    plan: PlanOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep it on the screen; Ctrl-C ends.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two reads with --watch.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Show phase, wave, tenants, lag, validation, breaker, what is blocked and what to do next.

    Reads classic alone: it works when Temporal or Limitless is unreachable.
    """
    from migrator.cli.context import classic
    from migrator.cli.status_view import print_once
    from migrator.control.status import collect

    if watch and not as_json:
        _watch(plan, every_s)
        return
    with classic(plan, statement_timeout_s=10, any_version=True) as conn:
        found = collect(conn)
    if as_json:
        emit_json(found)
    else:
        print_once(found)


def _watch(plan: Path | None, every_s: float) -> None:
    """Redraw until Ctrl-C; an unreachable classic is shown as such and asked again."""
    import psycopg
    from rich.console import Console
    from rich.live import Live

    from migrator.cli.context import classic
    from migrator.cli.status_view import render, unreachable
    from migrator.control.status import collect
    from migrator.errors import ClusterUnavailable

    screen = Console(highlight=False)
    last = None
    try:
        with Live(console=screen, screen=screen.is_terminal, auto_refresh=False) as live:
            while True:
                try:
                    with classic(plan, statement_timeout_s=10, any_version=True) as conn:
                        while True:
                            last = collect(conn)
                            live.update(render(last, screen), refresh=True)
                            time.sleep(every_s)
                except (ClusterUnavailable, psycopg.Error) as error:
                    live.update(unreachable(last, error), refresh=True)
                    time.sleep(every_s)
    except KeyboardInterrupt:
        note("The migration goes on; only this view ended.")
