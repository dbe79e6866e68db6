"""Has each worker run a notifier, of which one at a time sends: what needs a person is told while any worker runs.

It is no workflow: it has to work while Temporal does not.
"""

from __future__ import annotations

import asyncio

from migrator.notify.run import Notifier
from workflows.activities.base import Context


async def keep_notified(context: Context) -> None:
    """Run the notifier until cancelled; then give what is being sent a few seconds, and the lease back."""
    stop = asyncio.Event()
    running = asyncio.create_task(Notifier(context.classic_dsn, lambda: context.plan).run(stop))
    try:
        await asyncio.shield(running)
    finally:
        stop.set()
        await asyncio.wait({running})
