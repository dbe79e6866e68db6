"""Wires the commands together; errors become messages and exit codes here and only here."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from migrator import __version__, settings
from migrator.cli import (
    approver,
    audit,
    backfill,
    breaker,
    cluster,
    control,
    cost,
    cutover,
    decide,
    decommission,
    doctor,
    dossier,
    drill,
    grant,
    incident,
    local,
    log,
    mirror,
    notify,
    plan,
    preflight,
    provision,
    readers,
    reads,
    rehearse,
    report,
    roles,
    rollback,
    run,
    schema,
    serve,
    size,
    status,
    tenant,
    undo,
    upgrade,
    validate,
    validation,
)
from migrator.cli.exits import Ending, ExitCode, ending_of
from migrator.cli.options import JsonOption
from migrator.cli.render import causes, emit_json, note, out

HELP = """Move a live multi-tenant database from classic Aurora PostgreSQL to Aurora Limitless, phase by phase.

In an incident: migrator rollback --all --reason "..." brings every tenant's reads back to classic, in seconds.
"""

app = typer.Typer(
    name="migrator",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts three times as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        out(__version__)
        raise typer.Exit


@app.callback()
def _before(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and stop.")
    ] = False,
) -> None:
    """What comes before the command."""


@app.command(epilog="Example: migrator version --json")
def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    if as_json:
        emit_json({"version": __version__})
    else:
        out(__version__)


for module in (
    plan,
    local,
    audit,
    decide,
    cluster,
    provision,
    roles,
    run,
    approver,
    status,
    serve,
    doctor,
    preflight,
    readers,
    reads,
    drill,
    size,
    cost,
    validate,
    validation,
    cutover,
    rollback,
    tenant,
    breaker,
    backfill,
    mirror,
    schema,
    decommission,
    dossier,
    undo,
    upgrade,
    control,
    grant,
    incident,
    notify,
    report,
    log,
    rehearse,
):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    if settings.logs_wanted():
        from migrator import logs

        logs.configure(settings.log_level(), settings.log_format())
    code = run_command(list(sys.argv[1:] if arguments is None else arguments))
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="migrator", standalone_mode=False)
    except typer.TyperException as error:
        # What typer refuses, from an unknown option to no command at all; the classes are private, but all show alike.
        told = io.StringIO()
        cast(typer.BadParameter, error).show(told)
        note(*told.getvalue().rstrip("\n").split("\n"))
        return ExitCode.USAGE
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _end(ending_of(KeyboardInterrupt()), as_json=False)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return ExitCode.OK  # the reader of a pipe (head, less) has closed it; typer sees to what is left to flush
        raise
    except Exception as error:  # every other error becomes one line and a code
        if settings.debug():
            import traceback

            traceback.print_exc()
        how = "--all" if _has_all(command, arguments) else "--json"
        return _end(ending_of(error), as_json="--json" in arguments, everything="--all" in arguments, how=how)
    return result if isinstance(result, int) else ExitCode.OK


def _has_all(command: Any, arguments: list[str]) -> bool:
    """Return whether the command that *arguments* name lists everything with --all."""
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    return any("--all" in parameter.opts for parameter in command.params)


def _end(ending: Ending, *, as_json: bool, everything: bool = False, how: str = "--json") -> int:
    if as_json:
        emit_json({"error": ending.message, "hint": ending.hint, "exit_code": int(ending.code), **ending.details})
    note(f"migrator: {ending.summary or ending.message}")
    if ending.summary:
        note(*causes(ending.details.get("blockers", ()), everything=everything, how=how))
        note(*(f"  - {problem}" for problem in ending.details.get("problems", ())))
    if ending.hint:
        note(f"hint: {ending.hint}")
    return ending.code
