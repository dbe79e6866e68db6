"""Runs a load test for the command: finds its targets, asks, offers the load, keeps and shows what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import typer

from migrator import settings as environment
from migrator.capacity.look import last_found
from migrator.cli import load_view
from migrator.cli.context import APP, find_plan
from migrator.cli.exits import ExitCode
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, duration, emit_json, note, show
from migrator.control import history, writer_load
from migrator.control.locks import only_load_test
from migrator.control.log import decide
from migrator.db.connect import connect
from migrator.db.error_text import described
from migrator.errors import ClusterUnavailable, NoGo, UsageError
from migrator.load import acu, ramp
from migrator.load.arrivals import Pattern
from migrator.load.fleet import INTERRUPTED
from migrator.load.knee import Bounds
from migrator.load.outcome import Outcome
from migrator.load.prepare import Facts, Prepared, Side, facts, prepare
from migrator.load.project import Cluster, Use, project
from migrator.load.ramp import Asked, Shape
from migrator.load.run import Load, Settings, SideRun, Target, run_side
from migrator.load.stop import Limits
from migrator.load.watch import Watch
from migrator.load.workload import Workload
from migrator.load.written import read
from migrator.model.action import Action
from migrator.model.cost import Prices
from migrator.model.counted import counted
from migrator.model.traffic_test import LOAD
from migrator.runway.aws import client
from migrator.traffic_test import BASIS, basis

if TYPE_CHECKING:
    from migrator.plan.schema import Plan

ACU_WAIT_S = 240.0
"""CloudWatch has a minute's capacity two or three minutes later; the test waits so long for that of its last rate."""

ACU_EVERY_S = 20.0
PEAK_DAYS = 28
MONTH_DAYS = 30.44


@dataclass(frozen=True)
class Request:
    """What the command was given."""

    workload: Path
    peak: float | None
    rates: tuple[float, ...]
    to: float | None
    steps: int
    shape: Shape
    seconds: float
    warm_up_s: float
    pattern: Pattern
    seed: int
    processes: int
    connections: int
    storm: bool
    refine: int
    timeout_s: float
    limitless: str | None
    limitless_up_to: float | None
    classic_up_to: float | None
    classic: str | None
    pooled: bool
    commit: bool
    growth: float | None
    mean: float | None
    bounds: Bounds
    limits: Limits
    plan: Path | None
    html: Path | None
    who: str
    dry_run: bool
    yes: bool
    as_json: bool


def run(request: Request) -> None:
    """Do what *request* says.

    Raises:
        NoGo: the test may not run against these servers.
        typer.Exit: the stop rule ended it, or Ctrl-C: what was measured until then is kept all the same.
    """
    offered = read(request.workload)
    if request.html is not None and not request.html.absolute().parent.is_dir():
        raise UsageError(f"{request.html.parent} is no directory; --html writes a file into it")
    plan = find_plan(request.plan)
    with ExitStack() as stack:
        classic = stack.enter_context(
            connect(environment.resolve(plan.classic.writer), APP, statement_timeout_s=60, side="classic")
        )
        known = facts(classic)
        measured = _measured(classic, known)
        peak, source = _peak(request, offered, measured)
        asked = Asked(peak, request.rates, request.to, request.steps, request.seconds, request.warm_up_s, request.shape)
        sides, by_side = _sides(request, plan, offered, asked)
        if not request.dry_run:
            _ask(request, sides, known)
        watch = stack.enter_context(_watch(plan, sides))
        if watch is not None:
            sides = [replace(s, watched=watch.sees_something) if s.name == "classic" else s for s in sides]
        with progress("Trying each transaction once", silent=request.as_json):
            ready = prepare(offered, known, sides, by_side[sides[0].name], plan.waves.hot_ratio)
        if ready.blockers:
            raise NoGo("load", ready.blockers)
        if request.dry_run:
            announce(_actions(request, offered, ready, sides, by_side, known), as_json=request.as_json)
            return
        if not only_load_test(classic):
            raise NoGo("load", ["another load test of this migration is running"])
        stored_gb = _stored_gb(classic, known)  # now: who knows what is reachable after the test
        made_of = basis(classic, plan)
        began = datetime.now(UTC)
        runs: dict[str, SideRun] = {}
        for side in sides:
            runs[side.name] = _one(request, side, ready.load, by_side[side.name], watch)
            if runs[side.name].stopped == INTERRUPTED:
                break
        outcome = _outcome(request, plan, offered, ready, (peak, source), runs, began, watch)
        if measured is not None and measured[0] > peak * 1.05:
            more = f"the peak that was given is below the one that was {measured[1]}: {measured[0]:,.1f}/s"
            outcome = replace(outcome, notes=[*outcome.notes, more])
        outcome = _projected(request, plan, stored_gb, outcome)
        body = {**outcome.body(), BASIS: made_of}
    kept = _keep(request, plan, known, body)
    _show(request, body)
    if not kept:
        raise typer.Exit(ExitCode.TRY_AGAIN)
    if any(one.stopped == INTERRUPTED for one in runs.values()):
        raise typer.Exit(ExitCode.INTERRUPTED)
    if body["stopped"]:
        raise typer.Exit(ExitCode.NO_GO)


def _peak(request: Request, offered: Workload, measured: tuple[float, str] | None) -> tuple[float, str]:
    """Return the peak that the test is about, and where it comes from: what was given, else the higher of what was
    measured and what the workload says: of a quiet day the measurement says little.

    Raises:
        UsageError: nothing says it.
    """
    if request.peak is not None:
        return request.peak, "given (--peak)"
    known = [measured] if measured is not None else []
    if offered.peak_per_s is not None:
        known.append((offered.peak_per_s, f"the workload ({request.workload.name})"))
    if known:
        return max(known)
    raise UsageError(
        "the peak is not known",
        hint="Give --peak, the transactions/s that classic serves in its busiest time, or peak_per_s in the workload.",
    )


def _measured(classic: psycopg.Connection[Any], known: Facts) -> tuple[float, str] | None:
    """Return the peak that the tool's own watch of classic's writer has seen, and over how long; None: it has none."""
    found = writer_load.busiest(classic, "transactions", PEAK_DAYS) if known.installed else None
    if found is None or found.rate <= 0:
        return None
    return found.rate, f"measured: the busiest {found.grain} of {duration(found.seconds)} of the last {PEAK_DAYS} days"


def _sides(request: Request, plan: Plan, offered: Workload, asked: Asked) -> tuple[list[Side], dict[str, Settings]]:
    """Return the targets, Limitless first, and the settings of each."""
    wanted = [("Limitless", request.limitless, plan.limitless.dsn, request.limitless_up_to)]
    if request.classic_up_to is not None:
        wanted.append(("classic", request.classic, plan.classic.writer, request.classic_up_to))
    sides, by_side = [], {}
    for name, given, planned, up_to in wanted:
        reference = given or planned
        windows = ramp.windows(asked, up_to)
        by_side[name] = Settings(
            windows=windows,
            pattern=request.pattern,
            seed=request.seed,
            processes=request.processes,
            connections=request.connections,
            storm=request.storm,
            commit=request.commit,
            turns=1 if request.storm else offered.sessions.transactions,
            think_s=offered.sessions.think_s,
            timeout_s=request.timeout_s,
            patience_s=request.timeout_s,
            refine=0 if request.shape is Shape.SLOPE else request.refine,
            bounds=request.bounds,
            limits=request.limits,
        )
        dsn = environment.resolve(reference)
        other = given is not None and dsn != environment.resolve(planned)
        sides.append(Side(name, reference, dsn, other, up_to, ramp.highest(windows), request.pooled))
    return sides, by_side


@contextmanager
def _watch(plan: Plan, sides: Sequence[Side]) -> Iterator[Watch | None]:
    """Watch classic where it is loaded. A copy is watched itself; its processors are not those AWS names."""
    classic = next((s for s in sides if s.name == "classic"), None)
    if classic is None:
        yield None
        return
    with Watch(classic.dsn, None if classic.given else plan.classic.cluster_id, plan.aws.region) as watch:
        yield watch


def _ask(request: Request, sides: Sequence[Side], known: Facts) -> None:
    for side in sides:
        if side.name == "classic":
            confirm(f"Offer up to {side.highest:,.0f} transactions/s to classic ({side.reference})?", yes=request.yes)
        elif known.reading and not side.given:
            confirm(f"Offer up to {side.highest:,.0f}/s to Limitless, from which tenants read now?", yes=request.yes)
    if request.commit:
        confirm("Commit what the workload writes?", yes=request.yes)


def _one(request: Request, side: Side, load: Load, settings: Settings, watch: Watch | None) -> SideRun:
    target = Target(side.name, side.reference, watch.seen if watch is not None and side.name == "classic" else None)
    with progress(f"Loading {side.name}", silent=request.as_json) as shown:

        def tell(what: str) -> None:
            shown.doing = what

        return run_side(target, load, settings, tell)


def _outcome(
    request: Request,
    plan: Plan,
    offered: Workload,
    ready: Prepared,
    peak: tuple[float, str],
    runs: dict[str, SideRun],
    began: datetime,
    watch: Watch | None,
) -> Outcome:
    notes = list(ready.notes)
    if watch is not None:
        notes.append(f"classic was watched by: {watch.sources}")
    if request.pooled:
        notes.append("the targets are poolers: latencies have their queues in them")
    settings = Settings(
        (), request.pattern, request.seed, request.processes, request.connections, request.storm, request.commit,
        1 if request.storm else offered.sessions.transactions, offered.sessions.think_s, bounds=request.bounds,
    )  # fmt: skip
    return Outcome(
        plan.name, offered.name, began, request.who, ready.load.transactions, settings, *peak,
        runs["Limitless"], runs.get("classic"), notes,
    )  # fmt: skip


def _stored_gb(classic: psycopg.Connection[Any], known: Facts) -> float | None:
    looked = last_found(classic) if known.installed else None
    return sum(node.bytes for node in looked.shards) / 2**30 if looked is not None and looked.shards else None


def _projected(request: Request, plan: Plan, stored_gb: float | None, outcome: Outcome) -> Outcome:
    """Return *outcome* with the capacity and the money that its load would take."""
    uses, notes = _uses(request, plan, outcome)
    growth = request.growth or (1 + plan.runway.monthly_growth_pct / 100) ** (plan.runway.weeks * 7 / MONTH_DAYS)
    cost = plan.cost
    cluster = Cluster(
        plan.limitless.min_acu,
        plan.limitless.max_acu,
        plan.limitless.compute_redundancy,
        Prices(cost.acu_hour_usd or None, cost.storage_gb_month_usd or None),
        stored_gb,
    )
    peak = outcome.peak_per_s
    made = project(uses, peak, growth, peak if request.mean is None else request.mean, cluster)
    return replace(outcome, projection=made, uses=tuple(uses), notes=[*outcome.notes, *notes])


def _uses(request: Request, plan: Plan, outcome: Outcome) -> tuple[list[Use], list[str]]:
    """Return the ACU of each rate, as CloudWatch measured them; nothing, and why, where it did not."""
    group = plan.limitless.shard_group_id
    if outcome.limitless.stopped == INTERRUPTED:
        return [], ["ACU were not measured: the test was interrupted"]
    if group is None or request.limitless is not None:
        return [], ["ACU were not measured: the plan names no limitless.shard_group_id, or another target was loaded"]
    end = outcome.at + timedelta(seconds=outcome.limitless.seconds)
    try:
        cloudwatch = client("cloudwatch", plan.aws.region)
        until = time.monotonic() + ACU_WAIT_S
        with progress("Waiting for CloudWatch to have the test's ACU", silent=request.as_json):
            while True:
                found = acu.minutes(cloudwatch, group, outcome.at, end)
                if acu.has_all(found, end) or time.monotonic() > until:
                    break
                time.sleep(ACU_EVERY_S)
    except ClusterUnavailable as error:
        return [], [f"ACU were not measured: {error}"]
    uses = acu.uses(found, outcome.at, outcome.limitless.spans)
    return uses, [] if uses else ["ACU were not measured: no rate lasted for a whole minute that CloudWatch has"]


def _keep(request: Request, plan: Plan, known: Facts, body: dict[str, Any]) -> bool:
    """Store the result on classic, over a new connection: the test may have lasted for hours.

    Returns:
        False where classic cannot be reached: then it is in a file, because the test is not repeated for that.
    """
    if not known.installed:
        note("The tool is not installed on classic: the result is shown, and not kept.")
        return True
    result = body["limitless"]
    saturation = result["saturation_per_s"]
    held = f"holds {result['served_per_s']:,.0f}/s" + (", not saturated" if saturation is None else "")
    try:
        with connect(environment.resolve(plan.classic.writer), APP, statement_timeout_s=60, side="classic") as conn:
            with conn.transaction():
                history.add_report(conn, LOAD, body)
                decide(
                    conn, request.who, "load.tested", "load/limitless", f"{held}; {body['stopped'] or 'ran to its end'}"
                )
    except (ClusterUnavailable, psycopg.Error) as error:
        path = environment.home() / f"load-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body), encoding="utf-8")
        why = error.why if isinstance(error, ClusterUnavailable) else described(error)
        note(f"classic could not store the result ({why}): it is in {path}")
        return False
    return True


def _show(request: Request, body: dict[str, Any]) -> None:
    if request.html is not None:
        load_view.write_page(request.html, body)
    if request.as_json:
        emit_json(body)
    else:
        show(load_view.render(body))


def _actions(
    request: Request,
    offered: Workload,
    ready: Prepared,
    sides: Sequence[Side],
    by_side: dict[str, Settings],
    known: Facts,
) -> list[Action]:
    """Return what the test would do."""
    how = "committed" if request.commit else "rolled back"
    found = []
    for side in sides:
        made = by_side[side.name].windows
        arrivals = sum(w.expected for w in made)
        who_comes = "clients that connect and leave" if request.storm else "transactions"
        writes = f"; writes are {how}" if offered.writes else ""
        undo = "nothing to undo" if not (request.commit and offered.writes) else None
        found.append(
            Action(
                f"load/{side.name.lower()}",
                f"Offer {side.name} about {arrivals:,.0f} {who_comes} of {counted(ready.tenants, 'tenant')} in"
                f" {duration(ramp.seconds(made))}, at {made[0].begin_rate:,.0f} to {side.highest:,.0f}/s, over"
                f" {counted(request.connections, 'connection')} of {counted(request.processes, 'process')}{writes}",
                undo,
            )
        )
    kept = "Store the result as a report of kind load, and log it" if known.installed else "Show the result"
    found.append(Action("load/keep", kept, "nothing to undo"))
    return found
