"""Commands that show tenants, hold them on classic and release them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import AllOption, DryRunOption, JsonOption, PlanOption, ReasonOption, WhoOption, who
from migrator.cli.render import announce, duration, emit_json, note, out
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.tenant import TenantId

if TYPE_CHECKING:
    import psycopg

group = typer.Typer(no_args_is_help=True, help="Show tenants, hold them on classic, release them.")
Tenants = Annotated[list[str], typer.Argument(metavar="TENANT...", help="Tenants, as their column prints them.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="tenant")


@group.command(epilog="Example: migrator tenant show 42 --json")
def show(tenants: Tenants, plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show tenants: state, wave, route, effective level, validation, and by whom they are held."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import known
    from migrator.control.history import tenant_lines

    with classic(plan, statement_timeout_s=10) as conn:
        require_installed(conn)
        unsure = known.check_tenants(conn, tenants)
        lines = tenant_lines(conn, [t for t in tenants if t not in unsure])
    if as_json:
        emit_json({"tenants": lines, "unchecked": unsure})
    else:
        out("\n\n".join(_text(line) for line in lines))
        _warn(unsure)
    if unsure:
        raise typer.Exit(ExitCode.TRY_AGAIN)


def _text(line: dict[str, Any]) -> str:
    found = [f"tenant {line['tenant']}: {line['state'] or 'not copied by the tool yet'}"]
    if line["problem"]:
        found.append(f"  quarantined: {line['problem']}")
    share = f" ({line['reads_pct']} % of reads)" if line["level"] == "limitless" else ""
    found.append(
        f"  reads from {'limitless' if line['level'] == 'limitless' else 'classic'}{share}, wave {line['wave'] or '-'}"
    )
    if line["route"] != line["level"]:
        found.append(f"  its route says {line['route']}: the switch or a fallback limits it to {line['level']}")
    clean = "never" if line["clean_age_s"] is None else f"{duration(line['clean_age_s'])} ago"
    found.append(f"  {line['rows']:,} rows, last clean validation {clean}, {line['divergent'] or 0} divergent rows")
    if line["held_by"]:
        found.append(
            f"  held on classic by {line['held_by']} since {line['held_at']:%Y-%m-%d %H:%M}: {line['held_reason']}"
        )
    return "\n".join(found)


@group.command(epilog='Example: migrator tenant hold 42 --reason "their release is on Friday"')
def hold(
    tenants: Tenants,
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep tenants on classic until they are released: reads come back now, and no wave moves them.

    The cutover goes on with the others; the decommission waits for them.
    """
    from migrator.cli.context import classic, require_installed
    from migrator.traffic.incident.rollback import check_names
    from migrator.traffic.incident.rollback import hold as keep

    ids = [TenantId(t) for t in tenants]
    with classic(plan, statement_timeout_s=10, lock_timeout_s=5) as conn:
        require_installed(conn)
        if dry_run:
            _warn(check_names(conn, None, ids))
            announce(
                [Action(f"hold/{t}", f"Keep tenant {t} on classic", f"migrator tenant release {t}") for t in tenants],
                as_json=as_json,
            )
            return
        result = keep(conn, ids, who=who(name), reason=reason)
    if as_json:
        emit_json(result)
    else:
        out(
            f"{result.held} of {len(set(tenants))} tenants are held now, reads of {result.changed} came back "
            f"to classic; {result.confirmed} of {result.processes} processes confirmed."
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
                [Action(f"release/{t}", f"Release tenant {t}", f"migrator tenant hold {t}") for t in chosen],
                as_json=as_json,
            )
            return
        done = holds.release(conn, chosen, who=who(name), reason=reason)
    if as_json:
        emit_json({"released": done})
    else:
        out(f"{len(done)} tenants are released; they wait for a wave." if done else "No tenant is held.")


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
