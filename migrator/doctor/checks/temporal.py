"""Is Temporal there, keeps it what it must, does somebody poll every queue, and how long are histories?

What asks Temporal is in workflows/look.py, the only place that knows its client; it is handed in as `Look`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from migrator.doctor.check import Check
from migrator.doctor.checks.workers import STATUS, WITHOUT, runs
from migrator.doctor.facts import Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, unknown, warning

ORDER = 80

KEEP_DAYS = 90.0
"""How long closed workflows should be kept: as long as the stabilization, so that each step of it can be looked up."""

EVENTS = 10_240
EVENTS_END = 51_200
BYTES = 10 * 2**20
"""Temporal warns from these numbers on, and ends a workflow at 51,200 events or 50 MB."""

TRIES = 5


@dataclass(frozen=True, slots=True)
class Found:
    """The server and its namespace. retention_s: of closed workflows; None: it does not say."""

    address: str
    version: str
    namespace: str
    retention_s: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Polled:
    """A task queue, and how many pollers it had within the last minutes; workflows: None where it has none to run."""

    queue: str
    activities: int
    workflows: int | None


@dataclass(frozen=True, slots=True)
class Running:
    """A workflow that runs. tries: of its activity that failed most often, and why it did."""

    name: str
    events: int
    bytes: int
    activity: str = ""
    tries: int = 0
    failure: str = ""


class Look(Protocol):
    """Asks one Temporal server; raises ClusterUnavailable when made."""

    def found(self) -> Found: ...
    def polled(self) -> Sequence[Polled]: ...
    def running(self) -> Sequence[Running]: ...


def _found(look: Look, _plan: object) -> Found:
    return look.found()


def _polled(look: Look, _plan: object) -> Sequence[Polled]:
    return look.polled()


def _running(look: Look, _plan: object) -> Sequence[Running]:
    return look.running()


_ON = frozenset({Kind.TEMPORAL})
FOUND: Section[Found] = Section("the server", _ON, _found)
POLLED: Section[Sequence[Polled]] = Section("pollers of queues", _ON, _polled)
RUNNING: Section[Sequence[Running]] = Section("workflows", _ON, _running)


def judge_server(facts: Facts) -> Iterable[Finding]:
    for server, found in facts.each(FOUND):
        if isinstance(found, Unasked):
            if not found.heard:
                yield problem(
                    server.name,
                    found.why,
                    "no phase, gate or wave goes on, and no copy begins",
                    found.hint or "Start it, or correct temporal.address (MIGRATOR_TEMPORAL goes before it).",
                )
            continue
        yield ok(
            server.name,
            f"{found.address} answers in {found.seconds * 1000:.0f} ms: version {found.version or 'unknown'}, namespace"
            f" {found.namespace}",
        )
        yield retention(found)
        yield not_applicable(server.name, "search attributes: the tool's workflows use none")


def retention(found: Found) -> Finding:
    """Return whether closed workflows are kept for long enough. Pure."""
    if found.retention_s is None:
        return unknown("Temporal", "how long closed workflows are kept is not told")
    days = found.retention_s / 86_400
    if 0 < days < KEEP_DAYS:
        return warning(
            "Temporal",
            f"closed workflows of namespace {found.namespace} are kept for {days:g} days (at least {KEEP_DAYS:g})",
            "why a phase or a validation ended as it did cannot be looked up later; what runs is not touched by it",
            f"temporal operator namespace update -n {found.namespace} --retention {KEEP_DAYS:g}d",
        )
    return ok("Temporal", f"closed workflows are kept for {days:g} days" if days else "closed workflows are kept")


def judge_queues(facts: Facts) -> Iterable[Finding]:
    """Return which queues no worker polls, though a migration runs."""
    status = facts.known(STATUS, Kind.CLASSIC)
    for server, found in facts.each(POLLED):
        if isinstance(found, Unasked):
            continue
        if status is not None and not runs(status):
            yield not_applicable(server.name, "no migration runs, so no queue has to be polled")
            continue
        empty = [one for one in found if not one.activities or one.workflows == 0]
        for one in empty:
            queue = one.queue.rpartition(".")[2]
            yield problem(
                server.name,
                f"no worker polls {one.queue}",
                WITHOUT.get(queue, "what is sent there waits"),
                "Start one: migrator worker --plan PLAN.toml. If one runs, it uses another server or namespace.",
            )
        if not empty:
            yield ok(server.name, f"workers poll {some(one.queue for one in found)}")


def judge_running(facts: Facts) -> Iterable[Finding]:
    """Return workflows whose history grows too long, and activities that fail again and again."""
    for server, found in facts.each(RUNNING):
        if not isinstance(found, Unasked):
            yield from judge_histories(server.name, found)


def judge_histories(name: str, found: Sequence[Running]) -> Iterable[Finding]:
    """Return what a history or an activity says. Pure."""
    for one in found:
        if one.events > EVENTS or one.bytes > BYTES:
            yield warning(
                name,
                f"{one.name} has a history of {one.events:,} events and {one.bytes / 2**20:.1f} MB"
                f" (limits {EVENTS:,} and {BYTES / 2**20:g} MB)",
                f"Temporal ends a workflow at {EVENTS_END:,} events or 50 MB",
                "Report it as a bug: the tool's workflows continue as new before that.",
            )
        if one.tries >= TRIES:
            yield warning(
                name,
                f"{one.name}: activity {one.activity} is at try {one.tries}: {one.failure}",
                "the step is tried again until its cause is gone",
                "Correct the cause that it names; migrator status says what is blocked.",
            )
    if found:
        longest = max(found, key=lambda one: one.events)
        yield ok(
            name, f"{len(found)} workflows run; the longest history is {longest.name}'s, {longest.events:,} events"
        )
    else:
        yield not_applicable(name, "no workflow of this plan runs")


CHECKS = (
    Check("temporal.server", (FOUND,), judge_server),
    Check("temporal.queues", (POLLED, STATUS), judge_queues),
    Check("temporal.workflows", (RUNNING,), judge_running),
)
