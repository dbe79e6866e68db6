"""Commands of the load test: offer a growing load to Limitless, show what became of it, write a workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.options import DryRunOption, HtmlOption, JsonOption, PlanOption, WhoOption, YesOption, who
from migrator.cli.render import emit_json, note, out, raw, show
from migrator.errors import UsageError

group = typer.Typer(
    no_args_is_help=True,
    help="Offer a growing load to Limitless, in arrivals that wait for no answer, and find where it stops to keep up.",
)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="load")


@group.command(epilog="Example: migrator load run shop.toml --peak 400 --seconds 60")
def run(
    workload: Annotated[Path, typer.Argument(metavar="WORKLOAD", help="Workload file, see docs/load.md.")],
    peak: Annotated[
        float | None,
        typer.Option("--peak", min=0.001, help="Transactions/s of classic's busiest time. Without it: the workload's."),
    ] = None,
    rates: Annotated[
        str | None, typer.Option("--rates", metavar="R,R,…", help="Rates to offer. Without it: 25 to 300% of the peak.")
    ] = None,
    to: Annotated[float | None, typer.Option("--to", min=0.001, help="Up to this rate, in --steps steps.")] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, max=1000, help="Steps up to --to, or windows of a slope.")
    ] = 8,
    slope: Annotated[bool, typer.Option("--slope", help="Let the rate rise steadily, not in steps.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, max=86400, help="How long each rate lasts.")] = 60.0,
    warm_up: Annotated[
        float, typer.Option("--warm-up", min=0, max=86400, help="Seconds at the first rate that do not count.")
    ] = 20.0,
    even: Annotated[bool, typer.Option("--even", help="Arrivals at equal distances, not at random (Poisson).")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32, help="The same seed has the same arrivals.")] = 1,
    processes: Annotated[int, typer.Option("--processes", min=1, max=256, help="Processes that generate.")] = 2,
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=100_000, help="Connections in all; in a storm, at most at once.")
    ] = 32,
    storm: Annotated[
        bool, typer.Option("--storm", help="Each arrival is a client that connects, does one transaction and leaves.")
    ] = False,
    p99_ms: Annotated[
        float, typer.Option("--p99-ms", min=0.1, help="A rate with a longer 99th percentile is not held.")
    ] = 1000.0,
    errors_pct: Annotated[
        float, typer.Option("--errors-pct", min=0, max=100, help="A rate with more errors is not held.")
    ] = 1.0,
    refine: Annotated[
        int, typer.Option("--refine", min=0, max=20, help="Rates tried between the last held and the first failed.")
    ] = 2,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds of a statement.")] = 10.0,
    limitless: Annotated[
        str | None, typer.Option("--limitless", metavar="REF", help="Another target than the plan's: a copy, a pooler.")
    ] = None,
    limitless_up_to: Annotated[
        float | None,
        typer.Option("--limitless-up-to", help="Never offer more; needed once tenants read from Limitless."),
    ] = None,
    classic_up_to: Annotated[
        float | None, typer.Option("--classic-up-to", help="Load classic as well, and never offer it more than this.")
    ] = None,
    classic_ref: Annotated[
        str | None, typer.Option("--classic", metavar="REF", help="With --classic-up-to: a copy of classic, a pooler.")
    ] = None,
    pooled: Annotated[bool, typer.Option("--pooled", help="The targets are poolers, as PgBouncer is.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit writes: on a scratch copy only.")] = False,
    stop_errors_pct: Annotated[
        float, typer.Option("--stop-errors-pct", min=0, max=100, help="End when more of 5 s are errors.")
    ] = 5.0,
    stop_p99_ms: Annotated[
        float, typer.Option("--stop-p99-ms", min=0.1, help="End when 1% of 5 s took longer.")
    ] = 5000.0,
    stop_cpu_pct: Annotated[
        float, typer.Option("--stop-cpu-pct", min=1, max=100, help="End when classic's writer uses more CPU.")
    ] = 80.0,
    stop_sessions: Annotated[
        int,
        typer.Option("--stop-sessions", min=0, help="End when so many more sessions of others are active on classic."),
    ] = 10,
    growth: Annotated[
        float | None, typer.Option("--growth", min=1, help="Times the peak, to project. Without it: by the plan.")
    ] = None,
    mean: Annotated[
        float | None, typer.Option("--mean", min=0, help="Transactions/s over a month. Without it: the peak.")
    ] = None,
    html: HtmlOption = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Offer the workload at growing rates until Limitless no longer keeps up; keep the result for the gate.

    Arrivals do not wait for answers, and latency counts from the moment that was planned. Writes are rolled back. It
    ends by itself at the first rate that is not held, or by the stop rule (then with exit code 3). Classic is left
    alone without --classic-up-to.
    """
    from migrator.cli import load_run
    from migrator.load.arrivals import Pattern
    from migrator.load.knee import Bounds
    from migrator.load.ramp import Shape
    from migrator.load.stop import Limits

    if processes > connections:
        raise UsageError(f"--processes {processes}: each needs a connection, and --connections is {connections}")
    if classic_ref is not None and classic_up_to is None:
        raise UsageError("--classic names a target, and without --classic-up-to RATE classic is not loaded")
    load_run.run(
        load_run.Request(
            workload=workload,
            peak=peak,
            rates=_rates(rates),
            to=to,
            steps=steps,
            shape=Shape.SLOPE if slope else Shape.STEPS,
            seconds=seconds,
            warm_up_s=warm_up,
            pattern=Pattern.EVEN if even else Pattern.POISSON,
            seed=seed,
            processes=processes,
            connections=connections,
            storm=storm,
            refine=refine,
            timeout_s=timeout_s,
            limitless=limitless,
            limitless_up_to=limitless_up_to,
            classic_up_to=classic_up_to,
            classic=classic_ref,
            pooled=pooled,
            commit=commit,
            growth=growth,
            mean=mean,
            bounds=Bounds(p99_ms=p99_ms, error_share=errors_pct / 100),
            limits=Limits(
                error_share=stop_errors_pct / 100,
                p99_ms=stop_p99_ms,
                cpu=stop_cpu_pct / 100,
                more_active=stop_sessions,
            ),
            plan=plan,
            html=html,
            who=who(name),
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
    )


def _rates(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < rate < 1e7 for rate in found):
        raise UsageError(f"--rates {text}: not a list of rates", hint="Write: --rates 50,100,200")
    return found


@group.command(epilog="Example: migrator load report --html load.html")
def report(html: HtmlOption = None, plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show the newest load test: each rate, where Limitless stops to keep up, which statements get worse first."""
    from migrator.cli import load_view
    from migrator.cli.context import classic, require_installed
    from migrator.control import history
    from migrator.model.traffic_test import LOAD, LoadResult

    with classic(plan) as conn:
        require_installed(conn)
        stored = history.newest_report(conn, LOAD)
    if stored is None:
        raise UsageError("no load test is stored yet", hint="Run one: migrator load run WORKLOAD.toml --peak RATE")
    body = stored["body"]
    try:
        LoadResult.from_json(body)
    except ValueError as error:
        raise UsageError(f"the stored load test cannot be read by this version: {error}") from None
    if html is not None:
        load_view.write_page(html, body)
    if as_json:
        emit_json(body)
    else:
        show(load_view.render(body))


@group.command(epilog="Example: migrator load workload --trace shop.trace > shop.toml")
def workload(
    trace: Annotated[
        list[Path] | None,
        typer.Option("--trace", help="Captured statements with their values (migrator shadow capture); repeatable."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, max=1000, help="Statements to write, the most called first.")
    ] = 50,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=10_000, help="Captured sets of values to keep of each statement.")
    ] = 200,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a workload to begin with: from a trace, else from classic's pg_stat_statements. Prints TOML.

    A trace has values of rows, and so has the workload made of it. pg_stat_statements has none: they are taken from the
    tables, where the statement says of which column they are; what it does not say is left to fill in.
    """
    from migrator.cli.context import classic, find_plan
    from migrator.load import from_statements, from_trace
    from migrator.model.trace import read

    if trace:
        made = from_trace.made(read(trace), most, samples)
    else:
        found = find_plan(plan)
        with classic(plan, any_version=True) as conn:
            made = from_statements.made(from_statements.read(conn, most), from_statements.tables(conn, found), most)
    if as_json:
        emit_json({"toml": made.toml, "statements": made.statements, "left_out": list(made.left_out)})
        return
    note(*(f"left out: {line}" for line in made.left_out))
    raw(made.toml)
    if not made.statements:
        out()
