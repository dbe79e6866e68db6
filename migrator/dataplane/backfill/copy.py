"""Copies one unit and hands it over to the mirror exactly.

Lease, retention pin, snapshot, remove leftovers, COPY, and as the last statement of the same Limitless transaction the
compare-and-swap of the lease that records the snapshot. A copy that was superseded cannot commit, and a copy
that did commit is found by the next try. The mirror takes the unit's tenants over from that snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import copy_unit as units
from migrator.control.copy_unit import StoredUnit
from migrator.control.final_keys import drop_final_keys
from migrator.control.locks import share_copy_lock
from migrator.control.tables import captured_in_order
from migrator.control.tenant_copy import set_copying
from migrator.dataplane.backfill import copy_sql, taken_values
from migrator.dataplane.backfill import snapshot as snapshots
from migrator.dataplane.backfill.links import LinkPool, Links
from migrator.dataplane.backfill.pipe import pipe
from migrator.dataplane.backfill.throttle import idle_s, pause_s
from migrator.errors import LeaseLost, PreconditionFailed
from migrator.log_events import tell
from migrator.model.capability import Capability
from migrator.model.table import Table

Connection = psycopg.AsyncConnection[Any]


_LOOK_S = 0.5
"""How often a copy looks at the rate it may have."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running copy tells; rows are off by a few until a table is finished."""

    unit_id: str
    table: str
    rows: int
    bytes: int


async def _unit(control: Connection, unit_id: str) -> StoredUnit:
    unit = await units.find(control, unit_id)
    if unit is None:
        raise PreconditionFailed(f"there is no copy unit {unit_id}")
    return unit


async def _tables(control: Connection, unit: StoredUnit) -> list[Table]:
    mine = [t for t in (await captured_in_order(control)).values() if t.sharded == (unit.part != 0)]
    if unit.table is not None:
        return [t for t in mine if t.qualified == unit.table]
    return [t for t in mine if t.qualified not in unit.but]


async def _lease(limitless: Connection, unit: StoredUnit) -> int | None:
    """Take the lease; None when the unit was copied already."""
    async with limitless.transaction():  # our own row lock keeps what is read; RETURNING may not be there
        taken = await units.take_lease(limitless, unit.unit_id, unit.part, unit.tenants)
        lease = await units.lease(limitless, unit.unit_id)
    epoch, state = lease if lease is not None else (0, "")
    if taken and lease is not None:
        if epoch > 1:
            tell("lease.taken_over", unit=unit.unit_id, term=epoch)
        return epoch
    if state == "closed":
        raise LeaseLost(f"copy unit {unit.unit_id} is closed")
    return None


async def copy_unit(
    classic_dsn: str,
    limitless_dsn: str,
    unit_id: str,
    worker: str,
    on_progress: Callable[[Progress], None] | None = None,
    pool: LinkPool | None = None,
) -> None:
    """Copy one unit; safe to run twice, at the same time too: one of them commits.

    Args:
        pool: connections of units before; without it they are opened and closed.

    Raises:
        LeaseLost: another worker took the unit over while this one copied.
        psycopg.Error, ClusterUnavailable: a side failed; nothing of this try remains visible.
    """
    mine = pool if pool is not None else LinkPool()

    async def copy(*, frees_values: bool) -> None:
        async with mine.lend(classic_dsn, limitless_dsn, unit_id) as links:
            await _copy_unit(links, unit_id, worker, on_progress, frees_values)

    try:
        try:
            await copy(frees_values=False)
        except _HeldByAnotherRange:  # looked for only now: it takes reading every unique value of the range
            await copy(frees_values=True)
    finally:
        if pool is None:
            await mine.close()


class _HeldByAnotherRange(psycopg.errors.UniqueViolation):
    """A unique value of the range stands on Limitless, outside of it."""


async def _copy_unit(
    links: Links, unit_id: str, worker: str, on_progress: Callable[[Progress], None] | None, frees_values: bool
) -> None:
    control, limitless = links.control, links.limitless
    unit = await _unit(control, unit_id)
    if unit.state in ("copied", "joined"):
        return
    await share_copy_lock(control)  # a change of the schema that waits for the tables goes first
    epoch = await _lease(limitless, unit)
    if epoch is None:
        await units.set_copied(control, unit_id)
        return
    await units.begin(control, unit_id, worker)
    await set_copying(control, unit.tenants)
    if frees_values or await _is_left(control, limitless, unit):
        await drop_final_keys(limitless)  # rows of an earlier copy are deleted, and inserted again
    # Committed before the snapshot is taken: what the snapshot does not see stays in the journal until enrolled.
    borrowed = await snapshots.pin(control, unit_id, unit.shared)
    try:
        await _copy(links, unit, epoch, borrowed, on_progress, frees_values)
    except psycopg.errors.ForeignKeyViolation:
        await drop_final_keys(limitless)  # perhaps one that checks at once; before the next try they are dropped
        raise
    except psycopg.errors.UniqueViolation as error:
        if not unit.is_range or frees_values:
            raise
        raise _HeldByAnotherRange(*error.args) from error
    await units.set_copied(control, unit_id)


async def _is_left(control: Connection, limitless: Connection, unit: StoredUnit) -> bool:
    """Whether the copy will delete anything. Nothing of a sign-up is there, and it leaves the foreign keys alone."""
    for table in await _tables(control, unit):
        query = sql.SQL("SELECT {}").format(copy_sql.is_left(table, unit.tenants, unit.lower, unit.upper))
        row = await (await limitless.execute(query)).fetchone()
        if row is not None and row[0]:
            return True
    return False


async def _copy(
    links: Links,
    unit: StoredUnit,
    epoch: int,
    borrowed: str | None,
    on_progress: Callable[[Progress], None] | None,
    frees_values: bool,
) -> None:
    """Copy in one transaction on each side; after an error *classic*'s ends with its connection."""
    control, classic, limitless = links.all()
    binary = links.answers.works(Capability.BINARY_COPY)
    meter = _Meter(unit.unit_id, _Pacing(control, unit.unit_id), on_progress)
    snapshot = await snapshots.begin(classic, borrowed)
    if unit.shared is not None:
        await snapshots.lend(control, classic, unit.unit_id, unit.shared)
    async with limitless.transaction():
        tables = await _tables(control, unit)
        for table in tables:
            await limitless.execute(copy_sql.remove(table, unit.tenants, unit.lower, unit.upper))
        for table in tables:
            if frees_values:
                await taken_values.free(classic, limitless, table, unit.tenants[0], unit.lower, unit.upper)
            meter.table = table.qualified
            copied, _ = await pipe(
                classic,
                copy_sql.copy_out(table, unit.tenants, unit.lower, unit.upper, binary=binary),
                limitless,
                copy_sql.copy_in(table, binary=binary),
                meter.block,
            )
            meter.finish_table(copied)
        # Also a flush of classic: what the snapshot saw must survive a crash before Limitless has it for good.
        await meter.pacing.tell(meter.rows, meter.bytes)
        if not await units.finish_lease(limitless, unit.unit_id, epoch, snapshot, meter.rows):
            raise LeaseLost(f"another worker took copy unit {unit.unit_id} over")
    await classic.execute("ROLLBACK")


class _Meter:
    """Counts what went through, tells it, and keeps the pace."""

    def __init__(self, unit_id: str, pacing: _Pacing, tell: Callable[[Progress], None] | None) -> None:
        self.unit_id, self.pacing, self.tell = unit_id, pacing, tell
        self.table = ""
        self.rows = self.bytes = self.known_rows = 0

    async def block(self, length: int, rows: int) -> None:
        self.bytes += length
        self.rows += rows
        if self.tell is not None:
            self.tell(Progress(self.unit_id, self.table, self.rows, self.bytes))
        await self.pacing.rest(length, self.rows, self.bytes)

    def finish_table(self, rows: int) -> None:
        self.known_rows += rows
        self.rows = self.known_rows


class _Pacing:
    """Keeps the common rate, which an operator may change while the copy runs, and shows its progress in status."""

    def __init__(self, control: Connection, unit_id: str) -> None:
        self.control, self.unit_id = control, unit_id
        self.looked_at = -_LOOK_S
        self.mb_per_s: float | None = None
        self.copies = 1
        self.share = 1.0
        self.rested_at = asyncio.get_running_loop().time()

    async def rest(self, length: int, rows: int, size: int) -> None:
        """Rest for *length* bytes at the rate of the moment, which counts at once when it changes, and for the share of
        the time that both sides allow."""
        left = float(length)
        loop = asyncio.get_running_loop()
        idle_until = loop.time() + idle_s(loop.time() - self.rested_at, self.share)
        while True:
            now = loop.time()
            if now - self.looked_at >= _LOOK_S:
                self.looked_at = now
                await self.tell(rows, size)
            for_rate = pause_s(left, self.mb_per_s, self.copies)
            pause = max(for_rate, idle_until - now, 0.0)
            if pause <= _LOOK_S:
                await asyncio.sleep(pause)
                self.rested_at = loop.time()
                return
            await asyncio.sleep(_LOOK_S)
            left *= max(0.0, 1 - _LOOK_S / for_rate) if for_rate else 0.0

    async def tell(self, rows: int, size: int) -> None:
        """Show how far the unit is, and read the rate and the share that both sides allow."""
        rate = await units.report_progress(self.control, self.unit_id, rows, size)
        if rate is not None:
            self.mb_per_s, self.copies, self.share = rate
