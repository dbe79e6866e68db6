"""Says what would refuse a plan, from classic alone, before there is a Limitless to ask."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.errors import PlanInvalid
from migrator.model.blocker import Blocker
from migrator.model.limits import parse_engine, supported_extensions
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision.design import design
from migrator.provision.read import read


def foresee(classic: psycopg.Connection[Any], plan: Plan) -> tuple[Blocker, ...]:
    """Return every problem that `plan check` and the design of the schema find; a Limitless may refuse more."""
    try:
        tables = resolve_tables(classic, plan.tables)
    except PlanInvalid as invalid:
        return tuple(Blocker("plan.invalid", plan.name, problem) for problem in invalid.problems)
    there = read(classic, list(plan.tables.schemas))
    engine = parse_engine(plan.limitless.engine_version)
    wanted = design(
        there,
        tables,
        available_extensions=supported_extensions(there.extensions, engine),
        acknowledged=plan.gates.acknowledged,
    )
    return wanted.blockers
