"""Capabilities of Limitless that no document settles: the cluster's own answers, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from migrator.model.blocker import Blocker
from migrator.model.wrapped import Rule


class Capability(StrEnum):
    """A question to the cluster. The names are stored, shown and documented."""

    TEXT_COPY = "text_copy"
    BINARY_COPY = "binary_copy"
    UPSERT = "upsert"
    CONFLICT_WITHOUT_TARGET = "conflict_without_target"
    RETURNING = "returning"
    ROW_LOCKS = "row_locks"
    SQLSTATE = "sqlstate"
    INDEX_CATALOG = "index_catalog"
    INDEX_CONCURRENTLY = "index_concurrently"
    SEQUENCE_LIMITS = "sequence_limits"
    SEQUENCE_CHUNKS = "sequence_chunks"
    SEQUENCE_RESTART = "sequence_restart"
    DEFERRED_KEYS = "deferred_keys"
    ADVISORY_LOCKS = "advisory_locks"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the cluster said.

    Attributes:
        works: on every kind of table that was asked about.
        said: why not, in the server's words; '' where it works.
        kinds: the kinds of tables ("sharded", "reference", "standard") it works on, where that was asked.
        rules: of SQLSTATE: how wrapped errors are told apart.
        needed: nothing stands in for it: without it the tool cannot work.
        instead: what the tool does without it; of what is needed, why it is.
    """

    capability: Capability
    works: bool
    said: str = ""
    kinds: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    needed: bool = False
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one cluster; empty when it was never asked. What was never asked is taken as documented."""

    version: str = ""
    at: datetime | None = None
    found: Mapping[Capability, Answer] = field(default_factory=dict)

    def works(self, capability: Capability, *, unasked: bool = True) -> bool:
        """Return whether *capability* works; *unasked* when the cluster was never asked."""
        answer = self.found.get(capability)
        return unasked if answer is None else answer.works

    def kinds(self, capability: Capability, *, unasked: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the kinds of tables on which *capability* works."""
        answer = self.found.get(capability)
        return unasked if answer is None else answer.kinds

    @property
    def rules(self) -> tuple[Rule, ...]:
        answer = self.found.get(Capability.SQLSTATE)
        return answer.rules if answer else ()

    def covers(self, version: str) -> bool:
        """Return whether everything was asked of a cluster of this *version*."""
        return self.version == version and self.found.keys() >= set(Capability)

    def blockers(self) -> tuple[Blocker, ...]:
        """Return what the tool cannot work without, in the operator's words."""
        return tuple(
            Blocker(
                "limitless.lacks", a.capability, f"Limitless {self.version} lacks {a.capability}, {a.instead}: {a.said}"
            )
            for a in self.found.values()
            if a.needed and not a.works
        )
