"""The Limitless that is audited for, and what the team says that no evidence shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from migrator.audit.sizing.runway import Writer
from migrator.audit.sizing.tenants import Growth
from migrator.model.capacity import nodes_of
from migrator.model.limits import Engine, parse_engine
from migrator.plan.schema import Plan
from migrator.runway.judge import Facts


@dataclass(frozen=True, slots=True)
class Target:
    """The Limitless that is audited for. The defaults hold where no plan says otherwise.

    Attributes:
        hot_ratio: a tenant with this many times the median of rows is hot.
        connections: that the tool needs on classic: three for each mirror partition and copy, some for workers, the
            command line and validation.
    """

    engine_version: str = "16.13-limitless"
    max_acu: float = 384
    shards: int = 4
    hot_ratio: float = 20.0
    connections: int = 30

    @classmethod
    def of(cls, plan: Plan | None, engine_version: str | None = None, shards: int | None = None) -> Target:
        """Return what *plan* aims at; *engine_version* and *shards* go before it."""
        base = cls()
        if plan is not None:
            aim = plan.limitless
            needed = 3 * (plan.dual_write.parts + 1 + plan.backfill.concurrency) + 10
            base = cls(aim.engine_version, aim.max_acu, aim.shards, plan.waves.hot_ratio, needed)
        return replace(base, engine_version=engine_version or base.engine_version, shards=shards or base.shards)

    @property
    def engine(self) -> Engine:
        return parse_engine(self.engine_version)

    @property
    def routers(self) -> int:
        return nodes_of(self.max_acu).routers


@dataclass(frozen=True, slots=True)
class Outlook:
    """The team's statements about its database and its intentions.

    Attributes:
        known: what is measured of the writer, or the plan says; it goes before `writer` and the calendar of `growth`.
        uses: services to be put around Limitless, for example "rds-proxy".
    """

    growth: Growth = field(default_factory=Growth)
    writer: Writer = field(default_factory=Writer)
    uses: Sequence[str] = ()
    known: Facts | None = None

    @property
    def cores_used(self) -> float:
        if self.known is not None and self.known.cpu and self.known.vcpus:
            return self.known.cpu * self.known.vcpus
        return self.writer.cores_used
