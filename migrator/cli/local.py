"""Commands for servers on this machine: two PostgreSQL servers and Temporal, without Docker."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator import settings
from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, UnaskedOption, YesOption
from migrator.cli.progress import progress
from migrator.cli.render import confirm, emit_json, note, out, print_table

group = typer.Typer(no_args_is_help=True, help="Start and stop local servers: classic, a Limitless stand-in, Temporal.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="local")


@group.command(epilog="Example: migrator local up")
def up(
    shards: Annotated[int, typer.Option("--shards", min=1, max=64, help="Simulated shards of the stand-in.")] = 4,
    without_temporal: Annotated[bool, typer.Option("--no-temporal", help="PostgreSQL servers only.")] = False,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start what does not run, on free loopback ports. Safe to run again, also after a crash.

    State lives under MIGRATOR_HOME (default ./.migrator); plans name the servers local:classic and local:limitless.
    """
    from migrator.local import stack

    if dry_run:
        _show(stack.status(settings.home()), as_json)
        return
    if not as_json:
        note(f"Starting local servers under {settings.home()} …")
    with progress("Starting", silent=as_json):
        stack.up(settings.home(), shards=shards, temporal=not without_temporal)
    _show(stack.status(settings.home()), as_json)


@group.command(epilog="Example: migrator local down --delete --yes")
def down(
    delete: Annotated[bool, typer.Option("--delete", help="Also delete their data.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the local servers; their data is kept for the next start."""
    from migrator.local import stack

    if dry_run:
        _show(stack.status(settings.home()), as_json)
        return
    if delete:
        confirm(f"Delete the data of the local servers under {settings.home()}?", yes=yes)
        stack.destroy(settings.home())
    else:
        stack.down(settings.home())
    if as_json:
        emit_json({"state": "absent" if delete else "down"})
    else:
        out("Stopped and deleted." if delete else "Stopped; the data is kept.")


@group.command(epilog="Example: migrator local status --json")
def status(as_json: JsonOption = False) -> None:
    """Show which local servers run, and where. Exits 5 when not all of them do."""
    from migrator.local import stack

    found = stack.status(settings.home())
    _show(found, as_json)
    if found["state"] != "up":
        raise typer.Exit(ExitCode.TRY_AGAIN)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(found)
        return
    out(f"{found['home']}: {found['state']}")
    rows = [
        (name, "runs" if part["running"] else "stopped", part["port"], part["pid"], part.get("ui") or part["log"])
        for name, part in found["parts"].items()
    ]
    if rows:
        print_table(["server", "state", "port", "pid", "pages or log"], [tuple(map(_text, row)) for row in rows])
    else:
        out("Start them with: migrator local up")


def _text(value: object) -> str | None:
    return None if value is None else str(value)  # ports and pids without thousands separators
