"""Commands of the decommission: check its gate, approve it, reopen writes; then see and approve classic's end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from migrator.model.action import Action

if TYPE_CHECKING:
    from migrator.decommission.progress import DecommissionProgress
    from migrator.plan.schema import Plan

group = typer.Typer(no_args_is_help=True, help="Retire classic: check, approve, run; then keep or delete it.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="decommission")


def _dossier(plan: Plan) -> str:
    rules = plan.decommission
    by = f"signed by {rules.dossier_key}" if rules.dossier_key else "NOT SIGNED: decommission.dossier_key"
    return f"Dossier: {rules.dossier or 'a file in the home of the worker that writes it'}, {by}"


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
        out(f"Window: {text}", _dossier(found))
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


@group.command(epilog="Example: migrator decommission status")
def status(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show how far classic's end is: attempts, last copy, stopped, kept until, restored, approved, deleted.

    Behind the hand-over it asks Limitless, and answers also when classic does not exist any more.
    """
    from migrator.cli.context import find_plan, limitless
    from migrator.control import retirement
    from migrator.decommission.retire import rules
    from migrator.decommission.standing import body, lines

    found = find_plan(plan)
    reached, absent = _reached(plan)
    with limitless(found) as other:
        known = retirement.read(other)
        tables = len(retirement.tables(other)) if known is not None else 0
    if as_json:
        emit_json({**body(reached, known, rules(found), tables), "classic_answers": absent != _SILENT})
    else:
        out(*lines(reached, known, rules(found), tables, absent))


_SILENT = "Classic does not answer"


def _reached(plan: Path | None) -> tuple[DecommissionProgress | None, str]:
    """Return how far classic says it is, or None and why it says nothing."""
    import psycopg

    from migrator.cli.context import classic, require_installed
    from migrator.decommission import progress as stands
    from migrator.errors import ClusterUnavailable, NotInstalled

    try:
        with classic(plan, statement_timeout_s=10) as conn:
            require_installed(conn)
            return stands.read(conn), ""
    except NotInstalled:
        return None, "No migration was started on this classic cluster"
    except (ClusterUnavailable, psycopg.OperationalError):
        return None, _SILENT


@group.command(epilog='Example: migrator decommission delete --as "Ada Lovelace"')
def delete(
    name: ApproverOption = None,
    token: TokenOption = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the approval back; classic stays.")] = False,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve that the AWS cluster of classic is deleted, once the plan's days are over. Its last copy stays.

    An approval of its own, for the last copy as it is now: refused while classic runs, and until the copy was restored
    and compared (migrator drill restore). Who may approve the decommission may approve this, where the plan asks for
    approvers with --token. Needs Limitless, not classic.
    """
    from migrator import settings
    from migrator.cli.context import find_plan, limitless
    from migrator.control import retirement
    from migrator.decommission import retire
    from migrator.errors import NoGo
    from migrator.model.retirement import kept_until, missing

    found = find_plan(plan)
    if not name:
        raise UsageError("nothing irreversible happens without a name", hint='Give --as "YOUR NAME".')
    secret = settings.secret(token) if token else settings.approver_token()
    with limitless(found) as conn:
        known, limits = retirement.read(conn), retire.rules(found)
        if withdraw:
            known = retire.withdraw(conn, name)
        else:
            lacking = missing(known, limits)
            if lacking or known is None:
                raise NoGo("decommission delete", lacking)
            until = kept_until(known, limits)
            if dry_run:
                what = f"delete cluster {known.cluster} once {until:%Y-%m-%d %H:%M} UTC has passed"
                announce([Action("delete", what, None)], as_json=as_json)
                return
            confirm(f"Delete cluster {known.cluster} for good, keeping {known.copy}?", yes=yes)
            known = retire.approve(conn, found, name, secret)
    from workflows import client

    told = client.look_at_retirement(found)
    if as_json:
        until = kept_until(known, limits)
        emit_json({"approved_by": known.approved_by, "copy": known.copy, "until": until, "told": told})
        return
    if withdraw:
        out("Nothing approves the deletion of classic now; it stays.")
    elif not known.approved_by:
        out("Approved; the plan asks for another approver as well (governance.four_eyes).")
    else:
        out(f"Approved: cluster {known.cluster} is deleted after {kept_until(known, limits):%Y-%m-%d %H:%M} UTC.")
    if not told:
        out("No workflow was reached; it does that when it looks next, or when this is run again.")
