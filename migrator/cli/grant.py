"""The command that grants roles what they need: applications, readers, and the tool itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, YesOption
from migrator.cli.render import announce, confirm, emit_json, note, raw
from migrator.errors import NoGo, UsageError
from migrator.model.counted import counted
from migrator.model.side import Side

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

    from migrator.plan.schema import Plan

    Conn = psycopg.Connection[Any]


class For(StrEnum):
    """Who the role is for."""

    APPLICATION = "application"
    CLIENT = "client"
    READER = "reader"
    TOOL = "tool"


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator grant web_app --dry-run")(grant)


def grant(
    role: Annotated[str, typer.Argument(help="Role that something logs in with.")],
    purpose: Annotated[
        For,
        typer.Option(
            "--for",
            help="An application's shims; clients of the contract; who only looks; the tool.",
        ),
    ] = For.APPLICATION,
    side: Annotated[Side, typer.Option("--on", help="Which side.")] = Side.CLASSIC,
    as_sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL for a role that has nothing yet, and stop.")
    ] = False,
    admin: Annotated[
        str | None,
        typer.Option("--admin", help="With --for tool: where an administrator's connection string is, as env:NAME."),
    ] = None,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a role the rights it needs: an application's shims or clients, a reader, or the tool; docs/privileges.md."""
    if purpose in (For.APPLICATION, For.CLIENT) and side is Side.LIMITLESS:
        raise UsageError(
            "an application's rights on Limitless are those it has on classic",
            hint="migrator provision, or migrator roles --apply, gives them there. It needs none on the tool's tables.",
        )
    if admin is not None and purpose is not For.TOOL:
        raise UsageError("--admin is for --for tool: the tool gives the other rights itself", hint="Leave it out.")
    if purpose is For.TOOL:
        _for_tool(role, side, plan, admin, as_sql=as_sql, dry_run=dry_run, yes=yes, as_json=as_json)
    else:
        _for_others(role, purpose, side, plan, as_sql=as_sql, dry_run=dry_run, as_json=as_json)


def _for_others(
    role: str, purpose: For, side: Side, plan: Path | None, *, as_sql: bool, dry_run: bool, as_json: bool
) -> None:
    from migrator.control import grants

    with _own(side, plan) as conn:
        given = _given(conn, role, purpose)
        if as_sql:
            _print_sql(role, purpose, side, [s.as_string(conn) for s in given], as_json=as_json)
            return
        todo = grants.actions(conn, role, given)
        if dry_run:
            announce(todo, as_json=as_json)
            return
        grants.grant(conn, role, given)
    if as_json:
        emit_json({"role": role, "done": [a.summary for a in todo]})
    else:
        note(f"{role} may {_MAY[purpose]}.")


_MAY = {
    For.APPLICATION: "use the shim",
    For.CLIENT: "call the functions of the contract",
    For.READER: "read the tool's tables",
}


def _given(conn: Conn, role: str, purpose: For) -> list[sql.Composed]:
    from migrator.control import grants

    if purpose is For.READER:
        return grants.reader_statements(conn, role)
    return grants.statements(role) if purpose is For.APPLICATION else grants.client_statements(role)


@contextmanager
def _own(side: Side, plan: Path | None) -> Iterator[Conn]:
    """Open the tool's own connection to *side*, where its tables have to be."""
    from migrator.cli import context
    from migrator.control.install import installed_version
    from migrator.errors import NotInstalled

    if side is Side.CLASSIC:
        with context.classic(plan) as conn:
            context.require_installed(conn)
            yield conn
        return
    with context.limitless(context.find_plan(plan), lock_timeout_s=10) as conn:
        if installed_version(conn) is None:
            raise NotInstalled("the tool's own tables are not on Limitless yet", hint="Run: migrator provision")
        yield conn


def _for_tool(
    role: str,
    side: Side,
    plan: Path | None,
    admin: str | None,
    *,
    as_sql: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Raise NoGo when something is still lacking afterwards."""
    from migrator import settings
    from migrator.cli.context import APP, find_plan
    from migrator.control.grants import only_one
    from migrator.db.connect import connect
    from migrator.model.action import Action
    from migrator.privileges import held
    from migrator.privileges.needs import missing
    from migrator.privileges.statements import script, statements

    found = find_plan(plan)
    schemas, without = found.tables.schemas, held.excluded(found.tables.table)
    with connect(_dsn(found, side, admin, settings.resolve), APP, lock_timeout_s=10, side=side.title()) as conn:
        if as_sql:
            nobody = held.of_nobody(conn, side, schemas, without, role)
            given = statements(nobody)
            _print_sql(role, For.TOOL, side, given, as_json=as_json, text=script(nobody, given))
            return
        given = statements(held.read(conn, side, schemas, without, role))
        todo = [
            Action(
                f"grant/{role}/{number}", _first_line(statement), "REVOKE it, when the migration is over", sql=statement
            )
            for number, statement in enumerate(given, 1)
        ]
        if dry_run:
            announce(todo, as_json=as_json)
            return
        if todo and admin is None:
            raise UsageError(
                f"the tool's own role does not give rights to itself: {counted(len(todo), 'statement')} to run",
                hint="Name where an administrator's connection string is: --admin env:NAME. Or run what --sql prints.",
            )
        if todo:
            confirm(f"Give role {role} on {side} {counted(len(todo), 'right')}?", yes=yes)
            with conn.transaction():
                only_one(conn)
                for statement in given:
                    conn.execute(statement.encode())
        left = [lack.line for lack in missing(held.read(conn, side, schemas, without, role)) if lack.need.required]
    if left:
        raise NoGo(f"rights of role {role} on {side}", left)
    if as_json:
        emit_json({"role": role, "done": [a.summary for a in todo]})
    else:
        note(f"{role} has on {side} what the tool needs.")


def _dsn(plan: Plan, side: Side, admin: str | None, resolve: Any) -> str:
    own = plan.classic.writer if side is Side.CLASSIC else plan.limitless.dsn
    return str(resolve(admin or own))


def _first_line(statement: str) -> str:
    """Return what a plan of actions shows: a script is shown by its purpose."""
    if "CREATE SCHEMA IF NOT EXISTS migrator_guards" in statement:
        return "Lend it functions that make and drop the tool's five event triggers (schema migrator_guards)"
    return statement


def _print_sql(role: str, purpose: For, side: Side, given: list[str], *, as_json: bool, text: str = "") -> None:
    if as_json:
        emit_json({"role": role, "for": purpose.value, "on": side.value, "statements": given})
    else:
        raw(text or "\n".join(f"{statement};" for statement in given))
