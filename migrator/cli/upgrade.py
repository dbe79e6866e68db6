"""The command that upgrades the tool's own tables, installed by an earlier version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out
from migrator.model.counted import counted

if TYPE_CHECKING:
    import psycopg

    from migrator.control.upgrade import Step
    from migrator.model.action import Action


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator upgrade --dry-run")(upgrade)


def upgrade(
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Upgrade the tool's own tables on both sides; nothing to do when they are of this version.

    Applications go on, whatever version their shims are. Workers must have ended, and writes be open: what is in the
    way is named, and nothing is changed. Run it again after an interruption. See docs/upgrades.md.
    """
    from migrator.cli.context import both, find_plan
    from migrator.control import upgrade as control

    found = find_plan(plan, any_version=True)
    done: list[str] = []

    def tell(action: Action) -> None:
        note(f"  {action.summary}")
        done.append(action.id)

    with both(found, any_version=True) as (classic, limitless):
        if dry_run:
            steps = [step for *_, part in _parts(classic, limitless, who(name)) for step in part]
            announce([step.action for step in steps], as_json=as_json)
            for line in control.blockers(classic) if steps else ():
                note(f"would be refused now: {line}")
            return
        with control.only_one(classic):
            parts = _parts(classic, limitless, who(name))
            if count := sum(len(part) for *_, part in parts):
                control.require_ready(classic)
                confirm(f"Upgrade the tool's own tables ({counted(count, 'step')})?", yes=yes)
                control.require_ready(classic)  # the question may have been open for hours
            with progress("Upgrading", "steps", count or None, silent=as_json) as seen:

                def did(action: Action) -> None:
                    tell(action)
                    seen.step()

                for conn, side, part in parts:
                    control.run(conn, side, part, did)
    if as_json:
        emit_json({"done": done})
    else:
        out("The tool's own tables are upgraded. Start the workers of this version." if done else "Nothing to do.")


def _parts(
    classic: psycopg.Connection[Any], limitless: psycopg.Connection[Any], name: str
) -> list[tuple[psycopg.Connection[Any], str, tuple[Step, ...]]]:
    """Return the steps with where they are done, in order.

    Classic's first one refuses workers of earlier versions, so it comes before those of Limitless. The version is still
    written on Limitless first.
    """
    from migrator.control.upgrade import upgrade_steps

    there = upgrade_steps(limitless, "limitless", name)
    here = upgrade_steps(classic, "classic", name, [capture_step()])
    return [(classic, "classic", here[:1]), (limitless, "limitless", there), (classic, "classic", here[1:])]


def capture_step() -> Step:
    """Return what an upgrade does to capture; the tool's own tables know nothing of it."""
    from migrator.control.upgrade import Step
    from migrator.dataplane.capture.upgrade import renew
    from migrator.model.action import Action

    action = Action(
        "upgrade/classic/capture",
        "Replace the functions and guards of capture; no table of the application is locked",
        "migrator undo dual-write",
    )
    return Step(action, renew)
