"""Who else uses classic, and will both sides last? What gates ask before dual write and before the end."""

from __future__ import annotations

from collections.abc import Iterable

from migrator.control.install import VERSION, installed_version
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, warning
from migrator.doctor.server import Connection
from migrator.plan.schema import Plan
from migrator.preflight import judge
from migrator.preflight.facts import PreflightFacts
from migrator.preflight.look import limits, read

ORDER = 87


def _read(conn: Connection, plan: Plan | None) -> PreflightFacts | None:
    if plan is None:
        return None
    return read(conn, None, plan, with_control=installed_version(conn) == VERSION)


USERS: Section[PreflightFacts | None] = Section("who uses classic", frozenset({Kind.CLASSIC}), _read)


def judge_users(facts: Facts) -> Iterable[Finding]:
    plan = facts.plan
    for _, found in facts.each(USERS):
        if plan is None or isinstance(found, Unasked) or found is None:
            continue
        if not plan.asks_preflight:
            yield not_applicable("preflight", "a plan for rehearsals, or one that says preflight.gate = false")
            continue
        # Limitless and AWS have groups of their own.
        said = judge.findings(found, limits(plan), plan.gates.acknowledged)
        for one in said:
            if one.subject == "Limitless":
                continue
            if one.stages and not one.acknowledged:
                why = (
                    "the gate before the decommission refuses"
                    if one.stages == judge.AT_THE_END
                    else ("the gates before dual write and before the decommission refuse")
                )
                yield warning("preflight", one.text, why, f"{one.do}; or acknowledge {one.name}")
            else:
                yield ok("preflight", one.text)


CHECKS = (Check("preflight.users", (USERS,), judge_users),)
