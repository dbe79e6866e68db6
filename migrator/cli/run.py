"""Commands that start, approve, pause, resume and abort the migration, and run workers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import completion
from migrator.cli.options import (
    ApproverOption,
    DryRunOption,
    EvidenceOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    TokenOption,
    UnaskedOption,
    WaitOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.render import announce, causes, confirm, emit_json, note, out
from migrator.model.action import Action
from migrator.model.counted import counted

if TYPE_CHECKING:
    import psycopg

    from migrator.plan.schema import Plan
    from workflows import client
    from workflows.messages import Answer


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator run --plan plans/demo.toml --wait")(run)
    app.command(epilog="Example: migrator approve dual_write --as Ada")(approve)
    app.command(epilog='Example: migrator pause --reason "month-end close"')(pause)
    app.command(epilog="Example: migrator resume")(resume)
    app.command(epilog='Example: migrator abort --reason "wrong cluster"')(abort)
    app.command(epilog="Example: migrator worker --queues mirror,bulk")(worker)


def run(
    plan: PlanOption = None,
    wait: WaitOption = False,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start the migration of a plan, or find it running; then return. Workers do the work: migrator worker.

    Starting twice is starting once. A plan that changed since capture began is refused.
    """
    from migrator.cli.context import both, find_plan
    from migrator.control import rehearsal
    from migrator.control.install import earlier_digests, install
    from migrator.plan.load import digest, dump, shim_settings
    from migrator.provision.tables import tables_in_force

    found = find_plan(plan)
    # every problem that can be known now is reported before anything is touched
    with both(found, statement_timeout_s=60) as (classic, _):
        tables = tables_in_force(classic, found.tables)
        rehearsal.check(classic, found)
        if dry_run:
            announce(_actions(found, len(tables)), as_json=as_json)
            return
        _refuse_other_values(classic, found)
        confirm(f"Start plan {found.name} ({counted(len(tables), 'table')})?", yes=yes)
        install(classic, found.name, digest(found), dump(found), shim_settings(found))
        earlier = earlier_digests(classic)
    from workflows import client

    answer = client.start(found, digest(found), earlier)
    if not as_json:
        if not found.governance.required:
            note("Approvals are not authenticated: any name that is given counts (docs/governance.md).")
        note(f"{answer.text}. Workers: migrator worker. Watch it: migrator status --watch")
    if wait:
        follow(found, as_json=as_json)
    elif as_json:
        emit_json({"plan": found.name, "text": answer.text, "changed": answer.changed})


def _refuse_other_values(classic: psycopg.Connection[Any], plan: Plan) -> None:
    """Once capture is on, values change with `plan apply` only: it knows what loosens a guard, and keeps what was.

    Raises:
        PlanMismatch: the plan says something else than the one that runs.
    """
    from migrator.control.install import installed_version, require_version
    from migrator.control.plan import stored
    from migrator.control.tables import anything_captured
    from migrator.errors import PlanMismatch
    from migrator.plan.load import differences, from_earlier

    require_version(classic)
    known = stored(classic) if installed_version(classic) is not None else None
    if known is None or known.plan_id != plan.name or not anything_captured(classic):
        return
    if lines := differences(from_earlier(known.body), plan):
        raise PlanMismatch(
            f"plan '{plan.name}' changed since capture began: {'; '.join(lines)}",
            hint="Change it with: migrator plan apply, which says what cannot change; or run the plan as it was.",
        )


def _actions(plan: Plan, tables: int) -> list[Action]:
    """Return what a run does: an action for every phase, in the order in which they run."""
    from migrator.model.phase import ORDER, Phase

    gates = plan.gates
    words = {
        Phase.AUDIT: (
            f"Audit {counted(tables, 'table')} and the statements seen (gate: {gates.audit})",
            "nothing to undo",
        ),
        Phase.PROVISION: (f"Make the schema on Limitless (gate: {gates.provision})", "migrator undo provision"),
        Phase.DUAL_WRITE: (f"Capture, mirror, copy, validate (gate: {gates.dual_write})", "migrator undo dual-write"),
        Phase.CUTOVER: (f"Move reads in waves (gate: {gates.cutover})", "migrator rollback --all --reason …"),
        Phase.STABILIZE: (f"Keep both for {plan.stabilization.days:g} days", "migrator rollback --all …"),
        Phase.DECOMMISSION: ("Retire classic, only after an approval by name", None),
    }
    install = Action("run/control", "Install schema migrator on classic and store the plan", "drop schema migrator")
    return [install, *(Action(f"run/{phase.value.replace('_', '-')}", *words[phase]) for phase in ORDER)]


def follow(plan: Plan, *, as_json: bool) -> None:
    """Follow a running migration until it ends; the exit code says how it ended."""
    from workflows import client

    said: tuple[str, ...] = ()

    def progress(seen: client.Described) -> None:
        nonlocal said
        lines = _lines(seen)
        if lines != said:
            stamp = "" if sys.stderr.isatty() else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} "
            note(*(f"{stamp}{line}" for line in lines))
            said = lines

    result = client.wait(plan, progress)
    if as_json:
        emit_json(result)
    else:
        out(f"The migration of {plan.name} is {result.state}.")


def _lines(seen: client.Described) -> tuple[str, ...]:
    status = seen.status
    if status is None:
        return (f"{seen.state}; no worker answers: start one with migrator worker",)
    waiting = f", waits for: migrator approve {status.waiting_for} --as NAME" if status.waiting_for else ""
    blocked = causes(status.blockers, how="migrator status --all")
    return (f"{status.phase.replace('_', ' ')}: {status.state}{waiting}", *blocked)


def approve(
    gate: Annotated[
        str,
        typer.Argument(
            help="audit, provision, dual_write, cutover, decommission, or wave-N.", autocompletion=completion.gates
        ),
    ],
    name: ApproverOption = None,
    evidence: EvidenceOption = None,
    token: TokenOption = None,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Approve a gate that waits for a person. Approving decommission retires classic.

    What it is about: migrator gate GATE. Where the plan asks for approvers it takes --evidence and a token.
    """
    from migrator.cli.approver import UNAUTHENTICATED, approve_gate
    from migrator.cli.context import find_plan
    from migrator.errors import UsageError
    from migrator.model.gate import gate_of

    if not name:
        raise UsageError("an approval needs a name", hint='Say --as "YOUR NAME".')
    wanted = gate_of(gate)
    if dry_run:
        last = wanted == "decommission"
        undo = None if last else "migrator pause, abort or undo, as far as the phase allows"
        announce([Action(f"approve/{wanted}", f"Approve {wanted} in the name of {name}", undo)], as_json=as_json)
        return
    found = find_plan(plan)
    _print(approve_gate(found, plan, wanted, name, evidence, token), as_json)
    if not found.governance.required and not as_json:
        note(UNAUTHENTICATED)


def pause(
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start no new copy and no new wave. The mirror goes on, so nothing falls behind."""
    from migrator.cli.context import find_plan
    from workflows import client

    if dry_run:
        announce([Action("pause", "Start no new copy and no new wave", "migrator resume")], as_json=as_json)
        return

    _print(client.pause(find_plan(plan), who(name), reason), as_json)


def resume(
    reason: ReasonOption = "resumed by hand",
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on after a pause, and recheck what blocked."""
    from migrator.cli.context import find_plan
    from workflows import client

    if dry_run:
        announce([Action("resume", "Go on, and recheck every gate that blocked", "migrator pause")], as_json=as_json)
        return

    _print(client.resume(find_plan(plan), who(name), reason), as_json)


def abort(
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring reads back to classic, then stop everything. Capture and copies stay until: migrator undo dual-write."""
    from migrator.cli.context import find_plan
    from workflows import client

    found = find_plan(plan)
    if dry_run:
        announce(
            [
                Action("abort/rollback", "Bring every tenant's reads back to classic", "migrator run"),
                Action("abort/stop", "Stop phases, copies, mirror, schedule", "migrator run"),
            ],
            as_json=as_json,
        )
        return
    confirm(f"Abort plan {found.name}?", yes=yes)
    _print(client.abort(found, who(name), reason), as_json)


def worker(
    plan: PlanOption = None,
    queues: Annotated[
        str,
        typer.Option(
            "--queues",
            help="Task queues, with commas: incident, control, mirror, bulk.",
            autocompletion=completion.queues,
        ),
    ] = "incident,control,mirror,bulk",
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics for Prometheus there.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say whether this release can go on with every open workflow; take no work."),
    ] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Start without that look, where Temporal cannot list workflows.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C. Start any number of them, on any number of machines.

    Before it takes work it replays the histories of the plan's open workflows, and does not start when this release
    would have led one of them elsewhere: exit code 3, the workflow and the event are named. See docs/upgrades.md.
    """
    import asyncio

    from migrator import logs, settings
    from migrator.cli.context import find_plan
    from migrator.errors import UsageError
    from migrator.model.near import unknown
    from workflows.names import Queue
    from workflows.worker import run_worker

    if check and unchecked:
        raise UsageError("--check and --unchecked exclude each other", hint="Say one of them.")
    if as_json and not check:
        raise UsageError("--json goes with --check", hint="What a worker does is in its log: docs/logs.md.")
    wanted = [q.strip() for q in queues.split(",") if q.strip()]
    strange = [q for q in wanted if q not in set(Queue)]
    if strange or not wanted:
        raise UsageError(unknown("queue", strange or ["(none)"], list(Queue)), hint=f"Queues: {', '.join(Queue)}.")
    # Before an upgrade the plan is as the earlier release stored it.
    found = find_plan(plan, any_version=check)
    if check:
        _check_release(found, as_json=as_json)
        return
    logs.configure(settings.log_level(), settings.log_format())
    asyncio.run(run_worker(found, [Queue(q) for q in wanted], metrics=metrics, checked=not unchecked))


def _check_release(plan: Plan, *, as_json: bool) -> None:
    import asyncio

    from migrator import __version__
    from workflows import replay
    from workflows.worker import check

    found = asyncio.run(check(plan))
    replay.require(found, __version__)
    if as_json:
        emit_json({"plan": plan.name, "release": __version__, "workflows": list(found.workflows)})
    else:
        out(f"Release {__version__} can go on with {counted(len(found.workflows), 'open workflow')} of {plan.name}.")


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
    else:
        out(answer.text)
