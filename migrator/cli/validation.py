"""Commands that show the history of validations, and steer their schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import (
    DryRunOption,
    JsonOption,
    LimitOption,
    PlanOption,
    TenantsOption,
    UnaskedOption,
    WhoOption,
    who,
)
from migrator.cli.render import duration, emit_json, out, print_table

if TYPE_CHECKING:
    from workflows.schedule import ScheduleView

group = typer.Typer(no_args_is_help=True, help="The history of validations, and their schedule.")
schedule = typer.Typer(no_args_is_help=True, help="See, pause and resume the schedule of continuous validation.")
group.add_typer(schedule, name="schedule")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="validation")


@group.command(epilog="Example: migrator validation history --tenant 42")
def history(
    tenant: TenantsOption = None,
    limit: LimitOption = 20,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which tenants were clean when, at which schemas, and the latest runs.

    Equal verdicts in a row are one line. An outdated one, at other schemas than today's, counts for no gate.
    """
    from migrator.cli.context import classic, require_installed
    from migrator.control import known, verdicts

    with classic(plan) as conn:
        require_installed(conn)
        known.check_tenants(conn, tenant or [])
        stretches = verdicts.stretches(conn, tenant or [], limit)
        runs = [] if tenant else verdicts.runs(conn, limit)
    if as_json:
        emit_json({"verdicts": stretches, "runs": runs})
        return
    columns = ["tenant", "verdict", "from", "until", "times", "rows", "divergent", "schemas"]
    print_table(
        columns,
        [
            (
                "(reference)" if s.tenant_id is None else s.tenant_id,
                "clean" if s.clean else "divergent",
                s.first_at,
                s.last_at,
                s.times,
                s.rows,
                s.divergent,
                s.fingerprint if s.current else f"{s.fingerprint} (not today's)",
            )
            for s in stretches
        ],
        right=["times", "rows", "divergent"],
    )
    if runs:
        out()
        columns = ["run", "started", "took", "tenants", "rows", "divergent", "longest pause"]
        lines = [
            (
                r.kind,
                r.started_at,
                duration((r.finished_at - r.started_at).total_seconds()) if r.finished_at else "not finished",
                r.tenants,
                r.rows,
                r.divergent,
                f"{r.fence_pause_ms:.1f} ms",
            )
            for r in runs
        ]
        print_table(columns, lines, right=["tenants", "rows", "divergent", "longest pause"])


@schedule.command(epilog="Example: migrator validation schedule show")
def show(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show whether continuous validation runs, and when it begins again."""
    from migrator.cli.context import find_plan
    from workflows import schedule as calls

    _tell(calls.show(find_plan(plan)), as_json)


ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Shown with the schedule.")]


@schedule.command(epilog='Example: migrator validation schedule pause --reason "month-end close"')
def pause(
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Begin no further run; one under way ends by itself. Gates still validate what they need."""
    from migrator.cli.context import find_plan
    from workflows import schedule as calls

    found = find_plan(plan)
    _tell(calls.show(found) if dry_run else calls.pause(found, who(name), reason), as_json)


@schedule.command(epilog='Example: migrator validation schedule resume --reason "closed"')
def resume(
    reason: ReasonOption = "resumed",
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let continuous validation go on."""
    from migrator.cli.context import find_plan
    from workflows import schedule as calls

    found = find_plan(plan)
    _tell(calls.show(found) if dry_run else calls.resume(found, who(name), reason), as_json)


def _tell(view: ScheduleView, as_json: bool) -> None:
    if as_json:
        emit_json(view)
        return
    state = "paused" if view.paused else "active"
    out(f"Every {duration(view.every_s)}, {state}{f' ({view.note})' if view.note else ''}; {view.running} running now")
    if view.last_at is not None:
        out(f"Last begun {view.last_at:%Y-%m-%d %H:%M:%S}")
    if view.next_at is not None and not view.paused:
        out(f"Next at    {view.next_at:%Y-%m-%d %H:%M:%S}")
