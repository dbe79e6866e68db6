"""Events that the shim reports to its host application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something the host may want to log or count."""

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.INFO


@dataclass(frozen=True, slots=True)
class ReadFellBack(Event):
    """A read was repeated on classic because Limitless failed or its answer came too late."""

    name: ClassVar[str] = "read.fell_back"
    level: ClassVar[int] = logging.WARNING
    tenant_id: str
    why: str


@dataclass(frozen=True, slots=True)
class BreakerOpened(Event):
    """This process stopped reading something from Limitless by itself."""

    name: ClassVar[str] = "breaker.opened"
    level: ClassVar[int] = logging.WARNING
    scope: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerClosed(Event):
    """It reads from Limitless again."""

    name: ClassVar[str] = "breaker.closed"
    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class FallbackRaised(Event):
    """A write waited too long for the mirror, so its partition's reads went back to classic for everybody."""

    name: ClassVar[str] = "fallback.raised"
    level: ClassVar[int] = logging.WARNING
    part: int
    epoch: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class ReplicaServes(Event):
    """A read replica of classic is read from, by every process."""

    name: ClassVar[str] = "replica.serves"
    replica: str


@dataclass(frozen=True, slots=True)
class ReplicaTakenOut(Event):
    """This process took a read replica of classic out of service, for every process."""

    name: ClassVar[str] = "replica.taken_out"
    level: ClassVar[int] = logging.WARNING
    replica: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoutesApplied(Event):
    """New routes are in force in this process."""

    name: ClassVar[str] = "routes.applied"
    level: ClassVar[int] = logging.DEBUG
    epoch: int


@dataclass(frozen=True, slots=True)
class RoutesLost(Event):
    """Classic's routes cannot be read; reads come from classic until they can."""

    name: ClassVar[str] = "routes.lost"
    level: ClassVar[int] = logging.WARNING
    why: str


@dataclass(frozen=True, slots=True)
class SettledOnLimitless(Event):
    """The migration is over: this process never goes back to classic."""

    name: ClassVar[str] = "routes.settled"


@dataclass(frozen=True, slots=True)
class ShadowDiffered(Event):
    """A read returned something else on the other side, twice, over rows that were the same on both.

    Attributes:
        fingerprint: names the read; `gates.acknowledged` takes `reads.differ:` and this.
        statement: its statements without values.
        seen: what either side gave, without values of rows.
    """

    name: ClassVar[str] = "shadow.differed"
    level: ClassVar[int] = logging.WARNING
    tenant_id: str
    fingerprint: str = ""
    statement: str = ""
    seen: str = ""


class Listener(Protocol):
    """Receives events, from any thread. Must not raise and must not block."""

    def on_event(self, event: Event) -> None: ...


class LoggingListener:
    """Sends events to the standard library's logging, under the name `migrator.shim`."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("migrator.shim")

    def on_event(self, event: Event) -> None:
        if self._logger.isEnabledFor(event.level):
            facts = " ".join(f"{key}={value!r}" for key, value in asdict(event).items())
            self._logger.log(event.level, "%s %s", event.name, facts)


class Counting:
    """Counts reads that fell back on their way to the application's listener."""

    def __init__(self, listener: Listener, fell_back: Callable[[], None]) -> None:
        self._listener = listener
        self._fell_back = fell_back

    def on_event(self, event: Event) -> None:
        if isinstance(event, ReadFellBack):
            self._fell_back()
        self._listener.on_event(event)
