"""Commands that practise: a rollback there and back, one without Temporal, and restoring classic's last copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
    DryRunOption,
    JsonOption,
    LimitOption,
    PlanOption,
    TenantsOption,
    WaveOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, duration, emit_json, out, print_table
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.decommission.restore import Restored
    from migrator.drill.rollback import RollbackDrill
    from migrator.model.drill import Drill
    from migrator.plan.schema import Plan

NOWHERE = "127.0.0.1:9"
"""The discard port: no Temporal listens there."""

group = typer.Typer(no_args_is_help=True, help="Practise a rollback, a restore, and an outage of Temporal.")

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="Seconds to wait for the processes' confirmations, each way.")
]
RestoredOption = Annotated[
    str | None,
    typer.Option("--restored", metavar="REF", help="A copy that you restored yourself: env:NAME, file:PATH, …"),
]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="drill")


@group.command(epilog='Example: migrator drill rollback --wave 1 --as "Ada Lovelace"')
def rollback(
    wave: WaveOption = None,
    tenant: TenantsOption = None,
    timeout_s: TimeoutOption = 30.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Roll tenants back to classic in production and forward again, and measure it. Loses nothing, and is no incident.

    Their reads come from classic for some seconds. Interrupted, it leaves them there: migrator cutover --tenant ID
    brings them forward again.
    """
    _rollback("rollback", wave, tenant, timeout_s, plan, name, dry_run, yes, as_json)


@group.command(epilog='Example: migrator drill temporal --tenant 42 --as "Ada Lovelace"')
def temporal(
    wave: WaveOption = None,
    tenant: TenantsOption = None,
    timeout_s: TimeoutOption = 30.0,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do the same as drill rollback while this process cannot reach Temporal; production's Temporal goes on.

    It is led to an address where nothing listens, is refused there, and rolls back and forward all the same.
    """
    _rollback("temporal", wave, tenant, timeout_s, plan, name, dry_run, yes, as_json)


def _rollback(
    kind: str,
    wave: int | None,
    tenant: list[str] | None,
    timeout_s: float,
    plan: Path | None,
    name: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    if (wave is not None) + bool(tenant) != 1:
        raise UsageError("no tenants were given", hint="Give exactly one of --wave N and --tenant ID.")
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.drill.rollback import body, gather, practise, refusals
    from migrator.errors import NoGo
    from migrator.model.drill import DrillKind
    from migrator.model.tenant import TenantId

    found, operator = find_plan(plan), who(name)
    with classic(plan, statement_timeout_s=30, lock_timeout_s=5) as conn:
        require_installed(conn)
        facts = gather(conn, [TenantId(t) for t in tenant or ()], wave)
        refused = refusals(facts)
        if refused:
            raise NoGo(f"drill {kind}", refused)
        if dry_run:
            announce(_steps(len(facts.tenants)), as_json=as_json)
            return
        whom = counted(len(facts.tenants), "tenant")
        confirm(f"Roll {whom} back to classic in production, and forward again?", yes=yes)
        extra = (lambda: _without_temporal(found)) if kind == "temporal" else dict
        with progress(f"Rolling {whom} back and forward again", silent=as_json):
            done = practise(conn, facts, operator, timeout_s=timeout_s, kind=DrillKind(kind), meanwhile=extra)
    from workflows import client

    client.signal_rollback(found)  # the waves look again now, not in half a minute
    if as_json:
        emit_json({"passed": done.passed, "seconds": round(done.seconds, 3), **body(done)})
    else:
        out(*_lines(done))
    if not done.passed:
        raise typer.Exit(ExitCode.NO_GO)


def _steps(tenants: int) -> list[Action]:
    whom = counted(tenants, "tenant")
    return [
        Action("drill/back", f"Move reads of {whom} to classic; wait for processes", "migrator cutover --tenant ID"),
        Action("drill/look", "Wait for reads of theirs on classic, at most 10 s", "nothing to undo"),
        Action("drill/forward", f"Move reads of {whom} to Limitless again", "migrator rollback --tenant ID"),
        Action("drill/keep", "Store the result, and log it", "nothing to undo"),
    ]


def _without_temporal(plan: Plan) -> Mapping[str, Any]:
    """Return what happens when Temporal is asked at an address where nothing listens.

    Raises:
        InvariantBroken: something answered there.
    """
    import time

    from migrator import settings
    from migrator.errors import InvariantBroken
    from workflows import client

    began = time.monotonic()
    with settings.temporal_led_to(NOWHERE):
        if client.signal_rollback(plan):
            raise InvariantBroken(f"a Temporal server answers at {NOWHERE}, so nothing was practised")
    return {"temporal": {"address": NOWHERE, "reached": False, "gave_up_after_s": round(time.monotonic() - began, 3)}}


def _lines(done: RollbackDrill) -> list[str]:
    lines = []
    ways = (("to classic", done.back), ("to Limitless", done.forward))
    for where, way in ways:
        if way is not None:
            processes = counted(len(way.confirmed_s), "process confirmed", "processes confirmed")
            last = f"{processes}, the last after {duration(way.last_s)}"
            lines.append(f"{where}: in force after {duration(way.in_force_s)}; {last}")
    lines.append(
        f"reads of these tenants meanwhile: {done.classic.reads} on classic, {done.limitless.reads} on Limitless; "
        f"{done.classic.errors + done.limitless.errors} failed"
    )
    lines += [f"- {problem}" for problem in done.problems]
    what = counted(done.tenants, "tenant")
    lines.append(f"Passed: {what}, in {duration(done.seconds)}." if done.passed else f"Did not pass: {what}.")
    return lines


@group.command(epilog='Example: migrator drill restore --as "Ada Lovelace" --yes')
def restore(
    restored: RestoredOption = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restore classic's last copy beside everything else, compare it with what classic held, and remove it.

    On AWS that is a cluster of its own, which costs while it exists. Before the hand-over a copy of now is restored,
    and only read. With --restored a copy that you made is compared, and left as it is.
    """
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.control import retirement
    from migrator.decommission import restore as drills
    from migrator.errors import ClusterUnavailable

    found, operator = find_plan(plan), who(name)
    with ExitStack() as stack:
        other = stack.enter_context(limitless(found))
        known = retirement.read(other)
        copy, way = _way(found, known, restored)
        with suppress(ClusterUnavailable), classic(plan) as writer:  # stopped or deleted behind the hand-over
            require_installed(writer)
        if dry_run:
            announce(
                [
                    Action("drill/restore", f"Restore {copy}", "removed at the end, also after an error"),
                    Action("drill/compare", "Read every migrated table of it, and compare", "nothing to undo"),
                    Action("drill/keep", "Store the result, and log it", "nothing to undo"),
                ],
                as_json=as_json,
            )
            return
        confirm(f"Restore {copy}?", yes=yes)
        with progress(f"Restoring {copy}", silent=as_json):
            done = drills.practise(other, found, copy, way)
        here = None
        with suppress(ClusterUnavailable):  # it is stopped or deleted: the result is kept on Limitless
            here = stack.enter_context(classic(plan))
        drills.keep(here, other, operator, done)
    if as_json:
        emit_json({"passed": done.passed, **_restored(done)})
    else:
        how = "compared with what classic held" if done.exact else "read, not compared: classic is not retired yet"
        out(f"{copy}: answered after {duration(done.ready_s)}")
        out(f"{counted(done.tables, 'table')}, {counted(done.rows, 'row')}, {how}")
        out(*(f"- {problem}" for problem in done.problems))
        out(f"Passed, in {duration(done.seconds)}." if done.passed else "Did not pass.")
    if not done.passed:
        raise typer.Exit(ExitCode.NO_GO)


def _restored(done: Any) -> dict[str, Any]:
    return {
        "copy": done.copy, "exact": done.exact, "tables": done.tables, "rows": done.rows,
        "ready_s": round(done.ready_s, 3), "seconds": round(done.seconds, 3), "problems": list(done.problems),
    }  # fmt: skip


def _way(plan: Plan, known: Any, reference: str | None) -> tuple[str, Restored]:
    """Return what is restored, and how."""
    from migrator import settings
    from migrator.decommission import restore as drills
    from migrator.errors import PreconditionFailed

    if reference is not None:
        settings.resolve(reference)  # one that leads nowhere is an error of this command, and no drill
        copy = known.copy if known is not None and known.copy else "the copy given"
        return copy, drills.given(lambda: settings.resolve(reference))
    if plan.classic.writer.startswith("local:"):
        copy = known.copy if known is not None and known.copy else "classic as it is now"
        return copy, drills.local(settings.home())
    if plan.classic.cluster_id is not None:
        return _aws_way(plan, known)
    raise PreconditionFailed(
        "this tool cannot restore a copy of this classic by itself",
        hint="Restore it yourself, and give its connection string: --restored env:NAME.",
    )


def _aws_way(plan: Plan, known: Any) -> tuple[str, Restored]:
    from migrator import settings
    from migrator.aws.answers import client
    from migrator.decommission.aws import AwsReleaser
    from migrator.decommission.aws_restore import AwsRestorer, newest_snapshot
    from migrator.decommission.restore import with_host

    assert plan.classic.cluster_id is not None
    rds = client("rds", plan.aws.region)
    if known is not None and known.copy:
        copy, shape = known.copy, known.shape
    else:
        copy, shape = newest_snapshot(rds, plan.classic.cluster_id), {}
    shape = shape or AwsReleaser(plan.classic.cluster_id, rds=rds).shape()

    @contextmanager
    def restored() -> Iterator[str]:
        with AwsRestorer(plan.classic.cluster_id or "", copy, shape, rds).restored() as (host, port):
            yield with_host(settings.resolve(plan.classic.writer), host, port)

    return copy, restored()


@group.command(epilog="Example: migrator drill status")
def status(limit: LimitOption = 20, plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show what was practised, how it went, and when it is due again."""
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.control import drill
    from migrator.model.drill import stale

    found = find_plan(plan)
    with classic(plan) as conn:
        require_installed(conn)
        lines, drills = drill.newest(conn), drill.all_drills(conn, limit)
    due = stale(lines, found.drill.max_age_days, found.clock_scale)
    if as_json:
        emit_json(
            {
                "stale": str(due) if due else None,
                "max_age_days": found.drill.max_age_days,
                "passed_s": {line.newest.kind.value: line.passed_s for line in lines},
                "drills": drills,
            }
        )
        return
    if not drills:
        out("Nothing was practised yet: migrator drill rollback --wave N, migrator drill restore.")
    else:
        print_table(("when", "drill", "passed", "took", "by", "what"), [_row(one) for one in drills])
        for one in drills[:1]:
            out(*(f"- {problem}" for problem in one.body.get("problems", ())))
    if due:
        out(f"No further wave begins: {due}.")


def _row(one: Drill) -> tuple[object, ...]:
    passed = "yes" if one.passed else "no"
    return f"{one.at:%Y-%m-%d %H:%M}", one.kind.value, passed, duration(one.seconds), one.who, one.subject
