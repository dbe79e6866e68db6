"""Builds the statements that count rows per tenant. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from migrator.audit.shardkey.shape import Step

MARK = sql.SQL("/* migrator:audit */")
"""Keeps the audit's own statements out of the next audit."""


@dataclass(frozen=True, slots=True)
class Count:
    """One table to count.

    Attributes:
        path: steps to the table that has the tenant column; empty when it has it.
        key: the tenant column of the last table of the path.
        sample_pct: share of blocks to read; None reads all.
        recent_xids: rows written by the last so many transactions count as recent writes.
    """

    table: str
    key: str
    path: tuple[Step, ...] = ()
    sample_pct: float | None = None
    recent_xids: int = 0


def _table(name: str) -> sql.Identifier:
    schema, _, table = name.partition(".")
    return sql.Identifier(schema, table)


def per_tenant(count: Count) -> sql.Composed:
    """Build: tenant (text, NULL for none), rows, recent rows, rows whose parent is missing."""
    sample: sql.Composable = sql.SQL("")
    if count.sample_pct is not None:
        sample = sql.SQL(" TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(count.sample_pct))
    joins: list[sql.Composable] = []
    last = "t0"
    missing: sql.Composable = sql.SQL("0")
    for number, step in enumerate(count.path, 1):
        alias = f"t{number}"
        joins.append(
            sql.SQL(" LEFT JOIN {} AS {} ON {}").format(
                _table(step.parent),
                sql.Identifier(alias),
                sql.SQL(" AND ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(alias, up), sql.Identifier(last, down))
                    for down, up in zip(step.columns, step.parent_columns, strict=True)
                ),
            )
        )
        missing = sql.SQL("count(*) FILTER (WHERE {} IS NULL)").format(sql.Identifier(alias, step.parent_columns[0]))
        last = alias
    return sql.SQL(
        "SELECT {}::text, count(*), count(*) FILTER (WHERE age(t0.xmin) BETWEEN 0 AND {}), {} FROM {} AS "
        "t0{}{} GROUP BY 1 {}"
    ).format(
        sql.Identifier(last, count.key),
        sql.Literal(count.recent_xids),
        missing,
        _table(count.table),
        sample,
        sql.SQL("").join(joins),
        MARK,
    )
