"""The notifier of a process goes on, whatever one of its rounds meets: that it had ended would be told to nobody."""

from __future__ import annotations

import asyncio

import pytest

from migrator.notify.direct import Direct
from migrator.notify.run import Notifier
from tests.fixtures.waiting import until

NOWHERE = "postgresql://operator:hush@127.0.0.1:1/none"


@pytest.mark.asyncio
async def test_a_mistake_in_one_round_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = 0

    async def say(self: Direct, *args: object) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise RuntimeError("hush")

    monkeypatch.setattr(Direct, "say", say)
    stop = asyncio.Event()
    running = asyncio.create_task(Notifier(lambda: NOWHERE, every_s=0.01).run(stop))

    async def again() -> bool:
        return rounds > 2 or running.done()

    await until(again, "it looks again")
    stop.set()
    await running

    assert "notifier.look_failed" in [record.message for record in caplog.records]
    assert "hush" not in caplog.text
