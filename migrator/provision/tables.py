"""Returns the tables that migrate: the captured ones, or before capture those of the plan."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.install import installed_version
from migrator.control.tables import captured_tables
from migrator.model.table import Table
from migrator.plan.schema import Tables
from migrator.plan.tables import resolve_tables


def tables_in_force(classic: psycopg.Connection[Any], tables: Tables) -> tuple[Table, ...]:
    """Return the captured tables; before capture, those that the plan means.

    Once capture is on, the catalog is not read again for them: a table created later would be taken for
    one whose rows are mirrored.

    Raises:
        PlanInvalid: nothing is captured, and the plan does not fit the catalog.
    """
    captured = tuple(captured_tables(classic).values()) if installed_version(classic) is not None else ()
    return captured or resolve_tables(classic, tables)
