"""Runs a whole rehearsal: servers up, demo in, workers and traffic on, the acts in order, the proof, the end.

In every case the processes that were started are stopped (unless the servers are kept on purpose), and the logs
stay where the report says.
"""

from __future__ import annotations

import datetime
import itertools
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from migrator.errors import MigratorError, UsageError
from migrator.model.counted import counted
from migrator.plan.load import load as load_plan
from migrator.plan.schema import REHEARSED, Plan
from migrator.plan.toml import renamed
from migrator.rehearse import acts, demo, proof, roles, told
from migrator.rehearse.children import Children, Operator, environment
from migrator.rehearse.facts import Looker
from migrator.rehearse.ledger import Outcome, read_ledgers
from migrator.rehearse.ledger_tail import LedgerTail
from migrator.rehearse.machines_containers import ContainerMachines
from migrator.rehearse.machines_local import LocalMachines
from migrator.rehearse.machines_proxied import ProxiedMachines
from migrator.rehearse.observer import Observer
from migrator.rehearse.output import write_report
from migrator.rehearse.result import Record, RehearsalResult, report_of
from migrator.rehearse.screen import Screen
from migrator.rehearse.stage import WORKERS, Machines, Stage
from migrator.rehearse.workdir import Workdir
from migrator.report import words


def rehearse(plan_path: Path, keep: bool, workdir: Path, console: Console) -> RehearsalResult:
    """Rehearse the plan from end to end on this machine; returns its result.

    With *keep* the servers stay up for inspection; progress goes to *console*.

    Raises:
        PlanInvalid, UsageError: before anything was started.
    """
    plan_path = plan_path.absolute()
    plan = load_plan(plan_path)
    _refuse_real_clusters(plan, plan_path)
    place = Workdir(workdir.absolute())
    with place.locked():
        return _rehearse(plan, plan_path, place, console, keep)


def _refuse_real_clusters(plan: Plan, path: Path) -> None:
    if plan.rehearsal is None:
        raise UsageError(f"{path} has no [rehearsal] section", hint="Copy plans/demo.toml, or add the section.")
    given = (plan.classic.writer, plan.limitless.dsn, plan.temporal.address)
    if given not in REHEARSED:
        raise UsageError(
            "a rehearsal crashes servers, so it only runs on those it starts itself",
            hint="Use local:classic, local:limitless and the local Temporal server in the plan, "
            "or start from plans/compose.toml for the containers of docker-compose.yml.",
        )


def _machines(plan: Plan, place: Workdir) -> Machines:
    """Return the servers that the plan's references mean. Those of env: are containers, whatever the environment says.

    Raises:
        UsageError: there are no such containers.
    """
    if plan.classic.writer.startswith("local:"):
        return LocalMachines(place.state, plan.limitless.shards)
    if shutil.which("docker") is None and os.environ.get("MIGRATOR_LIMITLESS_ADMIN_DSN"):
        return ProxiedMachines(plan.limitless.shards)
    return ContainerMachines(plan.limitless.shards)


def _own_plan(plan: Plan, plan_path: Path, place: Workdir, machines: Machines) -> tuple[Plan, Path]:
    """Give the rehearsal a plan of its own, which tells the rehearsal's receiver what a team would be told.

    On servers that stay it has a name of its own: their workers and Temporal know the plan's already.
    """
    text = plan_path.read_text(encoding="utf-8")
    if not isinstance(machines, LocalMachines):
        text = renamed(text, f"{plan.name[:28]}-{int(time.time())}")
    if not plan.notify.receiver:
        text += told.SECTION
    own = place.root / "plan.toml"
    own.write_text(text, encoding="utf-8")
    return load_plan(own), own


def _rehearse(plan: Plan, plan_path: Path, place: Workdir, console: Console, keep: bool) -> RehearsalResult:
    began = time.monotonic()
    record = Record(plan.name, began, _now(), _machine())
    screen = Screen(console, began)
    machines = _machines(plan, place)
    machines.down()  # what an interrupted or kept rehearsal left running
    place.renew()
    plan, plan_path = _own_plan(plan, plan_path, place, machines)
    assert plan.rehearsal is not None  # checked before
    record.left_out = machines.left_out()
    receiver, scraper = told.Told(), told.Scraper()
    children = Children(place.logs, environment(place.state, plan_path))
    observer: Observer | None = None
    screen.open()
    _up(machines, screen)
    try:
        children.environment |= machines.environment()
        observer = Observer(
            looker=Looker(machines.classic),
            tail=LedgerTail(place.ledgers),
            alive=children.check,
            roots=lambda: [os.getpid(), *machines.pids()],
            show=screen.show,
        )
        operator = Operator(children, place.operator_log)
        with _home(place.state), receiver.listening(), scraper.scraping():
            children.environment[told.RECEIVER] = receiver.url
            stage = Stage(
                *(plan, plan_path, plan.rehearsal, place, machines, children, operator, observer, screen, record),
                scraper=scraper,
            )
            _play(stage)
            _prove(stage)
    except MigratorError as error:
        record.problems.append(str(error))
        screen.fail(str(error))
    except KeyboardInterrupt:
        record.problems.append("interrupted")
        screen.fail("interrupted")
        raise
    finally:
        if observer is not None:
            observer.close()
            record.samples, record.spans = observer.samples, list(observer.spans.values())
            record.peak_mb = observer.peak_mb
        record.problems += [f"{name} had to be killed" for name in children.stop_all()]
        screen.close()
        if not keep:
            machines.down()
    record.ended = record.ended or time.monotonic()
    record.told = told.told_section(receiver, scraper, [(e.name, e.at) for e in record.events], began)
    if record.writes is None:
        record.ledger = read_ledgers(sorted(place.ledgers.glob("*.jsonl")))
    report = report_of(record)
    write_report(report, place)
    if report["ok"] and not keep:
        machines.remove()  # after a failure the servers' logs and data are wanted
    places = {"report": str(place.report_html), "values": str(place.report_json), "logs": str(place.logs)}
    if keep and isinstance(machines, LocalMachines):
        places["servers"] = f"MIGRATOR_HOME={place.state} (stop them with: migrator local down)"
    return RehearsalResult(report["ok"], report, places)


def _up(machines: Machines, screen: Screen) -> None:
    """Bring the servers up.

    Raises:
        MigratorError: they do not start, so there is nothing to report; what had started is stopped again.
    """
    line = screen.step(f"Classic, Limitless and Temporal {machines.start}")
    try:
        machines.up()
    except BaseException as error:
        with suppress(MigratorError):
            machines.down()
        if isinstance(error, MigratorError):
            screen.fail("they did not start")
        screen.close()
        raise
    screen.done(line)


def _play(stage: Stage) -> None:
    """The acts in order, from an empty cluster to the migration's end."""
    with stage.step("Demo data on classic") as detail:
        loaded = demo.load(stage.machines.classic, stage.settings)
        stage.record.demo = loaded
        stage.record.timings["load_rows_per_s"] = loaded.total_rows / loaded.seconds
        detail.append(f"{len(loaded.tenants)} tenants, {words.count(loaded.total_rows)} rows")
    acts.set_hostile_settings(stage)
    stage.operator.run("plan", "check", str(stage.plan_path))
    stage.observer.start()
    with stage.step("Workers, and the migration starts") as detail:
        for name in WORKERS:
            stage.start_worker(name)
        stage.operator.run("run", "--plan", str(stage.plan_path), "--yes")
        stage.wait("the control schema is installed", lambda s: s.facts.installed, 60)
        detail.append(f"{len(WORKERS)} processes")
    with stage.step("Application traffic through the shim") as detail:
        stage.operator.run("grant", roles.APPLICATION)
        stage.start_traffic(loaded)
        stage.wait_traffic("the traffic runs", 20, 20, 30)
        detail.append(f"{stage.settings.processes} processes, {stage.settings.threads} threads each")
    acts.through_audit_and_provision(stage)
    acts.kill_a_worker_in_the_backfill(stage)
    acts.cut_over_through_accidents(stage)
    acts.report_an_incident(stage)
    stage.record.waves = stage.observer.looker.waves()
    acts.compare_both_sides(stage)
    acts.approve_and_hand_over(stage)


def _prove(stage: Stage) -> None:
    """Stop the traffic, then check its ledger against Limitless."""
    record = stage.record
    with stage.step("Proof: the ledger against Limitless") as detail:
        record.ended = time.monotonic()
        record.problems += [f"{n} had to be killed" for n in stage.children.stop(stage.traffic_names)]
        ledger = read_ledgers(sorted(stage.workdir.ledgers.glob("*.jsonl")))
        record.ledger = ledger
        record.released = proof.uses_release(ledger)
        versions = proof.limitless_versions(stage.machines.limitless, released=any(map(any, record.released.values())))
        record.writes = proof.check_writes(ledger, versions)
        record.reads = proof.check_reads(ledger)
        _write_pause(record)
        detail.append(f"{words.count(record.writes.acknowledged)} acknowledged writes, {record.writes.lost} lost")
        detail.append(f"{words.count(record.reads.reads)} reads, {record.reads.missed} missed")


def _write_pause(record: Record) -> None:
    """Note the longest time without an acknowledged write around the hand-over, as the application saw it."""
    event = next((e for e in record.events if e.name == "handed_over"), None)
    if event is None or event.ended is None:
        return
    times = sorted(
        w.ended_at
        for w in record.ledger.writes
        if w.outcome is Outcome.ACKNOWLEDGED and w.ended_at and event.at - 1 <= w.ended_at <= event.ended + 1
    )
    gaps = [b - a for a, b in itertools.pairwise(times)]
    if gaps:
        record.timings["write_pause_s"] = max(gaps)


@contextmanager
def _home(state: Path) -> Iterator[None]:
    """Let references like local:classic mean this rehearsal's servers in this process too."""
    before = os.environ.get("MIGRATOR_HOME")
    os.environ["MIGRATOR_HOME"] = str(state)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MIGRATOR_HOME"]
        else:
            os.environ["MIGRATOR_HOME"] = before


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _machine() -> str:
    cores = os.cpu_count() or 1
    return f"{counted(cores, 'core')}, Python {platform.python_version()}, {platform.system()}"
