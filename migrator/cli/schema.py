"""Commands that change the schema of migrated tables on both sides, and show such changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, WhoOption, who
from migrator.cli.render import announce, emit_json, note, out, print_table
from migrator.errors import UsageError

group = typer.Typer(no_args_is_help=True, help="Change the schema of migrated tables on both sides.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="schema")


@group.command(name="apply", epilog="Example: migrator schema apply add-note.sql --dry-run")
def apply_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="SQL: CREATE TABLE, ALTER TABLE ... ADD COLUMN or DROP COLUMN, CREATE INDEX, DROP INDEX, CREATE TYPE,"
            " ALTER TYPE ... ADD VALUE, CREATE SEQUENCE.",
            show_default=False,
        ),
    ],
    timeout_s: Annotated[
        float, typer.Option("--patience", min=1, help="Seconds to wait for locks, mirrors and copies, each.")
    ] = 600.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Apply a file of changes to classic and Limitless while writers, mirrors and copies run.

    The whole file is checked before anything is changed. Running it again after an interruption goes on; running it
    once more does nothing.
    """
    from migrator.cli.context import both, classic, find_plan, require_installed
    from migrator.dataplane.change.apply import actions, apply, plan_changes
    from migrator.dataplane.change.progress import Work

    text = file.read_text(encoding="utf-8")
    found = find_plan(plan)
    with both(found) as (one, other), classic(plan, statement_timeout_s=None) as turns:
        require_installed(one)
        work = Work(found, one, other, turns, who(name), timeout_s, tell=note)
        if dry_run:
            going_on, changes, _ = plan_changes(work, text, str(file))
            announce(actions(going_on, changes), as_json=as_json)
            return
        done = apply(work, text, str(file))
    if as_json:
        emit_json(done)
    elif done.finished:
        out("\n".join(f"done: {words}" for words in done.finished))
    else:
        out("Nothing to do: both sides are as the file says.")


@group.command(epilog="Example: migrator schema status")
def status(
    change: Annotated[
        int | None, typer.Argument(metavar="[CHANGE]", help="Only the change of this number.", show_default=False)
    ] = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """List changes of the schema, the newest first, with the last step done."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.change import changes, last_change

    with classic(plan) as conn:
        require_installed(conn)
        rows = changes(conn, change)
        if change is not None and not rows:
            last = last_change(conn)
            there = f"the last one is {last}" if last else "none was applied"
            raise UsageError(f"there is no schema change {change}; {there}", hint="See all: migrator schema status.")
    columns = ["change", "what", "last step", "started", "finished", "by", "problem"]
    if as_json:
        emit_json({"changes": [dict(zip(columns, row, strict=True)) for row in rows]})
    elif rows:
        print_table(columns, rows, right=["change"])
    else:
        out("No change of the schema was applied.")
