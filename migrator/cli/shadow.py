"""Commands that capture what applications run on classic, and repeat it on both sides before a tenant moves."""

from __future__ import annotations

from enum import StrEnum
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
    UnaskedOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out, print_table
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.plan.schema import Plan
    from migrator.shadow.run import Options, Prepared
    from migrator.shadow.sampling import Sample

group = typer.Typer(
    no_args_is_help=True, help="Repeat what applications run on classic, on both sides, and compare: shadow traffic."
)


class Writing(StrEnum):
    """What is done with statements that write."""

    ROLLED_BACK = "rolled-back"
    LEFT_OUT = "left-out"


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="shadow")


@group.command(epilog="Example: migrator shadow capture trace.jsonl --log postgresql.csv")
def capture(
    trace: Annotated[Path, typer.Argument(help="File to write; must not exist. Only you can read it.")],
    log: Annotated[
        list[Path] | None,
        typer.Option("--log", help="Log of classic: csvlog, jsonlog, text, a service's export; may be repeated."),
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Take pg_stat_statements, with values of --tenant's own rows as parameters."),
    ] = False,
    tenant: TenantsOption = None,
    calls: Annotated[
        int, typer.Option("--calls", min=1, help="With --statistics: calls to make up of each statement.")
    ] = 100,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Calls of one statement that are kept, a random choice of them.")
    ] = 2000,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a trace: statements with their parameters, from logs of classic or from its statistics.

    A trace holds values of rows, personal data among them: only you can read it, and the run that uses it deletes it.
    """
    from migrator.model import trace as traces
    from migrator.shadow import from_log
    from migrator.shadow.sampling import Sample

    if bool(log) == statistics:
        raise UsageError("no source was given", hint="Give exactly one of --log FILE and --statistics.")
    if bool(tenant) != statistics:
        raise UsageError("--statistics and --tenant go together", hint="Name the tenants whose rows give the values.")
    if trace.exists():
        raise UsageError(f"{trace} exists already; nothing was written")
    sample = Sample(most_of_one=most)
    with progress("Reading statements", silent=as_json):
        source = from_log.read(log, sample) if log else _from_statistics(plan, tenant or [], calls, sample)
    kept = sample.calls()
    if not dry_run and kept:
        traces.write(trace, source, kept)
    _captured(trace, sample, len(kept), dry_run, as_json)


def _from_statistics(plan: Path | None, tenants: list[str], calls: int, sample: Sample) -> str:
    from migrator.cli.context import classic, find_plan
    from migrator.plan.tables import resolve_tables
    from migrator.shadow import from_statistics
    from migrator.shadow.run import check_tenants

    found = find_plan(plan)
    with classic(plan, statement_timeout_s=30, lock_timeout_s=2) as conn:
        check_tenants(conn, resolve_tables(conn, found.tables), tenants)
        return from_statistics.read(conn, found, tenants, calls, sample)


def _captured(trace: Path, sample: Sample, kept: int, dry_run: bool, as_json: bool) -> None:
    left_out = dict(sample.left_out.most_common())
    if as_json:
        path = None if dry_run or not kept else str(trace)
        body = {"trace": path, "calls": kept, "statements": sample.statements, "left_out": left_out}
        passed_over = dict(sample.passed_over.most_common())
        emit_json({**body, "records": sample.records, "passed_over": passed_over, "notes": sample.notes})
        return
    what = f"{counted(kept, 'call')} of {counted(sample.statements, 'statement')}"
    if not kept:
        out("No call was found that can be repeated; nothing was written.")
    elif dry_run:
        out(f"{trace} would hold {what}.")
    else:
        out(f"{trace} written: {what}. It holds values of rows: keep it where only you can read it.")
    lines = [f"- {number:,} left out: {why}" for why, number in left_out.items()]
    if sample.passed_over:
        what = ", ".join(f"{sort} ({number:,})" for sort, number in sample.passed_over.most_common())
        lines.append(f"Of {counted(sample.records, 'record')} {sample.passed_over.total():,} tell no call: {what}.")
    lines += [f"Note: {each}" for each in sample.notes]
    if kept and not dry_run:
        lines.append(f"Next: migrator shadow run {trace} --dry-run")
    if lines:
        out(*lines)


@group.command(epilog="Example: migrator shadow run trace.jsonl --rate 20 --speed 1")
def run(
    trace: Annotated[list[Path], typer.Argument(help="Traces: of shadow capture, or of a shim's tee.")],
    tenant: TenantsOption = None,
    copies: Annotated[
        bool,
        typer.Option("--copy", help="Before dual write: copy the tenants to Limitless for this run, then remove them."),
    ] = False,
    writes: Annotated[
        Writing, typer.Option("--writes", help="Writes: run on Limitless alone and rolled back, or left out.")
    ] = Writing.ROLLED_BACK,
    speed: Annotated[
        float,
        typer.Option("--speed", min=0, help="Factor on the pauses between calls; 0: no pauses but those of --rate."),
    ] = 1.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=200, help="Calls at once, at most.")] = 4,
    rate: Annotated[
        float, typer.Option("--rate", min=0.1, help="Calls a second, at most: what classic is asked.")
    ] = 50.0,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Minutes after which it ends.")] = 10.0,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for one statement.")] = 10.0,
    stop_ms: Annotated[
        float, typer.Option("--stop-ms", min=1, help="It stops when round trips to classic take so many ms (median).")
    ] = 250.0,
    factor: Annotated[
        float, typer.Option("--slower", min=1, help="A statement is slower when it takes so many times as long.")
    ] = 1.5,
    least_ms: Annotated[float, typer.Option("--least-ms", min=0, help="And at least so many ms longer.")] = 2.0,
    keep: Annotated[bool, typer.Option("--keep", help="Do not delete the traces afterwards.")] = False,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Repeat a trace on both sides, compare results at one snapshot, and store what is worse on Limitless.

    Nothing lasts: reads are read-only on classic; writes run on Limitless alone, on the tables themselves and in no
    scratch schema, and are rolled back. It stops by itself when classic is in trouble; Ctrl-C keeps what was measured.
    The traces are deleted when it has ended.
    """
    from migrator import settings
    from migrator.cli.context import both, find_plan, require_installed
    from migrator.model import trace as traces
    from migrator.model.traffic_test import Writes
    from migrator.shadow import run as shadow
    from migrator.shadow.replay import Pacing
    from migrator.shadow.statistics import Limits
    from migrator.shadow.stopping import INTERRUPTED
    from migrator.traffic_test import BASIS, basis

    found, operator = find_plan(plan), who(name)
    options = shadow.Options(
        tenants=tuple(dict.fromkeys(tenant or ())),
        copies=copies,
        writes=Writes.ROLLED_BACK if writes is Writing.ROLLED_BACK else Writes.LEFT_OUT,
        pacing=Pacing(speed or None, concurrency, rate, minutes * 60, timeout_s, stop_ms),
        limits=Limits(factor, least_ms),
    )
    source = traces.sources(trace)
    with both(found, statement_timeout_s=60) as (classic, limitless):
        require_installed(classic)
        with progress("Reading the trace", silent=as_json):
            prepared = shadow.prepare(classic, limitless, found, traces.read(trace), source, options)
    if not prepared.calls:
        raise UsageError("no call of the trace can be repeated", hint=_why_none(prepared))
    if dry_run:
        _planned(prepared, options, trace, keep, as_json)
        return
    confirm(_question(prepared, options, found), yes=yes)
    dsns = settings.resolve(found.classic.writer), settings.resolve(found.limitless.dsn)
    with both(found) as (classic, _), shadow.alone(classic):
        with progress(f"Repeating {counted(len(prepared.calls), 'call')} on both sides", silent=as_json):
            report = shadow.run(*dsns, prepared, options, operator)
    body = report.to_json()
    if not as_json:
        _show(body)  # also when classic is in such trouble that it cannot be stored there
    with both(found, statement_timeout_s=60) as (classic, _):
        number = shadow.keep(classic, report, {BASIS: basis(classic, found)})
    interrupted = report.result.stopped == INTERRUPTED
    if not keep and not interrupted:
        traces.delete(trace)
    if as_json:
        emit_json({"number": number, **body})
    else:
        _stored(keep, interrupted)
    if interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _stored(keep: bool, interrupted: bool) -> None:
    if interrupted:
        out("Stored, as far as it came. The traces are still there.")
        return
    gone = "" if keep else " The traces were deleted."
    out(f"Stored.{gone} migrator shadow report --html FILE writes it as a page.")


def _why_none(prepared: Prepared) -> str:
    return "; ".join(f"{number:,}: {why}" for why, number in prepared.left_out.most_common(5)) or "It is empty."


def _question(prepared: Prepared, options: Options, plan: Plan) -> str:
    first = f"Copy {counted(len(options.tenants), 'tenant')} to Limitless, and r" if options.copies else "R"
    rate = f"{options.pacing.rate_per_s:g} a second at most"
    what = f"{first}epeat {counted(len(prepared.calls), 'call')} on both sides of {plan.name}, {rate}"
    return f"{what}; {_writes(options)}?"


def _writes(options: Options) -> str:
    from migrator.model.traffic_test import Writes

    left_out = options.writes is Writes.LEFT_OUT
    return "writes are left out" if left_out else "writes run on Limitless alone and are rolled back"


def _planned(prepared: Prepared, options: Options, trace: list[Path], keep: bool, as_json: bool) -> None:
    actions = []
    if options.copies:
        whom = counted(len(options.tenants), "tenant")
        actions.append(Action("shadow/copy", f"Copy {whom} to Limitless", "removed at the end, also after an error"))
    what = f"{counted(len(prepared.calls), 'call')} of {counted(prepared.statements, 'statement')}"
    actions += [
        Action("shadow/repeat", f"Repeat {what} on both sides; {_writes(options)}", "rolled back, each by itself"),
        Action("shadow/compare", "Compare results at a snapshot of both sides", "nothing to undo"),
        Action("shadow/explain", "Ask Limitless for the plan of each statement", "nothing to undo"),
        Action("shadow/keep", "Store the report, and log it", "nothing to undo"),
    ]
    if not keep:
        files = ", ".join(map(str, trace))
        actions.append(Action("shadow/delete", f"Delete {files}: it holds values of rows", "keep it with --keep"))
    if as_json:
        emit_json({"actions": actions, "calls": len(prepared.calls), "left_out": dict(prepared.left_out)})
        return
    announce(actions, as_json=False)
    if prepared.left_out:
        out(*(f"- {number:,} left out: {why}" for why, number in prepared.left_out.most_common()))


@group.command(epilog="Example: migrator shadow report --html shadow.html")
def report(
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page to this file.")] = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the newest shadow run found, statement by statement."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.history import newest_report
    from migrator.model.traffic_test import SHADOW

    with classic(plan) as conn:
        require_installed(conn)
        kept = newest_report(conn, SHADOW)
    if kept is None:
        raise UsageError("no shadow run was stored yet", hint="Begin with: migrator shadow capture TRACE --log FILE")
    body = _readable(kept["body"])
    if html is not None:
        from migrator.report.shadow import page

        try:
            html.write_text(page(body), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html} cannot be written: {error.strerror}") from error
        note(f"{html} written")
    if as_json:
        emit_json(body)
    elif html is None:
        _show(body)


def _readable(body: dict[str, Any]) -> dict[str, Any]:
    from migrator.model.traffic_test import ShadowResult

    try:
        ShadowResult.from_json(body)
    except ValueError as error:
        raise UsageError(
            f"the newest shadow run cannot be read: {error}", hint="Repeat it with: migrator shadow run TRACE"
        ) from None
    return body


@group.command(epilog="Example: migrator shadow status")
def status(limit: LimitOption = 20, plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """List the shadow runs that were stored: when, of what, and how much was found."""
    from migrator.cli.context import classic, require_installed
    from migrator.control.history import reports_of
    from migrator.model.traffic_test import SHADOW

    with classic(plan) as conn:
        require_installed(conn)
        kept = reports_of(conn, SHADOW)[: -limit - 1 : -1]
    runs = [_run(one["body"]) for one in kept]
    if as_json:
        emit_json(runs)
    elif not runs:
        out("No shadow run yet: migrator shadow capture TRACE --log FILE, then migrator shadow run TRACE.")
    else:
        columns = ("at", "who", "source", "statements", "calls", "findings", "stopped")
        print_table(columns, [[one[c] for c in columns] for one in runs], right=("statements", "calls", "findings"))


def _run(body: dict[str, Any]) -> dict[str, Any]:
    statements = body["statements"]
    return {
        "at": body.get("at", ""),
        "who": body.get("who", ""),
        "source": body["source"],
        "statements": len(statements),
        "calls": sum(one["calls"] for one in statements),
        "findings": len(body.get("findings", ())),
        "stopped": body["stopped"],
    }


def _show(body: dict[str, Any]) -> None:
    from migrator.report.shadow import lines, rows

    before, after = lines(body)
    out(*before)
    names, table = rows(body)
    if table:
        out()
        print_table(names, table, right=names[1:])
    out()
    out(*after)
