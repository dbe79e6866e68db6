"""The command that shows what Limitless costs against the projection, by day, and how full its shards are."""

from __future__ import annotations

from typing import Annotated

import typer

from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, show


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator cost --shards")(cost)


def cost(
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Days to show, today included.")] = 14,
    shards: Annotated[bool, typer.Option("--shards", help="Every router and shard, and the largest tenants.")] = False,
    present_prices: Annotated[
        bool, typer.Option("--present-prices", help="Price all days as the plan does now, not as it did then.")
    ] = False,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the month's bill of Limitless against the projection, its days, and how full its shards are.

    Reads classic alone, where workers store what they see once an hour: it works when Limitless or AWS is unreachable.
    In USD; days and months are UTC.
    """
    from migrator.capacity import lines
    from migrator.capacity.look import last_found
    from migrator.cli.context import classic
    from migrator.cli.cost_view import render
    from migrator.control.install import active_plan
    from migrator.plan.load import from_earlier

    with classic(plan, statement_timeout_s=10) as conn:
        stored = from_earlier(active_plan(conn))
        known = lines.known(conn, stored)
        bill, capacity = lines.cost_line(known, stored), lines.capacity_line(known, stored)
        by_day = lines.days(conn, stored, days, present_prices=present_prices)
        found = last_found(conn)
    if as_json:
        emit_json({"bill": bill, "days": by_day, "capacity": capacity, "found": found})
    else:
        show(render(bill, by_day, capacity, found if shards else None))
