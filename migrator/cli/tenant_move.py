"""Commands that move tenants by hand, into a wave or to a side, and forget those that have no rows any more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
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
from migrator.cli.render import announce, confirm, duration, emit_json, out
from migrator.errors import NoGo, UsageError
from migrator.model.action import Action
from migrator.model.counted import counted
from migrator.model.shell import argument
from migrator.model.tenant import TenantId

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from migrator.plan.schema import Plan

Tenants = Annotated[list[str], typer.Argument(metavar="TENANT...", help="Tenants, as their column prints them.")]


class Side(StrEnum):
    CLASSIC = "classic"
    LIMITLESS = "limitless"


def register(group: typer.Typer) -> None:
    group.command(epilog='Example: migrator tenant move 42 43 --wave 1 --reason "they asked to be first"')(move)
    group.command(epilog='Example: migrator tenant forget 42 --reason "merged into 43"')(forget)


def move(
    tenants: Tenants,
    reason: ReasonOption,
    wave: Annotated[int | None, typer.Option("--wave", min=1, help="The wave that moves them.")] = None,
    by_plan: Annotated[bool, typer.Option("--by-plan", help="Take back what was ordered with --wave.")] = False,
    to: Annotated[Side | None, typer.Option("--to", help="Move their reads now, without a wave.")] = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put tenants into a wave that is to come, forward or back, or move their reads now.

    --wave N: they move in wave N, before others, or in the next one that is chosen after it. A wave that was chosen and
    has not moved their reads gives them up. --to limitless: now, through the gate that a wave would ask. --to classic:
    their reads come back, and they wait for a wave again, with --wave for that one; to keep them there: migrator tenant
    hold. All of them move or none; what stands in the way is listed (exit code 3). A cutover that runs takes it up.
    """
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.control import known

    if to is Side.LIMITLESS and wave is not None:
        raise UsageError("--to limitless moves reads now, so --wave says nothing", hint="Give one of them.")
    if sum((wave is not None, by_plan, to is not None)) - (to is Side.CLASSIC and wave is not None) != 1:
        raise UsageError(
            "where to was not said", hint="Give one of --wave N, --by-plan and --to; --to classic with --wave."
        )
    found = find_plan(plan)
    ids = [TenantId(t) for t in dict.fromkeys(tenants)]
    with classic(plan) as conn:
        require_installed(conn)
        if unsure := known.check_tenants(conn, ids):
            names = ", ".join(unsure)
            raise NoGo("tenant move", [f"whether these tenants exist could not be found out in time: {names}"])
        if dry_run:
            _preview(conn, found, ids, wave, to, as_json=as_json)
            return
        if to is not None:
            confirm(f"Move reads of {counted(len(ids), 'tenant')} to {to.value} now?", yes=yes)
        with progress("Moving: waiting for processes and mirror", silent=as_json):
            done = _done(conn, found, ids, wave, to, who(name), reason)
    if as_json:
        emit_json(done.data)
    else:
        out(done.text)
    if not done.complete:
        raise typer.Exit(ExitCode.TRY_AGAIN)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a move did: as JSON, in a line; not complete: a process or a mirror did not follow in time."""

    data: object
    text: str
    complete: bool = True


def _done(
    conn: psycopg.Connection[Any],
    plan: Plan,
    ids: Sequence[TenantId],
    wave: int | None,
    to: Side | None,
    operator: str,
    reason: str,
) -> _Done:
    from migrator.traffic.cutover import order, singly
    from migrator.traffic.incident.rollback import bring_back

    if to is Side.LIMITLESS:
        result = singly.to_limitless(conn, plan, ids, who=operator, reason=reason)
        text = f"{counted(len(ids), 'tenant reads', 'tenants read')} from Limitless, after {duration(result.seconds)}."
        if not result.done:
            text = f"Not yet: {result.outcome}; reads stay on classic. {result.detail}".strip()
        return _Done(result, text, result.done)
    if to is None and wave is None:
        withdrawn = order.withdraw(conn, ids, who=operator, reason=reason)
        return _Done(
            withdrawn,
            f"{len(withdrawn.ordered)} of "
            f"{counted(len(ids), 'tenant moves', 'tenants move')} in the plan's order again.",
        )
    ordered = None
    if wave is not None:
        ordered = order.put(conn, plan, ids, wave, who=operator, reason=reason, back=to is Side.CLASSIC)
    if to is None:
        assert ordered is not None
        left = f"; {len(ordered.left)} of them leave the wave that was chosen" if ordered.left else ""
        return _Done(
            ordered,
            f"{len(ordered.ordered)} of {counted(len(ids), 'tenant is', 'tenants are')} in wave {wave} now{left}.",
        )
    back = bring_back(conn, ids, who=operator, reason=reason)
    where = f"wave {wave}" if wave is not None else "a wave (to keep them there: migrator tenant hold)"
    text = (
        f"Reads of {back.changed} of {counted(len(ids), 'tenant')} came back "
        f"to classic, {back.confirmed} of {counted(back.processes, 'process')}"
    )
    return _Done(
        {"rollback": back, "order": ordered},
        f"{text} confirmed. They wait for {where}.",
        back.complete,
    )


def _preview(
    conn: psycopg.Connection[Any],
    plan: Plan,
    ids: Sequence[TenantId],
    wave: int | None,
    to: Side | None,
    *,
    as_json: bool,
) -> None:
    """Print what would be done; raise NoGo where it would be refused."""
    from migrator.control.tenant_order import orders
    from migrator.traffic.cutover import order, singly
    from migrator.traffic.incident.rollback import moved_tenants

    actions: list[Action] = []
    if to is Side.LIMITLESS:
        if blocking := singly.blockers(conn, plan, ids):
            raise NoGo("tenant move", blocking, hint="Nothing was changed.")
        undo = "migrator tenant move --to classic {}"
        actions = [Action(f"move/{t}", f"Move reads of tenant {t} to Limitless", undo.format(argument(t))) for t in ids]
    elif to is None and wave is None:
        there = orders(conn, ids)
        actions = [
            Action(
                f"order/{t}",
                f"Let tenant {t} move in the plan's order",
                f"migrator tenant move --wave {o.wave} {argument(t)}",
            )
            for t, o in there.items()
        ]
    if to is Side.CLASSIC:
        actions = [
            Action(
                f"move/{t}",
                f"Bring reads of tenant {t} back to classic",
                f"migrator tenant move --to limitless {argument(t)}",
            )
            for t in moved_tenants(conn, None, ids)
        ]
    if wave is not None:
        seen = order.look(conn, plan, ids, wave, back=to is Side.CLASSIC)
        if seen.blockers:
            raise NoGo("tenant move", seen.blockers, hint="Nothing was changed.")
        undo = "migrator tenant move --by-plan {}"
        actions += [
            Action(f"order/{t}", f"Put tenant {t} into wave {wave}", undo.format(argument(t))) for t in seen.ordered
        ]
    announce(actions, as_json=as_json)


def forget(
    tenants: Tenants,
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take back route, wave, order and hold of tenants that have no rows on either side: deleted, or merged.

    Nothing waits for such a tenant, so this only tidies up: when rows of its name come again, it is a new tenant, not
    one that goes on where it was. One that has rows is refused (exit code 3).
    """
    from migrator.cli.context import classic, require_installed
    from migrator.control import known
    from migrator.traffic.cutover import singly

    ids = [TenantId(t) for t in dict.fromkeys(tenants)]
    with classic(plan, statement_timeout_s=10, lock_timeout_s=5) as conn:
        require_installed(conn)
        known.check_tenants(conn, ids)
        if dry_run:
            if found := singly.kept(conn, ids):
                raise NoGo("tenant forget", found, hint="Nothing was changed.")
            announce(
                [Action(f"forget/{t}", f"Forget tenant {t}, which has no rows", "not needed") for t in ids],
                as_json=as_json,
            )
            return
        done = singly.forget(conn, ids, who=who(name), reason=reason)
    if as_json:
        emit_json({"forgotten": done})
    else:
        out(f"{counted(len(done), 'tenant is', 'tenants are')} forgotten: rows of such a name are a new tenant's.")
