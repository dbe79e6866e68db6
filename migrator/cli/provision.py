"""The command of phase 2: makes what is missing on Limitless, and compares both catalogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, YesOption
from migrator.cli.render import announce, confirm, emit_json, note, out

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
            verdict = phase.verify(classic, limitless, tables, found, stage="mirrored" if finalize else "empty")
            _answer(as_json, "verify", (), (), verdict.blockers)
            return
        if finalize:
            todo = phase.finalize_actions(classic, limitless, tables, found)
        else:
            todo = phase.actions(classic, limitless, tables, found, indexes="after" if late_indexes else "before")
        if dry_run:
            if show_sql:
                out("\n\n".join(f"BEGIN;\n{a.sql}\nCOMMIT;" for a in todo if a.sql))
            else:
                announce(todo, as_json=as_json)
            return
        if todo:
            confirm(f"Make {len(todo)} objects on Limitless?", yes=yes)

        def progress(action: Action) -> None:
            note(f"  {action.summary}")

        try:
            if finalize:
                result = phase.finalize(classic, limitless, tables, found, on_step=progress)
            else:
                result = phase.provision(
                    classic,
                    limitless,
                    tables,
                    found,
                    indexes="after" if late_indexes else "before",
                    on_step=progress,
                    ask=True,
                )
        except NoGo as error:
            _answer(as_json, "provision", (), (), error.blockers)
            return
        _answer(as_json, "provision", result.made, result.warnings, result.verdict.blockers)


def _answer(
    as_json: bool, gate: str, made: tuple[Action, ...], warnings: tuple[str, ...], blockers: tuple[str, ...]
) -> None:
    if as_json:
        emit_json({"go": not blockers, "made": [a.id for a in made], "warnings": warnings, "blockers": blockers})
    else:
        for warning in warnings:
            note(f"warning: {warning}")
        if not blockers:
            out((f"{len(made)} objects made" if made else "Nothing to do") + "; both catalogs agree.")
        for blocker in blockers:
            out(f"  - {blocker}")
    if blockers:
        if not as_json:
            out(f"{gate}: no-go, {len(blockers)} blocker{'s' if len(blockers) != 1 else ''}")
        raise typer.Exit(ExitCode.NO_GO)
