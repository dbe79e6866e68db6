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


def says_the_same(entry: TablePlan, table: Table, tenant_key: str) -> bool:
    """Return whether *entry* describes *table* as it is captured; a key that it leaves out is the captured one."""
    known = entry_of(table, tenant_key)
    if entry.kind != known.kind or entry.key not in (None, known.key):
        return False
    if known.via is None or entry.via is None:
        column = entry.tenant_column or tenant_key
        return known.via == entry.via and (entry.kind != "sharded" or column == table.tenant_source)
    (columns, target), (known_columns, known_target) = _halves(entry.via), _halves(known.via)
    # a parent may be named without its schema
    return columns == known_columns and (
        target == known_target or target == [known_target[0].partition(".")[2], *known_target[1:]]
    )


def _halves(via: str) -> tuple[list[str], list[str]]:
    left, _, right = via.partition("->")
    return [c.strip() for c in left.split(",")], [c.strip() for c in right.split(",")]
