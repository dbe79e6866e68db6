"""The command that rolls reads back to classic. Needs nothing but a connection to classic, and asks nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    TenantsOption,
    UnaskedOption,
    WaveOption,
    WhoOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import duration, emit_json, note, out
from migrator.errors import MigratorError, NotInstalled, UsageError
from migrator.model.counted import counted
from migrator.model.tenant import TenantId

if TYPE_CHECKING:
    from migrator.traffic.incident.rollback import RollbackResult


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: migrator rollback --all --reason "p99 tripled at 03:10"')(rollback)


def rollback(
    reason: ReasonOption,
    everybody: AllOption = False,
    wave: WaveOption = None,
    tenant: TenantsOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait for the processes' confirmations.")
    ] = 15.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring reads back to classic, now, and show how many processes have confirmed it. Asks nothing, loses nothing.

    Works when Temporal and Limitless are down. Safe to run again; exits 0 when it was done already. Tenants named, or
    of the wave named, stay on classic until: migrator tenant release.
    """
    if everybody + (wave is not None) + bool(tenant) != 1:
        raise UsageError("what to roll back was not given", hint="Give exactly one of --all, --wave N and --tenant ID.")
    from migrator.cli.context import classic
    from migrator.traffic.incident.rollback import check_names, moved_tenants, require_tables, roll_back

    operator = who(name)
    with classic(plan, statement_timeout_s=10, lock_timeout_s=5, any_version=True) as conn:
        try:
            if dry_run:
                require_tables(conn, everybody=everybody)
                unsure = check_names(conn, wave, [TenantId(t) for t in tenant or ()])
                _preview(moved_tenants(conn, wave, tenant or []), unsure, as_json)
                return
            waiting = f"Rolling back, at most {timeout_s:g} s for the processes' confirmations"
            with progress(waiting, silent=as_json):
                result = roll_back(
                    conn,
                    all=everybody,
                    wave=wave,
                    tenants=[TenantId(t) for t in tenant or ()],
                    who=operator,
                    reason=reason,
                    timeout_s=timeout_s,
                )
        except NotInstalled:
            # nothing to do: no tenant was ever cut over
            if as_json:
                emit_json({"already": True, "installed": False})
            else:
                out("Nothing to roll back: no migration was started on this cluster, every tenant reads classic.")
            return
    if as_json:
        emit_json(result)
    else:
        what = "all tenants" if everybody else f"wave {wave}" if wave else counted(len(tenant or ()), "tenant")
        out(_sentence(result, what))
        if result.unchecked:
            note(f"could not be looked up in time: {', '.join(result.unchecked)}; held on classic all the same")
        if result.pending:
            note(f"not confirmed yet: {', '.join(result.pending)}; they read classic by themselves when they go stale")
    sys.stdout.flush()  # reads are on classic: print it before anything that may take time
    if not _tell_temporal(plan) and not as_json:
        note("No running workflow was reached; the rollback is in force without it.")
    if not result.complete:
        raise typer.Exit(ExitCode.TRY_AGAIN)


def _preview(moved: list[str], unsure: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        emit_json({"tenants": moved, **({"unchecked": unsure} if unsure else {})})
    else:
        names = ", ".join(moved[:10]) + (", …" if len(moved) > 10 else "")
        out(f"{counted(len(moved), 'tenant')} would read classic again" + (f": {names}" if moved else ""))


def _sentence(result: RollbackResult, what: str) -> str:
    processes = f"{result.confirmed} of {counted(result.processes, 'process')} confirmed in {duration(result.seconds)}"
    if not result.processes:
        processes = "no process runs the shim now"
    kept = (
        f"; {counted(result.held, 'tenant is', 'tenants are')} held there until migrator tenant release"
        if result.held
        else ""
    )
    if result.already:
        return f"Nothing to move: {what} read classic already (epoch {result.epoch}); {processes}{kept}."
    moved = f"reads of {counted(result.changed, 'tenant')} moved to classic"
    return f"Rolled back {what}: {moved} (epoch {result.epoch}); {processes}{kept}."


def _tell_temporal(option: Path | None) -> bool:
    """Have running workflows read classic now. Best effort: a Temporal that is unreachable, or not installed here,
    changes nothing about the rollback, and the next step of a cutover finds it on classic anyway."""
    import psycopg

    try:
        from migrator.cli.context import find_plan
        from workflows import client

        return client.signal_rollback(find_plan(option, any_version=True))
    except (MigratorError, ImportError, psycopg.Error):  # classic that does not answer now, or shows this role no plan
        return False
