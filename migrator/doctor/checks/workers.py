"""Do workers run, all of one release and of the stored plan, for every task queue; and do applications' processes?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migrator.control.install import installed_version, version_problem
from migrator.control.status import collect
from migrator.control.workers import SILENT_S, Worker, living
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, warning
from migrator.doctor.server import Connection
from migrator.model.status import Status
from migrator.plan.schema import Plan

ORDER = 90

QUEUES = ("incident", "control", "mirror", "bulk")
"""As in workflows.names; what each does is in `WITHOUT`."""

WITHOUT = {
    "incident": "nothing watches breakers, and rollbacks wait for commands",
    "control": "no phase, gate or wave goes on",
    "mirror": "Limitless falls behind, and reads fall back to classic",
    "bulk": "nothing is copied",
}


def _status(conn: Connection, _plan: Plan | None) -> Status:
    return collect(conn, events=1)


STATUS: Section[Status] = Section("the migration's state", frozenset({Kind.CLASSIC}), _status)


def _living(conn: Connection, _plan: Plan | None) -> tuple[Worker, ...]:
    version = installed_version(conn)
    return () if version is None or version_problem(version, "classic") else tuple(living(conn))


WORKERS: Section[tuple[Worker, ...]] = Section("workers", frozenset({Kind.CLASSIC}), _living)


def runs(status: Status) -> bool:
    """Return whether there is a migration that workers should go on with. Pure."""
    ended = all(line.state in ("done", "undone", "pending") for line in status.phases)
    return status.installed and status.plan is not None and not (ended and _last_done(status))


def _last_done(status: Status) -> bool:
    return bool(status.phases) and status.phases[-1].state == "done"


def judge_workers(facts: Facts) -> Iterable[Finding]:
    status, workers = facts.known(STATUS, Kind.CLASSIC), facts.known(WORKERS, Kind.CLASSIC)
    if status is None or workers is None:
        return
    if not runs(status):
        over = status.installed and status.plan is not None
        yield not_applicable("workers", "the migration is over" if over else "no migration was started")
        return
    alone = facts.plan is not None and facts.plan.is_local
    yield from judge_living(workers, alone=alone)
    for blocker in status.outdated_workers:
        yield problem("workers", str(blocker), "it refuses to work, and gates stay shut", "Restart it as it says.")


def judge_living(workers: Sequence[Worker], *, alone: bool = False) -> Iterable[Finding]:
    """Return whether every queue is served, and by more than one. Pure.

    Args:
        alone: one worker is enough: a rehearsal on this machine.
    """
    start = "Start one: migrator worker --plan PLAN.toml; docs/cli.md says which queues it may serve."
    if not workers:
        yield problem(
            "workers",
            f"none has been heard of within {SILENT_S:g} s",
            "nothing goes on: no mirror, no copy, no gate; reads fall back to classic",
            start,
        )
        return
    served = {queue: [w.worker_id for w in workers if queue in w.queues] for queue in QUEUES}
    for queue, by in served.items():
        if not by:
            yield problem("workers", f"none of {len(workers)} serves the queue {queue}", WITHOUT[queue], start)
    single = [queue for queue, by in served.items() if len(by) == 1]
    if single and not alone:
        yield warning(
            "workers",
            f"one worker alone serves {some(single)}",
            "when it ends, nothing goes on until somebody starts another",
            "Start a second one, on another machine.",
        )
    if all(served.values()) and (alone or not single):
        yield ok("workers", f"{len(workers)} run, every queue is served: {some(w.worker_id for w in workers)}")


def judge_processes(facts: Facts) -> Iterable[Finding]:
    """Return which processes of applications are silent or behind with routes."""
    status = facts.known(STATUS, Kind.CLASSIC)
    if status is None or not runs(status):
        return
    live = [process for process in status.processes if process.live]
    silent = [f"{p.name} ({p.process_id})" for p in status.processes if not p.live]
    behind = [f"{p.name} ({p.process_id})" for p in live if p.behind]
    if not status.processes:
        text = "no process has reported yet: none runs the shim, or it lacks rights"
        if status.write_mode == "classic_only":
            yield not_applicable("processes", text)
        else:
            yield warning(
                "processes",
                text,
                "reads cannot be moved without it",
                "Open migrator.shim.Shim in the application, and run migrator grant ROLE for its role.",
            )
    elif live and not behind and not silent:
        yield ok("processes", f"{len(live)} run the shim and know every route")
    if behind:
        yield warning(
            "processes",
            f"{some(behind)} have not confirmed the last changes of routes",
            "changes wait for them, or for their staleness limit",
            "Look at their logs and at their connection to classic.",
        )
    if silent:
        yield warning(
            "processes",
            f"{some(silent)} are silent",
            "they ended without saying so, or cannot reach classic; they read classic by themselves",
            "Look whether they run; the tool forgets them after a while.",
        )


def judge_version(facts: Facts) -> Iterable[Finding]:
    """Return workflows that have ended, and whose task it is to begin them again."""
    status = facts.known(STATUS, Kind.CLASSIC)
    for blocker in status.stopped if status else ():
        yield problem("workflows", str(blocker), "what it did is not done any more", "migrator resume")


def judge_journal(facts: Facts) -> Iterable[Finding]:
    """Return how large the journal is, against its limit."""
    status = facts.known(STATUS, Kind.CLASSIC)
    if status is None:
        return
    if not status.installed or status.write_mode in ("classic_only", "limitless_only"):
        yield not_applicable("journal", "nothing is captured")
        return
    limit_mb = facts.plan.dual_write.journal_limit_mb if facts.plan else 4096.0
    text = f"{status.journal_mb:,.0f} MB (dual_write.journal_limit_mb is {limit_mb:,.0f})"
    if status.journal_mb > limit_mb:
        yield problem(
            "journal", text, "copies pause, and classic's disk fills", "migrator mirror status says what retains it"
        )
    elif status.journal_mb > limit_mb / 2:
        yield warning("journal", text, "above the limit copies pause", "migrator mirror status says what retains it")
    else:
        yield ok("journal", text)


CHECKS = (
    Check("workers.living", (STATUS, WORKERS), judge_workers),
    Check("workers.workflows", (STATUS,), judge_version),
    Check("workers.processes", (STATUS,), judge_processes),
    Check("workers.journal", (STATUS,), judge_journal),
)
