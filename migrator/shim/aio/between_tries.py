"""What passes between two tries of a write, for adapters that run it again in their own way; awaited."""

from __future__ import annotations

import asyncio

from migrator.shim.aio.shim import AsyncShim
from migrator.shim.between_tries import pause_s


async def rest(shim: AsyncShim, tries: int) -> None:
    """Wait before another try after *tries* that failed, and have the routes read meanwhile: writes may be closed."""
    shim._back._current.refresh()
    await asyncio.sleep(pause_s(tries))
