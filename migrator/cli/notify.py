"""Commands about notifications: how receivers fare, what stands, and a message to try them with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, LimitOption, PlanOption, UnaskedOption, WhoOption, who
from migrator.cli.render import emit_json, note, out, print_table
from migrator.errors import UsageError
from migrator.model.near import unknown

if TYPE_CHECKING:
    from migrator.control.notify import ReceiverRow
    from migrator.notify.send import Outcome
    from migrator.plan.notify import Receiver
    from migrator.plan.schema import Plan

group = typer.Typer(no_args_is_help=True, help="Who is told of what, and whether they take it.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="notify")


@group.command(epilog="Example: migrator notify status --limit 50")
def status(limit: LimitOption = 10, plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show receivers and how they fare, which process sends, the conditions that stand, and what was sent."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import notify as stored
    from migrator.control.plan import stored_body
    from migrator.notify.classic import section_of

    with classic(plan) as conn:
        require_installed(conn)
        section = section_of(stored_body(conn))
        fares = {row.receiver: row for row in stored.receivers(conn)}
        standing, lines, holder = stored.known(conn), stored.newest(conn, limit), stored.holder(conn)
    receivers = [_receiver(name, found, fares.get(name)) for name, found in section.receiver.items()]
    conditions: list[dict[str, Any]] = [
        {
            "name": row.name,
            "severity": row.body["severity"],
            "since": datetime.fromisoformat(row.body["since"]) if row.body["since"] else row.first_at,
            "text": row.body["text"],
            "told": sorted(row.told),
            "acknowledged_by": row.acknowledged_by,
        }
        for row in standing
        if row.gone_at is None and not row.body["instant"]
    ]
    sends = holder.name if holder.left_s > 0 else None
    if as_json:
        sent = [_line(line) | {"id": line.id, "text": line.body["condition"]["text"]} for line in lines]
        emit_json({"sends": sends, "receivers": receivers, "conditions": conditions, "sent": sent})
        return
    if not receivers:
        out("The plan names no receiver: no person is told of anything. See docs/notifications.md, section [notify].")
    else:
        out(
            f"Sent by {sends}."
            if sends
            else "No process sends now: start a worker (migrator worker) or migrator serve."
        )
        columns = ["receiver", "kind", "told of", "state", "waiting", "given up", "last sent"]
        out()
        print_table(columns, [[_cell(r[c.replace(" ", "_")]) for c in columns] for r in receivers])
    if conditions:
        out()
        columns = ["condition", "severity", "since", "told", "text"]
        rows = [[c["name"], c["severity"], _cell(c["since"]), _told(c), c["text"]] for c in conditions]
        print_table(columns, rows)
    if lines:
        out()
        columns = ["at", "receiver", "action", "name", "state", "tries", "problem"]
        print_table(columns, [[_cell(_line(line)[c]) for c in columns] for line in lines])


def _receiver(name: str, found: Receiver, fares: ReceiverRow | None) -> dict[str, Any]:
    told_of = f"{', '.join(found.kinds) or 'all'}, {found.least.value} and above"
    state = "nothing was sent yet"
    if fares is not None and fares.failing_since is not None:
        since = _cell(fares.failing_since)
        state = f"takes nothing since {since} ({fares.tries} tries): {fares.problem}"
    elif fares is not None and fares.sent_at is not None:
        state = "takes messages"
    return {
        "receiver": name,
        "kind": found.kind,
        "told_of": told_of,
        "state": state,
        "failing": fares is not None and fares.failing_since is not None,
        "waiting": fares.waiting if fares else 0,
        "given_up": fares.given_up if fares else 0,
        "last_sent": fares.sent_at if fares else None,
    }


def _line(line: Any) -> dict[str, Any]:
    return {
        key: getattr(line, key) for key in ("at", "receiver", "action", "name", "state", "tries", "ended_at", "problem")
    }


def _told(condition: dict[str, Any]) -> str:
    told = ", ".join(condition["told"]) or "no receiver yet"
    return f"{told}; acknowledged by {condition['acknowledged_by']}" if condition["acknowledged_by"] else told


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


@group.command(epilog="Example: migrator notify test --receiver oncall")
def test(
    receiver: Annotated[
        list[str] | None, typer.Option("--receiver", help="One of the plan's receivers; repeatable. Default: all.")
    ] = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message that says that nothing is wrong, from here and at once; the plan's file is enough for it.

    Secrets are looked up in this process's environment, which may be another one than the workers'. With PagerDuty an
    alert of severity info is opened, and resolved again.
    """
    import asyncio

    from migrator.cli.context import find_plan

    found = find_plan(plan, any_version=True)
    names = list(found.notify.receiver)
    if not names:
        raise UsageError("the plan names no receiver", hint="Add [notify.receiver.NAME] to it: docs/notifications.md.")
    chosen = receiver or names
    if absent := [name for name in chosen if name not in names]:
        raise UsageError(unknown("receiver", absent, names))
    if not as_json:
        note(f"Sending to {', '.join(chosen)}.")
    outcomes = asyncio.run(_try_each(found, chosen))
    if as_json:
        emit_json([{"receiver": n, "result": o.result.value, "problem": o.problem} for n, o in outcomes.items()])
    else:
        print_table(["receiver", "result", "problem"], [[n, o.result.value, o.problem] for n, o in outcomes.items()])
    if any(o.result.value != "sent" for o in outcomes.values()):
        raise typer.Exit(ExitCode.TRY_AGAIN)


async def _try_each(plan: Plan, names: list[str]) -> dict[str, Outcome]:
    import asyncio
    from datetime import UTC, datetime

    from migrator.model.condition import Condition, Kind, Severity
    from migrator.notify.decide import Action
    from migrator.notify.message import Note
    from migrator.notify.send import send

    now = datetime.now(UTC)
    text = f"this is a test of the notifications of the migration {plan.name}; nothing is wrong"
    condition = Condition(Kind.BLOCKED, text, "Nothing is to be done.", Severity.INFO, "test")
    trying = Note(Action.TEST, condition, plan.name, "", now, now)

    async def one(name: str) -> Outcome:
        receiver = plan.notify.receiver[name]
        outcome = await send(trying, receiver)
        if receiver.kind == "pagerduty" and outcome.result.value == "sent":
            outcome = await send(Note(Action.OVER, condition, plan.name, "", now, now), receiver)
        return outcome

    return dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))


@group.command(epilog="Example: migrator notify acknowledge fallback/all --as ann")
def acknowledge(
    condition: Annotated[str, typer.Argument(help="Its name, as `migrator notify status` shows it.")],
    name: WhoOption = None,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say that you are on it: receivers are told, and it is not repeated unless it gets worse."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import notify as stored
    from migrator.notify.classic import acknowledge as acknowledged

    operator = who(name)
    with classic(plan) as conn:
        require_installed(conn)
        stands = {row.name: sorted(row.told) for row in stored.known(conn) if row.gone_at is None}
        told = stands.get(condition) if dry_run else acknowledged(conn, condition, operator)
        if told is None:
            raise UsageError(unknown("condition that stands", [condition], list(stands)))
    if dry_run:
        out(f"{condition} would be acknowledged by {operator}; told: {', '.join(told) or 'no receiver knows of it'}.")
        return
    if as_json:
        emit_json({"condition": condition, "acknowledged_by": operator, "told": told})
    else:
        out(f"{condition} is acknowledged by {operator}; told: {', '.join(told) or 'no receiver knew of it'}.")
