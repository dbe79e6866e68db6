"""Commands that keep the record of a migration in a file, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli.options import DryRunOption, JsonOption, NewFileArgument, PlanOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out
from migrator.model.action import Action
from migrator.model.counted import counted

group = typer.Typer(no_args_is_help=True, help="Back up the tool's own record on classic, and restore it.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="control")


@group.command(epilog="Example: migrator control backup migrator-2026-11-29.zip")
def backup(
    path: NewFileArgument,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the record to a file: plan, decisions, approvals, incidents, holds, reports, verdicts, figures.

    At one snapshot, while everything goes on. No rows of the application, no secret; names of tenants and people.
    Routes and positions are left out, because a restore must not bring them back: docs/reliability.md.
    """
    from migrator.cli.context import classic
    from migrator.control.backup import back_up

    with classic(plan, statement_timeout_s=None) as conn, progress("Reading the record", silent=as_json):
        made = back_up(conn, path)
    rows = sum(held.rows for held in made.tables.values())
    if as_json:
        emit_json({"file": str(path), "manifest": made})
    else:
        out(f"{path} holds {counted(rows, 'row')} of {counted(len(made.tables), 'table')}, as of {made.taken_at}.")


@group.command(epilog="Example: migrator control restore migrator-2026-11-29.zip --dry-run")
def restore(
    path: Annotated[Path, typer.Argument(help="File that migrator control backup wrote.")],
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the record back where schema migrator is gone from classic; every read stays on classic.

    Nothing that says what Limitless holds comes back, since writes have passed the journal: everything is copied again.
    Refuses where the schema is there, while workers run, and once writes are on Limitless. Without --plan the plan in
    the file says where both sides are.
    """
    from migrator import settings
    from migrator.cli.context import APP
    from migrator.control import backup as record
    from migrator.db.connect import connect
    from migrator.errors import NoGo

    with record.opened(path) as (archive, manifest):
        sides = _sides(plan, archive)
        with (
            connect(settings.resolve(sides[0]), APP, side="classic") as classic,
            connect(settings.resolve(sides[1]), APP, side="Limitless") as limitless,
        ):
            found = record.blockers(classic, limitless, manifest)
            if dry_run:
                announce(_actions(manifest), as_json=as_json)
                for line in found:
                    note(f"would be refused now: {line}")
                return
            if found:
                raise NoGo("control restore", found)
            confirm(f"Restore the record of plan {manifest.plan} of {manifest.taken_at}?", yes=yes)
            with progress("Restoring the record", silent=as_json):
                gone = record.restore(classic, limitless, archive, manifest, who(name))
    for role in gone:
        note(f"Role {role} used the shim and does not exist any more: make it, then migrator grant {role}")
    if as_json:
        emit_json({"done": [action.id for action in _actions(manifest)], "manifest": manifest, "roles_gone": gone})
    else:
        out(
            "The record is back; every read is on classic, and nothing is captured.",
            "Next: migrator abort if Temporal still runs the migration, migrator undo dual-write, migrator run.",
        )


def _sides(plan: Path | None, archive: Any) -> tuple[str, str]:
    """Return the references of both sides: of --plan, else of the plan in the file; MIGRATOR_CLASSIC_DSN is not asked,
    since there is nothing on classic to compare it with."""
    from migrator.control.backup import stored_plan
    from migrator.plan.load import from_earlier, load

    found = load(plan) if plan is not None else from_earlier(stored_plan(archive))
    return found.classic.writer, found.limitless.dsn


def _actions(manifest: Any) -> list[Action]:
    rows = counted(sum(held.rows for held in manifest.tables.values()), "row")
    return [
        Action("restore/limitless", "Forget positions and copy leases on Limitless; rows stay", "migrator run"),
        Action(
            "restore/classic",
            f"Install schema migrator on classic, {rows} of {counted(len(manifest.tables), 'table')}; reads on classic",
            "DROP SCHEMA migrator CASCADE",
        ),
    ]
