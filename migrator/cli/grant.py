"""The command that grants an application's role what its shim needs."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, UnaskedOption
from migrator.cli.render import announce, emit_json, note


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator grant web_app --dry-run")(grant)


def grant(
    role: Annotated[str, typer.Argument(help="Role the application logs in with on classic.")],
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give an application's role the rights its shim needs in the tool's schema on classic."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import grants

    with classic(plan) as conn:
        require_installed(conn)
        todo = grants.actions(conn, role)
        if dry_run:
            announce(todo, as_json=as_json)
            return
        grants.grant(conn, role)
    if as_json:
        emit_json({"role": role, "done": [a.summary for a in todo]})
    else:
        note(f"{role} may use the shim.")
