"""Commands that change the schema of migrated tables on both sides, and show such changes."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli import schema_adopt, schema_apply, schema_check, schema_undo
from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, out, print_table
from migrator.errors import UsageError

group = typer.Typer(no_args_is_help=True, help="Change the schema of migrated tables on both sides.")


def register(app: typer.Typer) -> None:
    schema_apply.register(group)
    schema_check.register(group)
    schema_undo.register(group)
    schema_adopt.register(group)
    app.add_typer(group, name="schema")


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
    from migrator.control.plan import gone_tables

    with classic(plan) as conn:
        require_installed(conn)
        rows, gone = changes(conn, change), gone_tables(conn)
        if change is not None and not rows:
            last = last_change(conn)
            there = f"the last one is {last}" if last else "none was applied"
            raise UsageError(f"there is no schema change {change}; {there}", hint="See all: migrator schema status.")
    columns = ["change", "what", "last step", "started", "finished", "by", "problem"]
    if as_json:
        emit_json({"changes": [dict(zip(columns, row, strict=True)) for row in rows], "gone": gone})
        return
    if rows:
        print_table(columns, rows, right=["change"])
    else:
        out("No change of the schema was applied.")
    for name in gone:
        out(
            f'The plan names {name}, which was dropped: remove [tables.table."{name}"] from its file,'
            " then: migrator plan apply PLAN --reason WHY --as NAME"
        )
