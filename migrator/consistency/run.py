"""What does a validation do, and what does it leave behind?

Tenants are taken in groups, one fence per group and mirror partition, so that no snapshot lives long. What was
asked for and not compared is reported: unknown is never clean.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from migrator.consistency import check, digest_sql
from migrator.consistency.compare import EMPTY, differing
from migrator.consistency.fence import Connection, Fence, hold
from migrator.control.tables import load_table
from migrator.db.connect import connect_async
from migrator.model.divergence import Divergence, DivergenceKind, TenantVerdict, ValidationReport
from migrator.model.table import Table
from migrator.model.tenant import TenantId

STORED_PER_RUN = 10_000
"""Divergent rows recorded by name in one run; counts are exact beyond it."""


@dataclass(slots=True)
class _Run:
    """Collects what one validation finds."""

    run_id: uuid.UUID
    show_values: bool
    sample: int
    verdicts: list[TenantVerdict] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)
    unmirrored: list[TenantId] = field(default_factory=list)
    pauses_ms: list[float] = field(default_factory=list)
    tenantless: int = 0
    rows: int = 0
    divergent: int = 0


async def validate(
    classic_dsn: str,
    limitless_dsn: str,
    *,
    tenants: Sequence[TenantId] | None = None,
    tables: Sequence[str] | None = None,
    kind: str = "manual",
    tenants_per_fence: int = 100,
    patience_s: float = 30.0,
    sample: int = 20,
    show_values: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    rest: bool | None = None,
) -> ValidationReport:
    """Compare *tenants* (None: all, the reference tables, and rows of nobody) and store the verdicts.

    Args:
        rest: compare the reference tables and rows of nobody too; by default when all tenants are compared.
        on_progress: called with (tenants done, tenants in all) after each fence.

    Raises:
        ClusterUnavailable: a side cannot be reached, or a mirror gave no fence in time.
    """
    began = time.monotonic()
    run = _Run(uuid.uuid4(), show_values, sample)
    rest = tenants is None if rest is None else rest
    async with await connect_async(classic_dsn, "migrator validate") as control:
        captured = await _tables(control, tables)
        groups = await _groups(control, tenants, tenants_per_fence, rest)
        count = sum(len(g) for _, g in groups)
        await control.execute("INSERT INTO migrator.validation (run_id, kind) VALUES (%s, %s)", (run.run_id, kind))
        done = 0
        for part, group in groups:
            async with hold(classic_dsn, limitless_dsn, part, patience_s) as fence:
                verdicts = await _compare(run, fence, captured, group)
            run.pauses_ms.append(fence.pause_ms)
            if tables is None:
                await _store_verdicts(control, fence, verdicts)
            run.verdicts += verdicts
            done += len(group)
            if on_progress is not None:
                on_progress(done, count)
        if rest:
            await _nobody(run, control, classic_dsn, limitless_dsn, captured, patience_s)
        await _store_run(control, run)
    return ValidationReport(
        tenants=tuple(run.verdicts),
        rows=run.rows,
        divergent_rows=run.divergent,
        sample=tuple(run.divergences[:sample]),
        fence_pause_ms=tuple(run.pauses_ms),
        seconds=time.monotonic() - began,
        unmirrored=tuple(run.unmirrored),
        tenantless_rows=run.tenantless,
    )


async def _tables(control: Connection, only: Sequence[str] | None) -> list[Table]:
    cursor = await control.execute("SELECT descriptor FROM migrator.captured_table ORDER BY table_id")
    found = [load_table(body) for (body,) in await cursor.fetchall()]
    return [t for t in found if only is None or t.qualified in only]


async def _groups(
    control: Connection, tenants: Sequence[TenantId] | None, size: int, rest: bool
) -> list[tuple[int, list[TenantId]]]:
    """Return (partition, tenants) groups, those never or longest ago validated first; [] is the reference group."""
    cursor = await control.execute(
        "SELECT tenant_id, part FROM migrator.tenant WHERE %(all)s OR tenant_id = ANY (%(tenants)s)"
        " ORDER BY validated_at NULLS FIRST, tenant_id",
        {"all": tenants is None, "tenants": list(tenants or ())},
    )
    by_part: dict[int, list[TenantId]] = {}
    for name, part in await cursor.fetchall():
        by_part.setdefault(int(part), []).append(TenantId(name))
    groups: list[tuple[int, list[TenantId]]] = []
    for part, members in sorted(by_part.items()):
        groups += [(part, members[i : i + size]) for i in range(0, len(members), size)]
    if rest:
        groups.append((0, []))
    return groups


async def _compare(run: _Run, fence: Fence, tables: Sequence[Table], group: Sequence[TenantId]) -> list[TenantVerdict]:
    """Compare one group at one fence; tenants that are not mirrored there are noted and left out."""
    present: list[TenantId | None] = [t for t in group if t in fence.members]
    run.unmirrored += [t for t in group if t not in fence.members]
    if fence.part == 0:
        present = [None]
        if "" not in fence.members:
            return []
    rows: dict[TenantId | None, int] = dict.fromkeys(present, 0)
    bad: dict[TenantId | None, int] = dict.fromkeys(present, 0)
    mine = [t for t in tables if t.sharded == (fence.part != 0)]
    wanted = [t for t in present if t is not None]
    for table in mine if present else ():
        classic, limitless = await check.table_digests(fence, table, wanted)
        for tenant in present:
            rows[tenant] += classic.get(tenant, EMPTY).rows
        for name in differing(classic, limitless):
            tenant = None if name is None else TenantId(name)
            size = max(classic.get(name, EMPTY).rows, limitless.get(name, EMPTY).rows)
            room = max(0, STORED_PER_RUN - len(run.divergences))
            total, found = await check.drill_down(fence, table, tenant, size, room, run.show_values)
            bad[tenant] = bad.get(tenant, 0) + total
            run.divergences += found
    run.rows += sum(rows.values())
    run.divergent += sum(bad.values())
    return [TenantVerdict(t, rows[t], len(mine), bad[t], fence.snapshot, fence.at.timestamp()) for t in present]


async def _nobody(
    run: _Run, control: Connection, classic_dsn: str, limitless_dsn: str, tables: Sequence[Table], patience_s: float
) -> None:
    """Count rows of no tenant on classic, and rows on Limitless of tenants nobody knows."""
    async with (
        await connect_async(classic_dsn, "migrator validate") as classic,
        await connect_async(limitless_dsn, "migrator validate") as limitless,
    ):
        strays: dict[str, dict[str, int]] = {}
        for table in (t for t in tables if t.sharded):
            row = await (await classic.execute(digest_sql.tenantless(table))).fetchone()
            run.tenantless += int(row[0]) if row else 0
            for tenant, rows in await (await limitless.execute(digest_sql.tenants_on_limitless(table))).fetchall():
                strays.setdefault(str(tenant), {})[table.qualified] = int(rows)
        # Read last: a tenant that appeared meanwhile is known by now.
        known = {str(t) for (t,) in await (await control.execute("SELECT tenant_id FROM migrator.tenant")).fetchall()}
    for tenant, counts in strays.items():
        if tenant in known:
            continue
        for qualified, rows in counts.items():
            run.divergent += rows
            run.divergences.append(
                Divergence(qualified, TenantId(tenant), (("*", f"{rows} rows"),), DivergenceKind.EXTRA)
            )


async def _store_verdicts(control: Connection, fence: Fence, verdicts: Sequence[TenantVerdict]) -> None:
    for verdict in verdicts:
        await control.execute(
            "UPDATE migrator.tenant SET rows = %(rows)s, divergent = %(bad)s, validated_at = %(at)s,"
            " clean_at = CASE WHEN %(bad)s = 0 THEN %(at)s ELSE clean_at END,"
            " clean_fence = CASE WHEN %(bad)s = 0 THEN %(fence)s ELSE clean_fence END WHERE tenant_id = %(tenant)s",
            {
                "rows": verdict.rows,
                "bad": verdict.divergent_rows,
                "at": fence.at,
                "fence": verdict.fence,
                "tenant": verdict.tenant_id,
            },
        )


async def _store_run(control: Connection, run: _Run) -> None:
    async with control.transaction():
        for found in run.divergences[:STORED_PER_RUN]:
            fence = next((v.fence for v in run.verdicts if v.tenant_id == found.tenant_id), "")
            await control.execute(
                "INSERT INTO migrator.divergence (run_id, table_name, tenant_id, key, kind, columns, fence)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    run.run_id,
                    found.table,
                    found.tenant_id,
                    json.dumps(dict(found.key)),
                    found.kind.value,
                    list(found.columns),
                    fence,
                ),
            )
        await control.execute(
            "UPDATE migrator.validation SET finished_at = clock_timestamp(), tenants = %s, rows = %s, divergent = %s,"
            " fence_pause_ms = %s WHERE run_id = %s",
            (len(run.verdicts), run.rows, run.divergent, max(run.pauses_ms, default=0.0), run.run_id),
        )
