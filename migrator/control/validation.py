"""Stores validations: candidates, verdicts, divergent rows, and which of them were repaired."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.divergence import Divergence, TenantVerdict
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "validation.sql")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tenant as the schedule sees it.

    Attributes:
        age_s: since its last verdict; None: never validated.
        troubled: divergent at the last verdict, or repaired, or copied again since.
        changed: written since.
        on_limitless: reads from Limitless, at least some of them.
    """

    tenant_id: TenantId
    part: int
    rows: int
    age_s: float | None
    troubled: bool = False
    changed: bool = False
    on_limitless: bool = False


async def candidates(classic: AsyncConnection, tenants: Sequence[TenantId] | None) -> list[Candidate]:
    """Return *tenants* (None: all known ones) with what decides their order."""
    values = {"all": tenants is None, "tenants": list(tenants or ())}
    return [
        Candidate(TenantId(tenant), int(part), int(rows), age, bool(troubled), bool(changed), bool(on_limitless))
        for tenant, part, rows, age, troubled, changed, on_limitless in await (
            await classic.execute(_SQL["candidates"], values)
        ).fetchall()
    ]


async def whole_age_s(classic: AsyncConnection) -> float:
    """Return how long ago orphan rows were last looked for; infinite when never."""
    row = await (await classic.execute(_SQL["whole_age"])).fetchone()
    return float("inf") if row is None or row[0] is None else float(row[0])


async def begin(classic: AsyncConnection, run_id: uuid.UUID, kind: str) -> None:
    """Record that a validation runs."""
    await classic.execute(_SQL["begin"], {"run": run_id, "kind": kind})


async def mark(classic: AsyncConnection, run_id: uuid.UUID) -> int:
    """Write a mark greater than the run's earlier ones. A replica that shows it shows what was committed before."""
    row = await (await classic.execute(_SQL["mark"], {"run": run_id})).fetchone()
    assert row is not None  # the run has begun
    return int(row[0])


async def shows(replica: AsyncConnection, run_id: uuid.UUID, mark: int) -> bool:
    """Return whether *replica* has come as far as *mark* of the run."""
    row = await (await replica.execute(_SQL["shows"], {"run": run_id, "mark": mark})).fetchone()
    return bool(row and row[0])


_FOUND = (
    "unnest(%(tenants)s::text[], %(rows)s::bigint[], %(bad)s::bigint[], %(generations)s::bigint[])"
    " AS u (tenant_id, rows, bad, generation)"
)

# One row per stretch of equal verdicts about one copy: the last stretch grows, or a new one begins. An older fence that
# is stored late takes nothing back. {same}: the reference tables have no tenant, and a fence of their own.
_HISTORY = """
WITH found AS (
    SELECT * FROM {found}),
last AS (
    SELECT DISTINCT ON (v.tenant_id) v.id, v.clean, v.fingerprint, u.rows, u.bad
      FROM migrator.tenant_verdict v JOIN found u ON {same} AND v.generation IS NOT DISTINCT FROM u.generation
     ORDER BY v.tenant_id, v.last_at DESC),
grown AS (
    UPDATE migrator.tenant_verdict v
       SET times = v.times + 1, last_at = greatest(v.last_at, %(at)s),
           last_fence = CASE WHEN v.last_at > %(at)s THEN v.last_fence ELSE %(fence)s END,
           rows = CASE WHEN v.last_at > %(at)s THEN v.rows ELSE l.rows END,
           divergent = CASE WHEN v.last_at > %(at)s THEN v.divergent ELSE l.bad END
      FROM last l
     WHERE v.id = l.id AND l.clean = (l.bad = 0) AND l.fingerprint = %(fingerprint)s
    RETURNING v.tenant_id)
INSERT INTO migrator.tenant_verdict
       (tenant_id, generation, first_at, last_at, clean, fingerprint, last_fence, rows, divergent)
SELECT f.tenant_id, f.generation, %(at)s, %(at)s, f.bad = 0, %(fingerprint)s, %(fence)s, f.rows, f.bad
  FROM found f WHERE NOT EXISTS (SELECT FROM grown v WHERE {known})
ON CONFLICT DO NOTHING
"""
_SAME = {True: "v.tenant_id = u.tenant_id", False: "v.tenant_id IS NULL"}
_KNOWN = {True: "v.tenant_id = f.tenant_id", False: "v.tenant_id IS NULL"}

# Of the present copy: a verdict about one that was replaced meanwhile is history.
_VERDICTS = """
UPDATE migrator.tenant t
   SET rows = u.rows, divergent = u.bad, validated_at = %(at)s,
       clean_at = CASE WHEN u.bad = 0 THEN %(at)s ELSE t.clean_at END,
       clean_fence = CASE WHEN u.bad = 0 THEN %(fence)s ELSE t.clean_fence END,
       clean_fingerprint = CASE WHEN u.bad = 0 THEN %(fingerprint)s ELSE t.clean_fingerprint END
  FROM {found}
 WHERE t.tenant_id = u.tenant_id AND t.generation = u.generation AND t.state = 'mirrored'
   AND EXISTS (SELECT FROM migrator.validation WHERE run_id = %(run)s)
   AND (t.validated_at IS NULL OR t.validated_at <= %(at)s)
"""


async def verdicts(
    classic: AsyncConnection,
    run_id: uuid.UUID,
    found: Sequence[TenantVerdict],
    at: object,
    fence: str,
    fingerprint: str,
) -> None:
    """Store the verdicts of one fence at once, so that the run after an interruption has them. Owns its transaction.

    A tenant that left the mirrored set meanwhile keeps no verdict, not even when it is back by now; and an older fence
    overwrites no newer one.

    Args:
        at: a moment of classic's clock before the fence's snapshot was taken.
        fence: that pg_snapshot, as text.
        fingerprint: of both schemas.
    """
    values = {
        "run": run_id,
        "tenants": [v.tenant_id for v in found],
        "generations": [v.generation for v in found],
        "rows": [v.rows for v in found],
        "bad": [v.divergent_rows for v in found],
        "at": at,
        "fence": fence,
        "fingerprint": fingerprint,
    }
    async with classic.transaction():
        await classic.execute(_SQL["set_fingerprint"], {"run": run_id, "fingerprint": fingerprint})
        await classic.execute(_VERDICTS.format(found=_FOUND), values)
        tenants = found[0].tenant_id is not None
        await classic.execute(_HISTORY.format(found=_FOUND, same=_SAME[tenants], known=_KNOWN[tenants]), values)


async def divergences(
    classic: AsyncConnection,
    run_id: uuid.UUID,
    fence: str,
    found: Sequence[Divergence],
    seen: Mapping[TenantId | None, int | None],
) -> None:
    """Keep rows by name; *seen* says in which copies they were found. Owns its transaction."""
    if not found:
        return
    async with classic.transaction(), classic.cursor() as cursor:
        await cursor.executemany(
            _SQL["add_divergence"],
            [
                {
                    "run": run_id,
                    "table": d.table,
                    "tenant": d.tenant_id,
                    "key": json.dumps(dict(d.key)) if d.rows is None else None,
                    "kind": d.kind.value,
                    "columns": list(d.columns),
                    "fence": fence,
                    "rows": 1 if d.rows is None else d.rows,
                    "generation": seen.get(d.tenant_id),
                }
                for d in found
            ],
        )


async def end(
    classic: AsyncConnection, run_id: uuid.UUID, tenants: int, rows: int, divergent: int, pause_ms: float, whole: bool
) -> None:
    """Record that a validation is done: what it compared, and how long a mirror paused at most.

    *whole*: reference tables and orphan rows were compared too.
    """
    values = {"run": run_id, "tenants": tenants, "rows": rows, "divergent": divergent}
    await classic.execute(_SQL["end"], {**values, "pause_ms": pause_ms, "whole": whole})


def to_repair(
    classic: Connection, tenants: Sequence[str] | None = None
) -> list[tuple[int, str, str | None, dict[str, str]]]:
    """Return divergences not repaired yet, one per row, of *tenants* (None: all): id, table, tenant, key."""
    rows = classic.execute(_SQL["to_repair"], {"all": tenants is None, "tenants": list(tenants or ())})
    return [(int(number), str(table), tenant, key) for number, table, tenant, key in rows]


def set_rows_repaired(classic: Connection, who: str, tenants: Sequence[str] | None) -> None:
    """Record that *who* had every row that was found and named of *tenants* (None: of all) written again."""
    values = {"who": who, "all": tenants is None, "tenants": list(tenants or ())}
    classic.execute(_SQL["set_rows_repaired"], values)


def set_tenants_repaired(classic: Connection, who: str, tenants: Sequence[str]) -> None:
    """Record that *who* had all rows of *tenants* replaced."""
    classic.execute(_SQL["set_tenants_repaired"], {"who": who, "tenants": list(tenants)})


def set_table_gone(classic: Connection, table: str, who: str) -> None:
    """Record that nothing is left to repair in a table that was dropped."""
    classic.execute(_SQL["set_table_gone"], {"table": table, "who": who})


def set_reference_repaired(classic: Connection, who: str, tables: Sequence[str]) -> None:
    """Record that *who* had all rows of reference *tables* (qualified names) written again."""
    classic.execute(_SQL["set_reference_repaired"], {"who": who, "tables": list(tables)})


def nobodys_changed(conn: Connection, margin_s: float) -> bool:
    """Return whether an orphan row was written after *margin_s* before a decommission last looked for them."""
    row = conn.execute(_SQL["nobodys_changed"], {"margin_s": margin_s}).fetchone()
    return bool(row and row[0])
