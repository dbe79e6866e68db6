"""The command that compares the roles of both sides, and brings Limitless' rights to classic's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import announce, causes, confirm, emit_json, note, out, print_table
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from migrator.model.action import Action
    from migrator.plan.schema import Plan
    from migrator.rights.catalog import Name, Role
    from migrator.rights.grant_sql import Change
    from migrator.rights.report import RolesReport

    Conn = psycopg.Connection[Any]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator roles --json")(roles)


def roles(
    plan: PlanOption = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Give and take rights on Limitless until they are as on classic.")
    ] = False,
    owners: Annotated[
        bool, typer.Option("--owners", help="After the hand-over: give objects on Limitless to their owners.")
    ] = False,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare roles, rights, row security and settings of both sides; exit code 3 when something differs.

    Passwords are never read or carried over: who may log in on Limitless, and how, is set there by hand.
    """
    from migrator.cli.context import both, find_plan
    from migrator.rights.read import sides
    from migrator.rights.report import report

    if dry_run and not apply and not owners:
        raise UsageError(
            "--dry-run is for --apply and --owners: the comparison changes nothing", hint="Leave it out, or name one."
        )
    if apply and owners:
        raise UsageError("--apply and --owners are two steps", hint="Run one after the other.")
    found = find_plan(plan)
    with both(found) as (classic, limitless):
        if owners:
            _give_owners(found, classic, limitless, who(name), dry_run=dry_run, yes=yes, as_json=as_json)
            return
        if apply and not _apply(found, classic, limitless, who(name), dry_run=dry_run, yes=yes, as_json=as_json):
            return
        result = report(*sides(classic, limitless, found.tables.schemas), found.gates.acknowledged)
        if not apply:
            _show(result, as_json=as_json)
    if not result.same:
        raise typer.Exit(ExitCode.NO_GO)


def _apply(plan: Plan, classic: Conn, limitless: Conn, actor: str, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Return whether something was, or had to be, done for real."""
    from migrator.rights.follow import follow, planned

    columns, schemas = _tenant_columns(plan, classic), plan.tables.schemas
    todo = _actions(planned(classic, limitless, schemas, plan.gates.acknowledged, columns))
    if dry_run:
        announce(todo, as_json=as_json)
        return False
    if todo:
        confirm(f"Make {counted(len(todo), 'change')} of rights on Limitless?", yes=yes)
    with progress("Changing rights", silent=as_json):
        done = follow(
            classic, limitless, schemas, plan.gates.acknowledged, tenant_columns=columns, everything=True, who=actor
        )
    if as_json:
        emit_json({"done": done.done, "refused": done.refused, "blockers": done.blockers})
        return True
    for line in done.done:
        note(f"  {line}")
    for line in done.refused:
        out(f"  - Limitless refuses: {line}")
    out(*causes(done.blockers, everything=True))
    if not done.blockers:
        out("Rights on Limitless are as on classic.")
    return True


def _give_owners(
    plan: Plan, classic: Conn, limitless: Conn, actor: str, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Raise NoGo before the hand-over: until then the tool has to own what it changes."""
    from migrator.cli.context import require_installed
    from migrator.control.route import switch
    from migrator.errors import NoGo
    from migrator.model.route import WriteMode
    from migrator.rights.owners import give_owners, planned_owners

    require_installed(classic)
    todo = _actions(planned_owners(classic, limitless, plan.tables.schemas))
    if dry_run:
        announce(todo, as_json=as_json)
        return
    if (mode := switch(classic).write_mode) is not WriteMode.LIMITLESS_ONLY:
        raise NoGo(
            "owners", [f"write mode is {mode}, not limitless_only: until the hand-over the tool owns what it changes"]
        )
    if todo:
        confirm(f"Give {counted(len(todo), 'object')} on Limitless to their owners?", yes=yes)
    done = give_owners(classic, limitless, plan.tables.schemas, who=actor)
    if as_json:
        emit_json({"done": done.done, "refused": done.refused})
    else:
        out(*([*done.done, *(f"Limitless refuses: {line}" for line in done.refused)] or ["Nothing to do."]))
    if done.refused:
        raise typer.Exit(ExitCode.NO_GO)


def _actions(changes: Iterable[Change]) -> list[Action]:
    from migrator.model.action import Action

    return [
        Action(
            f"roles/{change.kind}/{change.name}",
            change.summary,
            change.detail or "Grant it on classic and run this again",
            sql="\n".join(s.as_string(None) + ";" for s in change.statements),
        )
        for change in changes
    ]


def _tenant_columns(plan: Plan, classic: Conn) -> Mapping[Name, str]:
    from migrator.provision.rights import added_columns
    from migrator.provision.tables import tables_in_force

    return added_columns(tables_in_force(classic, plan.tables))


def _show(result: RolesReport, *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "same": result.same,
                "roles": [
                    {
                        "role": line.role,
                        "where": line.where,
                        "classic": line.classic,
                        "limitless": line.limitless,
                        "member_of": line.member_of,
                        "differences": line.differences,
                    }
                    for line in result.roles
                ],
                "others": result.others,
                "by_hand": result.by_hand,
                "notes": result.notes,
            }
        )
        return
    rows = [
        (line.role, line.where, _words(line.classic), _words(line.limitless), ", ".join(line.member_of),
         len(line.differences))
        for line in result.roles
    ]  # fmt: skip
    print_table(
        ["role", "where", "on classic", "on Limitless", "member of", "differences"], rows, right=["differences"]
    )
    for line in (*(d for role in result.roles for d in role.differences), *result.others):
        out(f"  - {line}")
    for statement in result.by_hand:
        out(f"by hand on Limitless: {statement}")
    for text in result.notes:
        note(f"note: {text}")
    if result.same:
        out("Roles and rights are the same on both sides.")


def _words(role: Role | None) -> str:
    if role is None:
        return "missing"
    words = ["login" if role.can_login else "no login"]
    words += ["does not inherit"] if not role.inherits else []
    words += ["passes row security"] if role.bypasses_policies else []
    words += ["creates roles"] if role.creates_roles else []
    words += [f"password expires {role.valid_until}"] if role.valid_until else []
    words += [f"{role.connection_limit} connections"] if role.connection_limit >= 0 else []
    return ", ".join(words)
