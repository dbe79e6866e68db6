"""Is there a plan, is it the one that runs, and does everybody mean the same classic?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from migrator import settings
from migrator.control import plan as store
from migrator.control.install import installed_version, version_problem
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, unknown, warning
from migrator.doctor.reach import effective, where
from migrator.doctor.server import Connection
from migrator.errors import MigratorError
from migrator.plan.load import differences, digest, from_earlier
from migrator.plan.schema import Plan

ORDER = 10


@dataclass(frozen=True, slots=True)
class Stored:
    """The plan on classic; None: nothing was started there, or its tables are of another version."""

    plan: Plan | None
    digest: str = ""
    earlier: tuple[str, ...] = ()


def _stored(conn: Connection, _plan: Plan | None) -> Stored:
    version = installed_version(conn)
    found = None if version is None or version_problem(version, "classic") else store.following(conn)
    return Stored(None) if found is None else Stored(from_earlier(found.body), found.digest, tuple(found.earlier))


STORED: Section[Stored] = Section("the stored plan", frozenset({Kind.CLASSIC}), _stored)


@dataclass(frozen=True, slots=True)
class Named:
    """Where the environment and the plan say that classic is, without passwords; None where either does not say."""

    by_environment: str | None
    by_plan: str | None


def _named(_link: object, plan: Plan | None) -> Named:
    return Named(
        _where(_resolved(f"env:{settings.CLASSIC_DSN}")), _where(_resolved(plan.classic.writer) if plan else None)
    )


def _resolved(reference: str) -> str | None:
    try:
        return settings.resolve(reference)
    except MigratorError:
        return None


def _where(dsn: str | None) -> str | None:
    if dsn is None:
        return None
    try:
        given: Mapping[str, object] = effective(dsn)
    except psycopg.ProgrammingError:
        return None
    return where({key: value for key, value in given.items() if key != "user"})


NAMED: Section[Named] = Section("names of classic", frozenset({Kind.HERE}), _named)


def judge_file(facts: Facts) -> Iterable[Finding]:
    """Return whether the plan can be used, and whether it is the one that runs."""
    if facts.plan is None:
        for text in facts.problems:
            where_ = facts.source or "plan"
            yield problem(
                where_,
                text,
                "without a plan only this machine and classic can be asked",
                "Give --plan PLAN.toml, or set MIGRATOR_CLASSIC_DSN where one runs; migrator plan check lists what is"
                " wrong with a file.",
            )
        return
    stored = facts.known(STORED, Kind.CLASSIC)
    if stored is None:
        yield unknown(facts.source, f"plan {facts.plan.name}; whether it is the one that runs is unknown")
    elif stored.plan is None:
        yield ok(facts.source, f"plan {facts.plan.name}; nothing was started on classic with it yet")
    else:
        yield _compared(facts.source, facts.plan, stored.plan, stored)


def _compared(source: str, given: Plan, runs: Plan, stored: Stored) -> Finding:
    if given.name != runs.name:
        return problem(
            source,
            f"plan {given.name}, and plan {runs.name} runs on this classic",
            "one plan owns a cluster; workers of another one refuse to work",
            f"Use the plan {runs.name}: migrator plan show, without --plan and with MIGRATOR_CLASSIC_DSN.",
        )
    differ = [line.partition(":")[0] for line in differences(given, runs)]
    if not differ:
        return ok(source, f"plan {given.name}, digest {digest(given)[:12]}, is the one that runs")
    return warning(
        source,
        f"{len(differ)} values differ from the plan that runs: {some(differ)}",
        "workers and commands without --plan follow the stored plan, so the file says what is not in force",
        f"migrator plan diff --plan {source}, then migrator plan apply, or correct the file",
    )


def judge_named(facts: Facts) -> Iterable[Finding]:
    """Return whether rollback, which needs no plan, acts on the plan's classic."""
    named = facts.known(NAMED, Kind.HERE)
    if named is None or named.by_environment is None:
        yield not_applicable("MIGRATOR_CLASSIC_DSN", "is not set; commands find classic by the plan")
    elif named.by_plan is None:
        yield ok("MIGRATOR_CLASSIC_DSN", f"names {named.by_environment}")
    elif named.by_environment == named.by_plan:
        yield ok("MIGRATOR_CLASSIC_DSN", f"names {named.by_environment}, as the plan does")
    else:
        yield warning(
            "MIGRATOR_CLASSIC_DSN",
            f"names {named.by_environment}, the plan {named.by_plan}",
            "commands without --plan, rollback among them, act on the former",
            "Set it to the server of classic.writer, or unset it.",
        )


def judge_governance(facts: Facts) -> Iterable[Finding]:
    """Return whether it is known who approves."""
    stored = facts.known(STORED, Kind.CLASSIC)
    plan = (stored.plan if stored else None) or facts.plan
    if plan is None:
        return
    governance = plan.governance
    if not governance.required:
        yield warning(
            "approvals",
            "are not authenticated: any name that is given counts",
            "who approved a gate is what they said they are called; an audit will not take it",
            'Set governance.authentication = "required", with approvers: docs/governance.md.',
        )
        return
    two = f"; two people for {', '.join(governance.four_eyes)}" if governance.four_eyes else ""
    yield ok("approvals", f"are authenticated, by {len(governance.approver)} approvers{two}")


CHECKS = (
    Check("plan.file", (STORED,), judge_file),
    Check("plan.classic", (NAMED,), judge_named),
    Check("plan.governance", (STORED,), judge_governance),
)
