"""The command of phase 2: makes what is missing on Limitless, and compares both catalogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, EveryOption, JsonOption, PlanOption, YesOption
from migrator.cli.progress import progress
from migrator.cli.render import announce, causes, confirm, emit_json, note, out, raw
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.model.action import Action


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator provision --plan plans/demo.toml --dry-run")(provision)


def provision(
    plan: PlanOption = None,
    verify_only: Annotated[bool, typer.Option("--verify", help="Compare both catalogs, change nothing.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Only probe Limitless' capabilities, in a scratch schema.")
    ] = False,
    late_indexes: Annotated[
        bool, typer.Option("--indexes-after-copy", help="Leave secondary indexes for after the copy.")
    ] = False,
    finalize: Annotated[
        bool, typer.Option("--finalize", help="After the copy: late indexes, and foreign keys that check at commit.")
    ] = False,
    show_sql: Annotated[bool, typer.Option("--sql", help="With --dry-run: print the statements.")] = False,
    everything: EveryOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the Limitless schema: sharded, reference and standard tables, keys, indexes, sequences, functions.

    Makes what is missing, changes nothing that exists, then compares both catalogs and lists every difference. First
    the cluster's capabilities are probed, unless this version was probed before.
    """
    from migrator import provision as phase
    from migrator.cli.context import both, find_plan
    from migrator.cli.probe import ask
    from migrator.errors import NoGo
    from migrator.provision.tables import tables_in_force

    found = find_plan(plan)
    if probe:
        ask(found, show_sql=show_sql, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    with both(found) as (classic, limitless):
        tables = tables_in_force(classic, found.tables)
        if verify_only:
            with progress("Comparing both catalogs", silent=as_json):
                verdict = phase.verify(classic, limitless, tables, found, stage="mirrored" if finalize else "empty")
            _answer(as_json, "verify", (), (), verdict.blockers, everything)
            return
        if finalize:
            todo = phase.finalize_actions(classic, limitless, tables, found)
        else:
            todo = phase.actions(classic, limitless, tables, found, indexes="after" if late_indexes else "before")
        if dry_run:
            if show_sql:
                raw("\n\n".join(f"BEGIN;\n{a.sql}\nCOMMIT;" for a in todo if a.sql))
            else:
                announce(todo, as_json=as_json)
            return
        if todo:
            confirm(f"Make {counted(len(todo), 'object')} on Limitless?", yes=yes)

        try:
            with progress("Provisioning", "objects", len(todo) or None, silent=as_json) as seen:

                def made(action: Action) -> None:
                    note(f"  {action.summary}")
                    seen.step()

                if finalize:
                    result = phase.finalize(classic, limitless, tables, found, on_step=made)
                else:
                    result = phase.provision(
                        classic,
                        limitless,
                        tables,
                        found,
                        indexes="after" if late_indexes else "before",
                        on_step=made,
                        ask=True,
                    )
        except NoGo as error:
            _answer(as_json, "provision", (), (), error.blockers, everything)
            return
        _answer(as_json, "provision", result.made, result.warnings, result.verdict.blockers, everything)


def _answer(
    as_json: bool,
    gate: str,
    made: tuple[Action, ...],
    warnings: tuple[str, ...],
    blockers: tuple[str, ...],
    everything: bool,
) -> None:
    if as_json:
        emit_json({"go": not blockers, "made": [a.id for a in made], "warnings": warnings, "blockers": blockers})
    else:
        for warning in warnings:
            note(f"warning: {warning}")
        if not blockers:
            out((f"{counted(len(made), 'object')} made" if made else "Nothing to do") + "; both catalogs agree.")
        out(*causes(blockers, everything=everything))
    if blockers:
        if not as_json:
            out(f"{gate}: no-go, {counted(len(blockers), 'blocker')}")
        raise typer.Exit(ExitCode.NO_GO)
