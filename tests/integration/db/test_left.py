"""A connection of the tool is closed when its block is left, however that happens."""

from __future__ import annotations

import asyncio

import pytest

from migrator.db.connect import connect_async

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_a_task_that_is_cancelled_again_while_it_rolls_back_leaves_no_connection(
    classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled_again() -> None:
        raise asyncio.CancelledError

    conn = await connect_async(classic_dsn, "test", autocommit=False)
    monkeypatch.setattr(conn, "rollback", cancelled_again)

    with pytest.raises(asyncio.CancelledError):
        async with conn:
            await conn.execute("SELECT 1")
            raise asyncio.CancelledError

    assert conn.closed
