"""Commands for servers on this machine: two PostgreSQL servers and Temporal, without Docker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator import settings
from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, UnaskedOption, YesOption
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out, print_table
from migrator.errors import NoGo

if TYPE_CHECKING:
    from migrator.local.any_server import Found
    from migrator.model.action import Action

group = typer.Typer(
    no_args_is_help=True, help="Local servers: classic, a Limitless stand-in, Temporal; a stand-in elsewhere."
)


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


@group.command(epilog="Example: migrator local standin env:STAGING_ADMIN_DSN --owner shop_tool --dry-run")
def standin(
    dsn: Annotated[
        str, typer.Argument(metavar="DSN", help="Where a superuser's connection string is: env:NAME, file:PATH, …")
    ],
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="ROLE", help="Role that works there. Default: the database's owner."),
    ] = None,
    shards: Annotated[int, typer.Option("--shards", min=1, max=64, help="Simulated shards.")] = 4,
    confirmed: Annotated[
        str | None,
        typer.Option("--holds-rows", metavar="DATABASE", help="The database's name, where its tables hold rows."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Make it an ordinary database again.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a database of any PostgreSQL a stand-in for Limitless, which refuses what Limitless refuses.

    Safe to run again. Refuses a database whose tables hold rows, unless --holds-rows names it, and one that holds a
    migration.
    """
    from migrator.cli.context import APP
    from migrator.db.connect import connect
    from migrator.local import any_server

    with connect(settings.resolve(dsn), APP, lock_timeout_s=10, side="the stand-in") as conn:
        found = any_server.look(conn, owner)
        reasons = any_server.removal_blockers(found) if remove else any_server.blockers(found, shards, confirmed)
        if reasons:
            raise NoGo(f"stand-in in database {found.database}", reasons, hint=_hint(found, remove))
        todo = any_server.removal(found) if remove else any_server.actions(found, shards)
        if dry_run:
            announce(todo, as_json=as_json)
            return
        if todo:
            what = "an ordinary database" if remove else "a stand-in for Limitless"
            confirm(f"Make database {found.database} {what}?", yes=yes)
            any_server.remove(conn, found) if remove else any_server.make(conn, found, shards)
    _tell(found, todo, remove, as_json)


def _hint(found: Found, remove: bool) -> str:
    if not found.superuser:
        return "Name a superuser's connection string; the tool itself then works there as the role of --owner."
    if found.with_rows and not remove:
        return f"Take an empty database. If it is no production: --holds-rows {found.database}"
    return "Nothing was changed."


def _tell(found: Found, done: list[Action], remove: bool, as_json: bool) -> None:
    from migrator.local.any_server import DIFFERENCES, warnings

    stays = [] if remove else [*warnings(found), *DIFFERENCES]
    if as_json:
        state = "ordinary" if remove else "standin"
        emit_json({"database": found.database, "state": state, "done": done, "stays_different": stays})
        return
    is_now = "an ordinary database" if remove else "a stand-in for Limitless"
    out(f"{found.database} is {is_now}{'' if done else ' already'}.")
    if stays:
        out("What stays different from Limitless:", *(f"  - {line}" for line in stays))


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
