"""Why does the mirror need a column? Pure."""

from __future__ import annotations

from collections.abc import Mapping

from migrator.model.table import Table


def needed_by_mirror(tables: Mapping[str, Table], qualified: str, column: str) -> str:
    """Return why the mirror needs a column, '' where it does not."""
    table = tables[qualified]
    if column in table.key:
        return "part of the key"
    if not table.derived and column == table.tenant_source:
        return "the tenant key"
    for other in tables.values():
        at = other.qualified
        for hop in other.path:
            if (at == qualified and column in hop.columns) or (
                hop.parent == qualified and column in hop.parent_columns
            ):
                return f"on the path from {other.qualified} to its tenant"
            at = hop.parent
        if other.path and at == qualified and column == other.tenant_source:
            return f"the tenant key of {other.qualified}"
    return ""
