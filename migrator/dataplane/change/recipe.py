"""Writes out how a change is made in steps that applications live through, where one statement would not do. Pure.

Every step is a file of its own for `migrator schema apply`, or a release of the application.
"""

# ruff: noqa: S608 - these texts look like statements, and are advice for people: nothing here is run

from __future__ import annotations

from psycopg import sql

from migrator.model.table import Table, split_qualified

_FILL = "fill the rows in batches of some thousands by their key"


def _name(qualified: str) -> str:
    return sql.Identifier(*split_qualified(qualified)).as_string(None)


def _column(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _numbered(*steps: str) -> str:
    return "; ".join(f"({number}) {step}" for number, step in enumerate(steps, 1))


def other_type(table: str, column: str, wanted: str) -> str:
    """Return the way from a column to one of another type."""
    new = f"{column}_new"
    return "in steps: " + _numbered(
        f"ALTER TABLE {_name(table)} ADD COLUMN {_column(new)} {wanted}",
        "release the application so that it writes both columns",
        f"{_FILL}: UPDATE {_name(table)} SET {_column(new)} = {_column(column)}::{wanted} WHERE {_column(new)} IS NULL"
        f" AND {_column(column)} IS NOT NULL AND …",
        f"bring indexes, constraints and the default over to {_column(new)}",
        f"release the application so that it uses {_column(new)} alone",
        f"ALTER TABLE {_name(table)} DROP COLUMN {_column(column)}",
    )


def rename_column(table: Table | None, qualified: str, column: str, wanted: str) -> str:
    """Return the way from one name of a column to another."""
    found = [c.type for c in table.columns if c.name == column] if table is not None else []
    return "the application would have to change at that very moment. In steps: " + _numbered(
        f"ALTER TABLE {_name(qualified)} ADD COLUMN {_column(wanted)} {found[0] if found else '<its type>'}",
        f"release the application so that it writes both and still reads {_column(column)}",
        f"{_FILL}: UPDATE {_name(qualified)} SET {_column(wanted)} = {_column(column)}"
        f" WHERE {_column(wanted)} IS DISTINCT FROM {_column(column)} AND …",
        f"bring indexes, constraints and the default over to {_column(wanted)}",
        f"release the application so that it uses {_column(wanted)} alone",
        f"ALTER TABLE {_name(qualified)} DROP COLUMN {_column(column)}",
    )


def rename_table(qualified: str, wanted: str) -> str:
    """Return the way from one name of a table to another."""
    schema, _ = split_qualified(qualified)
    view = sql.Identifier(schema, wanted).as_string(None)
    return "capture, the plan and Limitless know it by its name. In steps: " + _numbered(
        f"CREATE VIEW {view} AS SELECT * FROM {_name(qualified)} (a simple view can be written to)",
        f"release the application so that it uses {view}",
        "rename the table itself when dual write is over",
    )


def rename_label(enum: str, label: str, wanted: str) -> str:
    """Return the way from one value of an enum to another."""
    old, new = (sql.Literal(v).as_string(None) for v in (label, wanted))
    return "rows hold it on both sides, which would disagree in between. In steps: " + _numbered(
        f"ALTER TYPE {_name(enum)} ADD VALUE {new} BEFORE {old}",
        "release the application so that it understands both and writes the new one",
        f"move the rows in batches: UPDATE … SET … = {new} WHERE … = {old} AND …",
    )


def new_key(table: Table, what: str) -> str:
    """Say what another key would cost."""
    return (
        f"{what} is what {table.qualified} is migrated by ({', '.join(table.key)}): the journal, every copied row and"
        " the table on Limitless depend on it. It would take: migrator undo dual-write, the change on classic, migrator"
        " provision, and copying every table again. A second unique key is possible: CREATE UNIQUE INDEX"
    )


def own_tenant(table: Table, column: str) -> str:
    """Say what it would take that a table whose tenant comes from another one gets a tenant key of its own."""
    way = " -> ".join(hop.parent for hop in table.path)
    return (
        f"Limitless has this column: rows of {table.qualified} get their tenant from {way}. Give the column another"
        " name. For the tenant key itself it would take: migrator undo dual-write, the column on classic, filled;"
        f" {column} instead of via in the plan; migrator provision, and copying the table again"
    )
