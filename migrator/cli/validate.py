"""The command that compares both sides on demand: exact, under live traffic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import JsonOption, PlanOption, TenantsOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import confirm, duration, emit_json, note, out
from migrator.errors import UsageError
from migrator.model.blocker import grouped
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.model.divergence import Divergence, ValidationReport
    from migrator.model.tenant import TenantId
    from migrator.validation import ToRecopy


class Compare(Protocol):
    """Compares *of* (None: all tenants), the reference tables too if *shared*, and records divergences under *kind*."""

    def __call__(self, kind: str, of: list[TenantId] | None, shared: bool | None = None) -> ValidationReport: ...


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator validate --tenant 42 --show-values")(validate)


def validate(
    tenant: TenantsOption = None,
    tables: Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="Divergent rows to show.")] = 20,
    full: Annotated[
        bool, typer.Option("--full", help="Show every divergent row that was recorded (10,000 in a run).")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Let the mirror write divergent rows again, classic → limitless.")
    ] = False,
    recopy: Annotated[
        bool, typer.Option("--recopy", help="Copy tenants and reference tables that differ again as a whole.")
    ] = False,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show values in clear; otherwise they are hashed.")
    ] = False,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what --repair would do; record nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare both sides at a fence, tenant by tenant, row by row. Exits 4 when they differ.

    The mirror must be running: it holds the fence for some milliseconds.
    """
    import asyncio

    from migrator import settings, validation
    from migrator.cli import context as connections
    from migrator.cli.context import find_plan
    from migrator.control import known
    from migrator.model.tenant import TenantId
    from migrator.validation import DIRECTION

    if repair and recopy:
        raise UsageError("--repair and --recopy exclude each other")

    found = find_plan(plan)
    with connections.classic(plan) as conn:
        connections.require_installed(conn)
        known.check_tables(conn, tables or [])
        unsure = known.check_tenants(conn, tenant or [])
    if unsure:
        note(f"Could not be looked up in time: {', '.join(unsure)}.")
    sides = settings.resolve(found.classic.writer), settings.resolve(found.limitless.dsn)
    replica = settings.resolve_last(found.classic.readers) if found.validation.replica_reads else None
    wanted = [TenantId(t) for t in tenant] if tenant else None
    shown_rows = 1_000_000 if full or repair or recopy else sample

    def once(kind: str, of: list[TenantId] | None, shared: bool | None = None) -> ValidationReport:
        with progress("Comparing", "tenants", silent=as_json) as seen:
            return asyncio.run(
                validation.compare(
                    *sides,
                    found,
                    kind,
                    who=who(name),
                    tenants=of,
                    tables=tables or None,
                    reference=shared,
                    sample=shown_rows,
                    show_values=show_values,
                    record=not dry_run,
                    replica_dsn=replica,
                    on_progress=seen.at,
                )
            )

    report = once("manual", wanted)
    repaired: ValidationReport | None = None
    again = 0
    if repair and report.sample:
        if _agreed(f"let the mirror write {counted(report.divergent_rows, 'row')} on Limitless again", dry_run, yes):
            repaired = _repair(report, once, partial(validation.repair, sides[0], who(name), wanted))
    elif recopy and (todo := validation.to_recopy(report)) and _agreed(f"copy again {_what(todo)}", dry_run, yes):
        why = counted(report.divergent_rows, "divergent row")
        again, repaired = _recopy(todo, once, partial(validation.recopy, *sides, who(name), todo, why))
    last = report if again or repaired is None else repaired  # tenants that are being copied still differ
    shown = list(last.sample) if full else list(last.sample[:sample])
    if as_json:
        emit_json(
            {
                "clean": last.clean,
                "report": report,
                "direction": DIRECTION,
                "after_repair": repaired,
                "copied_again": again,
                "sample": shown,
            }
        )
    else:
        _print(report, None if again else repaired, shown)
    if last.divergent_rows or last.tenantless_rows:
        raise typer.Exit(ExitCode.DIVERGENCE)
    if not last.clean:
        raise typer.Exit(ExitCode.NO_GO)  # nothing differs, but not everything could be compared


def _agreed(what: str, dry_run: bool, yes: bool) -> bool:
    """Ask whether *what* shall be done; a dry run prints it instead."""
    from migrator.validation import DIRECTION

    if dry_run:
        note(f"{DIRECTION}: would {what}. Nothing was changed.")
        return False
    confirm(f"{DIRECTION}: {what}?", yes=yes)
    return True


def _repair(report: ValidationReport, compare: Compare, mark: Callable[[], int]) -> ValidationReport:
    """Mark what differs, and return the comparison after it."""
    from migrator.validation import DIRECTION, touched

    note(f"{DIRECTION}: {counted(mark(), 'row is', 'rows are')} marked; comparing again at a new fence.")
    if report.strays:
        note("Rows of tenants that classic does not have are not among them: use --recopy.")
    return compare("repair", touched(report))


def _recopy(
    todo: ToRecopy, compare: Compare, act: Callable[[], tuple[int, int]]
) -> tuple[int, ValidationReport | None]:
    """Have *todo* copied again; return how many tenants are, and the comparison after it."""
    from migrator.validation import DIRECTION

    again, keys = act()
    if todo.reference:
        note(f"{DIRECTION}: {counted(keys, 'key')} of reference tables are marked; comparing again at a new fence.")
    if again:
        note(
            f"{DIRECTION}: {counted(again, 'tenant is', 'tenants are')} copied again; watch: migrator backfill status."
        )
    if again and not todo.reference:
        return again, None
    # Tenants that are being copied cannot be compared yet; the tables that all of them read can.
    return again, compare("repair", [] if again else None, todo.reference or None)


def _what(todo: ToRecopy) -> str:
    count = len(todo.tenants)
    names = ", ".join([*todo.tenants[:5], *(["…"] if count > 5 else [])])
    parts = []
    if todo.tenants:
        parts.append(f"{counted(count, 'tenant')} ({names}), whose reads return to classic meanwhile")
    if todo.reference:
        parts.append("the reference tables")
    if todo.unknown:
        parts.append(f"{counted(len(todo.unknown), 'tenant')} that classic does not have, which deletes their rows")
    return " and ".join(parts)


def _where(report: ValidationReport) -> list[str]:
    """Say which server classic's rows were read on, where the plan names a replica."""
    lines = []
    if report.replica:
        lines.append(
            f"Classic's rows were read on replica {report.replica} ({report.replica_rows:,}); the writer read"
            f" {report.again_rows:,}, of tenants that were written meanwhile or differ."
        )
    return lines + [f"Read on the writer: {note}." for note in report.replica_notes]


def _print(report: ValidationReport, repaired: ValidationReport | None, shown: list[Divergence]) -> None:
    pause = max(report.fence_pause_ms, default=0.0)
    tenants = sum(v.tenant_id is not None for v in report.tenants)
    reference = " and the reference tables" if tenants < len(report.tenants) else ""
    out(
        f"{counted(tenants, 'tenant')}{reference}, "
        f"{counted(report.rows, 'row')} compared in {duration(report.seconds)}; "
        f"{counted(len(report.fence_pause_ms), 'fence')}, longest pause {pause:.1f} ms"
    )
    for line in _where(report):
        out(line)
    if repaired is not None:
        out(
            f"{counted(report.divergent_rows, 'divergent row')} before "
            f"the repair, {repaired.divergent_rows:,} after it."
        )
    last = repaired or report
    for row in shown:
        key = ", ".join(f"{column}={value}" for column, value in row.key)
        columns = f" in {', '.join(row.columns)}" if row.columns else ""
        tenant = "-" if row.tenant_id is None else row.tenant_id
        out(f"  {row.kind.value:10} {row.table} ({key}) tenant {tenant}{columns}")
        for column, classic, limitless in row.values:
            out(f"             {column}: classic {classic!s}, limitless {limitless!s}")
    if last.unmirrored:
        names = ", ".join(last.unmirrored[:5]) + (", …" if len(last.unmirrored) > 5 else "")
        out(f"Not mirrored, so not compared: {counted(len(last.unmirrored), 'tenant')} ({names})")
    missing = grouped(last.unknown)
    for cause in missing[:5]:
        out(f"Not compared: {cause.line}")
    if len(missing) > 5:
        out(f"… {len(last.unknown):,} in all; every one: --json")
    if last.tenantless_rows:
        out(f"{counted(last.tenantless_rows, 'orphan row')}: rows of sharded tables without a tenant.")
    out("Clean: no divergence." if last.clean else f"{counted(last.divergent_rows, 'divergent row')}.")
