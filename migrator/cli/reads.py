"""The command that shows what shadow reads found: reads that applications made on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import JsonOption, LimitOption, PlanOption
from migrator.cli.render import emit_json, out, print_table

if TYPE_CHECKING:
    from migrator.model.shadow_read import ShadowLine


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator reads --days 1")(reads)


def reads(
    days: Annotated[
        float | None, typer.Option("--days", min=0.01, max=100, help="Of so many days. Without it: the plan's.")
    ] = None,
    limit: LimitOption = 20,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what shadow reads found, by statement: those whose answers differ first. Changes nothing.

    Shims make them with shim.shadow_ratio of the plan. Exit code 4 when answers differ, clean reads since
    do not show that the cause is corrected, and the plan does not accept it. See docs/shadow-reads.md.
    """
    from migrator.cli.context import classic
    from migrator.control import shadow_reads as found
    from migrator.control.install import active_plan
    from migrator.model.shadow_read import differing
    from migrator.plan.load import from_earlier

    with classic(plan) as conn:
        stored = from_earlier(active_plan(conn))
        within = stored.traffic_test.reads_days if days is None else days
        lines, totals = found.summary(conn, within * 86_400), found.totals(conn, within * 86_400)
    open_ = tuple(differing(lines, stored.gates.acknowledged))
    if as_json:
        emit_json(
            {
                "days": within,
                "shadow_ratio": stored.shim.shadow_ratio,
                "totals": totals,
                "statements": [_body(line, line in open_) for line in lines],
                "exit_code": int(ExitCode.DIVERGENCE if open_ else ExitCode.OK),
            }
        )
    else:
        out(
            f"{totals.compared:,} reads compared in {within:g} days: {totals.differing:,} differ,"
            f" {totals.reordered:,} came in another order; {totals.undecided:,} were undecided."
        )
        if not totals.compared and not stored.shim.shadow_ratio:
            out("The plan asks for none: shim.shadow_ratio is 0.")
        if lines:
            rows = [_row(line, line in open_) for line in lines[:limit]]
            print_table(["statement", "compared", "differ", "order", "undecided", "tenants", "seen", "text"], rows)
        for line in open_:
            out(f"{line.fingerprint}: {line.since}")
            out(f'Accept {line.fingerprint} with: gates.acknowledged = ["{line.name}"]')
    if open_:
        raise typer.Exit(ExitCode.DIVERGENCE)


def _row(line: ShadowLine, is_open: bool) -> tuple[str, ...]:
    accepted = "" if is_open or not line.differing else " (corrected)" if line.corrected else " (accepted)"
    return (
        line.fingerprint, f"{line.compared:,}", f"{line.differing:,}{accepted}", f"{line.reordered:,}",
        f"{line.undecided:,}", line.whose, line.note, line.statement,
    )  # fmt: skip


def _body(line: ShadowLine, is_open: bool) -> dict[str, object]:
    return {
        "fingerprint": line.fingerprint,
        "name": line.name,
        "statement": line.statement,
        "note": line.note,
        "compared": line.compared,
        "differing": line.differing,
        "reordered": line.reordered,
        "undecided": line.undecided,
        "tenants": list(line.tenants),
        "tenant_count": line.tenant_count,
        "first_at": line.first_at,
        "last_at": line.last_at,
        "clean": line.clean,
        "clean_needed": line.clean_needed,
        "quiet_s": line.quiet_s,
        "quiet_needed_s": line.quiet_needed_s,
        "corrected": bool(line.differing) and line.corrected,
        "blocks": is_open,
    }
