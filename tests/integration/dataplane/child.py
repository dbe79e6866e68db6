"""A process of the data plane that tests may kill: mirrors of some partitions, or a backfill that never rests.

    python -m tests.integration.dataplane.child mirror 0,1,2
    python -m tests.integration.dataplane.child copy

The connection strings come in the environment, as C and L; BATCH_ROWS and BATCH_MB bound a mirror's transactions.
It ends with 0 when another one took its work over, with 3 when it met what must never happen.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback

import psycopg

from migrator.dataplane.backfill import plan as backfill_plan
from migrator.dataplane.backfill.copy import copy_unit
from migrator.dataplane.mirror.options import MirrorOptions
from migrator.dataplane.mirror.run import run_partition
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, LeaseLost
from tests.fixtures.world import PARTS

CLASSIC, LIMITLESS = os.environ["C"], os.environ["L"]


async def mirror(parts: list[int]) -> None:
    """Mirror *parts* until one of them is taken over."""
    options = MirrorOptions(
        batch_rows=int(os.environ.get("BATCH_ROWS", "200")),
        batch_mb=float(os.environ.get("BATCH_MB", "0.03")),
        ring_turn_s=1.0,
    )
    await asyncio.gather(*(run_partition(CLASSIC, LIMITLESS, part, options) for part in parts))


def units() -> list[str]:
    """Plan small units for whoever is not copied."""
    with connect(CLASSIC, "backfill", statement_timeout_s=10) as conn:
        backfill_plan.take_inventory(conn, PARTS, 20)
        return backfill_plan.plan_units(conn, 400, 3, 150)


async def copy() -> None:
    """Copy whatever is to be copied, for ever."""
    while True:
        try:
            for unit in await asyncio.to_thread(units):
                await copy_unit(CLASSIC, LIMITLESS, unit, f"process {os.getpid()}")
        except (psycopg.Error, ClusterUnavailable, OSError, LeaseLost):
            pass  # a side is down, or another worker was faster
        await asyncio.sleep(0.1)  # nothing tells that there is more to copy: it is looked for again


if __name__ == "__main__":
    try:
        asyncio.run(copy() if sys.argv[1] == "copy" else mirror([int(n) for n in sys.argv[2].split(",")]))
    except LeaseLost:
        pass
    except BaseException:
        traceback.print_exc()
        sys.exit(3)
