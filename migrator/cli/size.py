"""The command that says what a migration needs: workers, partitions, connections, memory, hours."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, note, print_table


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator size --processes 120 --row-writes 40000")(size)


def size(
    plan: PlanOption = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=0, help="Processes of applications, each with a shim.")
    ] = None,
    row_writes: Annotated[
        float | None, typer.Option("--row-writes", min=0, help="Rows written a second in the busiest hour.")
    ] = None,
    mb_per_s: Annotated[
        float | None, typer.Option("--mb-per-s", min=0.001, help="What a copy does, as a rehearsal measured it.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, help="How long to look where nothing is stored.")
    ] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Say how many workers, partitions and connections, how much memory and how many hours the plan needs.

    Each figure with its reason and where its number is from; reads only. Exit code 3 when a server, or the plan, has
    less, or when a figure is unknown: what to say or do is named. See docs/deployment.md.
    """
    from migrator import settings
    from migrator.cli.context import APP, find_plan
    from migrator.cli.progress import progress
    from migrator.db.connect import connect
    from migrator.errors import ClusterUnavailable, NoGo, UsageError
    from migrator.provision.tables import tables_in_force
    from migrator.size.facts import measured
    from migrator.size.judge import judge

    found = find_plan(plan)
    with connect(settings.resolve(found.classic.writer), APP, statement_timeout_s=60, side="classic") as classic:
        tables = tables_in_force(classic, found.tables)
        limitless = None
        try:
            limitless = connect(settings.resolve(found.limitless.dsn), APP, statement_timeout_s=30, side="Limitless")
        except (ClusterUnavailable, UsageError) as error:  # it may not be made yet; its figure says so
            note(f"Limitless is not asked: {error}")
        try:
            with progress("Looking at the row writes of classic", silent=as_json):
                known = measured(
                    classic, limitless, tables,
                    seconds=seconds, row_writes_per_s=row_writes, processes=processes,
                )  # fmt: skip
        finally:
            if limitless is not None:
                limitless.close()
    needed = judge(found, known, mb_per_s=mb_per_s)
    if as_json:
        code = 3 if needed.problems else 0
        emit_json(
            {
                "plan": found.name,
                "known": known,
                "figures": needed.figures,
                "problems": needed.problems,
                "exit_code": code,
            }
        )
    else:
        rows = [
            (f.name, _text(f.value), f.unit, _text(f.planned) if f.planned is not None else "", f.reason, f.source)
            for f in needed.figures
        ]
        print_table(["figure", "needed", "unit", "there", "why", "source"], rows)
    if needed.problems:
        if as_json:
            raise typer.Exit(3)
        raise NoGo("size", needed.problems)


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,g}" if value < 1000 else f"{value:,.0f}"
