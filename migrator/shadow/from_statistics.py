"""Makes up calls of the statements of pg_stat_statements: with values of rows of chosen tenants as parameters.

The parameters of one call that stand for columns of one table come from one row, so that what it looks for is there.
Where the text does not say which column a parameter is compared with, a value of its type is made up.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from migrator.audit.catalog import SYSTEM_SCHEMAS, Relation
from migrator.audit.evidence.live import collect
from migrator.audit.explain.ask import NotAskedError, parameter_kinds, readable
from migrator.audit.explain.sample import Kind, value
from migrator.audit.own import is_marked
from migrator.grammar.parse import walk
from migrator.model.trace import Call
from migrator.plan.schema import Plan
from migrator.shadow.bindings import Binding, bindings, limits
from migrator.shadow.prepare import Preparer, Statement
from migrator.shadow.sampling import Sample

ROWS = 500
"""Rows of a tenant in one table among which values are chosen: the first that a scan finds."""

SOURCE = "pg_stat_statements"

Row = Mapping[str, str | None]


def read(
    conn: psycopg.Connection[Any], plan: Plan, tenants: Sequence[str], calls: int, sample: Sample, seed: int = 0
) -> str:
    """Offer *calls* calls of every statement to *sample*; return where they come from. Changes nothing.

    Args:
        conn: to classic, in autocommit, with a statement timeout.
    """
    evidence = collect(conn)
    rows = _Rows(conn, plan.tables.tenant_key)
    preparer = Preparer(evidence.catalog, plan.tables)
    path = [n for n in (*evidence.catalog.search_path, *plan.tables.schemas, "public") if n not in SYSTEM_SCHEMAS]
    chance = random.Random(seed)
    for raw in evidence.statements:
        if is_marked(raw.sql):
            continue
        try:
            text, _ = readable(raw.sql)
        except NotAskedError as error:
            sample.leave_out(str(error))
            continue
        statement = preparer.statement(text)
        if isinstance(statement, str):
            sample.leave_out(statement)
            continue
        maker = _Maker(conn, text, statement, bindings(statement.parsed, evidence.catalog), path, rows, chance)
        for number in range(calls):
            call = maker.call(tenants[number % len(tenants)], number + 1)
            if isinstance(call, str):
                sample.leave_out(call)
                break
            sample.offer(call)
    return SOURCE


@dataclass
class _Rows:
    """Rows of tenants, as texts; read once for each table and tenant."""

    conn: psycopg.Connection[Any]
    tenant_key: str
    _known: dict[tuple[str, str], list[Row]] = field(default_factory=dict)

    def of(self, relation: Relation, tenant: str) -> list[Row]:
        """Return some rows of *tenant* in *relation*, of anybody's where it has no tenant column."""
        key = (relation.qualified, tenant)
        if key not in self._known:
            self._known[key] = self._read(relation, tenant)
        return self._known[key]

    def _read(self, relation: Relation, tenant: str) -> list[Row]:
        columns = list(relation.columns)
        query = sql.SQL("SELECT {} FROM {} /* migrator */").format(
            sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(sql.Identifier(c)) for c in columns),
            sql.Identifier(relation.schema, relation.name),
        )
        if self.tenant_key in relation.columns:
            kind = sql.SQL(relation.columns[self.tenant_key].type)
            query += sql.SQL(" WHERE {} = {}::{}").format(sql.Identifier(self.tenant_key), sql.Literal(tenant), kind)
        query += sql.SQL(" LIMIT {}").format(sql.Literal(ROWS))
        with self.conn.transaction():
            self.conn.execute("SET TRANSACTION READ ONLY")
            return [dict(zip(columns, row, strict=True)) for row in self.conn.execute(query)]


@dataclass
class _Maker:
    """Makes up calls of one statement."""

    conn: psycopg.Connection[Any]
    text: str
    statement: Statement
    bound: Mapping[int, Binding]
    path: Sequence[str]
    rows: _Rows
    chance: random.Random
    _kinds: Sequence[Kind] = ()

    def call(self, tenant: str, attempt: int) -> Call | str:
        """Return a call of *tenant*, or why there is none."""
        numbers = {body["number"] for tag, body in walk(self.statement.parsed.body) if tag == "ParamRef"}
        if not numbers:
            return Call(self.text)
        keys = {int(key[1:]) for key in self.statement.keys if key.startswith("$")}
        rows: dict[str, Row] = {}
        given = limits(self.statement.parsed)
        values: list[str | None] = []
        for number in range(1, max(numbers) + 1):
            binding = self.bound.get(number)
            if number in keys or (binding and binding.column == self.rows.tenant_key and not binding.many):
                values.append(tenant)
            elif number in given:
                values.append(given[number])
            elif binding is not None:
                values.append(self._of_row(binding, tenant, rows))
            else:
                try:
                    values.append(self._other(number, attempt))
                except (psycopg.Error, NotAskedError):
                    return "the types of its parameters are not known"
        return Call(self.text, tuple(values), tenant=tenant if self.statement.keys else None)

    def _of_row(self, binding: Binding, tenant: str, rows: dict[str, Row]) -> str | None:
        relation = binding.relation
        found = self.rows.of(relation, tenant)
        if relation.qualified not in rows:
            rows[relation.qualified] = self.chance.choice(found) if found else {}
        value_of = rows[relation.qualified].get(binding.column)
        if not binding.many:
            return value_of
        several = [row[binding.column] for row in self.chance.sample(found, min(3, len(found)))]
        quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in several if v is not None]
        return "{" + ",".join(quoted) + "}"

    def _other(self, number: int, attempt: int) -> str | None:
        self._kinds = self._kinds or parameter_kinds(self.conn, self.text, tuple(self.path))
        return value(self._kinds[number - 1], number, attempt) if number <= len(self._kinds) else None
