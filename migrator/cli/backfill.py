"""Commands that show and throttle the backfill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, UnaskedOption, WaitOption, WhoOption, who
from migrator.cli.progress import progress
from migrator.cli.render import duration, emit_json, out, print_table
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.model.status import BackfillLine

LOOK_S = 1.0

READ_ON_WRITER = "a copy's snapshot has to be the one that the journal is read from, which no replica can give"
"""Why replicas do not help (docs/replicas.md)."""

group = typer.Typer(no_args_is_help=True, help="Watch and steer the backfill.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="backfill")


@group.command(epilog="Example: migrator backfill status --units")
def status(
    plan: PlanOption = None,
    units: Annotated[bool, typer.Option("--units", help="List every copy unit.")] = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show progress, rate, time left, why it is slow or paused; with --wait once every tenant is mirrored or failed."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.status import collect, copy_units
    from migrator.control.tables import captured_tables
    from migrator.dataplane.backfill.plan import read_whole

    with classic(plan) as conn:
        require_installed(conn)
        found = collect(conn).backfill
        if wait and found is not None:
            found = _wait(lambda: collect(conn).backfill, found, as_json)
        listed = copy_units(conn) if units else []
        whole = read_whole(conn, list(captured_tables(conn).values())) if found else {}
    if as_json:
        emit_json({"backfill": found, "units": listed, "read_whole": whole, "read_on": {"writer": READ_ON_WRITER}})
        if wait and found is not None and found.failed:
            raise typer.Exit(ExitCode.NO_GO)
        return
    if found is None:
        out("Nothing is planned yet: copy units are made when dual write begins.")
        return
    share = 100 * found.copied_rows / max(found.rows, 1)
    out(
        f"{found.done} of {counted(found.units, 'unit')}, {found.copied_rows:,} "
        f"of about {counted(found.rows, 'row')} ({share:.0f} %)"
    )
    out(
        f"{found.rows_per_s:,.0f} rows/s, {duration(found.eta_s)} "
        f"left, {counted(found.copying, 'unit')} being copied now"
    )
    if found.tenants_left:
        out(f"{counted(found.tenants_left, 'tenant')} not mirrored yet")
    limit = f"{found.mb_per_s:g} MB/s" if found.mb_per_s else "no limit"
    out(f"Throttle: {'paused' if found.paused else limit}" + (f" ({found.reason})" if found.reason else ""))
    out(f"Rows are read on classic's writer: {READ_ON_WRITER}.")
    for problem in found.problems:
        out(f"  problem: {problem}")
    for name, reason in whole.items():
        out(f"  {name} is read whole for every unit ({reason}), so units of small tenants are few and large")
    if listed:
        rows = [
            (u["unit_id"], u["part"], u["state"], u["rows"], u["copied_rows"], u["attempts"], u["problem"])
            for u in listed
        ]
        columns = ["unit", "part", "state", "rows", "copied", "tries", "problem"]
        print_table(columns, rows, right=["part", "rows", "copied", "tries"])
    if wait and found.failed:
        raise typer.Exit(ExitCode.NO_GO)


def _wait(look: Callable[[], BackfillLine | None], found: BackfillLine, as_json: bool) -> BackfillLine:
    """Return how the backfill stands once no unit is left to copy, and no tenant but those of failed units."""
    with progress("Copying", "rows", found.rows, begun=found.copied_rows, silent=as_json) as seen:
        while found.done + found.failed < found.units or (found.tenants_left and not found.failed):
            seen.at(found.copied_rows, max(found.rows, found.copied_rows))
            seen.doing = f"{found.done} of {counted(found.units, 'unit')}" + (", paused" if found.paused else "")
            time.sleep(LOOK_S)
            found = look() or found
    return found


@group.command(epilog='Example: migrator backfill throttle --mb-per-s 50 --reason "month-end close"')
def throttle(
    mb_per_s: Annotated[float | None, typer.Option("--mb-per-s", min=0.001, help="Copy at most this much.")] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="No rate limit.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Stop after the running units.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on.")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Shown in status.")] = "",
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Change the backfill's pace while it runs."""
    if not (mb_per_s or unlimited or pause or resume):
        raise UsageError("nothing to change was given", hint="Give --mb-per-s N, --unlimited, --pause or --resume.")
    if (mb_per_s and unlimited) or (pause and resume):
        raise UsageError("these options contradict each other")
    from migrator.cli.context import classic, require_installed
    from migrator.control.throttle import Throttle, read_throttle, set_throttle

    with classic(plan) as conn:
        require_installed(conn)
        before = read_throttle(conn)
        after = Throttle(
            paused=True if pause else False if resume else before.paused,
            mb_per_s=None if unlimited else mb_per_s or before.mb_per_s,
            reason=reason,
        )
        if not dry_run:
            set_throttle(conn, after, who=who(name))
    if as_json:
        emit_json({"before": before, "after": after, "changed": not dry_run})
    else:
        out(f"{'Would change' if dry_run else 'Changed'}: {before.words()} → {after.words()}")
