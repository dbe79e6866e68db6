"""Runs a validation, from the first fence to the report.

Tenants are taken in groups, one fence per group and mirror partition, so that no snapshot lives long. What was
asked for and not compared is reported: unknown is never clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial

import psycopg

from migrator.consistency import check, order, orphans, store
from migrator.consistency.compare import EMPTY, differing
from migrator.consistency.fence import Connection, Fence, hold
from migrator.consistency.order import Budget
from migrator.consistency.spare import Spare
from migrator.control.pace import current_share
from migrator.db.connect import connect, connect_async
from migrator.errors import PreconditionFailed
from migrator.inventory.look import look
from migrator.model.counted import counted
from migrator.model.divergence import Divergence, DivergenceKind, TenantVerdict, ValidationReport
from migrator.model.table import Table
from migrator.model.tenant import TenantId

STORED_PER_RUN = 10_000
"""Divergent rows recorded by name in one run; counts are exact beyond it."""

NOT_COMPARED = ("table-not-captured", "captured-table-gone")
WHOLE_EVERY_S = 86_400.0
"""Orphan rows are looked for at least this often, although that reads every table whole."""

_LOOK_S = 1.0
"""How often a run that rests looks whether classic has calmed down."""

_TRIES = 3
"""Fences a group gets whose tables change their shape while it is compared."""


@dataclass(slots=True)
class _Run:
    """Collects what one validation finds."""

    run_id: uuid.UUID
    showing: check.Showing
    tables: list[Table]
    compared: list[Table]
    only: Sequence[str] | None = None
    verdicts: list[TenantVerdict] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)
    unmirrored: list[TenantId] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    strays: list[TenantId] = field(default_factory=list)
    pauses_ms: list[float] = field(default_factory=list)
    tenantless: int = 0
    rows: int = 0
    limitless_rows: int = 0
    unmirrored_rows: int = 0
    stray_rows: int = 0
    divergent: int = 0
    left: int = 0
    known: int = 0
    fingerprint: str = ""
    spare: Spare | None = None

    def room(self) -> int:
        return max(0, STORED_PER_RUN - len(self.divergences))


async def validate(
    classic_dsn: str,
    limitless_dsn: str,
    *,
    tenants: Sequence[TenantId] | None = None,
    tables: Sequence[str] | None = None,
    kind: str = "manual",
    tenants_per_fence: int = 100,
    rows_per_fence: int = 10_000_000,
    timeout_s: float = 30.0,
    sample: int = 20,
    show_values: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    rest: bool | None = None,
    reference: bool | None = None,
    budget: Budget | None = None,
    replica_dsn: str | None = None,
) -> ValidationReport:
    """Compare *tenants* (None: all, the reference tables, and orphan rows) and store the verdicts.

    Verdicts are stored fence by fence, the most urgent tenants first: a run that was interrupted, or whose budget
    was used up, is carried on by the next one.

    Args:
        tables: only these; then no verdict about a tenant is stored.
        rest: compare the reference tables and orphan rows too; by default when all tenants are compared.
        reference: compare the reference tables, which is cheap beside looking for orphan rows; by default as *rest*.
        replica_dsn: of classic; read in the writer's place where it can be (`spare`).
        on_progress: called with (tenants done, tenants in all) after each fence.

    Raises:
        ClusterUnavailable: a side cannot be reached, or a mirror gave no fence in time.
        PreconditionFailed: a table is not captured, or the databases' encodings differ.
    """
    began = time.monotonic()
    rest = tenants is None if rest is None else rest
    reference = rest if reference is None else reference
    async with (
        await connect_async(classic_dsn, "migrator validate", side="classic") as control,
        await connect_async(limitless_dsn, "migrator validate", side="Limitless") as there,
    ):
        run = await _begin(control, there, tables, check.Showing(show_values, secrets.token_hex(16)))
        await store.begin(control, run.run_id, kind)
        if replica_dsn is not None:
            run.spare = Spare(replica_dsn, run.run_id)
        wanted = order.ordered(await store.candidates(control, tenants))
        run.known = len(await store.known(control))
        groups: list[tuple[int, list[TenantId]]] = [(0, [])] if reference else []
        groups += order.fences(wanted, tenants_per_fence, rows_per_fence)
        done = 0
        for part, group in groups:
            # However small the budget, every run compares at least one group.
            if budget is not None and done and time.monotonic() - began > budget.seconds:
                run.left = len(wanted) - done
                break
            started = time.monotonic()
            fenced = partial(hold, classic_dsn, limitless_dsn, part, timeout_s)
            await _behind_a_fence(run, control, there, fenced, group)
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(wanted))
            if budget is not None and done < len(wanted):
                await _rest(control, budget, began, time.monotonic() - started)
        looked = rest and (not run.left or await store.whole_age_s(control) > WHOLE_EVERY_S)
        if looked:
            await _nobody(run, control, there)
        whole = looked and tables is None
        if whole:
            run.unknown += await asyncio.to_thread(_not_compared, classic_dsn)
        pause_ms = max(run.pauses_ms, default=0.0)
        await store.end(control, run.run_id, len(run.verdicts), run.rows, run.divergent, pause_ms, whole)
    return _report(run, sample, whole, time.monotonic() - began)


async def _behind_a_fence(
    run: _Run,
    control: Connection,
    there: Connection,
    fenced: Callable[[], AbstractAsyncContextManager[Fence]],
    group: list[TenantId],
) -> None:
    """Compare *group* (empty: the reference tables) at one fence, and store the verdicts while it holds."""
    for _ in range(_TRIES):
        async with fenced() as fence:
            outcome = await _compare(run, control, there, fence, group)
            if outcome is not None:
                await _keep(run, control, fence, outcome, verdicts=run.only is None)
        run.pauses_ms.append(fence.pause_ms)
        if outcome is not None:
            return
    why = "the tables changed their shape while they were compared"
    run.unknown += [f"tenant {t}: {why}" for t in group] or [f"reference tables: {why}"]


def _report(run: _Run, sample: int, whole: bool, seconds: float) -> ValidationReport:
    return ValidationReport(
        tenants=tuple(run.verdicts),
        rows=run.rows,
        divergent_rows=run.divergent,
        sample=tuple(run.divergences[:sample]),
        fence_pause_ms=tuple(run.pauses_ms),
        seconds=seconds,
        unmirrored=tuple(run.unmirrored),
        tenantless_rows=run.tenantless,
        limitless_rows=run.limitless_rows,
        unmirrored_rows=run.unmirrored_rows,
        stray_rows=run.stray_rows,
        left=run.left,
        whole=whole,
        fingerprint=run.fingerprint,
        unknown=tuple(run.unknown),
        strays=tuple(run.strays),
        replica=run.spare.name if run.spare and run.spare.rows else "",
        replica_rows=run.spare.rows if run.spare else 0,
        again_rows=run.spare.again if run.spare else 0,
        replica_notes=tuple(run.spare.notes) if run.spare else (),
    )


def _not_compared(classic_dsn: str) -> tuple[str, ...]:
    """Return what holds rows in the migrated schemas and was never captured, so that nothing is known about it."""
    with connect(classic_dsn, "migrator validate", side="classic") as classic:
        return tuple(d.line for d in look(classic) if d.code in NOT_COMPARED)


async def _begin(control: Connection, there: Connection, only: Sequence[str] | None, showing: check.Showing) -> _Run:
    captured = await store.tables(control)
    unknown = sorted(set(only or ()) - {t.qualified for t in captured})
    if unknown:
        raise PreconditionFailed(f"{', '.join(unknown)}: not a captured table")
    encodings = []
    for conn in (control, there):
        row = await (await conn.execute("SHOW server_encoding")).fetchone()
        encodings.append(row[0] if row else "")
    if len(set(encodings)) > 1:
        # Digests are of bytes, and the same text has others there.
        raise PreconditionFailed(f"classic stores text as {encodings[0]}, Limitless as {encodings[1]}")
    compared = [t for t in captured if only is None or t.qualified in only]
    return _Run(uuid.uuid4(), showing, captured, compared, only)


async def _rest(control: Connection, budget: Budget, began: float, worked_s: float) -> None:
    """Rest until work is its share of the time, as far as both sides allow it, and classic is calm; or until the budget
    is used up."""
    share = budget.share * await current_share(control)
    await asyncio.sleep(min(order.rest_s(worked_s, share), max(0.0, began + budget.seconds - time.monotonic())))
    while budget.max_active_sessions is not None and time.monotonic() - began < budget.seconds:
        if await store.active_sessions(control) <= budget.max_active_sessions:
            return
        await asyncio.sleep(_LOOK_S)


@dataclass(slots=True)
class _Found:
    """What one fence said about one group; nothing of it counts before it is kept.

    Attributes:
        rows: of classic per tenant; None stands for the reference tables.
        bad: those that differ.
        tables: how many were compared.
        generations: the copies that were compared.
    """

    rows: dict[TenantId | None, int]
    bad: dict[TenantId | None, int]
    tables: int
    away: list[TenantId] = field(default_factory=list)
    named: list[Divergence] = field(default_factory=list)
    limitless_rows: int = 0
    generations: dict[TenantId | None, int | None] = field(default_factory=dict)


async def _compare(
    run: _Run, control: Connection, there: Connection, fence: Fence, group: Sequence[TenantId]
) -> _Found | None:
    """Compare one group at one fence; None when a table changed its shape meanwhile, so that nothing is known.

    A snapshot does not hold tables as they were: one that is rewritten or emptied looks empty to it. *control* and
    *there* see the present.
    """
    await _take_shape(run, fence)
    before = await check.shapes(fence.classic, fence.limitless, run.tables)
    failure: psycopg.Error | None = None
    outcome: _Found | None = None
    try:
        outcome = await _differences(run, control, there, fence, group)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:  # for example a column that was dropped
        failure = error
    if before != await check.shapes(control, there, run.tables):
        return None
    if failure is not None:
        raise failure
    return outcome


async def _differences(
    run: _Run, control: Connection, there: Connection, fence: Fence, group: Sequence[TenantId]
) -> _Found | None:
    """Compare one group at one fence; tenants that are not mirrored there are noted and left out.

    None when a table on Limitless was emptied since, and filled again.
    """
    present: list[TenantId | None] = [t for t in group if t in fence.members]
    if fence.part == 0:
        present = [None] if fence.members else []
    run.fingerprint = await check.fingerprint(fence, run.tables)
    mine = [t for t in run.compared if t.sharded == (fence.part != 0)]
    outcome = _Found(dict.fromkeys(present, 0), dict.fromkeys(present, 0), len(mine))
    outcome.away = [t for t in group if t not in fence.members]
    outcome.generations = await store.generations(fence.classic, group if fence.part else None)
    async with contextlib.AsyncExitStack() as stack:
        replica = await stack.enter_async_context(run.spare.now(control)) if run.spare and present else None
        return await _rows(run, there, fence, outcome, mine if present else (), present, replica)


async def _rows(
    run: _Run,
    there: Connection,
    fence: Fence,
    outcome: _Found,
    tables: Sequence[Table],
    present: Sequence[TenantId | None],
    replica: Connection | None,
) -> _Found | None:
    """Add what the rows of *tables* say about *present*."""
    names = [t for t in present if t is not None]
    for table in tables:
        if replica is not None and run.spare is not None:
            classic, limitless = await run.spare.digests(replica, fence, table, names, run.known)
        else:
            classic, limitless = await check.table_digests(fence, table, names, run.known)
        for tenant in present:
            outcome.rows[tenant] += classic.get(tenant, EMPTY).rows
            outcome.limitless_rows += limitless.get(tenant, EMPTY).rows
        sizes = {
            name: max(classic.get(name, EMPTY).rows, limitless.get(name, EMPTY).rows)
            for name in differing(classic, limitless)
        }
        if sizes and not any(d.rows for d in limitless.values()) and await check.refilled(there, table, names):
            return None
        if sizes:
            room = run.room() - len(outcome.named)
            totals, named = await check.drill_down(fence, table, sizes, room, run.showing)
            for name, count in totals.items():
                outcome.bad[None if name is None else TenantId(name)] += count
            outcome.named += named
    return outcome


async def _keep(run: _Run, control: Connection, fence: Fence, found: _Found, *, verdicts: bool) -> None:
    """Take over what one fence said, and store it, so that a run after an interruption goes on from it."""
    kept = [
        TenantVerdict(
            t, rows, found.tables, found.bad[t], fence.snapshot, fence.at.timestamp(), found.generations.get(t)
        )
        for t, rows in found.rows.items()
    ]
    run.unmirrored += found.away
    if fence.part == 0 and found.tables and not kept:
        run.unknown.append("reference tables: they are not copied yet")
    run.rows += sum(found.rows.values())
    run.limitless_rows += found.limitless_rows
    run.divergent += sum(found.bad.values())
    run.divergences += found.named
    run.verdicts += kept
    # Rows by name come first: a verdict that was stored says that they were, too.
    await store.divergences(control, run.run_id, fence.snapshot, found.named, found.generations)
    if verdicts and kept:
        await store.verdicts(control, run.run_id, kept, fence.at, fence.snapshot, run.fingerprint)


async def _take_shape(run: _Run, fence: Fence) -> None:
    """Take the tables over as they are at this fence: a column or a table may have come since the last one."""
    run.tables = await store.tables(fence.classic)
    run.compared = [t for t in run.tables if run.only is None or t.qualified in run.only]


async def _nobody(run: _Run, control: Connection, there: Connection) -> None:
    """Count classic's orphan rows and rows of unknown tenants, and rows on Limitless of unknown tenants."""
    run.tables = await store.tables(control)
    run.compared = [t for t in run.tables if run.only is None or t.qualified in run.only]
    here, strays = await orphans.rows_by_tenant(control, there, run.compared, run.spare)
    # Read last: a tenant that appeared meanwhile is known by now.
    known = await store.known(control)
    run.tenantless += here.pop(None, 0)
    away = set(run.unmirrored)
    for name in sorted(t for t in here if t is not None and t not in known):
        run.unmirrored.append(TenantId(name))
        away.add(TenantId(name))
    run.unmirrored_rows += sum(rows for tenant, rows in here.items() if tenant in away)
    named: list[Divergence] = []
    for tenant, counts in sorted(strays.items()):
        if tenant in known:
            continue
        run.strays += [TenantId(tenant)][: STORED_PER_RUN - len(run.strays)]
        for qualified, rows in counts.items():
            run.stray_rows += rows
            run.divergent += rows
            if run.room() > len(named):
                key = (("*", counted(rows, "row")),)
                named.append(Divergence(qualified, TenantId(tenant), key, DivergenceKind.EXTRA, rows=rows))
    run.divergences += named
    await store.divergences(control, run.run_id, "", named, {})
