"""Has one worker watch both sides, for as long as any worker runs: what the writer carries, what processes measured,
how fast copies may go, who else uses classic, and what was decided, for the logs.

It is no workflow: what it measures is needed before dual write begins and costs no history, and a minute that was not
watched is a gap, not an error.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import psycopg
import structlog

from migrator import settings
from migrator.control import samples, upkeep, writer_load
from migrator.control.install import VERSION, installed_version
from migrator.control.route import write_mode
from migrator.control.telling import Teller
from migrator.db.connect import connect
from migrator.errors import MigratorError
from migrator.log_events import tell
from migrator.model.route import WriteMode
from migrator.preflight.watch import Watcher
from migrator.runway.pacing import Pacer
from migrator.runway.sampler import LOOK_S, Sampler
from workflows.activities.base import APP, Connection, Context

TURN_S = 30.0
"""How often a worker that does not watch asks whether it is its turn, or tries again after an error."""

TIMEOUT_S = 10.0
"""A statement of the watch that takes longer is given up: a busy writer has better things to do."""

MERGES = 2
"""Statements of `samples.merge` at each look: more rows than all processes together write meanwhile."""

log = structlog.get_logger(__name__)


async def keep_sampled(context: Context) -> None:
    """Watch both sides until cancelled, whenever it is this worker's turn.

    In a thread of its own, which does not outlive the process: one that waits for a frozen server keeps no worker from
    ending.
    """
    stop = threading.Event()
    threading.Thread(target=_watch, args=(context, stop), name="migrator-watch", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        stop.set()


def _watch(context: Context, stop: threading.Event) -> None:
    sampler, teller = Sampler(), Teller()
    watcher = Watcher(lambda reference: _opened(settings.resolve(reference)))
    while not stop.is_set():
        try:
            with closing(_opened(context.classic_dsn())) as conn, closing(_pacer(context)) as pacer:
                if _is_installed(conn) and writer_load.take_turn(conn):
                    while _is_installed(conn) and not stop.is_set():
                        _tell(teller, conn)
                        watcher.step(conn, context.plan)
                        if _is_watched(conn):
                            _add_up(conn)
                            pacer.step(conn, context.plan)
                            sampler.step(conn, context.plan)
                        stop.wait(LOOK_S)
                    _tell(teller, conn)
        except (MigratorError, psycopg.Error) as error:
            log.debug("writer.not_sampled", error=type(error).__name__)
        except Exception as error:  # the watch is worth less than a worker, and more than its first mistake
            log.warning("writer.watch_failed", error=type(error).__name__)
        stop.wait(TURN_S)


def _opened(dsn: str) -> Connection:
    return connect(dsn, APP, statement_timeout_s=TIMEOUT_S, lock_timeout_s=1, side="classic")


def _pacer(context: Context) -> Pacer:
    return Pacer(lambda: _opened(context.limitless_dsn()))


def _is_installed(conn: Connection) -> bool:
    return installed_version(conn) == VERSION


def _is_watched(conn: Connection) -> bool:
    """Return whether there is a load to watch: classic is where writes go."""
    return write_mode(conn) is not WriteMode.LIMITLESS_ONLY


def _add_up(conn: Connection) -> None:
    """Add up what processes measured, also where no monitor runs: before dual write, after an abort.

    Merged by the second a fleet's samples are a few rows for all who read them: board, metrics, notifications, lines.
    """
    samples.merge(conn, times=MERGES)
    upkeep.add_up(conn)


def _tell(teller: Teller, conn: Connection) -> None:
    """Log what was decided since; that it could not be read must not end the watch."""
    try:
        teller.step(conn)
    except psycopg.Error as error:
        if conn.broken:
            raise
        tell("log.not_read", error=type(error).__name__)
