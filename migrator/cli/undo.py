"""Commands that undo a phase's own changes, before the point of no return."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out
from migrator.errors import ClusterUnavailable, NoGo
from migrator.model.action import Action, carry_out
from migrator.model.counted import counted

group = typer.Typer(no_args_is_help=True, help="Undo a phase; classic and its rows are never touched.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="undo")


@group.command("dual-write", epilog="Example: migrator undo dual-write --dry-run")
def dual_write(
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove capture, forget the copy, empty Limitless. Refuses while reads go there or the mirror runs."""
    from migrator import undo
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.control.reset import undo_verdict

    if dry_run:
        announce([step.action for step in (*undo.ON_CLASSIC, *undo.ON_LIMITLESS)], as_json=as_json)
        return
    found = find_plan(plan)
    with classic(plan, statement_timeout_s=None) as conn:
        require_installed(conn)
        verdict = undo_verdict(conn)
        if not verdict.go:
            raise NoGo("undo dual-write", verdict.blockers)
        confirm("Take capture off classic and empty Limitless?", yes=yes)
        done: list[str] = []
        with progress("Taking capture off classic", silent=as_json):
            carry_out(undo.ON_CLASSIC, undo.Classic(conn, who(name)), lambda action: done.append(action.id))
    try:
        with limitless(found) as other:
            with progress("Emptying Limitless", silent=as_json):
                carry_out(undo.ON_LIMITLESS, other, lambda action: done.append(action.id))
    except ClusterUnavailable as error:
        # classic is done; the next provision or undo empties what remains on Limitless
        note(f"Limitless was not emptied ({error.why}); run this again when it answers.")
    if as_json:
        emit_json({"done": done})
    else:
        out("Dual write is undone: classic is as it was before phase 3.")


@group.command(epilog="Example: migrator undo provision --plan plans/demo.toml --dry-run")
def provision(
    plan: PlanOption = None,
    with_rows: Annotated[bool, typer.Option("--with-rows", help="Drop tables even if they hold copied rows.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop on Limitless what provisioning made there, and nothing else."""
    from migrator import provision as phase
    from migrator.cli.context import find_plan, limitless

    found = find_plan(plan)
    with limitless(found, lock_timeout_s=10) as other:
        todo = phase.undo_actions(other)
        if dry_run:
            announce(todo, as_json=as_json)
            return
        if todo:
            confirm(f"Drop {counted(len(todo), 'object')} on Limitless?", yes=yes)
        with progress("Dropping", "objects", len(todo) or None, silent=as_json) as seen:

            def dropped(action: Action) -> None:
                note(f"  {action.summary}")
                seen.step()

            kept = phase.undo(other, with_rows=with_rows, on_step=dropped)
    if as_json:
        emit_json({"dropped": len(todo) - len(kept), "kept": kept})
    else:
        out(f"{counted(len(todo) - len(kept), 'object')} dropped." if todo else "Nothing to do.")
        for line in kept:
            out(f"kept: {line}")
