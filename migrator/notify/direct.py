"""What the notifier says itself, since no outbox can carry it: classic is unreachable, or of another version.

Kept in this process. Every notifier finds it for itself, under one key; one that knows that another one sends leaves
it to that one for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg

from migrator import settings
from migrator.control.route import settled
from migrator.db.connect import connect, masked
from migrator.errors import MigratorError
from migrator.model.condition import Condition, Kind
from migrator.model.route import WriteMode
from migrator.model.standing import make
from migrator.notify.decide import Action, Known, Message, step
from migrator.notify.message import Note, clean
from migrator.notify.retrying import MOST_REFUSALS, pause_s
from migrator.notify.send import Outcome, Result, in_thread
from migrator.plan.notify import Notify
from migrator.plan.schema import Plan

OTHERS_LATER_S = 60.0
"""A process that knows that another one sends leaves it to that one to say so, for so long."""

APP = "migrator notifier"

_HINT = "Check the cluster and the way to it; applications go on by themselves as far as they can: migrator status"


@dataclass
class Waiting:
    """A message, how often it was tried, and when it is tried again (monotonic seconds)."""

    note: Note
    tries: int = 0
    due: float = 0.0


@dataclass
class Direct:
    """What one process says without classic.

    Attributes:
        over: the migration is finished: an unreachable classic was retired.
        queues: what is to be sent, by receiver, in order.
    """

    dsn: Callable[[], str]
    plan: Callable[[], Plan | None]
    over: bool = False
    queues: dict[str, list[Waiting]] = field(default_factory=dict)
    _known: dict[str, Known] = field(default_factory=dict)

    async def say(
        self, section: Notify, name: str, silent_s: float | None, why: str, mine: bool, wrong: Condition | None = None
    ) -> None:
        """Tell that classic is unreachable, or that it is so no more.

        Args:
            name: of the migration as classic had it; '' where it never answered.
            silent_s: for how long classic has not answered; None: it answers.
            mine: no other process is known to send.
            wrong: what is told while classic answers, and has no outbox that this version may use.
        """
        now = datetime.now(UTC)
        standing = [wrong] if wrong is not None else []
        limit_s = section.unreachable_s + (0.0 if mine else OTHERS_LATER_S)
        if silent_s is not None and silent_s >= limit_s and not self.over:
            if not self._known and await self._is_settled():
                self.over = True
                if name:  # this process saw the migration run, and not that it was finished
                    self._tell(section, _finished(now), Action.HAPPENED, now, name)
            else:
                standing.append(unreachable(why, silent_s, now))
        if standing or self._known:
            found = step(self._known, standing, (), section, now)
            for gone in found.drop:
                del self._known[gone]
            self._known.update(found.put)
            self._queue(found.messages, name)

    def resolve_quietly(self, section: Notify, name: str) -> None:
        """Nothing looked for a while: if an earlier process said that classic was unreachable, that is over.

        For PagerDuty alone, which shows nothing of a key that is not open.
        """
        now = datetime.now(UTC)
        pagers = {n: r for n, r in section.receiver.items() if r.kind == "pagerduty"}
        if not self._known:
            only = section.model_copy(update={"receiver": pagers})
            self._tell(only, unreachable("", 0.0, now), Action.OVER, now, name)

    def tried(self, receiver: str, one: Waiting, outcome: Outcome) -> None:
        """Note what became of the first message of a receiver's queue."""
        if outcome.result is Result.SENT or one.tries >= 2 * MOST_REFUSALS:
            self.queues[receiver].remove(one)
        else:
            one.tries += 1
            one.due = time.monotonic() + pause_s(one.tries, outcome.after_s)

    def due(self, receiver: str) -> Waiting | None:
        """Return the message that a receiver is to be sent now."""
        queue = self.queues.get(receiver)
        return queue[0] if queue and queue[0].due <= time.monotonic() else None

    def _tell(self, section: Notify, condition: Condition, action: Action, now: datetime, name: str) -> None:
        wanted = [receiver for receiver, found in section.receiver.items() if found.wants(condition)]
        self._queue([Message(receiver, action, condition, now) for receiver in wanted], name)

    def _queue(self, messages: Sequence[Message], name: str) -> None:
        plan = self.plan()
        for one in messages:
            known = name or (plan.name if plan is not None else "")
            note = Note(one.action, one.condition, known, self._scope(), datetime.now(UTC), one.since, one.by)
            self.queues.setdefault(one.receiver, []).append(Waiting(note))

    def _scope(self) -> str:
        """Which classic it is, while nothing can be read there: its address, as a digest."""
        try:
            return hashlib.sha256(masked(self.dsn()).encode()).hexdigest()
        except MigratorError:
            return ""

    async def _is_settled(self) -> bool:
        """Whether Limitless says that the migration is over: then classic was retired, and is no loss."""
        plan = self.plan()
        if plan is None:
            return False

        def ask() -> bool:
            dsn = settings.resolve(plan.limitless.dsn)
            with connect(dsn, APP, statement_timeout_s=2, connect_timeout_s=2, side="classic") as conn:
                found = settled(conn)
            return found is not None and found.write_mode == WriteMode.LIMITLESS_ONLY

        try:
            return await asyncio.wait_for(in_thread(ask), 5.0)
        except (TimeoutError, MigratorError, psycopg.Error):
            return False


def unreachable(why: str, silent_s: float, now: datetime) -> Condition:
    """Return the condition that the notifier itself finds."""
    text = f"classic has not answered the notifier for {silent_s:.0f} s: {clean(why, 300)}"
    return make(Kind.CLASSIC_UNREACHABLE, text, _HINT, since=now - timedelta(seconds=silent_s))


def _finished(now: datetime) -> Condition:
    text = "the migration is finished: Limitless holds the terminal route, and classic is unreachable"
    hint = "Nothing is left to do for this tool; its workers can be stopped."
    return make(Kind.FINISHED, text, hint, since=now, instant=True)
