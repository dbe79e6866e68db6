"""Compares what classic and Limitless hold, for any choice of tables; both catalogs are read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from migrator.catalog.values import Catalog
from migrator.model.table import Table
from migrator.plan.schema import Plan
from migrator.provision.compare import MISSING, differences
from migrator.provision.ddl_sql import steps
from migrator.provision.design import Design, design
from migrator.provision.one import Look
from migrator.provision.read import available_extensions, read, routers
from migrator.provision.records import completed_from_records

Conn = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Sides:
    """Both catalogs, and what a design of Limitless depends on besides."""

    plan: Plan
    limitless: Conn
    classic: Catalog
    there: Catalog
    extensions: frozenset[str]
    routers: int

    @classmethod
    def read(cls, classic: Conn, limitless: Conn, plan: Plan) -> Self:
        schemas = list(plan.tables.schemas)
        return cls(
            plan,
            limitless,
            read(classic, schemas),
            read(limitless, schemas),
            available_extensions(limitless, plan.limitless.engine_version),
            routers(limitless),
        )

    def wanted(self, tables: Sequence[Table]) -> Design:
        """Return what Limitless should hold for *tables*."""
        return design(
            self.classic,
            tables,
            available_extensions=self.extensions,
            acknowledged=self.plan.gates.acknowledged,
            routers=self.routers,
        )

    def existing(self, wanted: Catalog) -> Catalog:
        """Return what Limitless holds, with what its catalog does not show taken from the tool's records."""
        return completed_from_records(self.limitless, self.there, wanted)

    def look(self, tables: Sequence[Table]) -> Look:
        """Return what Limitless lacks for *tables*, what an operator must decide, and what differs there."""
        found = self.wanted(tables)
        existing = self.existing(found.catalog)
        return Look(
            {step.label: step for step in steps(found.catalog, existing)},
            frozenset(found.blockers),
            frozenset(d for d in differences(found.catalog, existing) if d.code != MISSING),
        )
