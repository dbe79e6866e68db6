"""`migrator provision --probe`: asks the cluster for its capabilities, and shows the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out, raw
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.model.action import Action
    from migrator.model.capability import Answer, Answers
    from migrator.plan.schema import Plan


def ask(plan: Plan, *, show_sql: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Ask the cluster every question, also those it has answered before."""
    from migrator.cli.context import both
    from migrator.control.answers import summary
    from migrator.control.install import installed_version
    from migrator.provision import probing

    with both(plan) as (classic, limitless):
        todo = probing.actions(installed=installed_version(limitless) is not None)
        if dry_run:
            if show_sql:
                raw("\n\n".join(f"-- {a.summary}\n{a.sql};" for a in todo if a.sql))
            else:
                announce(todo, as_json=as_json)
            return
        confirm("Probe Limitless' capabilities, in a scratch schema that is dropped afterwards?", yes=yes)

        with progress("Probing", "questions", len(todo), silent=as_json) as seen:

            def asked(action: Action) -> None:
                note(f"  {action.summary}")
                seen.step()

            found = probing.probe(classic, limitless, asked)
    if as_json:
        emit_json(summary(found))
    else:
        _show(found)
    if found.blockers():
        raise typer.Exit(ExitCode.NO_GO)


def _show(found: Answers) -> None:
    out(f"Limitless {found.version}:")
    for answer in found.found.values():
        out(f"  {'yes' if answer.works else 'no ':3} {answer.capability}{_details(answer)}")
    for blocker in found.blockers():
        out(f"  - {blocker}")
    if count := len(found.blockers()):
        out(f"probe: no-go, {counted(count, 'blocker')}")


def _details(answer: Answer) -> str:
    if answer.works:
        return ""
    works_on = f"; it works on {', '.join(sorted(answer.kinds))} tables" if answer.kinds else ""
    return f": {answer.said}{works_on}" + ("" if answer.needed else f"; {answer.instead}")
