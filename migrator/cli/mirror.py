"""The mirror: how far each partition is behind, and what holds it back."""

from __future__ import annotations

import typer

from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import duration, emit_json, out, table

group = typer.Typer(no_args_is_help=True, help="Watch the mirror.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="mirror")


@group.command(epilog="Example: migrator mirror status")
def status(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show lag, rate and problems of each partition, quarantined tenants, and the size of the journal."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.status import collect, holds

    with classic(plan) as conn:
        require_installed(conn)
        found = collect(conn)
        held = holds(conn)
    if as_json:
        emit_json(
            {
                "parts": found.parts,
                "journal_mb": found.journal_mb,
                "quarantined": dict(found.quarantined),
                "holds": held,
            }
        )
        return
    if not found.parts:
        out("The mirror does not run: dual write has not begun.")
        return
    rows = [(p.part, duration(p.lag_s), p.depth, p.rows_per_s, p.applied, p.state, p.problem) for p in found.parts]
    columns = ["part", "lag", "keys per cycle", "rows/s", "applied", "state", "problem"]
    out(table(columns, rows, right=["part", "lag", "keys per cycle", "rows/s", "applied"]))
    out(f"\nJournal: {found.journal_mb:,.1f} MB" + (f", held by {len(held)} copies" if held else ""))
    for tenant, reason in found.quarantined:
        out(f"quarantined: tenant {tenant}: {reason}")
