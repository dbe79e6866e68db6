"""Looks at classic for every viewer at once, and keeps what was seen last.

One look serves all: viewers wait for the next one instead of asking classic themselves. While no one watches it looks
now and then, so that a board that is opened while classic is down shows how things were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from markupsafe import Markup

from migrator.db.error_text import described
from migrator.errors import MigratorError
from migrator.log_events import tell
from migrator.serve.classic import Busy, Classic, Trouble, trouble_of
from migrator.serve.picture import Picture, look

LOOK_S = 8.0
"""Seconds that a look may take."""
PATIENCE_S = 2.0
"""Seconds that a page waits for a look that has begun, before it shows what is known."""
WATCHED_S = 60.0
"""So long after a page was asked for, somebody counts as watching it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known now.

    Attributes:
        picture: of the last look that classic answered; None: it never did.
        trouble: why it did not answer the last one; None: it did.
        tried_s: this machine's monotonic clock at the end of the last look; None: there was none.
        version: counts looks. It begins at the server's start, so that a page that an earlier server sent has none of
            this one's.
    """

    picture: Picture | None = None
    trouble: Trouble | None = None
    tried_s: float | None = None
    version: int = field(default_factory=lambda: int(time.time()) * 1000)

    @property
    def age_s(self) -> float | None:
        """Return how old the picture is; None without one."""
        return None if self.picture is None else time.monotonic() - self.picture.taken_s


Draw = Callable[[Seen], Mapping[str, Markup]]


@dataclass
class Feed:
    """The looks, and who waits for them.

    Args:
        draw: makes the page's sections of what is known, by name.
    """

    classic: Classic
    draw: Draw
    every_s: float
    idle_s: float
    most_viewers: int
    seen: Seen = field(default_factory=Seen)
    sections: Mapping[str, Markup] = field(default_factory=dict)
    viewers: int = 0
    closed: bool = False
    _changed_at: dict[str, int] = field(default_factory=dict)
    _asked_s: float = -WATCHED_S
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _poke: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Look until closed."""
        while not self.closed:
            self._poke.clear()
            await self._look()
            watched = self.viewers or time.monotonic() - self._asked_s < WATCHED_S
            with suppress(TimeoutError):
                async with asyncio.timeout(self.every_s if watched else self.idle_s):
                    await self._poke.wait()

    async def _look(self) -> None:
        before = self.seen
        try:
            picture = await self.classic.ask(lambda conn: look(conn, before.picture), LOOK_S)
            after = Seen(picture, None, time.monotonic(), before.version + 1)
        except Exception as error:  # whatever it is, the board goes on and says so
            if self.closed:
                return
            if not isinstance(error, MigratorError) and before.trouble is None:
                tell("board.look_failed", error=described(error))
            after = Seen(before.picture, _trouble(error), time.monotonic(), before.version + 1)
        await self._publish(after)

    async def _publish(self, seen: Seen) -> None:
        sections = self.draw(seen)
        for name, html in sections.items():
            if self.sections.get(name) != html:
                self._changed_at[name] = seen.version
        async with self._news:
            self.seen, self.sections = seen, sections
            self._news.notify_all()

    async def fresh(self) -> Seen:
        """Return what is known, from a look within `every_s` where classic answers in time."""
        self._asked_s = time.monotonic()
        tried_s = self.seen.tried_s
        if tried_s is None or time.monotonic() - tried_s > self.every_s:
            version = self.seen.version
            self._poke.set()
            patience_s = LOOK_S + 2 if tried_s is None else PATIENCE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self.newer(version)
        return self.seen

    async def look_soon(self) -> None:
        """Look once more after something was changed here, and wait for that as long as a page would."""
        self._poke.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.newer(self.seen.version)

    async def newer(self, version: int) -> None:
        """Wait for a look after *version*, or for the end."""
        async with self._news:
            await self._news.wait_for(lambda: self.seen.version > version or self.closed)

    def changed_since(self, version: int) -> dict[str, Markup]:
        """Return the sections that changed after *version*."""
        return {name: html for name, html in self.sections.items() if self._changed_at[name] > version}

    async def close(self) -> None:
        """Let everybody go who waits."""
        self.closed = True
        self._poke.set()
        async with self._news:
            self._news.notify_all()
        self.classic.close()


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, Busy):
        return Trouble("it has not answered the question before this one yet", "Is the server frozen, or its host?")
    return trouble_of(error)
