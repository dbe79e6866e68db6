"""Commands that show tenants, hold them on classic and release them. Those that move them: tenant_move.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    UnaskedOption,
    WhoOption,
    moment,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, emit_json, note, out
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.blocker import grouped
from migrator.model.counted import counted
from migrator.model.shell import argument
from migrator.model.tenant import TenantId

if TYPE_CHECKING:
    import psycopg

group = typer.Typer(
    no_args_is_help=True, help="Show tenants, hold them on classic, move them, forget those without rows."
)
_NAMES = "Tenants, as their column prints them."
Tenants = Annotated[list[str], typer.Argument(metavar="TENANT...", help=_NAMES)]


_UNTIL = "The hold ends then: 2026-12-24, or 2026-12-24T08:00+01:00; UTC where no offset is given."


def register(app: typer.Typer) -> None:
    from migrator.cli import tenant_move

    tenant_move.register(group)
    app.add_typer(group, name="tenant")


@group.command(epilog="Example: migrator tenant show 42 --json")
def show(
    tenants: Annotated[list[str] | None, typer.Argument(metavar="[TENANT...]", help=_NAMES)] = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show tenants: state, wave, route, effective level, validation, rows; who holds them, what keeps them on classic.

    Without TENANT those that are not as all others: held, ordered into a wave, rolled back, quarantined, divergent, or
    without rows and still on Limitless.
    """
    from migrator.cli import tenant_lines
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.control import known
    from migrator.control.history import noted_tenants

    found = find_plan(plan)
    with classic(plan, statement_timeout_s=10) as conn:
        require_installed(conn)
        unsure = known.check_tenants(conn, tenants) if tenants else ()
        names = [t for t in tenants or noted_tenants(conn) if t not in unsure]
        lines = tenant_lines.lines(conn, found, [TenantId(t) for t in names])
        shared = tenant_lines.shared_blockers(conn, found) if any(line["blockers"] for line in lines) else []
    if as_json:
        emit_json({"tenants": lines, "unchecked": unsure, "blockers": shared})
    else:
        for number, line in enumerate(lines):
            out(*([""] if number else []), *tenant_lines.text(line))
        if not lines:
            out("No tenant is an exception.")
        for cause in grouped(shared):
            out("", f"every tenant: {cause.line}")
        _warn(unsure)
    if unsure:
        raise typer.Exit(ExitCode.TRY_AGAIN)


@group.command(epilog='Example: migrator tenant hold 42 --reason "their release is on Friday"')
def hold(
    tenants: Tenants,
    reason: ReasonOption,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help=_UNTIL)] = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep tenants on classic until they are released: reads come back now, and no wave moves them.

    The cutover goes on with the others; the decommission waits for them. With --until the hold ends by itself: they
    wait for a wave then. Another date takes the place of the one before.
    """
    from migrator.cli.context import classic, require_installed
    from migrator.traffic.incident.rollback import check_names, moved_tenants
    from migrator.traffic.incident.rollback import hold as keep
    from migrator.traffic.route.tenant_hold import check_until

    ids = [TenantId(t) for t in dict.fromkeys(tenants)]
    end = moment(until) if until is not None else None
    with classic(plan, statement_timeout_s=10, lock_timeout_s=5) as conn:
        require_installed(conn)
        if dry_run:
            check_until(conn, end)
            _warn(check_names(conn, None, ids))
            back = set(moved_tenants(conn, None, ids))
            how = f"Keep on classic until {end:%Y-%m-%d %H:%M %Z}" if end else "Keep on classic"
            announce(
                [
                    Action(
                        f"hold/{t}",
                        f"{how}: tenant {t}" + ("; its reads come back from Limitless" if t in back else ""),
                        f"migrator tenant release {argument(t)}",
                    )
                    for t in ids
                ],
                as_json=as_json,
            )
            return
        with progress("Waiting for the processes' confirmations", silent=as_json):
            result = keep(conn, ids, who=who(name), reason=reason, until=end)
    if as_json:
        emit_json(result)
    else:
        out(
            f"{result.held} of {counted(len(set(tenants)), 'tenant is', 'tenants are')} "
            f"held now, reads of {result.changed} came back "
            f"to classic; {result.confirmed} of {counted(result.processes, 'process')} confirmed."
        )
        _warn(result.unchecked)
    if not result.complete:
        raise typer.Exit(ExitCode.TRY_AGAIN)


@group.command(epilog='Example: migrator tenant release 42 --reason "their release is out"')
def release(
    tenants: Annotated[list[str] | None, typer.Argument(metavar="[TENANT...]", help="Held tenants.")] = None,
    everyone: AllOption = False,
    wave: Annotated[int | None, typer.Option("--wave", min=1, help="Those held by the rollback of this wave.")] = None,
    reason: ReasonOption = "released by hand",
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let held tenants wait for a wave again. Reads move only then, through its gate, or with: migrator cutover."""
    from migrator.cli.context import classic, require_installed
    from migrator.traffic.route import tenant_hold as holds

    if everyone + (wave is not None) + bool(tenants) != 1:
        raise UsageError("no tenants to release were given", hint="Give exactly one of TENANT..., --wave N and --all.")
    with classic(plan, statement_timeout_s=10, lock_timeout_s=5) as conn:
        require_installed(conn)
        chosen = _held(conn, tenants or [], wave)
        if dry_run:
            announce(
                [Action(f"release/{t}", f"Release tenant {t}", f"migrator tenant hold {argument(t)}") for t in chosen],
                as_json=as_json,
            )
            return
        done = holds.release(conn, chosen, who=who(name), reason=reason)
    if as_json:
        emit_json({"released": done})
    else:
        out(
            f"{counted(len(done), 'tenant is', 'tenants are')} released; they wait for a wave."
            if done
            else "No tenant is held."
        )


def _held(conn: psycopg.Connection[Any], tenants: list[str], wave: int | None) -> list[TenantId]:
    """Return the tenants to release; a named one must exist, and releasing one that is not held changes nothing."""
    from migrator.control import known
    from migrator.traffic.route import tenant_hold as holds

    if tenants:
        known.check_tenants(conn, tenants)
    elif wave is not None:
        known.check_wave(conn, wave)
    everybody = holds.held(conn)
    return [h.tenant_id for h in everybody if (not tenants or h.tenant_id in tenants) and wave in (None, h.wave)]


def _warn(unsure: tuple[str, ...]) -> None:
    if unsure:
        note(f"Could not be looked up in time: {', '.join(unsure)}. A table was locked, or has no index on the tenant.")
