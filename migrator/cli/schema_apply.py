"""The command that applies files of changes, and folders of a tool's migrations, to both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import (
    BookkeepingOption,
    DryRunOption,
    JsonOption,
    PlanOption,
    ScriptsArgument,
    StdinOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out
from migrator.cli.schema_scripts import read_scripts
from migrator.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.dataplane.change.migrations import Outcome
    from migrator.dataplane.change.progress import Work
    from migrator.scripts.migration import Migration


def register(group: typer.Typer) -> None:
    group.command(name="apply", epilog="Example: migrator schema apply db/migrations --yes")(apply_command)


def apply_command(
    paths: ScriptsArgument = None,
    from_stdin: StdinOption = False,
    timeout_s: Annotated[
        float,
        typer.Option("--patience", min=1, help="Seconds to wait for locks, mirrors, copies and another run, each."),
    ] = 600.0,
    done: Annotated[
        str | None,
        typer.Option("--done", help="Apply nothing: keep the migrations up to this one as done on both sides."),
    ] = None,
    tool_tables: BookkeepingOption = None,
    yes: YesOption = False,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Apply changes to classic and Limitless while writers, mirrors and copies run.

    A file, or the migrations of a tool in its order, each one once: the way forward alone, and the tool's table on
    classic is told. A file is checked as a whole before anything of it is changed. Running this again after an
    interruption goes on; running it once more does nothing.
    """
    from migrator.cli.context import both, classic, find_plan, require_installed
    from migrator.dataplane.change.migrations import apply_migrations, look, mark_done
    from migrator.dataplane.change.progress import Work

    tables = tuple(tool_tables or ())
    migrations = read_scripts(paths or [], from_stdin, tables)
    found = find_plan(plan)
    with both(found) as (one, other), classic(plan, statement_timeout_s=None) as turns:
        require_installed(one)
        work = Work(found, one, other, turns, who(name), timeout_s, tell=note)
        if done is not None:
            confirm(f"Keep every migration up to {done} as done on both sides, without applying it?", yes=yes)
            _told(mark_done(work, migrations, done, tables), as_json=as_json)
            return
        if dry_run:
            _announce(work, migrations, tables, as_json=as_json)
            return
        if len(migrations) > 1:
            pending = [s for s in look(work, migrations, tables)[0] if s.state != "done"]
            if len(pending) > 1:
                confirm(f"Apply {counted(len(pending), 'migration')}, from {pending[0].migration.name} on?", yes=yes)
        with progress("Applying", silent=as_json):
            outcome = apply_migrations(work, migrations, tables)
        _show(outcome, as_json=as_json)


def _told(names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        emit_json({"done": names})
    else:
        out(*([f"done on both sides: {name}" for name in names] or ["Nothing to do: they are done already."]))


def _announce(work: Work, migrations: Sequence[Migration], tables: Sequence[str], *, as_json: bool) -> None:
    """Print the steps of the first migration that is not done, and the names of those after it.

    Raises:
        NoGo: with every problem.
    """
    from migrator.dataplane.change.apply import actions, plan_changes
    from migrator.dataplane.change.migrations import look, problems_of
    from migrator.errors import NoGo
    from migrator.model.action import Action

    found, history = look(work, migrations, tables)
    problems = problems_of(work, found, history, tables)
    if problems:
        raise NoGo("schema apply", [str(p) for p in problems], hint="Nothing was changed.")
    steps: list[Action] = []
    for number, (one, _, _, source) in enumerate(s for s in found if s.state == "pending"):
        if number == 0 and not (one.known and one.empty):
            going_on, changes, _ = plan_changes(work, one.text, source)
            steps += actions(going_on, changes)
        if number > 0:
            steps.append(Action(f"schema/{one.name}", f"then apply {one.name}", None))
    announce(steps, as_json=as_json)


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        states = [{"name": name, "state": state} for name, state in outcome.migrations]
        emit_json({"finished": outcome.finished, "held": outcome.held, "migrations": states})
        return
    lines = [f"done: {words}" for words in outcome.finished]
    applied = [name for name, state in outcome.migrations if state == "applied"]
    if len(outcome.migrations) > 1:
        lines += [f"applied: {name}" for name in applied]
    out(*(lines or ["Nothing to do: both sides are as the file says."]))
