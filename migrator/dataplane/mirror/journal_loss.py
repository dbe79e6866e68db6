"""Stops a mirror when writes may have passed the journal.

It applies nothing more: its reads go back to classic, confirmed, the loss is an incident, and it stays stalled until
everything is copied again (`migrator mirror recopy`). The partition that detects the loss records it in a row that
every partition reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import psycopg

from migrator.control import journal
from migrator.control.partition import set_waiting
from migrator.dataplane.capture import watch
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.partition import Partition
from migrator.db.connect import connect_async
from migrator.errors import CaptureLost, ClusterUnavailable
from migrator.model.incident import IncidentKind
from migrator.model.tenant import REFERENCE_PART

WHOLE_EVERY_S = 5.0
"""Capture is compared as a whole this often, by the mirror of partition 0; a change that every cycle sees, or a glance
at the tables, makes it sooner."""

GLANCE_EVERY_S = 0.5
"""The mirror of partition 0 looks this often whether a captured table was changed."""

WHOLE_EVERY_ELSE_S = 60.0
"""The same by the other mirrors, should that one not run: each time costs classic up to a tenth of a second."""
_ASK_EVERY_S = 0.5


async def require_capture(p: Partition, lost: list[str] | None, mark: str) -> None:
    """Return when capture is what it was built to be, in the reader's snapshot.

    Args:
        lost, mark: `LOST` and `MARK` of control.watch in that snapshot.

    Raises:
        CaptureLost: it is not, or was not.
    """
    if lost:
        raise CaptureLost(lost, hint=watch.ADVICE, recorded=True)
    now = time.monotonic()
    first = p.part == REFERENCE_PART
    shape_mark = p.shape_mark
    if first and now - p.glanced >= GLANCE_EVERY_S:
        row = await (await p.reader.execute(watch.SHAPE_MARK)).fetchone()
        shape_mark, p.glanced = str(row[0]) if row is not None else "", now
    unchanged = (mark, shape_mark) == (p.mark, p.shape_mark)
    if unchanged and now - p.watched < (WHOLE_EVERY_S if first else WHOLE_EVERY_ELSE_S):
        return
    try:
        rows = await (await p.reader.execute(watch.DIFFERENCES)).fetchall()
    except psycopg.errors.UndefinedFunction:
        raise CaptureLost(["capture's own functions were dropped"], hint=watch.ADVICE) from None
    wrong = watch.found(rows)
    if wrong:
        raise CaptureLost([d.text for d in wrong], hint=watch.ADVICE)
    p.mark, p.shape_mark, p.watched = mark, shape_mark, now


async def wait_for_recopy(classic_dsn: str, part: int, error: CaptureLost, options: MirrorOptions) -> None:
    """Record the loss, bring the partition's reads back to classic, and return once everything is to be copied again.

    Safe to repeat; a classic that does not answer is asked again.
    """
    fallen = False
    while True:
        with contextlib.suppress(psycopg.Error, ClusterUnavailable, OSError):
            app = f"migrator mirror {part} control"
            async with await connect_async(classic_dsn, app, statement_timeout_s=30, side="classic") as conn:
                if not fallen:
                    await _record(conn, part, error)
                elif not await journal.is_lost(conn):
                    return
            if not fallen:
                await options.fall_back("", str(error))
                fallen = True
        await asyncio.sleep(_ASK_EVERY_S)


async def _record(conn: psycopg.AsyncConnection[tuple[object, ...]], part: int, error: CaptureLost) -> None:
    if not error.recorded:
        await journal.note_loss_async(conn, error.problems, f"mirror {part}", IncidentKind.CAPTURE.value)
    await set_waiting(conn, part, f"{error}. {error.hint}")
