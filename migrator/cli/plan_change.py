"""Change the plan of a migration that runs: look, store, and read what it said before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.options import DryRunOption, JsonOption, ReasonOption, TokenOption, WhoOption, YesOption, who
from migrator.cli.render import causes, confirm, emit_json, note, out, print_table
from migrator.model.counted import counted

if TYPE_CHECKING:
    import psycopg

    from migrator.control.plan_change import Outlook, Version
    from migrator.plan.schema import Plan

TAKEN_UP_S = 20.0
"""A command waits so long for workers to say that they have taken the plan up: they look every two seconds."""

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The plan file as it should be.", show_default=False)
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Also go back to values that an earlier version of the plan had.")
]


def register(group: typer.Typer) -> None:
    group.command(epilog="Example: migrator plan diff plan.toml")(diff)
    group.command(epilog='Example: migrator plan apply plan.toml --reason "longer soak" --as Ada')(apply)
    group.command(epilog="Example: migrator plan history")(history)


def diff(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what a plan file would change in the plan that runs: each value, when it takes effect, what it loosens."""
    from migrator.cli.context import classic
    from migrator.control.plan_change import look

    plan = _checked(file)
    with classic(_known_by(file)) as conn:
        _show(look(conn, plan), None, force=False, as_json=as_json)


def apply(
    file: FileArgument,
    reason: ReasonOption,
    name: WhoOption = None,
    token: TokenOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Store other values of the plan while its migration runs; workers take them up by themselves.

    Whatever loosens a guard needs --as NAME, authenticated and by two people where the plan that runs says so
    (docs/governance.md). What cannot change is refused, with what it would take.
    """
    from migrator.cli.context import classic
    from migrator.control import rehearsal
    from migrator.control.plan_change import apply as store
    from migrator.control.plan_change import look
    from migrator.errors import NoGo

    plan = _checked(file)
    with classic(_known_by(file)) as conn:
        rehearsal.check(conn, plan)
        seen = look(conn, plan)
        if dry_run:
            _show(seen, name, force=force, as_json=as_json)
            return
        if found := seen.blockers(name, force=force):
            raise NoGo("plan apply", found, hint="Nothing was changed. See docs/plan-changes.md.")
        if seen.changes:
            for change in seen.changes:
                note(f"{change.line} ({change.when})")
            confirm(f"Change {counted(len(seen.changes), 'value')} of plan {plan.name}?", yes=yes)
        approver = _approved(conn, seen, name, token)
        done = store(conn, seen, who=who(name), reason=reason, approver=approver, force=force)
        late = _taken_up(conn) if seen.changes else ()
    if as_json:
        emit_json({"plan": plan.name, "version": done.number, "changed": bool(seen.changes), "workers_behind": late})
    elif not seen.changes:
        out(f"Nothing to do: version {done.number} of plan {plan.name} says the same.")
    else:
        out(f"Version {done.number} of plan {plan.name} is in force.")
        for line in late:
            out(f"  but {line}")


def _approved(conn: psycopg.Connection[Any], seen: Outlook, name: str | None, token: str | None) -> str | None:
    """Return who approves the change, as the plan that runs asks for it.

    Raises:
        NoGo: a second person has to approve the same change.
        MigratorError: see `migrator.governance.cast.cast`.
    """
    from migrator.cli.approver import vote
    from migrator.control import votes
    from migrator.errors import NoGo
    from migrator.plan.changes import needs
    from migrator.plan.governance import PLAN_CHANGE
    from migrator.plan.load import digest, from_earlier

    running = from_earlier(seen.version.body)
    if not running.governance.binding or not name or not any(map(needs, seen.changes)):
        return name
    facts = {"gate": PLAN_CHANGE, "plan": digest(running)[:16], "becomes": digest(seen.plan)[:16]}
    verdict = vote(conn, running, PLAN_CHANGE, name, None, token, facts)
    if not verdict.approved:
        raise NoGo("plan apply", [verdict.missing], hint="The second person runs the same command with the same file.")
    votes.void(conn, PLAN_CHANGE, "used")
    return verdict.approver


def history(as_json: JsonOption = False) -> None:
    """List the versions of the plan that runs: when, who, why, what changed. `plan show --version N` shows one."""
    from migrator.cli.context import classic
    from migrator.control.plan_change import versions

    with classic(None) as conn:
        found = versions(conn)
    if as_json:
        emit_json([{**_described(v), "changed": list(v.changed)} for v in found])
        return
    rows = [
        (
            str(v.number),
            f"{v.at:%Y-%m-%d %H:%M:%S}",
            v.who or "-",
            v.reason + (f" (approved by {v.approver})" if v.approver else ""),
            "; ".join(v.changed) or "-",
        )
        for v in found
    ]
    print_table(["version", "at", "by", "why", "changed"], rows)


def version_of(number: int) -> dict[str, Any]:
    """Return version *number* of the plan that runs, as JSON values.

    Raises:
        UsageError: there is none of that number.
    """
    from migrator.cli.context import classic
    from migrator.control.plan_change import versions
    from migrator.errors import UsageError

    with classic(None) as conn:
        found = versions(conn)
    if not 1 <= number <= len(found):
        raise UsageError(f"there is no version {number} of the plan", hint=f"There are versions 1 to {len(found)}.")
    return found[number - 1].body


def _known_by(file: Path) -> Path | None:
    """Return what says where classic is: the environment before the file, whose reference may be what is wrong."""
    from migrator import settings

    return None if settings.classic_dsn_from_environment() else file


def _checked(file: Path) -> Plan:
    from migrator.errors import PlanInvalid
    from migrator.plan.load import load

    plan = load(file)
    if plan.gates.acknowledged:
        from migrator.audit.report.accepted import strange  # loads the rulebook

        if problems := strange(plan.gates.acknowledged):
            raise PlanInvalid(f"plan {plan.name}", problems)
    return plan


def _show(seen: Outlook, approver: str | None, *, force: bool, as_json: bool) -> None:
    blockers = seen.blockers(approver, force=force)
    if as_json:
        emit_json(
            {
                "plan": seen.plan.name,
                "version": seen.version.number,
                "changes": list(seen.changes),
                "blockers": list(blockers),
            }
        )
        return
    if not seen.changes:
        out(f"No difference to version {seen.version.number}, which runs.")
    for change in seen.changes:
        out(change.line)
        if change.when:
            out(f"    takes effect: {change.when}")
    out(*causes(blockers, everything=True))


def _taken_up(conn: psycopg.Connection[Any]) -> list[str]:
    """Wait until every worker runs the stored plan; return what can be said of those that do not."""
    from migrator.control.workers import outdated
    from migrator.poll import until

    until(lambda: not outdated(conn), TAKEN_UP_S, 0.2)
    return [str(blocker) for blocker in outdated(conn)]


def _described(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "at": version.at,
        "who": version.who,
        "reason": version.reason,
        "approved_by": version.approver,
    }
