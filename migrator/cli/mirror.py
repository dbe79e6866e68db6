"""Commands that show the mirror, and copy quarantined tenants or everything again."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    UnaskedOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, duration, emit_json, out, print_table
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.counted import counted

group = typer.Typer(no_args_is_help=True, help="Watch the mirror, and copy quarantined tenants again.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="mirror")


@group.command(epilog="Example: migrator mirror status")
def status(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show lag, rate and problems of each partition, quarantined tenants, and the backlog."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.status import collect
    from migrator.dataplane.capture.backlog import holds, waiting

    with classic(plan) as conn:
        require_installed(conn)
        found = collect(conn)
        held = holds(conn)
        journal = waiting(conn)
    if as_json:
        emit_json(
            {
                "parts": found.parts,
                "journal_mb": found.journal_mb,
                "journal": journal,
                "quarantined": dict(found.quarantined),
                "holds": held,
            }
        )
        return
    if not found.parts:
        out("The mirror does not run: dual write has not begun.")
        return
    of = {w.part: w for w in journal.parts}
    rows = [
        (
            p.part,
            duration(p.lag_s),
            f"{of[p.part].entries:,}",
            duration(of[p.part].oldest_s),
            f"{of[p.part].bytes / 1e6:,.1f}",
            p.depth,
            p.rows_per_s,
            p.applied,
            p.state,
            p.problem,
        )
        for p in found.parts
        if p.part in of
    ]
    numbers = ["part", "lag", "waiting", "oldest", "MB", "keys per cycle", "rows/s", "applied"]
    print_table([*numbers, "state", "problem"], rows, right=numbers)
    about = "about " if journal.estimated else ""
    out(
        "",
        f"Journal: {journal.bytes / 1e6:,.1f} MB of {journal.limit_bytes / 1e6:,.0f} MB, {about}{journal.entries:,}"
        " entries, applied ones included" + (f", kept for {counted(len(held), 'copy unit')}" if held else ""),
    )
    if journal.bytes > journal.limit_bytes:
        out("Over its limit: the backfill is paused until the journal is emptied. Nothing is lost.")
    for tenant, reason in found.quarantined:
        out(f"quarantined: tenant {tenant}: {reason}")


@group.command(epilog="Example: migrator mirror quarantine")
def quarantine(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """List the tenants that Limitless refused a row of, each with the reason."""
    from migrator.cli.context import classic, require_installed
    from migrator.dataplane.recovery import quarantined

    with classic(plan) as conn:
        require_installed(conn)
        found = quarantined(conn)
    if as_json:
        emit_json({"quarantined": dict(found)})
    elif not found:
        out("No tenant is quarantined.")
    else:
        print_table(["tenant", "reason"], found)
        out("", "Correct the cause, then: migrator mirror retry TENANT")


@group.command(epilog="Example: migrator mirror retry 42")
def retry(
    tenants: Annotated[list[str] | None, typer.Argument(help="Quarantined tenants.")] = None,
    everyone: AllOption = False,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy quarantined tenants again; their reads stay on classic until they are mirrored."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import known
    from migrator.dataplane import recovery

    if bool(tenants) == everyone:
        raise UsageError("name tenants, or give --all")
    with classic(plan) as conn:
        require_installed(conn)
        known.check_tenants(conn, tenants or [])
        if dry_run:
            aside = [t for t, _ in recovery.quarantined(conn) if everyone or t in (tenants or ())]
            announce(
                [Action(f"retry/{t}", f"Copy tenant {t} again", "the mirror quarantines it again") for t in aside],
                as_json=as_json,
            )
            return
        found = recovery.retry(conn, None if everyone else tenants, who(name))
    if as_json:
        emit_json({"retried": found})
    else:
        out(f"{counted(len(found), 'tenant')} will be copied again." if found else "Nothing to do.")


READS = Action(
    "recopy/reads", "Bring all reads back to classic and wait for every process", "migrator rollback and cutover"
)


@group.command(epilog='Example: migrator mirror recopy --reason "classic was restored"')
def recopy(
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy everything again, after classic was restored or lost its tail, or writes may have passed the journal."""
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.dataplane import recovery
    from migrator.traffic.incident.rollback import roll_back

    if dry_run:
        announce([READS, *(step.action for step in recovery.RECOPY)], as_json=as_json)
        return
    found = find_plan(plan)
    with classic(plan, statement_timeout_s=None) as conn:
        require_installed(conn)
        confirm("Bring all reads back to classic and copy everything again?", yes=yes)
        with limitless(found) as other:
            with progress("Bringing reads back, and ordering the copy", silent=as_json):
                roll_back(conn, all=True, who=who(name), reason=reason, timeout_s=found.shim.staleness_s * 2 + 1)
                count = recovery.recopy(conn, other, who(name), reason)
    if as_json:
        emit_json({"tenants": count})
    else:
        out(
            f"{counted(count, 'tenant')} will be copied again. Mirrors "
            f"go on automatically; if they ended: migrator resume"
        )
        out("Reads stay on classic. When all are copied (migrator backfill status): migrator cutover")
