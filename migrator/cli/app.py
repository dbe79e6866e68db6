"""Wires the commands together; errors become messages and exit codes here and only here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

import typer

from migrator import __version__, settings
from migrator.cli import (
    audit,
    backfill,
    breaker,
    cluster,
    cutover,
    decommission,
    grant,
    incident,
    local,
    mirror,
    plan,
    provision,
    rehearse,
    report,
    rollback,
    run,
    schema,
    status,
    tenant,
    undo,
    upgrade,
    validate,
    validation,
)
from migrator.cli.exits import Ending, ExitCode, ending_of
from migrator.cli.options import JsonOption

HELP = """Move a live multi-tenant database from classic Aurora PostgreSQL to Aurora Limitless, phase by phase.

In an incident: migrator rollback --all --reason "..." brings every tenant's reads back to classic, in seconds.
"""

app = typer.Typer(
    name="migrator",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts three times as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.command(epilog="Example: migrator version --json")
def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    typer.echo(f'{{"version": "{__version__}"}}' if as_json else __version__)


for module in (
    plan,
    local,
    audit,
    cluster,
    provision,
    run,
    status,
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
    undo,
    upgrade,
    grant,
    incident,
    report,
    rehearse,
):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    code = run_command(list(sys.argv[1:] if arguments is None else arguments))
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="migrator", standalone_mode=False)
    except typer.TyperException as error:
        # What typer refuses, from an unknown option to no command at all; the classes are private, but all show alike.
        cast(typer.BadParameter, error).show()
        return ExitCode.USAGE
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _end(ending_of(KeyboardInterrupt()), as_json=False)
    except BrokenPipeError:
        # the reader of a pipe (head, less) has closed it
        sys.stderr.close()
        return ExitCode.OK
    except Exception as error:  # every other error becomes one line and a code
        if settings.debug():
            import traceback

            traceback.print_exc()
        return _end(ending_of(error), as_json="--json" in arguments)
    return result if isinstance(result, int) else ExitCode.OK


def _end(ending: Ending, *, as_json: bool) -> int:
    if as_json:
        from migrator.cli.render import emit_json

        emit_json({"error": ending.message, "hint": ending.hint, "exit_code": int(ending.code), **ending.details})
    print(f"migrator: {ending.message}", file=sys.stderr)
    if ending.hint:
        print(f"hint: {ending.hint}", file=sys.stderr)
    return ending.code
