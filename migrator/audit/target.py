"""The Limitless that is audited for, and what the team says that no evidence shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from migrator.audit.sizing.runway import Writer
from migrator.audit.sizing.tenants import Growth
from migrator.model.capacity import nodes_of
from migrator.model.limits import Engine, parse_engine
from migrator.plan.schema import Plan


@dataclass(frozen=True, slots=True)
class Target:
    """The Limitless that is audited for. The defaults hold where no plan says otherwise.

    Attributes:
        hot_ratio: a tenant with this many times the median of rows is hot.
    """

    engine_version: str = "16.13-limitless"
    max_acu: float = 384
    shards: int = 4
    hot_ratio: float = 20.0

    @classmethod
    def of(cls, plan: Plan | None, engine_version: str | None = None, shards: int | None = None) -> Target:
        """Return what *plan* aims at; *engine_version* and *shards* go before it."""
        base = cls()
        if plan is not None:
            aim = plan.limitless
            base = cls(aim.engine_version, aim.max_acu, aim.shards, plan.waves.hot_ratio)
        return cls(engine_version or base.engine_version, base.max_acu, shards or base.shards, base.hot_ratio)

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
        uses: services to be put around Limitless, for example "rds-proxy".
    """

    growth: Growth = field(default_factory=Growth)
    writer: Writer = field(default_factory=Writer)
    uses: Sequence[str] = ()
