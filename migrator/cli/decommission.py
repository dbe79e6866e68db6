"""Commands of the decommission: check its gate, approve it, reopen writes."""

from __future__ import annotations

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
    ApproverOption,
    DryRunOption,
    EveryOption,
    EvidenceOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    TokenOption,
    WaitOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, causes, confirm, emit_json, out
from migrator.errors import UsageError

group = typer.Typer(no_args_is_help=True, help="Retire classic: check the gate, approve and run.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="decommission")


@group.command(epilog="Example: migrator decommission check")
def check(plan: PlanOption = None, everything: EveryOption = False, as_json: JsonOption = False) -> None:
    """Show whether classic may be retired now, with every blocker. Changes nothing."""
    from migrator import gates
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.decommission.record import stored_window
    from migrator.model.phase import Phase

    found = find_plan(plan)
    with classic(plan) as conn:
        require_installed(conn)
        window = stored_window(conn)
        text = window[2] if window else "it has not begun"
        with progress("Asking the gate", silent=as_json):
            answer = gates.ask(conn, lambda: limitless(found), Phase.STABILIZE, found, keep=False)
    if as_json:
        emit_json({"go": answer.go, "blockers": answer.blockers, "window": text})
    else:
        out(f"Window: {text}")
        out(*causes(answer.blockers, everything=everything))
        out("Go: approve it with: migrator decommission run --as NAME" if answer.go else "No-go.")
    if not answer.go:
        raise typer.Exit(ExitCode.NO_GO)


@group.command(epilog='Example: migrator decommission run --as "Ada Lovelace" --wait')
def run(
    name: ApproverOption = None,
    evidence: EvidenceOption = None,
    token: TokenOption = None,
    plan: PlanOption = None,
    wait: WaitOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve the decommission; the running migration then hands over to Limitless and retires classic.

    Past the step marked POINT OF NO RETURN there is no way back.
    """
    from migrator.cli.approver import approve_gate
    from migrator.cli.context import find_plan
    from migrator.cli.run import follow
    from migrator.decommission.actions import actions

    found = find_plan(plan)
    if dry_run:
        announce(actions(found.decommission.release_classic), as_json=as_json)
        return
    if not name:
        raise UsageError("nothing irreversible happens without a name", hint='Give --as "YOUR NAME".')
    confirm(
        f"Close writes for at most {found.decommission.max_pause_s:g} s, make Limitless authoritative, retire classic?",
        yes=yes,
    )
    answer = approve_gate(found, plan, "decommission", name, evidence, token)
    if wait:
        follow(found, as_json=as_json)
    elif as_json:
        emit_json(answer)
    else:
        out(answer.text)


@group.command(epilog='Example: migrator decommission reopen --reason "the workers were lost" --yes')
def reopen(
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Open writes on classic again after they were closed and no attempt goes on; needs neither workers nor Temporal.

    Refuses past the point of no return. The running migration does the same by itself when its limit is over.
    """
    import psycopg

    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.decommission import attempt, drain
    from migrator.decommission.run import REOPEN
    from migrator.decommission.run import reopen as open_writes
    from migrator.errors import ClusterUnavailable, NoGo

    if dry_run:
        announce(REOPEN, as_json=as_json)
        return
    with classic(plan, statement_timeout_s=None) as conn:
        require_installed(conn)
        number = attempt.latest(conn)
        if number is None:
            out("Writes were never closed.")
            return
        confirm("Open writes on classic again?", yes=yes)
        opened = open_writes(conn, number, reason, who(name))
    if not opened:
        raise NoGo("decommission reopen", ["Limitless is authoritative already: the point of no return has passed"])
    mirrors = "the mirrors have their partitions again"
    try:
        with limitless(find_plan(plan)) as other:
            drain.reopen_positions(other)
    except (ClusterUnavailable, psycopg.Error):
        mirrors = "Limitless did not answer: run this again when it does, reads stay on classic until then"
    if as_json:
        emit_json({"reopened": True, "mirrors": mirrors})
    else:
        out(f"Writes are open on classic; {mirrors}.")
