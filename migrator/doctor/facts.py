"""What was read: one section of facts per server, or the reason why it is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from migrator.plan.schema import Plan

T = TypeVar("T")


class Kind(StrEnum):
    """What can be asked."""

    CLASSIC = "classic"
    LIMITLESS = "limitless"
    READER = "reader"
    TEMPORAL = "temporal"
    AWS = "aws"
    HERE = "here"  # this machine, and this process


POSTGRES = frozenset({Kind.CLASSIC, Kind.LIMITLESS, Kind.READER})


@dataclass(frozen=True, slots=True)
class Server:
    """One thing to ask. *name* is what findings call it; *reference*: where the plan says it is found."""

    kind: Kind
    name: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Unasked:
    """A section that is not known, and why.

    Attributes:
        sqlstate: of the error; '' where the server gave none.
        hint: what to do, where the tool says so.
        heard: False where the server did not answer at all, so that one finding says it for all its sections.
    """

    why: str
    sqlstate: str = ""
    hint: str = ""
    heard: bool = True


@dataclass(frozen=True)
class Section(Generic[T]):
    """Facts that are read together.

    Attributes:
        on: the servers that have them.
        read: given what is open to the server, and the plan; called in the server's own thread.
    """

    name: str
    on: frozenset[Kind]
    read: Callable[[Any, Plan | None], T]


@dataclass(frozen=True)
class Facts:
    """Everything that was read, for the checks.

    Attributes:
        problems: why there is no plan, when there is none.
        source: where the plan was found.
    """

    plan: Plan | None
    problems: tuple[str, ...] = ()
    source: str = ""
    servers: tuple[Server, ...] = ()
    read: Mapping[tuple[str, str], Any] = field(default_factory=dict)

    def of(self, section: Section[T], server: Server) -> T | Unasked:
        """Return what *section* says of *server*."""
        found: T | Unasked = self.read.get((server.name, section.name), Unasked("was not asked", heard=False))
        return found

    def each(self, section: Section[T]) -> Iterator[tuple[Server, T | Unasked]]:
        """Yield every server that has *section*, with what was read."""
        for server in self.servers:
            if server.kind in section.on:
                found: T | Unasked = self.of(section, server)
                yield server, found

    def known(self, section: Section[T], kind: Kind) -> T | None:
        """Return what the first server of *kind* says; None where that is unknown."""
        for server, found in self.each(section):
            if server.kind is kind and not isinstance(found, Unasked):
                return found
        return None
