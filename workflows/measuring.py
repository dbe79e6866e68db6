"""Has one worker look at Limitless once an hour: what it used, how full its shards are.

Beside the watch of sampling.py and not in it, as AWS, or a Limitless that is slow, may take a minute to answer. Nothing
is kept open between two looks. It is no workflow for the same reasons.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import psycopg
import structlog

from migrator.capacity.look import is_due, look
from migrator.control.cost import take_turn
from migrator.control.install import VERSION, installed_version
from migrator.db.connect import connect
from migrator.errors import MigratorError
from workflows.activities.base import APP, Connection, Context

TURN_S = 120.0
"""How often a worker asks whether a look is due."""

TIMEOUT_S = 30.0
"""A statement that takes longer is given up: sizes are asked of every node."""

log = structlog.get_logger(__name__)


async def keep_measured(context: Context) -> None:
    """Look at Limitless until cancelled, whenever it is due and no other worker does. In a thread of its own, which
    does not outlive the process."""
    stop = threading.Event()
    threading.Thread(target=_measure, args=(context, stop), name="migrator-measure", daemon=True).start()
    try:
        await asyncio.Event().wait()
    finally:
        stop.set()


def _measure(context: Context, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with closing(_opened(context.classic_dsn(), "classic")) as conn:
                if installed_version(conn) == VERSION and take_turn(conn) and is_due(conn):
                    look(conn, lambda: _opened(context.limitless_dsn(), "Limitless"), context.plan)
        except (MigratorError, psycopg.Error) as error:
            log.debug("limitless.not_measured", error=type(error).__name__)
        except Exception as error:  # the look is worth less than a worker, and more than its first mistake
            log.warning("limitless.measure_failed", error=type(error).__name__)
        stop.wait(TURN_S)


def _opened(dsn: str, side: str) -> Connection:
    return connect(dsn, APP, statement_timeout_s=TIMEOUT_S, lock_timeout_s=1, side=side)
