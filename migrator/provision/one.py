"""Provisions one new object on Limitless during dual write, for schema changes.

By the rules and with the records of provisioning: undoing the provisioning drops it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import provisioned
from migrator.model.blocker import Blocker
from migrator.model.table import Table, split_qualified
from migrator.plan.schema import Plan
from migrator.provision.compare import MISSING, differences
from migrator.provision.ddl_sql import Record, Step, foreign_key_steps, steps
from migrator.provision.design import Design, design
from migrator.provision.read import available_extensions, read, routers
from migrator.provision.records import record_made
from migrator.provision.rights import grant_steps, role_steps
from migrator.rights import check as rights_check
from migrator.rights import read as rights

Conn = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Look:
    """Steps that Limitless lacks, by label; blockers; differences."""

    steps: Mapping[str, Step]
    blockers: frozenset[Blocker]
    differences: frozenset[Blocker]

    def since(self, before: Look) -> Look:
        """Return what was added since *before*."""
        return Look(
            {label: step for label, step in self.steps.items() if label not in before.steps},
            self.blockers - before.blockers,
            frozenset(d for d in self.differences - before.differences if d.code != MISSING),
        )


def look(classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan) -> Look:
    """Compare what Limitless should hold for *tables* with what it holds."""
    wanted = _wanted(classic, limitless, tables, plan)
    existing = read(limitless, list(plan.tables.schemas))
    return Look(
        {step.label: step for step in steps(wanted.catalog, existing)},
        frozenset(wanted.blockers),
        frozenset(differences(wanted.catalog, existing)),
    )


def _wanted(classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan) -> Design:
    return design(
        read(classic, list(plan.tables.schemas)),
        tables,
        available_extensions=available_extensions(limitless, plan.limitless.engine_version),
        acknowledged=plan.gates.acknowledged,
        routers=routers(limitless),
    )


def link_steps(classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, qualified: str) -> list[Step]:
    """Return the foreign keys that *qualified* lacks on Limitless; none before those of the other tables are made."""
    wanted = _wanted(classic, limitless, tables, plan)
    keys = wanted.catalog.foreign_keys
    named = {(k.table[0], k.table[1], k.name) for k in keys}
    made = {(m.schema, m.detail, m.name) for m in provisioned.made(limitless) if m.kind == "constraint"}
    if not named & made:
        return []
    mine = [k for k in keys if k.table == split_qualified(qualified)]
    return foreign_key_steps(mine, read(limitless, list(plan.tables.schemas)).foreign_keys)


def right_steps(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, made: Sequence[tuple[str, str, str]]
) -> list[Step]:
    """Return the grants that Limitless lacks on what was *made*: (kind, schema, name), and the roles they name."""
    schemas = list(plan.tables.schemas)
    catalog = _wanted(classic, limitless, tables, plan).catalog
    only = replace(
        catalog,
        schemas=frozenset(),
        routines=(),
        tables={n: t for n, t in catalog.tables.items() if ("table", t.schema, t.name) in made},
        sequences=tuple(s for s in catalog.sequences if ("sequence", s.schema, s.name) in made),
        types=tuple(t for t in catalog.types if ("type", t.schema, t.name) in made),
    )
    here = rights.read(classic, schemas, effective=False)
    there = rights.read(limitless, schemas, roles=here.roles, effective=False)
    return role_steps(here, there) + grant_steps(here, there, only, tables)


def rights_differ(classic: Conn, limitless: Conn, plan: Plan) -> tuple[Blocker, ...]:
    """Compare the rights of both sides, and keep the result for status."""
    return rights_check.check(classic, limitless, list(plan.tables.schemas), plan.gates.acknowledged)


def make(
    conn: Conn, record: Record, statements: Sequence[sql.SQL | sql.Composed], settings: Mapping[str, str] | None = None
) -> None:
    """Make one object in the caller's transaction on Limitless, with its record."""
    provisioned.only_maker(conn)
    for name, value in (settings or {}).items():
        conn.execute(sql.SQL("SET LOCAL {} = {}").format(_setting(name), sql.Literal(value)))
    for statement in statements:
        conn.execute(statement)
    for name in settings or {}:  # inside a caller's transaction they would apply to the next step too
        conn.execute(sql.SQL("SET LOCAL {} TO DEFAULT").format(_setting(name)))
    record_made(conn, record)


def _setting(name: str) -> sql.Composable:
    return sql.SQL(".").join(map(sql.Identifier, name.split(".")))
