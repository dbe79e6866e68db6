"""The command that takes back a schema change that is not finished."""

from __future__ import annotations

import typer

from migrator.cli.options import DryRunOption, JsonOption, PatienceOption, PlanOption, UnaskedOption, WhoOption, who
from migrator.cli.render import announce, emit_json, note, out


def register(group: typer.Typer) -> None:
    group.command(name="undo", epilog="Example: migrator schema undo --dry-run")(undo_command)


def undo_command(
    timeout_s: PatienceOption = 600.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take back the change that is not finished, on both sides, while writers, mirrors and copies run.

    Changes of the same file that are finished stay. From some steps on a change can only be finished: then nothing is
    done, and the reason is told. Running this again after an interruption goes on.
    """
    from migrator.cli.context import both, classic, find_plan, require_installed
    from migrator.dataplane.change.progress import Work
    from migrator.dataplane.change.take_back import find, undo

    found = find_plan(plan)
    with both(found) as (one, other), classic(plan, statement_timeout_s=None) as turns:
        require_installed(one)
        work = Work(found, one, other, turns, who(name), timeout_s, tell=note)
        if dry_run:
            announce(list(find(work).actions), as_json=as_json)
            return
        undone = undo(work)
    if as_json:
        emit_json({"undone": undone})
    else:
        out(*([f"undone: {words}" for words in undone] or ["Nothing to undo: no change is unfinished."]))
