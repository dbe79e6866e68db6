"""Adds captured tables that the plan does not name to it, described as capture knows them.

A table that was created during dual write (`migrator schema apply`) is described by capture's records, so that no
worker needs another plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from migrator.errors import PlanInvalid
from migrator.model.table import Table
from migrator.plan.schema import TablePlan, Tables


def entry_of(table: Table, tenant_key: str) -> TablePlan:
    """Return the entry that leads to *table* as it is captured."""
    via = tenant_column = None
    if table.path:
        hop = table.path[0]
        first, *others = hop.parent_columns
        via = f"{', '.join(hop.columns)} -> {', '.join((f'{hop.parent}.{first}', *others))}"
    elif table.sharded and table.tenant_source != tenant_key:
        tenant_column = table.tenant_source
    return TablePlan(kind=table.kind.value, via=via, tenant_column=tenant_column, key=list(table.key))


def parse_entry(values: Mapping[str, Any]) -> TablePlan:
    """Return the entry that *values* describe.

    Raises:
        PlanInvalid: they do not describe a table.
    """
    try:
        return TablePlan(**values)
    except ValidationError as error:
        problems = [": ".join([*map(str, e["loc"]), e["msg"].removeprefix("Value error, ")]) for e in error.errors()]
        raise PlanInvalid("this is not a table entry of a plan", problems) from None


def with_captured(tables: Tables, captured: Iterable[Table]) -> Tables:
    """Return *tables* with an entry for every captured table that it does not name."""
    entries = {t.qualified: entry_of(t, tables.tenant_key) for t in captured if t.qualified not in tables.table}
    return tables.model_copy(update={"table": {**entries, **tables.table}})
