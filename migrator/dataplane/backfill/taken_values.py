"""Frees unique values that other ranges of a huge tenant hold on Limitless.

Ranges are removed and copied one by one, some at other snapshots than others. So a value that has changed hands on
classic may stand on Limitless twice for a while: where it is now, in the range that is being copied, and where it was,
in a range that was copied before the change, or that still holds rows of an earlier copy.

That other row may go. If its range is to be copied yet, it comes back with it, as it is by then. If its range was
copied, the row changed between the two snapshots, whichever was first; so the journal names it after the earlier one,
and the mirror, which takes the tenant over at the earliest of all its ranges, brings it as it is by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.dataplane.backfill import copy_sql
from migrator.db.text_values import run
from migrator.model.table import Table

Connection = psycopg.AsyncConnection[Any]

_ROWS = 5_000
"""Values looked up at once; what an index holds of a row is 2.7 kB at most."""


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """What a unique index of Limitless compares.

    Attributes:
        parts: per column or expression, without the tenant's column, its text and its type.
        condition: of a partial one.
        nulls_equal: NULLS NOT DISTINCT.
    """

    parts: tuple[tuple[str, str], ...]
    condition: str | None
    nulls_equal: bool


# The parts in the form in which both servers read them, with the collation they are compared by.
_UNIQUE_KEYS = """
SELECT pg_get_expr(i.indpred, i.indrelid),
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       array_agg('(' || pg_get_indexdef(i.indexrelid, k.n, true)
                 || coalesce(' COLLATE ' || quote_ident(s.nspname) || '.' || quote_ident(c.collname), '') || ')'
                 ORDER BY k.n),
       array_agg(format_type(p.atttypid, p.atttypmod) ORDER BY k.n)
  FROM pg_index i
 CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS k (n)
  JOIN pg_attribute p ON p.attrelid = i.indexrelid AND p.attnum = k.n
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1]
  LEFT JOIN pg_collation c ON c.oid = i.indcollation[k.n - 1] AND c.collname <> 'default'
  LEFT JOIN pg_namespace s ON s.oid = c.collnamespace
 WHERE i.indrelid = to_regclass(%(table)s) AND i.indisunique AND NOT i.indisprimary
   AND a.attname IS DISTINCT FROM %(tenant)s
 GROUP BY i.indexrelid, i.indpred, i.indrelid, i.indnkeyatts, to_jsonb(i) ->> 'indnullsnotdistinct'
"""


async def unique_keys(limitless: Connection, table: Table) -> list[UniqueKey]:
    """Return the unique indexes of *table* on Limitless, but for its primary key."""
    values = {"table": copy_sql.name(table.qualified).as_string(limitless), "tenant": table.tenant_column}
    rows = await (await limitless.execute(_UNIQUE_KEYS, values)).fetchall()
    return [
        UniqueKey(tuple(zip(parts, types, strict=True)), condition, nulls) for condition, nulls, parts, types in rows
    ]


async def free(
    classic: Connection, limitless: Connection, table: Table, tenant: str, lower: str | None, upper: str | None
) -> None:
    """Delete *tenant*'s rows of *table* on Limitless, outside the range, that hold a unique value of one inside it.

    Reads classic at the snapshot of *classic*'s transaction, and deletes in that of *limitless*.
    """
    for key in await unique_keys(limitless, table):
        delete = copy_sql.free(table, tenant, lower, upper, key.parts, key.condition, nulls_equal=key.nulls_equal)
        async with classic.cursor(name="migrator_values") as cursor:
            await cursor.execute(copy_sql.held(table, tenant, lower, upper, [p for p, _ in key.parts], key.condition))
            while rows := await cursor.fetchmany(_ROWS):
                await run(limitless, delete, _columns(rows))


def _columns(rows: Sequence[tuple[str | None, ...]]) -> list[list[str | None]]:
    return [list(column) for column in zip(*rows, strict=True)]
