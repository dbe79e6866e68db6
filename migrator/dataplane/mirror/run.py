"""Runs a mirror partition: claim, cycle, wait, reconnect, until it is cancelled or superseded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import psycopg

from migrator.control.answers import learn_async
from migrator.control.incident import add_incident_async
from migrator.control.partition import members as members_of
from migrator.control.partition import ring_shape_async, set_waiting
from migrator.control.tables import captured_in_order
from migrator.dataplane.capture import ring
from migrator.dataplane.capture.names import journal
from migrator.dataplane.mirror import fence, membership, position
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.foreign_key_wait import Wait
from migrator.dataplane.mirror.journal_loss import wait_for_recopy
from migrator.dataplane.mirror.options import CycleStats, MirrorOptions
from migrator.dataplane.mirror.partition import Partition
from migrator.dataplane.mirror.position import PartitionCheckpoint
from migrator.db.connect import connect_async
from migrator.db.error_text import described
from migrator.errors import CaptureLost, ClusterUnavailable, HistoryForked, LeaseLost, MigratorError
from migrator.log_events import tell

_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_WRITER_IDLE = "10s"
_READER_IDLE = "300s"  # it only reads, and is idle while a chunk is written
_PARENT_WAIT_S = 0.05
_SUMMARISE_EVERY_S = 0.5
_CLEAN_EVERY_S = 2.0


class _Pace:
    """How long to wait before the next cycle: not at all while there is work, longer each time while there is none."""

    def __init__(self, low_s: float, high_s: float) -> None:
        self.low_s, self.high_s, self.wait_s = low_s, high_s, low_s

    def next(self, worked: bool) -> float:
        self.wait_s = self.low_s if worked else min(self.wait_s * 1.5, self.high_s)
        return self.wait_s


@contextlib.asynccontextmanager
async def _open(
    classic_dsn: str, limitless_dsn: str, part: int, stand: PartitionCheckpoint | None, options: MirrorOptions
) -> AsyncIterator[Partition]:
    app = f"migrator mirror {part}"
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(await connect_async(classic_dsn, app, side="classic"))
        control = await stack.enter_async_context(
            await connect_async(classic_dsn, f"{app} control", statement_timeout_s=30, side="classic")
        )
        limitless = await stack.enter_async_context(
            await connect_async(limitless_dsn, app, statement_timeout_s=120, side="Limitless")
        )
        # A few dirty keys must be looked up by index, however wrong the estimate of their number is.
        # A mirror that is frozen in the middle of a transaction must not block its successor without limit.
        for conn, limit in ((reader, _READER_IDLE), (control, _WRITER_IDLE), (limitless, _WRITER_IDLE)):
            await conn.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", (limit,))
        await reader.execute("SET enable_hashjoin = off /* migrator */")
        await reader.execute("SET enable_mergejoin = off /* migrator */")
        # And so must the new entries among many old ones: EXISTS would bet on meeting one soon.
        await reader.execute("SET enable_seqscan = off /* migrator */")
        await learn_async(limitless)
        if stand is None:
            stand = await position.claim(limitless, part)
            if stand.epoch > 1:
                tell("lease.taken_over", partition=part, term=stand.epoch)
        else:
            stand = await position.reread(limitless, stand)
        members = await members_of(limitless, part)
        tables = await captured_in_order(control)
        partition = Partition(part, tables, reader, control, limitless, stand, options, members, classic_dsn)
        await membership.publish(control, limitless, part, stand.epoch)
        await fence.expire(control, part)
        yield partition


async def run_partition(classic_dsn: str, limitless_dsn: str, part: int, options: MirrorOptions) -> None:
    """Mirror *part* until cancelled.

    A lost connection or an unhealthy side is waited out; the checkpoint on Limitless says where to go on, and the
    lease term claimed at the start says whether this mirror still may. Once writes may have passed the journal it is
    stalled until everything is copied again.

    Raises:
        LeaseLost: another mirror took the partition over, or it was closed.
        HistoryForked: classic was restored or lost its tail.
    """
    stand: PartitionCheckpoint | None = None
    tries, told = 0, ""
    wait = Wait()
    while True:
        try:
            async with _open(classic_dsn, limitless_dsn, part, stand, options) as partition:
                stand = partition.stand
                housekeeping = _Housekeeping(partition) if part == 0 else None
                pace = _Pace(options.poll_min_s, options.poll_max_s)
                while True:
                    try:
                        stats = await _cycle(partition, wait)
                        stand = partition.stand
                        if tries:
                            tell("mirror.resumed", partition=part, tries=tries)
                        tries, told = 0, ""
                        if stats is not None and options.on_cycle is not None:
                            options.on_cycle(stats)
                        if housekeeping is not None:
                            await housekeeping.tick()
                    except psycopg.errors.UndefinedTable:
                        if not await _lost_a_table(partition):
                            raise
                        continue
                    await asyncio.sleep(pace.next(bool(stats and stats.rows)))
        except HistoryForked as error:
            # Nothing on Limitless can be trusted any more: no read may go there until all is copied again.
            await _tell(classic_dsn, part, error)
            await options.fall_back("", str(error))
            raise
        except CaptureLost as error:
            await wait_for_recopy(classic_dsn, part, error, options)
            stand = None  # copying everything again replaced every checkpoint
        except (psycopg.Error, ClusterUnavailable, OSError) as error:
            # Data that Limitless refuses was dealt with inside; what arrives here passes, or needs a person who
            # sees it in status. Giving up would only make the lag worse.
            if (why := _why(error)) != told:
                tell("mirror.waiting", partition=part, reason=why)
                told = why
            await _tell(classic_dsn, part, error)
            await asyncio.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
            tries += 1


async def _cycle(partition: Partition, wait: Wait) -> CycleStats | None:
    try:
        stats = await run_cycle(partition)
    except LeaseLost:
        # Either another mirror has it, or our own last commit went through although its answer was lost.
        partition.stand = await position.reread(partition.limitless, partition.stand)
        return None
    except psycopg.errors.ForeignKeyViolation as error:
        await wait.report(partition, error)
        await asyncio.sleep(_PARENT_WAIT_S)
        return None
    wait.over()
    partition.held_back = []
    return stats


async def _lost_a_table(partition: Partition) -> bool:
    """Whether a captured table was dropped since the last cycle began; then the next one goes on without it."""
    tables = await captured_in_order(partition.control)
    if not partition.tables.keys() - tables.keys():
        return False
    partition.tables, partition.shape = tables, -1
    return True


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, MigratorError) else described(error)


async def _tell(classic_dsn: str, part: int, error: Exception) -> None:
    """Show in status why the partition is stalled; an unreachable classic cannot store it, and shows by itself."""
    why = _why(error)
    with contextlib.suppress(psycopg.Error, ClusterUnavailable, OSError):
        async with await connect_async(
            classic_dsn, f"migrator mirror {part}", connect_timeout_s=2, side="classic"
        ) as conn:
            await set_waiting(conn, part, why)


class _Housekeeping:
    """Partition 0 also turns and empties the ring: once for all partitions."""

    def __init__(self, partition: Partition) -> None:
        self.p = partition
        self.turned = self.cleaned = self.summarised = time.monotonic()
        self.pages: dict[str, int] = {}
        self.alarmed = False

    async def _watch_size(self, megabytes: float) -> None:
        """Raise one incident each time the journal outgrows its limit; the backfill is throttled by then."""
        over = megabytes > self.p.options.journal_limit_mb
        if over and not self.alarmed:
            why = (
                f"the journal holds {megabytes:.0f} MB (limit {self.p.options.journal_limit_mb:.0f});"
                " a stalled position or copy retains its entries: migrator mirror status"
            )
            await add_incident_async(self.p.control, "journal", why, "mirror")
        self.alarmed = over

    async def tick(self) -> None:
        now, conn, ids = time.monotonic(), self.p.control, sorted(self.p.tables)
        if not ids or now - self.summarised < _SUMMARISE_EVERY_S:
            return
        self.summarised = now
        parts, slots = await ring_shape_async(conn, f"migrator.{journal(min(ids))}")
        await ring.summarise(conn, ids, slots, self.pages)
        if now - self.cleaned < _CLEAN_EVERY_S:
            return
        self.cleaned = now
        await self._watch_size(await ring.size_bytes(conn) / 1e6)
        if now - self.turned >= self.p.options.ring_turn_s and await ring.turn(conn, ids, slots) is not None:
            self.turned = now
        await ring.clean(conn, ids, slots, parts)
