"""Runs one cycle: brings Limitless to classic's state at one snapshot.

Read keys and rows of (S1, S2] in one classic snapshot S2; commit a mirror token on classic, and only then the one
Limitless transaction that writes the rows and moves the checkpoint S1 → S2; publish. Afterwards Limitless equals
classic at S2 for every mirrored tenant: a row changed in (S1, S2] is in the batch with its state at S2, any other row
is the same at both.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import partition as partitions
from migrator.control.final_keys import drop_final_keys
from migrator.control.tables import captured_in_order
from migrator.dataplane.capture.ring import lock_for_reading
from migrator.dataplane.mirror import fence, leaving, membership, position, row_stream, rows_sql
from migrator.dataplane.mirror.apply import apply
from migrator.dataplane.mirror.batch import TableBatch, add
from migrator.dataplane.mirror.chunks import apply_in_chunks
from migrator.dataplane.mirror.journal_loss import require_capture
from migrator.dataplane.mirror.membership import Enrolling
from migrator.dataplane.mirror.options import CycleStats
from migrator.dataplane.mirror.partition import Partition
from migrator.dataplane.mirror.quarantine import find_refused, is_refusal, release_members
from migrator.dataplane.mirror.related_rows import complete
from migrator.errors import HistoryForked, LeaseLost
from migrator.model.position import Snapshot
from migrator.model.table import children_of

_MARK_AGAIN_S = 5.0
"""A tenant's changed_at is brought up to date this often, and after every fence: not in every cycle."""


@dataclass(slots=True)
class _Look:
    """What the first query in a new snapshot found."""

    snapshot: Snapshot
    taken: float
    dirty: set[int]
    joining: bool
    exported: str | None  # the snapshot's name, for those who asked for a fence
    leaving: bool


_FREEZE = sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {lock}; {look}")


@asynccontextmanager
async def _frozen(p: Partition) -> AsyncIterator[_Look]:
    """A REPEATABLE READ transaction whose first statement locked the ring, before any snapshot was taken.

    Its first statements travel in one message: a cycle's round trips are what a write waits for that is
    acknowledged.
    """
    try:
        yield await _look(p)
        await p.reader.execute("COMMIT")
    except BaseException:
        if not p.reader.closed:
            with contextlib.suppress(psycopg.Error):  # the caller wants to know what went wrong first
                await p.reader.execute("ROLLBACK")
        raise


async def _look(p: Partition) -> _Look:
    """Begin, lock the ring, take the snapshot and see whether there is anything to do.

    Raises:
        LeaseLost: another mirror has already committed its token on classic.
        HistoryForked: classic no longer holds the token of what Limitless already applied.
        CaptureLost: the journal may not name every row that changed.
    """
    taken = time.monotonic()
    mine = p.ordered()
    query = partitions.first_look(p.part, rows_sql.any_entries(mine, p.part, p.stand.snapshot))
    # LOCK needs no snapshot, so the one of this transaction is taken after the ring is locked.
    lock = lock_for_reading([number for number, _ in mine]) if mine else sql.SQL("")
    cursor = await p.reader.execute(_FREEZE.format(lock=lock, look=query))
    while cursor.nextset():
        pass
    row = await cursor.fetchone()
    look = partitions.FirstLook(*row) if row is not None else None
    if look is not None and look.versions != p.shape:
        # Read in this snapshot; the query is then repeated, so that a cycle reads and writes with one shape.
        shape, tables = int(look.versions), await captured_in_order(p.reader)
        await p.reader.execute("ROLLBACK")
        p.shape, p.tables = shape, tables
        return await _look(p)
    if look is not None and (look.epoch or 0) > p.stand.epoch:
        raise LeaseLost(f"another mirror took partition {p.part} over")
    if look is None or p.stand.token not in (look.tokens or ()):
        raise HistoryForked(
            f"classic does not have the token of what mirror partition {p.part} applied last",
            hint="Classic was restored or lost its tail. Copy everything again: migrator mirror recopy --reason …",
        )
    await require_capture(p, look.lost, look.mark)
    snapshot = Snapshot.parse(look.snapshot)
    return _Look(snapshot, taken, set(look.dirty), look.copied, look.exported, look.leaving)


class _TooWide(Exception):
    """The rows to apply are more than one transaction should hold; the snapshot they were read at is given up."""


async def run_cycle(p: Partition) -> CycleStats | None:
    """Run one cycle; None when there was nothing to do and nothing to publish.

    Raises:
        LeaseLost: the checkpoint is not where this mirror left it.
        HistoryForked, CaptureLost: see `_look`.
        psycopg.Error: a side failed; the checkpoint on Limitless says what was done.
    """
    try:
        return await _cycle(p, wide=False)
    except _TooWide:
        return await _cycle(p, wide=True)


async def _cycle(p: Partition, *, wide: bool) -> CycleStats | None:
    """Run one cycle; in chunks without asking when *wide*. Raises _TooWide before anything was written."""
    async with _frozen(p) as look:
        enrolling = await membership.find(p.control, p.limitless, p.part) if look.joining else Enrolling()
        idle = not look.dirty and not enrolling.tenants
        if idle and not look.exported and not look.leaving and look.taken - p.fresh_at < p.options.idle_commit_s:
            return None
        scope = p.members | {t for t, _ in enrolling.tenants}
        batches = {n: TableBatch(t) for n, t in p.ordered()}
        too_many = wide or await _read(p, look, enrolling, scope, batches)
        token = str(uuid.uuid4())
        committing = _commit_token(
            p,
            set(scope) if too_many else set().union(*(b.tenants() for b in batches.values())),
            reference=p.part == 0 and (too_many or any(len(b) for b in batches.values())),
            nobodys=too_many or _perhaps_nobodys(p, batches),
            token=token,
        )
        if too_many:
            await committing
            rows = await apply_in_chunks(p, look.snapshot, enrolling, scope, token, look.taken)
        else:
            async with _beside(committing) as committed:
                rows = await _write(p, look, enrolling, scope, batches, token, committed)
        p.members = scope
        p.stand = replace(p.stand, snapshot=look.snapshot, token=token)
        if look.exported:
            p.marked.clear()  # what a tenant changes from here on came after this fence
            await fence.serve(p.control, look.exported, p.stand, p.options.fence_wait_s)
    if look.leaving:
        await leaving.remove_leaving(p)
    now = time.monotonic()
    # The oldest entry applied was committed after the last snapshot was taken; without entries nothing is late.
    lag_s = now - (p.fresh_at if rows and p.fresh_at else look.taken)
    p.fresh_at = look.taken
    p.applied += rows
    stats = CycleStats(p.part, str(look.snapshot), rows, lag_s, now - look.taken, len(enrolling.tenants))
    await publish(p, stats)
    if enrolling.units:
        await membership.publish(p.control, p.limitless, p.part, p.stand.epoch)
    return stats


async def _read(
    p: Partition, look: _Look, enrolling: Enrolling, scope: set[str], batches: Mapping[int, TableBatch]
) -> bool:
    """Fill *batches* from the snapshot; True when there are more rows than one transaction should apply.

    Raises:
        _TooWide: there are not, but they are larger.
    """
    room, size = p.options.batch_rows, p.options.batch_bytes
    unmirrored: set[str] = set()
    for number, table in p.ordered():
        if number not in look.dirty and not enrolling.tenants:
            continue
        query = rows_sql.read_dirty(table, number, p.part, p.stand.snapshot, enrolling.tenants)
        block = await row_stream.first(
            p.reader, sql.SQL("{} LIMIT {}").format(query, sql.Literal(room + 1)), room + 1, max(size, 1)
        )
        if block.more:
            raise _TooWide
        unmirrored |= add(batches[number], block.rows, scope)
        room -= len(block.rows)
        size -= block.size
        if room < 0:
            break
    await membership.report_unmirrored(p, unmirrored)
    return room < 0


def _perhaps_nobodys(p: Partition, batches: Mapping[int, TableBatch]) -> bool:
    """Whether this batch has orphan rows, or may have by now: a parent was deleted that no foreign key protects."""
    tables = tuple(p.tables.values())
    return any(
        b.nobodys or (bool(b.deletes or b.moved) and any(not c.path[0].enforced for c in children_of(b.table, tables)))
        for b in batches.values()
    )


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run *work* beside the caller's block, and not any longer."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _commit_token(
    p: Partition, changed: set[str], *, reference: bool = False, nobodys: bool = False, token: str | None = None
) -> None:
    """Commit this try's token on classic, and mark what changes: tenants, reference tables, orphan rows.

    With synchronous_commit on (the session's setting), its flush makes durable all that the snapshot saw; and as
    its xid is at or above the snapshot's xmax, no xid below can be handed out again after a crash. Marking before
    Limitless moves errs on the safe side: a tenant may be called changed that was not.
    """
    token = token or str(uuid.uuid4())
    if time.monotonic() - p.marked_since > _MARK_AGAIN_S:
        p.marked.clear()
        p.marked_since = time.monotonic()
    unmarked = sorted(t for t in changed if t not in p.marked)
    if not await partitions.commit_token(
        p.control, p.part, p.stand.epoch, token, p.stand.token, unmarked, reference=reference, nobodys=nobodys
    ):
        raise LeaseLost(f"another mirror took partition {p.part} over")
    p.marked |= changed


async def _write(
    p: Partition,
    look: _Look,
    enrolling: Enrolling,
    scope: set[str],
    batches: Mapping[int, TableBatch],
    token: str,
    committed: asyncio.Task[None],
) -> int:
    """Write everything and move the checkpoint, in one Limitless transaction; returns the rows written.

    Classic commits the token meanwhile: nothing is committed here before it is *committed* there, whatever happens.
    Tenants that Limitless refuses are left out, and leave *scope*.
    """
    refused: set[str] = set()
    delete_first = False
    todo: list[TableBatch] = []
    while True:
        try:
            async with p.limitless.transaction():
                age_s = time.monotonic() - look.taken
                if not await position.move(p.limitless, p.stand, look.snapshot, token, age_s):
                    raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")
                extras = [extra for batch in batches.values() for extra in await complete(p, batch, scope)]
                todo = _merged(batches, extras, refused)
                await apply(p.limitless, todo, delete_first=delete_first)
                if enrolling.tenants:
                    await membership.record(p.limitless, p.part, enrolling)
                await release_members(p, refused)
                await committed
        except psycopg.errors.UniqueViolation:
            await committed
            # Rows that swapped a unique value collide one by one, although the whole is consistent.
            await drop_final_keys(p.limitless)
            if delete_first:
                newly_refused = await find_refused(p, list(batches.values())) - refused
                if p.part == 0 or not newly_refused:
                    raise
                refused |= newly_refused
            delete_first = True
        except psycopg.errors.ForeignKeyViolation:
            await committed
            # Limitless has foreign keys, and another partition has not reached that state yet: wait for it. New
            # reference rows go ahead (partitions that need them can go on), rows still referred to are deleted when no
            # row refers to them.
            if await drop_final_keys(p.limitless):
                continue  # it was one that checks at once
            p.held_back = todo
            if p.part == 0:
                await _ahead(p, list(batches.values()))
            raise
        except psycopg.Error as error:
            await committed
            if not is_refusal(error) or p.part == 0:
                raise
            newly_refused = await find_refused(p, list(batches.values())) - refused
            if not newly_refused:
                raise
            refused |= newly_refused
        else:
            scope -= refused
            return sum(map(len, todo))


async def _ahead(p: Partition, batches: list[TableBatch]) -> None:
    """Commit upserts alone, under the lease term, without moving the checkpoint: the cycle is repeated anyway."""
    async with p.limitless.transaction():
        if await position.lock_checkpoint(p.limitless, p.stand):
            await apply(p.limitless, [TableBatch(b.table, b.upserts) for b in batches])


def _merged(batches: Mapping[int, TableBatch], extras: list[TableBatch], refused: set[str]) -> list[TableBatch]:
    """Return what to apply: extras joined to their table's batch, without refused tenants, empty ones dropped."""
    by_name = {b.table.qualified: b.without(refused) for b in batches.values()}
    for extra in extras:
        into = by_name[extra.table.qualified]
        kept = extra.without(refused)
        into.upserts.update(kept.upserts)
        into.deletes |= kept.deletes
    return [b for b in by_name.values() if len(b)]


async def publish(p: Partition, stats: CycleStats) -> None:
    """Tell shims and status where the partition stands. Classic's clock stamps the freshness."""
    await partitions.publish(
        p.control,
        p.part,
        p.stand.epoch,
        stats.snapshot,
        age_s=time.monotonic() - p.fresh_at,
        lag_s=stats.lag_s,
        rows=stats.rows,
        applied=p.applied,
        rows_per_s=stats.rows / stats.seconds if stats.seconds else 0.0,
    )
