"""Several actors of the product at once, one statement at a time, in an order that dice choose.

An actor is a coroutine, or a function in a thread, that runs the product's own code. Before each conversation of it
with a server it waits for its turn. Whoever stands in line for a lock is left there, and the others go on. Each actor
has a rank; the highest that can goes, and ranks change now and then: so an actor may stand still between any two
statements for as long as others have something to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import psycopg
import pytest

BLOCKED_S = 0.03
"""A statement that takes longer waits for a lock, or the machine is busy: the others go on."""

FAIR = 0.25
"""So often anybody goes, so that those who never end cannot keep the others from it for ever."""

_actor: contextvars.ContextVar[tuple[Turns, str] | None] = contextvars.ContextVar("actor", default=None)


class Turns:
    """Hands out turns, one at a time."""

    def __init__(self, seed: int, changes: float = 0.08) -> None:
        self.dice = random.Random(seed)
        self.changes = changes
        self.given = 0
        self._rank: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def wait(self, name: str) -> None:
        """Return when it is *name*'s turn.

        An actor may talk to two servers side by side: then both of its conversations wait, each with a rank of its own.
        """
        if name in self._waiting:
            name = f"{name}, beside"
            assert name not in self._waiting, "three conversations of one actor at once"
            self._rank.setdefault(name, self.dice.random())
        turn = self._waiting[name] = self._loop.create_future()
        self._news.set()
        await turn

    def wait_in_thread(self, name: str) -> None:
        """The same for an actor in a thread."""
        asyncio.run_coroutine_threadsafe(self.wait(name), self._loop).result()

    async def run(self, actors: dict[str, Callable[[], Coroutine[Any, Any, object]]]) -> dict[str, object]:
        """Run *actors* to their ends; returns what each returned, or raised."""
        tasks = {}
        for name, actor in actors.items():
            self._rank[name] = self.dice.random()
            _actor.set((self, name))
            tasks[name] = asyncio.create_task(actor())
        _actor.set(None)
        last = ""
        while running := {name for name, task in tasks.items() if not task.done()}:
            if last in running and last not in self._waiting:
                await self._anything(BLOCKED_S)
                if self._news.is_set() and last not in self._waiting:
                    self._news.clear()
                    await self._anything(BLOCKED_S)
            if self._waiting:
                last = self._give()
            else:
                await self._anything(BLOCKED_S)
            self._news.clear()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        return dict(zip(tasks, results, strict=True))

    async def _anything(self, seconds: float) -> None:
        """Return when an actor asks for its turn, at the latest after *seconds*."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    def _give(self) -> str:
        waiting = sorted(self._waiting)
        name = self.dice.choice(waiting) if self.dice.random() < FAIR else max(waiting, key=lambda n: self._rank[n])
        if self.dice.random() < self.changes:
            self._rank[name] = self.dice.random()
        self.given += 1
        turn = self._waiting.pop(name)
        if not turn.done():
            turn.set_result(None)
        return name


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Turns]:
    """Let every conversation of an actor with a server wait for its turn; returns what makes the turns."""
    wait: Callable[..., Awaitable[Any]] = psycopg.AsyncConnection.wait
    wait_in_thread = psycopg.Connection.wait

    async def waits(self: Any, gen: Any, *args: Any, **options: Any) -> Any:
        actor = _actor.get()
        if actor is not None:
            await actor[0].wait(actor[1])
        return await wait(self, gen, *args, **options)

    def waits_in_thread(self: Any, gen: Any, *args: Any, **options: Any) -> Any:
        actor = _actor.get()
        if actor is not None:
            actor[0].wait_in_thread(actor[1])
        return wait_in_thread(self, gen, *args, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "wait", waits)
    monkeypatch.setattr(psycopg.Connection, "wait", waits_in_thread)
    return Turns
