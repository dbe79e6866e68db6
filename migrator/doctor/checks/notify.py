"""Is somebody told when something needs a person: are there receivers, their secrets, a sender, and do they take it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrator import settings
from migrator.control import notify as stored
from migrator.control.install import VERSION, installed_version
from migrator.control.notify import Holder, ReceiverRow
from migrator.doctor.check import Check
from migrator.doctor.checks.workers import STATUS, runs
from migrator.doctor.facts import Facts, Kind, Section
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, warning
from migrator.doctor.server import Connection
from migrator.errors import MigratorError
from migrator.plan.schema import Plan

ORDER = 95

TRY = "migrator notify test"


@dataclass(frozen=True, slots=True)
class Fares:
    """Who sends, and how each receiver fares that was sent something."""

    holder: Holder
    receivers: tuple[ReceiverRow, ...]


def _fares(conn: Connection, _plan: Plan | None) -> Fares | None:
    if installed_version(conn) != VERSION:
        return None
    return Fares(stored.holder(conn), tuple(stored.receivers(conn)))


FARES: Section[Fares | None] = Section("notifications", frozenset({Kind.CLASSIC}), _fares)


def _secrets(_link: object, plan: Plan | None) -> Mapping[str, str]:
    """Return, of receivers whose secret cannot be found here, why; never a value."""
    missing = {}
    for name, receiver in plan.notify.receiver.items() if plan is not None else ():
        try:
            for reference in receiver.references:
                settings.secret(reference)
        except MigratorError as error:
            missing[name] = str(error)
    return missing


SECRETS: Section[Mapping[str, str]] = Section("secrets of receivers", frozenset({Kind.HERE}), _secrets)


def judge_receivers(facts: Facts) -> Iterable[Finding]:
    if facts.plan is None:
        return
    names = list(facts.plan.notify.receiver)
    if not names:
        yield warning(
            "receivers",
            "the plan names none, so no person is told of anything",
            "a gate that waits, a divergence, a rollback is seen by those alone who look",
            "Add [notify.receiver.NAME] to the plan: docs/notifications.md",
        )
        return
    missing = facts.known(SECRETS, Kind.HERE) or {}
    for name, why in missing.items():
        yield warning(
            f"receiver {name}", why, "a process with this environment cannot send to it", f"Set it, then: {TRY}"
        )
    found = facts.known(FARES, Kind.CLASSIC)
    failing = {row.receiver: row for row in found.receivers if row.failing_since is not None} if found else {}
    for name in names:
        if name in failing:
            yield fares(failing[name])
    well = [name for name in names if name not in missing and name not in failing]
    if well:
        yield ok("receivers", some(well))


def fares(row: ReceiverRow) -> Finding:
    """Return what it means that a receiver takes nothing. Pure."""
    waits = f"{row.waiting:,} wait, {row.given_up:,} were given up"
    text = f"has taken nothing for {row.failing_s or 0:.0f} s ({row.tries} tries): {row.problem}; {waits}"
    return problem(
        f"receiver {row.receiver}", text, "who is told by it is told nothing", f"{TRY} --receiver {row.receiver}"
    )


def judge_sender(facts: Facts) -> Iterable[Finding]:
    status, found = facts.known(STATUS, Kind.CLASSIC), facts.known(FARES, Kind.CLASSIC)
    if facts.plan is None or status is None:
        return
    if not facts.plan.notify.receiver:
        yield not_applicable("sender", "the plan names no receiver")
    elif found is None or not runs(status):
        yield not_applicable("sender", "no migration goes on")
    elif found.holder.left_s > 0:
        yield ok("sender", f"{found.holder.name} sends")
    else:
        yield problem(
            "sender",
            "no process sends notifications now",
            "nothing is told, not even that no worker runs",
            "Start a worker, or the server: migrator worker, migrator serve",
        )


CHECKS = (
    Check("notify.receivers", (SECRETS, FARES), judge_receivers),
    Check("notify.sender", (STATUS, FARES), judge_sender),
)
