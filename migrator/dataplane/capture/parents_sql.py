"""Finds the new parent of rows whose parent was deleted or got another key. Pure builders.

NO ACTION is checked at the end of the statement: a parent may be deleted, or get another key, and another row may take
its place in the same statement, by itself or by a trigger. Its children then belong to that row, and to its tenant,
although none of them was written. So the statement that frees a key that children refer to is asked which row has it
now. That is asked after the foreign key's own check, which comes before any trigger of a statement: where it let
children stay, the new parent exists. (A deferrable key is checked later. There every parent that comes counts as one
that has children.)

A cascade that a trigger of the application prevented leaves children without a parent: see
`migrator.dataplane.capture.orphans`.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.dataplane.capture import names
from migrator.dataplane.capture.keys_sql import NEW_ROWS, OLD_ROWS, linked
from migrator.model.table import Hop, Table

Others = Sequence[tuple[int, Table]]


def hops_to(table: Table, others: Others) -> list[tuple[Table, Hop]]:
    """Return the tables right below *table*, each with its hop."""
    return [(child, child.path[0]) for _, child in others if child.path and child.path[0].parent == table.qualified]


def all_enforced(table: Table, others: Others) -> bool:
    return all(hop.enforced for _, hop in hops_to(table, others))


def vacated(columns: Sequence[str], event: str) -> sql.Composed:
    """Return the SELECT of the values of *columns* that rows of a DELETE or UPDATE gave up."""
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    gone = sql.SQL("SELECT {} FROM {}").format(listed, OLD_ROWS)
    if event == "delete":
        return gone
    return sql.SQL("{} EXCEPT SELECT {} FROM {}").format(gone, listed, NEW_ROWS)


def successors(table: Table, others: Others, columns: Sequence[str], event: str) -> sql.Composed:
    """Return *columns* of the rows of *table* that have now what rows of the statement gave up."""
    listed = sql.SQL(", ").join(sql.Identifier("p", c) for c in columns)
    found = []
    for referenced in dict.fromkeys(hop.parent_columns for _, hop in hops_to(table, others)):
        # LATERAL and OFFSET: one probe of the unique index for each, however many the plan was made for.
        found.append(
            sql.SQL(
                "SELECT s.* FROM ({}) AS v CROSS JOIN LATERAL (SELECT {} FROM {} AS p WHERE {} OFFSET 0) AS s"
            ).format(
                vacated(referenced, event),
                listed,
                names.table_identifier(table.qualified),
                sql.SQL(" AND ").join(
                    sql.SQL("{} {} {}").format(
                        sql.Identifier("p", c), sql.SQL(table.column(c).equality), sql.Identifier("v", c)
                    )
                    for c in referenced
                ),
            )
        )
    return sql.SQL("({})").format(sql.SQL(" UNION ").join(found))


def left_behind(table: Table, others: Others, event: str) -> sql.Composed | None:
    """Return the SELECT of children under an enforced key whose parent's place no other row took."""
    found = []
    for child, hop in hops_to(table, others):
        if hop.enforced:
            found.append(
                sql.SQL(
                    "SELECT FROM ({}) AS v CROSS JOIN LATERAL (SELECT FROM {} AS c WHERE {} AND NOT EXISTS"
                    " (SELECT FROM {} AS p WHERE {}) LIMIT 1) AS s"
                ).format(
                    vacated(hop.parent_columns, event),
                    names.table_identifier(child.qualified),
                    linked("v", hop, "c"),
                    names.table_identifier(table.qualified),
                    linked("p", hop, "c"),
                )
            )
    return sql.SQL(" UNION ALL ").join(found) if found else None
