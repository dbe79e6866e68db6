"""Commands that show, trip and reset the circuit breaker for all processes."""

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
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import confirm, duration, emit_json, out, print_table
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    import psycopg

    from migrator.model.route import FallbackScope

group = typer.Typer(no_args_is_help=True, help="Show, trip and reset the circuit breaker.")
PartOption = Annotated[int | None, typer.Option("--part", min=0, help="One mirror partition.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", "-t", help="One tenant.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="breaker")


@group.command(epilog="Example: migrator breaker show")
def show(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show fallbacks, and the breakers that processes have opened for themselves."""
    from migrator.cli.context import classic
    from migrator.control.status import collect

    with classic(plan) as conn:
        status = collect(conn)
    trips = [{"scope": s, "key": k, "processes": n, "reason": r} for s, k, n, r in status.breaker_trips]
    if as_json:
        emit_json({"fallbacks": status.fallbacks, "trips": trips, "switch": status.switch})
        return
    if not status.fallbacks and not trips:
        out("Closed: no fallback, no process has opened its breaker.")
        return
    if status.fallbacks:
        rows = [
            (f.scope, f.key or "-", f.level, f.raised_at, f.raised_by, "a person" if f.held else "itself", f.reason)
            for f in status.fallbacks
        ]
        print_table(["fallback of", "key", "level", "since", "raised by", "released by", "reason"], rows)
    if trips:
        print_table(["open for", "key", "processes", "reason"], [tuple(t.values()) for t in trips])


@group.command(epilog='Example: migrator breaker trip --all --reason "Limitless is slow"')
def trip(
    reason: ReasonOption,
    everybody: AllOption = False,
    part: PartOption = None,
    tenant: TenantOption = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make reads fall back to classic until you reset it. Routes stay; rollback is the durable way."""
    from migrator.cli.context import classic, require_installed
    from migrator.traffic.route.confirm import wait_confirmed
    from migrator.traffic.route.fallback import raise_fallback

    scope, key = _scope(everybody, part, tenant)
    with classic(plan) as conn:
        require_installed(conn)
        _check(conn, scope, key)
        if dry_run:
            out(f"Reads of {_words(scope, key)} would come from classic until: migrator breaker reset")
            return
        epoch = raise_fallback(conn, scope, key, by=who(name), reason=reason, held=True)
        confirmation = wait_confirmed(conn, epoch, 15)
    if as_json:
        emit_json({"epoch": epoch, "confirmation": confirmation})
    else:
        out(
            f"Reads of {_words(scope, key)} come from classic (epoch {epoch}); "
            f"{confirmation.confirmed} of {counted(confirmation.processes, 'process')} confirmed."
        )
    if not confirmation.complete:
        raise typer.Exit(ExitCode.TRY_AGAIN)


@group.command(epilog="Example: migrator breaker reset --all")
def reset(
    everybody: AllOption = False,
    part: PartOption = None,
    tenant: TenantOption = None,
    reason: ReasonOption = "reset by hand",
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for processes and mirror.")
    ] = 30.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let reads go where their routes say again, once the mirror has caught up."""
    from migrator.cli.context import classic, require_installed
    from migrator.traffic.route.fallback import is_raised
    from migrator.traffic.route.promote import promote_reads

    scope, key = _scope(everybody, part, tenant)
    with classic(plan) as conn:
        require_installed(conn)
        if not is_raised(conn, scope, key):  # one that exists can always be cleared, with any name
            _check(conn, scope, key)
        if dry_run:
            out(f"Reads of {_words(scope, key)} would go where their routes say, once the mirror has caught up.")
            return
        confirm(f"Let reads of {_words(scope, key)} go back to Limitless?", yes=yes)
        with progress(f"Waiting for processes and mirror, at most {timeout_s:g} s", silent=as_json):
            result = promote_reads(conn, fallback=(scope, key), who=who(name), reason=reason, timeout_s=timeout_s)
    if as_json:
        emit_json(result)
    elif result.outcome == "already":
        out(f"Nothing to do: there is no fallback of {_words(scope, key)}.")
    elif result.done:
        out(f"Reads of {_words(scope, key)} go where their routes say, after {duration(result.seconds)}.")
    else:
        behind = f" (partitions {', '.join(map(str, result.behind))})" if result.behind else ""
        out(f"Not yet: {result.outcome}{behind}. Reads stay on classic; try again. {result.detail}".strip())
    if not result.done:
        raise typer.Exit(ExitCode.TRY_AGAIN)


def _scope(everybody: bool, part: int | None, tenant: str | None) -> tuple[FallbackScope, str]:
    from migrator.model.route import FallbackScope

    if everybody + (part is not None) + (tenant is not None) != 1:
        raise UsageError("what it covers was not given", hint="Give exactly one of --all, --part N and --tenant ID.")
    if everybody:
        return FallbackScope.ALL, ""
    if part is not None:
        return FallbackScope.PART, str(part)
    return FallbackScope.TENANT, str(tenant)


def _check(conn: psycopg.Connection[Any], scope: FallbackScope, key: str) -> None:
    """Refuse a partition or tenant that does not exist."""
    from migrator.control import known
    from migrator.model.route import FallbackScope

    if scope is FallbackScope.PART:
        known.check_part(conn, int(key))
    elif scope is FallbackScope.TENANT:
        known.check_tenants(conn, [key])


def _words(scope: FallbackScope, key: str) -> str:
    return "all tenants" if not key else f"{scope.value} {key}"
