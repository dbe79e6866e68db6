"""Lends tasks connections to read replicas. Which one, and whether its answer stands, both fronts decide alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from migrator.shim.link import BaseLink
from migrator.shim.replica_lender import ReadLender


class AsyncReadLender(ReadLender):
    """The lender of both fronts, awaited."""

    def take(self, begin: str, *, silent_s: float | None = None) -> Awaitable[BaseLink]:
        """Return a connection as `taking` does."""
        return self.taking(begin, silent_s)

    def _rest(self, seconds: float) -> Awaitable[None]:
        return asyncio.sleep(seconds)
