"""What does a validation read before it begins, and leave behind? Statements on the tool's own tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from migrator.consistency.fence import Connection
from migrator.consistency.order import Candidate
from migrator.control import generation
from migrator.control.tables import load_table
from migrator.model.divergence import Divergence, TenantVerdict
from migrator.model.table import Table
from migrator.model.tenant import TenantId

_CANDIDATES = """
SELECT t.tenant_id, t.part, t.rows,
       extract(epoch FROM clock_timestamp() - t.validated_at)::float8,
       coalesce(t.divergent > 0 OR c.at > t.validated_at OR d.at > t.validated_at, false),
       coalesce(t.changed_at > t.validated_at, true),
       coalesce(r.level = 'limitless' AND r.reads_pct > 0, false)
  FROM migrator.tenant t
  LEFT JOIN migrator.route r USING (tenant_id)
  LEFT JOIN (SELECT unnest(tenants) AS tenant_id, max(finished_at) AS at
               FROM migrator.copy_unit GROUP BY 1) c USING (tenant_id)
  LEFT JOIN (SELECT tenant_id, max(repaired_at) AS at
               FROM migrator.divergence GROUP BY 1) d USING (tenant_id)
 WHERE %(all)s OR t.tenant_id = ANY (%(tenants)s)
"""

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
    SELECT DISTINCT ON (v.tenant_id) v.id, v.tenant_id, v.clean, v.fingerprint
      FROM migrator.tenant_verdict v JOIN found u ON {same} AND v.generation IS NOT DISTINCT FROM u.generation
     ORDER BY v.tenant_id, v.last_at DESC),
grown AS (
    UPDATE migrator.tenant_verdict v
       SET times = v.times + 1, last_at = greatest(v.last_at, %(at)s),
           last_fence = CASE WHEN v.last_at > %(at)s THEN v.last_fence ELSE %(fence)s END,
           rows = CASE WHEN v.last_at > %(at)s THEN v.rows ELSE f.rows END,
           divergent = CASE WHEN v.last_at > %(at)s THEN v.divergent ELSE f.bad END
      FROM found f JOIN last l ON coalesce(f.tenant_id = l.tenant_id, true)
     WHERE v.id = l.id AND l.clean = (f.bad = 0) AND l.fingerprint = %(fingerprint)s
    RETURNING v.tenant_id)
INSERT INTO migrator.tenant_verdict
       (tenant_id, generation, first_at, last_at, clean, fingerprint, last_fence, rows, divergent)
SELECT f.tenant_id, f.generation, %(at)s, %(at)s, f.bad = 0, %(fingerprint)s, %(fence)s, f.rows, f.bad
  FROM found f WHERE NOT EXISTS (SELECT FROM grown v WHERE {known})
ON CONFLICT DO NOTHING
"""
_SAME = {True: "v.tenant_id = u.tenant_id", False: "v.tenant_id IS NULL"}
_KNOWN = {True: "v.tenant_id = f.tenant_id", False: "v.tenant_id IS NULL"}

# Of the copy there is now: a verdict about one that was let go of meanwhile is history.
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


async def tables(control: Connection) -> list[Table]:
    cursor = await control.execute("SELECT descriptor FROM migrator.captured_table ORDER BY table_id")
    return [load_table(body) for (body,) in await cursor.fetchall()]


async def candidates(control: Connection, tenants: Sequence[TenantId] | None) -> list[Candidate]:
    """Return *tenants* (None: all known ones) with what decides who comes first."""
    cursor = await control.execute(_CANDIDATES, {"all": tenants is None, "tenants": list(tenants or ())})
    return [
        Candidate(TenantId(tenant), int(part), int(rows), age, bool(troubled), bool(changed), bool(on_limitless))
        for tenant, part, rows, age, troubled, changed, on_limitless in await cursor.fetchall()
    ]


async def known(control: Connection) -> set[str]:
    return {str(t) for (t,) in await (await control.execute("SELECT tenant_id FROM migrator.tenant")).fetchall()}


async def active_sessions(control: Connection) -> int:
    """Return how many other sessions of this database run a statement now."""
    cursor = await control.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def whole_age_s(control: Connection) -> float:
    """Return how long ago rows of nobody were last looked for; infinite when never."""
    cursor = await control.execute(
        "SELECT extract(epoch FROM clock_timestamp() - max(finished_at))::float8 FROM migrator.validation WHERE whole"
    )
    row = await cursor.fetchone()
    return float("inf") if row is None or row[0] is None else float(row[0])


async def begin(control: Connection, run_id: uuid.UUID, kind: str) -> None:
    await control.execute("INSERT INTO migrator.validation (run_id, kind) VALUES (%s, %s)", (run_id, kind))


async def verdicts(
    control: Connection, run_id: uuid.UUID, found: Sequence[TenantVerdict], at: object, fence: str, fingerprint: str
) -> None:
    """Keep what one fence said, at once: whoever goes on after an interruption finds it.

    A tenant that left the mirrored set meanwhile keeps no verdict, not even when it is back by now; and an older fence
    overwrites no newer one.
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
    async with control.transaction():
        await control.execute(
            "UPDATE migrator.validation SET schema_fingerprint = %s WHERE run_id = %s", (fingerprint, run_id)
        )
        await control.execute(_VERDICTS.format(found=_FOUND), values)
        tenants = found[0].tenant_id is not None
        await control.execute(_HISTORY.format(found=_FOUND, same=_SAME[tenants], known=_KNOWN[tenants]), values)


async def generations(classic: Connection, tenants: Sequence[TenantId] | None) -> dict[TenantId | None, int | None]:
    """Return which copies of *tenants* (None: of the reference tables) the snapshot of *classic* sees."""
    if tenants is None:
        cursor = await classic.execute(generation.OF_REFERENCE)
    else:
        cursor = await classic.execute(generation.OF_TENANTS, (list(tenants),))
    return {None if t is None else TenantId(t): number for t, number in await cursor.fetchall()}


_DIVERGENCE = """
INSERT INTO migrator.divergence (run_id, table_name, tenant_id, key, kind, columns, fence, rows, generation)
VALUES (%(run)s, %(table)s, %(tenant)s, %(key)s, %(kind)s, %(columns)s, %(fence)s, %(rows)s, %(generation)s)
"""


async def divergences(
    control: Connection,
    run_id: uuid.UUID,
    fence: str,
    found: Sequence[Divergence],
    seen: Mapping[TenantId | None, int | None],
) -> None:
    """Keep rows by name; *seen* says in which copies they were found."""
    if not found:
        return
    async with control.transaction(), control.cursor() as cursor:
        await cursor.executemany(
            _DIVERGENCE,
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
    control: Connection, run_id: uuid.UUID, tenants: int, rows: int, divergent: int, pause_ms: float, whole: bool
) -> None:
    await control.execute(
        "UPDATE migrator.validation SET finished_at = clock_timestamp(), tenants = %s, rows = %s, divergent = %s,"
        " fence_pause_ms = %s, whole = %s WHERE run_id = %s",
        (tenants, rows, divergent, pause_ms, whole, run_id),
    )
