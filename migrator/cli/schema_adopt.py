"""The command that brings what was made past the tool to both sides."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PatienceOption, PlanOption, UnaskedOption, WhoOption, who
from migrator.cli.progress import progress
from migrator.cli.render import emit_json, note, out


def register(group: typer.Typer) -> None:
    group.command(name="adopt", epilog="Example: migrator schema adopt --dry-run")(adopt_command)


def adopt_command(
    timeout_s: PatienceOption = 600.0,
    write_pause_s: Annotated[
        float,
        typer.Option("--write-pause", min=0.1, help="Seconds that writers of one table may wait while it is captured."),
    ] = 10.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring what was made past the tool to both sides: new tables with their rows, columns, types, views and so on.

    What cannot be adopted is listed with advice, and the exit code is 3 then. Running it again goes on where it
    stopped; once both sides hold the same it does nothing.
    """
    from migrator.cli.context import both, classic, find_plan, require_installed
    from migrator.dataplane.change.adopt import adopt, find
    from migrator.dataplane.change.progress import Work
    from migrator.model.action import action_lines

    found = find_plan(plan)
    with both(found) as (one, other), classic(plan, statement_timeout_s=None) as turns:
        require_installed(one)
        work = Work(found, one, other, turns, who(name), timeout_s, tell=note)
        if dry_run:
            wanted = find(work, write_pause_s)
            left, said = wanted.left, action_lines(wanted.actions)
            body: dict[str, object] = {"actions": wanted.actions, "left": left}
        else:
            with progress("Adopting", silent=as_json):
                done = adopt(work, write_pause_s)
            left, said = list(done.left), [f"done: {words}" for words in done.done]
            body = {"done": done.done, "left": left}
    if as_json:
        emit_json(body)
    else:
        out(*(said or ["Nothing to adopt."]))
        for one_left in left:
            out(f"left: {one_left}")
        if not dry_run and done.done:
            out("Verdicts of before are outdated: migrator validate")
    if left:
        raise typer.Exit(ExitCode.NO_GO)
