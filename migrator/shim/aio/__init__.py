"""The shim for applications on asyncio. The same promises as migrator.shim's, by the same judgements.

    async with AsyncShim(classic=..., limitless=..., name="web-1") as shim:
        async def add(w):
            await w.connection.execute("INSERT ...")

        await shim.run_write(tenant, add)

Every `await` may be cancelled: a read is thrown away; before COMMIT nothing happened; while COMMIT was under way the
outcome is unknown (CommitInterrupted); behind it the write is committed (UnconfirmedInterrupted).
"""

from migrator.shim.aio.blocks import AsyncRead, AsyncWrite, CommitInterrupted, UnconfirmedInterrupted
from migrator.shim.aio.session import AsyncSession
from migrator.shim.aio.shim import AsyncShim

__all__ = [
    "AsyncRead",
    "AsyncSession",
    "AsyncShim",
    "AsyncWrite",
    "CommitInterrupted",
    "UnconfirmedInterrupted",
]
